import { API_VERSION } from '../api/group.ts';
import { KINDS, type Kind } from '../api/kinds.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';
import { rankOf, whyNotAllowed } from '../gitops/order.ts';
import { refusesPrune } from '../gitops/ownership.ts';
import { objectLabel } from '../gitops/read/objects.ts';
import type { Client } from '../kube/client.ts';
import type { Intended } from './intended.ts';

/** An object that is no longer asked for. */
export interface Superfluous {
  type: ResourceType;
  live: KubeObject;
  /** Why it stays all the same. */
  reason?: string;
}

/**
 * The policies in the cluster that carry a label and are not asked for, in reverse order of reference: cluster-wide ones, and those of the
 * namespaces that are asked for anything in. What is being deleted is left out.
 */
export async function superfluousByLabel(
  client: Pick<Client, 'listAll'>,
  selector: string,
  { intended, namespace }: { intended: readonly Intended[]; namespace: string },
  signal: AbortSignal,
): Promise<Superfluous[]> {
  const ours = intended.filter(({ type }) => type.apiVersion === API_VERSION);
  const wanted = new Set(ours.map(({ object }) => objectLabel(object)));
  const namespaces = new Set([namespace, ...ours.flatMap(({ object }) => object.metadata.namespace ?? [])]);
  const found: Superfluous[] = [];
  for (const kind of Object.keys(KINDS) as Kind[]) {
    if (whyNotAllowed(kind) !== undefined) continue;
    const type: ResourceType = KINDS[kind];
    for (const scope of type.namespaced ? [...namespaces].map((one) => ({ namespace: one })) : [{}]) {
      for (const live of await client.listAll(type, { ...scope, labelSelector: selector }, { signal })) {
        if (wanted.has(objectLabel(live)) || live.metadata.deletionTimestamp !== undefined) continue;
        found.push({
          type,
          live,
          ...(refusesPrune(live) ? { reason: 'its annotation says that it is not pruned' } : {}),
        });
      }
    }
  }
  return found.sort((a, b) => rankOf(b.type.kind) - rankOf(a.type.kind));
}
