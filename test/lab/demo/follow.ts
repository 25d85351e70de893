import { getCondition } from '../../../src/api/conditions.ts';
import type { Condition } from '../../../src/api/generated/types.ts';
import type { ObjectOf } from '../../../src/api/kinds.ts';
import { KINDS, type Kind } from '../../../src/api/kinds.ts';
import type { AnyCluster } from '../context.ts';
import { until } from '../process.ts';
import { NAMESPACE } from './objects.ts';

/** The object, once `holds` says so; what its conditions say is in the error when it never does. */
export async function follow<K extends Kind>(
  cluster: AnyCluster,
  kind: K,
  name: string,
  holds: (object: ObjectOf<K>) => boolean | undefined,
  timeoutMs = 60_000,
): Promise<ObjectOf<K>> {
  const path = `/apis/backstay.dev/v1alpha1/namespaces/${NAMESPACE}/${KINDS[kind].plural}/${name}`;
  let last = 'it is not there';
  try {
    return await until(
      `${kind} ${NAMESPACE}/${name}`,
      async () => {
        const { status, body } = await cluster.request<ObjectOf<K>>('GET', path);
        if (status !== 200) return undefined;
        last = summary(body);
        return holds(body) === true ? body : undefined;
      },
      { timeoutMs },
    );
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}: ${last}`);
  }
}

/** Every object of a kind in the demo's namespace. */
export async function listOf<K extends Kind>(cluster: AnyCluster, kind: K): Promise<ObjectOf<K>[]> {
  const path = `/apis/backstay.dev/v1alpha1/namespaces/${NAMESPACE}/${KINDS[kind].plural}`;
  const { body } = await cluster.request<{ items?: ObjectOf<K>[] }>('GET', path);
  return body.items ?? [];
}

/** Whether an object is ready for what its spec says now. */
export function isReady(object: {
  metadata: { generation?: number };
  status?: { observedGeneration?: number; conditions?: Condition[] };
}): boolean {
  const ready = getCondition(object.status?.conditions, 'Ready');
  return ready?.status === 'True' && object.status?.observedGeneration === object.metadata.generation;
}

function summary(object: object): string {
  const { status } = object as { status?: { phase?: string; conditions?: Condition[] } };
  const said = (status?.conditions ?? []).map(
    ({ type, status: value, reason, message }) => `${type}=${value} ${reason}: ${message}`,
  );
  return [status?.phase ?? 'no phase', ...said].join(' | ');
}
