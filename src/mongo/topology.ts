import { type Document, Long, type MongoClient, Timestamp } from 'mongodb';
import { readServerFacts } from './catalog.ts';
import { isUnauthorized, mongoFailure } from './errors.ts';
import type { Oplog } from './oplog-window.ts';

export type MemberState =
  | 'PRIMARY'
  | 'SECONDARY'
  | 'ARBITER'
  | 'RECOVERING'
  | 'STARTUP'
  | 'STARTUP2'
  | 'ROLLBACK'
  | 'DOWN'
  | 'UNKNOWN'
  | 'REMOVED';

/** A member of a replica set: its settings, and its state as the member that was asked sees it. */
export interface Member {
  /** host:port, as the members know each other. */
  host: string;
  state: MemberState;
  /** It answers heartbeats. */
  healthy: boolean;
  hidden: boolean;
  arbiter: boolean;
  priority: number;
  votes: number;
  /** Seconds that it stays behind on purpose; 0 for most. */
  delaySeconds: number;
  tags: Record<string, string>;
  /** Last operation it has applied. */
  lastApplied: Timestamp | undefined;
  /** Seconds that it is behind the primary; undefined when there is no primary or nothing is known. */
  lagSeconds: number | undefined;
  /** host:port of the member that it copies the oplog of. */
  syncSource?: string;
}

export interface Standalone {
  kind: 'standalone';
  host: string;
  version: string;
}

export interface ReplicaSetTopology {
  kind: 'replicaSet';
  name: string;
  members: Member[];
  /** host:port of the primary, if there is one. */
  primary: string | undefined;
  version: string;
  /** What it is in a sharded cluster; undefined for one of its own, and where the user may not see it. */
  role?: ClusterRole;
  /** Where it was asked for and may be read. */
  oplog?: Oplog;
}

export type ClusterRole =
  | { kind: 'configServer' }
  /** `clusterId` is the cluster's identity, hexadecimal; `configServer` the config server's address. */
  | { kind: 'shard'; name: string; clusterId: string; configServer: string };

export interface Mongos {
  kind: 'mongos';
  host: string;
  version: string;
}

export type Topology = Standalone | ReplicaSetTopology | Mongos;

/**
 * What stands behind a connection. A replica set is read from its configuration and its status, since hello does not name hidden members.
 *
 * @throws BackstayError MissingPrivilege when the user lacks clusterMonitor
 */
export async function readTopology(client: MongoClient): Promise<Topology> {
  const { version, setName, mongos, configServer } = await readServerFacts(client);
  const host = client.options.hosts.map((address) => address.toString()).join(',');
  if (mongos) return { kind: 'mongos', host, version };
  if (setName === undefined) return { kind: 'standalone', host, version };
  try {
    const admin = client.db('admin');
    const status = await admin.command({ replSetGetStatus: 1 });
    const { config } = await admin.command({ replSetGetConfig: 1 });
    const role: ClusterRole | undefined = configServer ? { kind: 'configServer' } : await shardRole(client);
    return { ...replicaSetOf(config, status, version), ...(role === undefined ? {} : { role }) };
  } catch (error) {
    throw mongoFailure(error, `read the members of replica set ${setName}`, 'the role "clusterMonitor"');
  }
}

/** A shard has its identity written down, for whoever may read it. */
async function shardRole(client: MongoClient): Promise<ClusterRole | undefined> {
  try {
    const versions = client.db('admin').collection<{ _id: string } & Document>('system.version');
    const identity = await versions.findOne({ _id: 'shardIdentity' }, { readPreference: 'primaryPreferred' });
    if (identity === null) return undefined;
    const { shardName, clusterId, configsvrConnectionString } = identity;
    return {
      kind: 'shard',
      name: String(shardName),
      clusterId: String(clusterId),
      configServer: String(configsvrConnectionString),
    };
  } catch (error) {
    if (isUnauthorized(error)) return undefined;
    throw error;
  }
}

/** Puts the replies of replSetGetConfig and replSetGetStatus together. */
export function replicaSetOf(config: Document, status: Document, version: string): ReplicaSetTopology {
  const states = new Map<number, Document>(
    (status.members as Document[]).map((member) => [Number(member._id), member]),
  );
  const primary = (status.members as Document[]).find(({ stateStr }) => stateStr === 'PRIMARY');
  const newest = primary === undefined ? undefined : optimeOf(primary);
  const members = (config.members as Document[]).map((settings): Member => {
    const state = states.get(Number(settings._id)) ?? {};
    const lastApplied = optimeOf(state);
    const { syncSourceHost } = state;
    return {
      host: String(settings.host),
      state: stateOf(state.stateStr),
      healthy: Number(state.health ?? 0) === 1,
      hidden: settings.hidden === true,
      arbiter: settings.arbiterOnly === true,
      priority: Number(settings.priority ?? 1),
      votes: Number(settings.votes ?? 1),
      // slaveDelay before 5.0
      delaySeconds: Number(settings.secondaryDelaySecs ?? settings.slaveDelay ?? 0),
      tags: { ...settings.tags },
      lastApplied,
      lagSeconds: newest === undefined || lastApplied === undefined ? undefined : Math.max(0, newest.t - lastApplied.t),
      // an empty text is what a member without a source shows
      ...(typeof syncSourceHost === 'string' && syncSourceHost !== '' ? { syncSource: syncSourceHost } : {}),
    };
  });
  return { kind: 'replicaSet', name: String(config._id), members, primary: primary?.name, version };
}

/** Time of the last applied operation; a member that never had one shows the time zero. */
function optimeOf(member: Document): Timestamp | undefined {
  const ts: unknown = member.optime?.ts;
  return ts instanceof Timestamp && !ts.equals(Long.ZERO) ? ts : undefined;
}

const STATES: readonly MemberState[] = [
  'PRIMARY',
  'SECONDARY',
  'ARBITER',
  'RECOVERING',
  'STARTUP',
  'STARTUP2',
  'ROLLBACK',
  'DOWN',
  'REMOVED',
];

function stateOf(text: unknown): MemberState {
  // a member that is down says so with words around it: "(not reachable/healthy)"
  if (typeof text === 'string' && text.startsWith('(not reachable')) return 'DOWN';
  return STATES.find((state) => state === text) ?? 'UNKNOWN';
}
