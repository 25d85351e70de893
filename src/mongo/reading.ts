import type { MongoClient } from 'mongodb';
import { BackstayError } from '../api/errors.ts';
import { type Choice, chooseMember, type MemberPolicy } from './choose.ts';
import { hostsOf, type MongoEndpoint, openClient } from './connection.ts';
import { type ConsistencyWishes, decideConsistency } from './consistency.ts';
import { type Consistency, connectionsFor } from './dump.ts';
import { watchLock } from './lock/watch.ts';
import { type HeldLock, type LockIntent, lockMember } from './lock.ts';
import { withOplog } from './oplog-window.ts';
import { settle } from './settle.ts';
import { type Mongos, readTopology, type Topology } from './topology.ts';

export interface ReadingOptions extends ConsistencyWishes {
  policy?: MemberPolicy;
  /** After so many seconds a lock is given up (default: six hours). */
  maxLockSeconds?: number;
  /** See LockOptions. */
  onIntent: (intent: LockIntent) => Promise<void>;
  lockTimeoutMS?: number;
  /** How many archives the server will be read into at the same time (default 1). */
  archives?: number;
  signal?: AbortSignal;
}

/** A server that is ready to be dumped. */
export interface Reading {
  /** For dump(). */
  client: MongoClient;
  mode: Consistency;
  topology: Topology;
  /** host:port of the server that is read. */
  member: string;
  /** Why it is that member; undefined for a standalone. */
  choice: Choice | undefined;
  /** Why the mode is not the one that was asked for, or is so in spite of the harm. */
  notice: string | undefined;
  lock: HeldLock | undefined;
  /** For dump(): aborted by the one of the options, and when the lock was given up because it did harm; it is released before. */
  signal: AbortSignal;
  /** Releases the lock, when there is one, and closes the connection. It can be called again. */
  close(): Promise<void>;
}

/**
 * Looks at what stands behind an endpoint, chooses the member to read, and locks it when that is the mode.
 *
 * @throws BackstayError UnsupportedTopology for a mongos; and all that reading the topology, choosing, deciding and locking throw
 */
export async function openReading(endpoint: MongoEndpoint, options: ReadingOptions): Promise<Reading> {
  const { policy, signal, maxLockSeconds: maxSeconds = MAX_LOCK_SECONDS } = options;
  const connect = signal === undefined ? {} : { signal };
  const client = await openClient(endpoint, connect);
  let topology: Topology;
  try {
    topology = await readTopology(client);
    if (topology.kind === 'replicaSet') topology = await withOplog(topology, client);
  } finally {
    await client.close();
  }
  refuseCluster(topology, endpoint);
  if (topology.kind === 'replicaSet') topology = await settle(topology, endpoint, options, signal);
  const choice = topology.kind === 'replicaSet' ? chooseMember(topology, policy) : undefined;
  const { consistency: mode, reason: notice, guardsMajority } = decideConsistency(topology, choice, options);
  const member = choice?.member.host;
  const target = member === undefined ? {} : { member };
  const given = new AbortController();
  const signals = signal === undefined ? [given.signal] : [signal, given.signal];
  const common = {
    ...{ mode, topology, choice, notice },
    member: member ?? hostsOf(endpoint.uri),
    signal: AbortSignal.any(signals),
  };
  if (mode === 'lock') {
    const { onIntent, lockTimeoutMS, archives = 1 } = options;
    const timeout = lockTimeoutMS === undefined ? {} : { timeoutMS: lockTimeoutMS };
    const lock = await lockMember(endpoint, {
      onIntent,
      connections: connectionsFor(archives),
      ...target,
      ...timeout,
      ...connect,
    });
    const onBreach = async (reason: BackstayError): Promise<void> => {
      // The reason goes ahead of what the dump says when its connection is closed.
      const released = lock.release();
      given.abort(reason);
      await released;
    };
    const watch = watchLock(lock, { endpoint, maxSeconds, guardsMajority, onBreach });
    const close = async (): Promise<void> => {
      watch.stop();
      await lock.release();
    };
    return { ...common, client: lock.client, lock, close };
  }
  const reader = await openClient(endpoint, { ...target, ...connect });
  return { ...common, client: reader, lock: undefined, close: () => reader.close() };
}

/** How long a lock may last when nobody says so. */
export const MAX_LOCK_SECONDS = 6 * 3600;

function refuseCluster(topology: Topology, endpoint: MongoEndpoint): asserts topology is Exclude<Topology, Mongos> {
  const is =
    topology.kind === 'mongos'
      ? 'a mongos'
      : topology.kind === 'replicaSet' && topology.role?.kind === 'configServer'
        ? 'a config server'
        : undefined;
  if (is === undefined) return;
  throw new BackstayError(
    'UnsupportedTopology',
    `${hostsOf(endpoint.uri)} is ${is}: the parts of a sharded cluster do not fit into one archive`,
    {
      remedy: 'back the cluster up with a BackupConfiguration, or dump one shard by its own address',
    },
  );
}
