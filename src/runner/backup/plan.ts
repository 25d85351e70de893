import { BackstayError } from '../../api/errors.ts';
import type { SnapshotStatusDatabase } from '../../api/generated/types.ts';
import { chooseMember, type MemberPolicy } from '../../mongo/choose.ts';
import { type ClusterPart, type ClusterTopology, readCluster } from '../../mongo/cluster/topology.ts';
import { hostsOf, type MongoEndpoint, openClient } from '../../mongo/connection.ts';
import { type ConsistencyDecision, type ConsistencyWishes, decideConsistency } from '../../mongo/consistency.ts';
import type { Consistency } from '../../mongo/dump.ts';
import { withOplog } from '../../mongo/oplog-window.ts';
import { settle } from '../../mongo/settle.ts';
import { type ReplicaSetTopology, readTopology, type Standalone, type Topology } from '../../mongo/topology.ts';
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
  /** Why the consistency is not the one that was asked for, or is so in spite of the harm. */
  consistencyReason?: string;
  /** A lock is given up when writes of a majority wait for it. */
  guardsMajority: boolean;
}

export interface Wishes extends ConsistencyWishes {
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
    const settled = (set: ReplicaSetTopology, at: MongoEndpoint): Promise<ReplicaSetTopology> =>
      settle(set, at, { ...wishes, policy: policyFor(set, wishes) }, signal);
    let plan: BackupPlan;
    if (isCluster(topology)) {
      const { configServer, shards, ...cluster } = await readCluster(endpoint, { signal });
      const [config = configServer, ...others] = await Promise.all(
        [configServer, ...shards].map(async (part) => ({
          ...part,
          topology: await settled(part.topology, part.endpoint),
        })),
      );
      plan = planCluster({ ...cluster, configServer: config, shards: others }, wishes);
    } else if (topology.kind === 'replicaSet') {
      plan = planOne(await settled(await withOplog(topology, client), endpoint), endpoint, wishes);
    } else {
      plan = planOne(topology, endpoint, wishes);
    }
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
      ...consistencyOf(decideConsistency(topology, undefined, wishes)),
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

/** The decisions for a sharded cluster. Members that are asked for count for the part that they belong to. */
export function planCluster(cluster: ClusterTopology, wishes: Wishes): BackupPlan {
  const { configServer, shards, version } = cluster;
  const parts = [configServer, ...shards];
  const { members = [] } = wishes.policy;
  const isKnown = (host: string): boolean => parts.some(({ topology }) => has(topology, host));
  if (members.length > 0 && !members.some(isKnown)) {
    throw new BackstayError('NoMember', `no part of the cluster has a member ${members.join(' or ')}`, {
      remedy: 'name members of shards or of the config server as host:port',
    });
  }
  const component = ({ name, endpoint, topology }: ClusterPart): ComponentPlan => ({
    name,
    endpoint,
    ...decide(topology, { ...wishes, policy: policyFor(topology, wishes) }),
  });
  const components: BackupPlan['components'] = [component(configServer), ...shards.map(component)];
  const consistencies = components.map(({ consistency }) => consistency);
  const strongest = (['lock', 'snapshot'] as const).find((one) => consistencies.includes(one)) ?? 'none';
  return { database: { version, topology: 'Sharded' }, consistency: strongest, components, cluster };
}

const has = ({ members }: ReplicaSetTopology, host: string): boolean => members.some((one) => one.host === host);

/** The policy for one part of a cluster. */
function policyFor(part: ReplicaSetTopology, { policy }: Wishes): MemberPolicy {
  const { members = [], ...others } = policy;
  return { ...others, members: members.filter((host) => has(part, host)) };
}

function decide(topology: ReplicaSetTopology, wishes: Wishes): Decision & { member: string } {
  const choice = chooseMember(topology, wishes.policy);
  return {
    member: choice.member.host,
    memberName: choice.member.host,
    memberReason: choice.reason,
    ...consistencyOf(decideConsistency(topology, choice, wishes)),
  };
}

type ConsistencyPlan = Pick<Decision, 'consistency' | 'consistencyReason' | 'guardsMajority'>;

function consistencyOf({ reason, ...decision }: ConsistencyDecision): ConsistencyPlan {
  return { ...decision, ...(reason === undefined ? {} : { consistencyReason: reason }) };
}
