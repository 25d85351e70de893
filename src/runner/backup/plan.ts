import { BackstayError } from '../../api/errors.ts';
import type { SnapshotStatusDatabase } from '../../api/generated/types.ts';
import { type Choice, chooseMember, type MemberPolicy } from '../../mongo/choose.ts';
import { type ClusterPart, type ClusterTopology, readCluster } from '../../mongo/cluster/topology.ts';
import { hostsOf, type MongoEndpoint, openClient } from '../../mongo/connection.ts';
import type { Consistency } from '../../mongo/dump.ts';
import { type ReplicaSetTopology, readTopology, type Standalone, type Topology } from '../../mongo/topology.ts';
import { atLeast } from '../../mongo/version.ts';
import { WHOLE } from './report.ts';

/** What is read of a database, how, and why so. */
export interface BackupPlan {
  database: SnapshotStatusDatabase;
  /** The strongest of its components'. */
  consistency: Consistency;
  /** One, or of a sharded cluster the config server and then the shards in the order of their names. */
  components: readonly [ComponentPlan, ...ComponentPlan[]];
  cluster?: ClusterTopology;
}

/** One server to dump, and how. */
export interface ComponentPlan extends Decision {
  /** dump, configserver, or the name of the shard. */
  name: string;
  endpoint: MongoEndpoint;
}

/** What is decided for one replica set or standalone. */
export interface Decision {
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

/**
 * Looks at the database behind an endpoint and decides which members are read and how.
 *
 * @throws BackstayError UnsupportedTopology, NoMember, and what reading a cluster throws
 */
export async function planReading(endpoint: MongoEndpoint, wishes: Wishes, signal: AbortSignal): Promise<BackupPlan> {
  const client = await openClient(endpoint, { signal });
  try {
    const topology = await readTopology(client);
    const version = await client
      .db('admin')
      .command({ getParameter: 1, featureCompatibilityVersion: 1 })
      .then(({ featureCompatibilityVersion: fcv }) => String(fcv?.version ?? fcv))
      // Worth knowing, but not worth failing for: some users may not read it.
      .catch(() => undefined);
    const plan = isCluster(topology)
      ? planCluster(await readCluster(endpoint, { signal }), wishes)
      : planOne(topology, endpoint, wishes);
    if (version !== undefined) plan.database.featureCompatibilityVersion = version;
    return plan;
  } finally {
    await client.close();
  }
}

type One = Standalone | ReplicaSetTopology;

function isCluster(topology: Topology): topology is Exclude<Topology, One> {
  return topology.kind === 'mongos' || (topology.kind === 'replicaSet' && topology.role?.kind === 'configServer');
}

function planOne(topology: One, endpoint: MongoEndpoint, wishes: Wishes): BackupPlan {
  const { database, ...decision } = planFor(topology, hostsOf(endpoint.uri), wishes);
  return { database, consistency: decision.consistency, components: [{ name: WHOLE, endpoint, ...decision }] };
}

/**
 * The decision for a standalone or a replica set. `hosts` is what the endpoint names.
 *
 * @throws BackstayError UnsupportedTopology for a single shard of a cluster
 */
export function planFor(topology: One, hosts: string, wishes: Wishes): Decision & { database: SnapshotStatusDatabase } {
  if (topology.kind === 'standalone') {
    return {
      database: { version: topology.version, topology: 'Standalone' },
      memberName: hosts,
      ...standaloneConsistency(wishes.consistency),
    };
  }
  const { name, version, role } = topology;
  if (role?.kind === 'shard') {
    throw new BackstayError(
      'UnsupportedTopology',
      `replica set ${name} is shard ${role.name} of a cluster, and means nothing without the others`,
      { remedy: `use the address of a mongos, or of the config server (${role.configServer})` },
    );
  }
  return { database: { version, topology: 'ReplicaSet', replicaSet: name }, ...decide(topology, wishes) };
}

/** The decisions for a sharded cluster. A member that is asked for is one of one part. */
export function planCluster(cluster: ClusterTopology, wishes: Wishes): BackupPlan {
  const { configServer, shards, version } = cluster;
  const parts = [configServer, ...shards];
  const { member, ...policy } = wishes.policy;
  const hasIt = ({ topology }: ClusterPart): boolean => topology.members.some(({ host }) => host === member);
  if (member !== undefined && !parts.some(hasIt)) {
    throw new BackstayError('NoMember', `no part of the cluster has a member ${member}`, {
      remedy: 'name a member of a shard or of the config server as host:port',
    });
  }
  const component = (part: ClusterPart): ComponentPlan => {
    const ownPolicy = member !== undefined && hasIt(part) ? { ...policy, member } : policy;
    const { name, endpoint, topology } = part;
    return { name, endpoint, ...decide(topology, { consistency: wishes.consistency, policy: ownPolicy }) };
  };
  const components: BackupPlan['components'] = [component(configServer), ...shards.map(component)];
  const consistencies = components.map(({ consistency }) => consistency);
  const strongest = (['lock', 'snapshot'] as const).find((one) => consistencies.includes(one)) ?? 'none';
  return { database: { version, topology: 'Sharded' }, consistency: strongest, components, cluster };
}

function decide(topology: ReplicaSetTopology, { consistency, policy }: Wishes): Decision & { member: string } {
  const choice = chooseMember(topology, policy);
  return {
    member: choice.member.host,
    memberName: choice.member.host,
    memberReason: choice.reason,
    ...replicaSetConsistency(topology, choice, consistency),
  };
}

type ConsistencyPlan = Pick<Decision, 'consistency' | 'consistencyReason'>;

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
