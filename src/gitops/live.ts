import { BackstayError, describeError } from '../api/errors.ts';
import { API_VERSION } from '../api/group.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';
import { Secrets } from '../kube/builtin.ts';
import type { Cache } from '../kube/cache.ts';
import type { Client } from '../kube/client.ts';
import { isForbidden } from '../kube/kube-error.ts';
import { keyFor } from '../kube/resource.ts';
import { type ObjectID, objectID, parseObjectID } from './object-id.ts';
import { POLICY_SYNC_LABEL } from './ownership.ts';

/**
 * Reads objects of the cluster by their ids; what is not there is left out.
 *
 * @param mark of the PolicySync that most of them carry: they can be found by it
 */
export type LiveObjects = (
  ids: Iterable<ObjectID>,
  mark: string,
  signal: AbortSignal,
) => Promise<ReadonlyMap<ObjectID, KubeObject>>;

/** So many objects of one kind in one namespace are asked for one by one; more are listed. */
const FEW = 3;
/** So many that the first list did not have are asked for one by one; for more, all of the kind are listed. */
const MANY = 20;

interface Group {
  type: ResourceType;
  namespace: string | undefined;
  ids: Map<ObjectID, string>;
}

/**
 * Asks the API server: lists what carries the mark, kind by kind, and then looks for what the lists did not have. A settled PolicySync costs
 * a handful of requests, however many objects it has.
 */
export function liveFrom(client: Pick<Client, 'get' | 'listAll'>): LiveObjects {
  return async (ids, mark, signal) => {
    const found = new Map<ObjectID, KubeObject>();
    for (const { type, namespace, ids: wanted } of groups(ids)) {
      const scope = namespace === undefined ? {} : { namespace };
      const missing = (): [ObjectID, string][] => [...wanted].filter(([id]) => !found.has(id));
      const list = async (query: { namespace?: string; labelSelector?: string }): Promise<void> => {
        for (const object of await client.listAll(type, query, { signal })) found.set(objectID(object), object);
      };
      if (wanted.size > FEW) await list({ ...scope, labelSelector: `${POLICY_SYNC_LABEL}=${mark}` });
      // Those that are new, or that somebody took the label from.
      if (missing().length > MANY) await list(scope);
      else
        await Promise.all(
          missing().map(async ([id, name]) => {
            const object = await client.get(type, { namespace, name }, { signal });
            if (object !== undefined) found.set(id, object);
          }),
        );
    }
    return found;
  };
}

/**
 * Looks into caches first, and asks for what they do not have: that something is gone is believed to the server alone, because an object that
 * was taken for gone would be forgotten instead of pruned.
 */
export function liveFromCaches(caches: readonly Cache<KubeObject>[], otherwise: LiveObjects): LiveObjects {
  // Kinds of others have the same names: AppBinding.
  const own = caches.filter(({ type }) => type.apiVersion === API_VERSION);
  const byKind = new Map(own.map((cache) => [cache.type.kind, cache]));
  return async (ids, mark, signal) => {
    const found = new Map<ObjectID, KubeObject>();
    const missing: ObjectID[] = [];
    for (const id of ids) {
      const parsed = parseObjectID(id);
      const cache = parsed === undefined ? undefined : byKind.get(parsed.type.kind);
      const object =
        cache?.hasSynced === true ? cache.getByKey(keyFor(parsed?.namespace, parsed?.name ?? '')) : undefined;
      if (object === undefined) missing.push(id);
      else found.set(id, object);
    }
    if (missing.length > 0) for (const [id, object] of await otherwise(missing, mark, signal)) found.set(id, object);
    return found;
  };
}

/**
 * Secrets by their ids, one by one: a list would show all others of the namespace.
 *
 * @param client with the rights of whom they are written by
 */
export async function liveSecrets(
  client: Pick<Client, 'get'>,
  ids: readonly ObjectID[],
  signal: AbortSignal,
): Promise<ReadonlyMap<ObjectID, KubeObject>> {
  const found = new Map<ObjectID, KubeObject>();
  for (const id of ids) {
    const { namespace, name = '' } = parseObjectID(id) ?? {};
    try {
      const secret = await client.get(Secrets, { namespace, name }, { signal });
      if (secret !== undefined) found.set(id, { ...secret, apiVersion: Secrets.apiVersion, kind: Secrets.kind });
    } catch (error) {
      if (!isForbidden(error)) throw error;
      throw new BackstayError(
        'SecretForbidden',
        `Secret ${namespace}/${name} cannot be read: ${describeError(error)}`,
        {
          remedy: 'let a Role for the account of spec.serviceAccountName get, create, patch and delete secrets there',
          cause: error,
        },
      );
    }
  }
  return found;
}

function groups(ids: Iterable<ObjectID>): Iterable<Group> {
  const found = new Map<string, Group>();
  for (const id of ids) {
    const parsed = parseObjectID(id);
    if (parsed === undefined) continue;
    const { type, namespace, name } = parsed;
    const key = `${type.kind} ${namespace ?? ''}`;
    const group: Group = found.get(key) ?? { type, namespace, ids: new Map() };
    group.ids.set(id, name);
    found.set(key, group);
  }
  return found.values();
}
