import { describeError } from '../api/errors.ts';
import type { KubeObject } from '../api/meta.ts';
import type { Client } from '../kube/client.ts';
import { isConflict, isNotFound, KubeError } from '../kube/kube-error.ts';
import { refOf } from '../kube/resource.ts';
import type { ObjectID } from './object-id.ts';
import { rankOf } from './order.ts';
import { FIELD_MANAGER, isMarked, refusesPrune } from './ownership.ts';
import type { Step } from './plan.ts';
import { type Failure, failureAt, objectLabel } from './read/objects.ts';
import { isTemporary } from './server-trouble.ts';
import { discreet } from './sops/discreet.ts';

export interface ApplyContext {
  /** The client under the service account of the PolicySync. */
  client: Pick<Client, 'get' | 'apply' | 'delete'>;
  mark: string;
  signal: AbortSignal;
}

/** Something that was done in the cluster. */
export interface Change {
  id: ObjectID;
  action: 'created' | 'changed' | 'pruned';
  /** kind/namespace/name */
  object: string;
}

type Write = Extract<Step, { action: 'create' | 'change' | 'prune' }>;

// Requests at once. The API server's own limits are per user, and this one is not the only one.
const CONCURRENCY = 8;

export function isWrite(step: Step): step is Write {
  return step.action === 'create' || step.action === 'change' || step.action === 'prune';
}

/**
 * Asks the server what it would say to every write, deletions included, and stores nothing: what is forbidden, invalid or refused by a
 * webhook comes to light before the first object is changed.
 *
 * @throws KubeError when the server cannot be asked now; refusals of single objects are returned
 */
export async function rehearse(steps: readonly Step[], context: ApplyContext): Promise<Failure[]> {
  const failures: Failure[] = [];
  await forEach(steps.filter(isWrite), async (step) => {
    try {
      await write(step, context, true);
    } catch (error) {
      failures.push(...refusal(step, error));
    }
  });
  return failures;
}

/**
 * Makes the writes, kind after kind in their order. The first kind with a refusal is the last one: nothing that may refer to what is
 * missing is written, and nothing is pruned.
 *
 * @param done called after each write, so that what was done is known even when a later one throws
 */
export async function perform(
  steps: readonly Step[],
  context: ApplyContext,
  done: (step: Write, change: Change | undefined) => void,
): Promise<Failure[]> {
  const failures: Failure[] = [];
  for (const group of groups(steps.filter(isWrite))) {
    await forEach(group, async (step) => {
      try {
        done(step, await write(step, context, false));
      } catch (error) {
        failures.push(...refusal(step, error));
      }
    });
    if (failures.length > 0) break;
  }
  return failures;
}

async function write(
  step: Write,
  { client, mark, signal }: ApplyContext,
  dryRun: boolean,
): Promise<Change | undefined> {
  if (step.action === 'prune') {
    const label = objectLabel(step.live);
    const live = dryRun ? step.live : await client.get(step.type, refOf(step.live), { signal });
    // What the cache showed may be old: the object may have changed hands, or asked to stay.
    if (live === undefined || !isMarked(live, mark) || refusesPrune(live)) return undefined;
    const removed = await client.delete(step.type, refOf(live), {
      uid: live.metadata.uid,
      propagationPolicy: 'Background',
      dryRun,
      signal,
    });
    return removed ? { id: step.id, action: 'pruned', object: label } : undefined;
  }
  const { object, type, id } = step.desired;
  const applied = await client.apply(type, object, {
    fieldManager: FIELD_MANAGER,
    force: step.force,
    fieldValidation: 'Strict',
    dryRun,
    signal,
  });
  if (step.action === 'create') return { id, action: 'created', object: objectLabel(object) };
  return sameVersion(applied, step.live) ? undefined : { id, action: 'changed', object: objectLabel(object) };
}

/** A refusal of this object, in the terms of the file that it is in. Anything else says nothing about the object, and is thrown on. */
function refusal(step: Write, error: unknown): Failure[] {
  if (!(error instanceof KubeError) || isTemporary(error)) throw error;
  const { status } = error;
  const hide = (text: string): string => (step.action === 'prune' ? text : discreet(step.desired.object, text));
  const said = error.causes.map((cause) => ({ ...cause, message: hide(cause.message) }));
  if (step.action === 'prune') {
    // Gone, or made anew under its name: either way it is not the one that was to go.
    return isNotFound(error) || isConflict(error)
      ? []
      : [{ object: objectLabel(step.live), message: `It cannot be pruned: ${describeError(error)}` }];
  }
  const { desired } = step;
  if (isConflict(error)) {
    const fields = said.map(({ field }) => field.replace(/^\./, '')).join(', ');
    const message = `Somebody else set ${fields === '' ? 'fields of it' : fields} to other values (${hide(describeError(error))}); correct the file, or set spec.force to take them over`;
    return [failureAt(desired, '', message)];
  }
  const causes = status === 422 ? said.filter(({ field }) => field !== '') : [];
  if (causes.length === 0) return [failureAt(desired, '', hide(describeError(error)))];
  return causes.map(({ field, message }) => failureAt(desired, field.replace(/^\./, ''), message));
}

function sameVersion(a: KubeObject, b: KubeObject): boolean {
  return a.metadata.resourceVersion !== undefined && a.metadata.resourceVersion === b.metadata.resourceVersion;
}

/** The writes in their order, those of one kind together; prunes never share a group with anything else. */
function groups(steps: readonly Write[]): Write[][] {
  const found: Write[][] = [];
  let last: string | undefined;
  for (const step of steps) {
    const key = step.action === 'prune' ? `prune ${rankOf(step.type.kind)}` : `apply ${rankOf(step.desired.type.kind)}`;
    if (key !== last) found.push([]);
    found.at(-1)?.push(step);
    last = key;
  }
  return found;
}

/**
 * Runs the function for every item, several at once. After the first that throws no other is begun, and the error is thrown when all
 * have ended.
 */
export async function forEach<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  let failed: { error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      if (failed !== undefined) return;
      try {
        await run(item);
      } catch (error) {
        failed ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, items.length) }, worker));
  if (failed !== undefined) throw failed.error;
}
