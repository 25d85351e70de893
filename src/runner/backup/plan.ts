import { BackstayError } from '../../api/errors.ts';
import type { SnapshotStatusDatabase } from '../../api/generated/types.ts';
import { type Choice, chooseMember, type MemberPolicy } from '../../mongo/choose.ts';
import { hostsOf, type MongoEndpoint, openClient } from '../../mongo/connection.ts';
import type { Consistency } from '../../mongo/dump.ts';
import { type ReplicaSetTopology, readTopology, type Topology } from '../../mongo/topology.ts';
import { atLeast } from '../../mongo/version.ts';

/** What is read, how, and why so. */
export interface ReadingPlan {
  database: SnapshotStatusDatabase;
  /** host:port; undefined for a standalone, which is what the endpoint names. */
  member?: string;
  /** What statuses call the server that is read. */
  memberName: string;
  memberReason?: string;
  consistency: Consistency;
  /** Why the consistency is not the one that was asked for. */
  consistencyReason?: string;
}

export interface Wishes {
  consistency: Consistency;
  policy: MemberPolicy;
}

/** Looks at the database behind an endpoint and decides which member is read and how. @throws BackstayError UnsupportedTopology, NoMember */
export async function planReading(endpoint: MongoEndpoint, wishes: Wishes, signal: AbortSignal): Promise<ReadingPlan> {
  const client = await openClient(endpoint, { signal });
  try {
    const topology = await readTopology(client);
    const version = await client
      .db('admin')
      .command({ getParameter: 1, featureCompatibilityVersion: 1 })
      .then(({ featureCompatibilityVersion: fcv }) => String(fcv?.version ?? fcv))
      // Worth knowing, but not worth failing for: some users may not read it.
      .catch(() => undefined);
    const plan = planFor(topology, hostsOf(endpoint.uri), wishes);
    if (version !== undefined) plan.database.featureCompatibilityVersion = version;
    return plan;
  } finally {
    await client.close();
  }
}

/** The decision for a topology. `hosts` is what the endpoint names. */
export function planFor(topology: Topology, hosts: string, { consistency, policy }: Wishes): ReadingPlan {
  switch (topology.kind) {
    case 'standalone':
      return {
        database: { version: topology.version, topology: 'Standalone' },
        memberName: hosts,
        ...standaloneConsistency(consistency),
      };
    case 'replicaSet': {
      const choice = chooseMember(topology, policy);
      return {
        database: { version: topology.version, topology: 'ReplicaSet', replicaSet: topology.name },
        member: choice.member.host,
        memberName: choice.member.host,
        memberReason: choice.reason,
        ...replicaSetConsistency(topology, choice, consistency),
      };
    }
    case 'mongos':
      throw new BackstayError(
        'UnsupportedTopology',
        `${topology.host} is a mongos, which cannot be dumped consistently`,
        {
          remedy: 'back up each shard and the config server by an AppBinding of its own',
        },
      );
  }
}

type ConsistencyPlan = Pick<ReadingPlan, 'consistency' | 'consistencyReason'>;

/** A standalone has no oplog to read the past from, and no other member that takes writes while it is locked. */
function standaloneConsistency(wanted: Consistency): ConsistencyPlan {
  if (wanted === 'none') return { consistency: 'none' };
  const why =
    wanted === 'lock'
      ? 'a lock would stop every write to a standalone server'
      : 'a standalone server has no snapshot reads';
  return { consistency: 'none', consistencyReason: `${why}, so its collections show different moments` };
}

/** A lock that would make writes of a majority hang is not taken: all reads show one cluster time instead. */
function replicaSetConsistency(topology: ReplicaSetTopology, choice: Choice, wanted: Consistency): ConsistencyPlan {
  if (wanted !== 'lock' || !choice.lock.stallsMajority) return { consistency: wanted };
  // Snapshot reads outside transactions came with 5.0.
  if (atLeast(topology.version, 5, 0)) {
    return { consistency: 'snapshot', consistencyReason: `not locked: ${choice.lock.reason}` };
  }
  throw new BackstayError('LockRefused', `${choice.member.host} cannot be locked without harm: ${choice.lock.reason}`, {
    remedy: 'bring the other members up, add one, or use consistency "none"',
  });
}
