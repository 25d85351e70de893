import { KINDS, type Kind, type ObjectOf } from '../../src/api/kinds.ts';
import type { Cluster } from '../lab/cluster.ts';
import { until } from '../lab/process.ts';

/** Objects of Backstay in one namespace of a cluster that has it installed. */
export function objectsIn(cluster: Cluster, namespace: string) {
  const path = (kind: Kind): string => `/apis/backstay.dev/v1alpha1/namespaces/${namespace}/${KINDS[kind].plural}`;
  const self = {
    async list<K extends Kind>(kind: K): Promise<ObjectOf<K>[]> {
      return (await cluster.request<{ items?: ObjectOf<K>[] }>('GET', path(kind))).body.items ?? [];
    },
    /** The object, once `holds` says so. */
    async when<K extends Kind>(
      kind: K,
      name: string,
      holds: (object: ObjectOf<K>) => boolean | undefined,
      timeoutMs = 60_000,
    ): Promise<ObjectOf<K>> {
      let last: ObjectOf<K> | undefined;
      const reached = async (): Promise<ObjectOf<K> | undefined> => {
        const { status, body } = await cluster.request<ObjectOf<K>>('GET', `${path(kind)}/${name}`);
        if (status === 200) last = body;
        return status === 200 && holds(body) === true ? body : undefined;
      };
      try {
        return await until(`${kind} ${namespace}/${name}`, reached, { timeoutMs });
      } catch (error) {
        throw new Error(`${error}; its status: ${JSON.stringify(last && 'status' in last ? last.status : last)}`);
      }
    },
    /** A BackupSession as a trigger makes it. */
    async trigger(configuration: string, session: string, name: string): Promise<void> {
      await cluster.apply([
        {
          apiVersion: 'backstay.dev/v1alpha1',
          kind: 'BackupSession',
          metadata: { name, namespace },
          spec: { invoker: { name: configuration }, session },
        },
      ]);
    },
    async ended(session: string, timeoutMs = 90_000): Promise<ObjectOf<'BackupSession'>> {
      return self.when('BackupSession', session, ({ status }) => isOver(status?.phase), timeoutMs);
    },
  };
  return self;
}

/** Whether a phase of a session is its last. */
export function isOver(phase: string | undefined): boolean {
  return ['Succeeded', 'Failed', 'Skipped', 'Invalid'].includes(phase ?? '');
}
