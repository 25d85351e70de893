/**
 * The pass that every controller makes: read the object and its surroundings, plan, carry the plan out.
 *
 * Two things are looked after here for all of them. A pass over a copy that is older than the operator's own last write is put off, so that
 * nothing is decided twice. And what the API server refuses for good (a name that is taken, a quota, an admission rule) is shown in the object,
 * while the work queue goes on trying.
 */
import { BackstayError, describeError } from '../../api/errors.ts';
import type { Cache } from '../../kube/cache.ts';
import type { Client } from '../../kube/client.ts';
import { type Result, RetryAfterError } from '../../kube/controller.ts';
import { isForbidden, isInvalid, isNamespaceTerminating } from '../../kube/kube-error.ts';
import { compareVersions, type KubeObject } from '../../kube/resource.ts';
import { type LiveObjects, type NoteSink, perform } from './perform.ts';
import type { Plan, StatusFields } from './plan.ts';
import { Conditions, ownStatus, type StatusOwnership } from './status.ts';

export interface ReconcilerOptions<T extends KubeObject, W, S extends StatusFields> {
  /** Lower case; the field manager is `backstay-operator-<name>`. */
  name: string;
  client: Client;
  cache: Cache<T>;
  live: LiveObjects;
  notes: NoteSink;
  own: StatusOwnership;
  gather(object: T, signal: AbortSignal): Promise<W> | W;
  plan(world: W): Plan<S>;
  /** The object is gone. */
  gone?(key: string): void;
  /** Whether a refusal may be shown in the status: not of one that has ended. */
  mayExplain?(object: T): boolean;
}

/** How long a refusal is left alone, in seconds. */
const REFUSED_RETRY_SECONDS = 30;
/** How long a copy that is behind may stay so before it is looked at again, in seconds; its update wakes the key earlier. */
const BEHIND_SECONDS = 1;

/** The `reconcile` of a Controller. */
export function createReconciler<T extends KubeObject, W, S extends StatusFields>(
  options: ReconcilerOptions<T, W, S>,
): (key: string, signal: AbortSignal) => Promise<Result | undefined> {
  const { name, cache, client, live, notes, own } = options;
  /** Version of the last write of each object, until the cache shows it. */
  const written = new Map<string, string>();

  return async (key, signal) => {
    const object = cache.getByKey(key);
    if (object === undefined) {
      written.delete(key);
      options.gone?.(key);
      return undefined;
    }
    if ((compareVersions(object.metadata.resourceVersion, written.get(key)) ?? 0) < 0)
      return { requeueAfterSeconds: BEHIND_SECONDS };
    written.delete(key);
    const context = {
      client,
      live,
      notes,
      fieldManager: `backstay-operator-${name}`,
      type: cache.type,
      signal,
      wrote: ({ metadata }: KubeObject) => {
        const { uid, resourceVersion } = metadata;
        if (
          uid === object.metadata.uid &&
          resourceVersion !== object.metadata.resourceVersion &&
          resourceVersion !== undefined
        ) {
          written.set(key, resourceVersion);
        }
      },
    };
    const plan = options.plan(await options.gather(object, signal));
    try {
      const requeueAfterMs = await perform(object, plan, context);
      return requeueAfterMs === undefined ? undefined : { requeueAfterSeconds: requeueAfterMs / 1000 };
    } catch (error) {
      // The namespace takes everything in it along; there is nothing left to do here.
      if (isNamespaceTerminating(error)) return undefined;
      if (!isRefusal(error)) throw error;
      const mayExplain = object.metadata.deletionTimestamp === undefined && (options.mayExplain?.(object) ?? true);
      if (mayExplain) await perform(object, explanation(object, error, own), context);
      throw new RetryAfterError(error.code, describeError(error), REFUSED_RETRY_SECONDS, { cause: error });
    }
  };
}

/** What shows a refusal in the object: the status as it is, but not ready, and why. */
function explanation<T extends KubeObject>(object: T, error: BackstayError, own: StatusOwnership): Plan {
  const message = describeError(error);
  const conditions = new Conditions(object, own, new Date());
  const before = conditions.get('Ready');
  if (own.conditions.includes('Ready')) conditions.ready('NotReady', error.code, message);
  const known = before?.reason === error.code && before.message === message;
  const generation = own.fields.includes('observedGeneration')
    ? { observedGeneration: object.metadata.generation ?? 0 }
    : {};
  return {
    status: { ...ownStatus(object, own), ...generation, conditions: conditions.list },
    events: known ? [] : [{ type: 'Warning', reason: error.code, message }],
  };
}

function isRefusal(error: unknown): error is BackstayError {
  return isForbidden(error) || isInvalid(error) || (error instanceof BackstayError && error.code === 'NameTaken');
}
