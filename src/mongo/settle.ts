import { setTimeout as sleep } from 'node:timers/promises';
import { chooseMember, type MemberPolicy } from './choose.ts';
import { type MongoEndpoint, openClient } from './connection.ts';
import { type ConsistencyWishes, wantsFreeLock } from './consistency.ts';
import { type ReplicaSetTopology, readTopology } from './topology.ts';

const LOOKS = 3;
const LOOK_MS = 1000;

/**
 * The topology of a set, looked at again for two seconds when a lock would do harm only because members are behind: on a busy set they are
 * for a moment.
 *
 * @throws what choosing a member and reading the topology throw
 */
export async function settle(
  topology: ReplicaSetTopology,
  endpoint: MongoEndpoint,
  wishes: ConsistencyWishes & { policy?: MemberPolicy | undefined },
  signal?: AbortSignal,
): Promise<ReplicaSetTopology> {
  if (!wantsFreeLock(wishes) || !isPassing(topology, wishes.policy)) return topology;
  const client = await openClient(endpoint, signal === undefined ? {} : { signal });
  try {
    let newest = topology;
    for (let look = 1; look < LOOKS && isPassing(newest, wishes.policy); look += 1) {
      await sleep(LOOK_MS, undefined, signal === undefined ? {} : { signal });
      const seen = await readTopology(client);
      if (seen.kind === 'replicaSet') newest = { ...topology, ...seen };
    }
    return newest;
  } finally {
    await client.close();
  }
}

function isPassing(topology: ReplicaSetTopology, policy: MemberPolicy | undefined): boolean {
  const { lock } = chooseMember(topology, policy);
  return lock.stallsMajority && lock.isPassing;
}
