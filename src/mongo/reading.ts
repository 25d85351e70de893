import type { MongoClient } from 'mongodb';
import { BackstayError } from '../api/errors.ts';
import { type Choice, chooseMember, type MemberPolicy } from './choose.ts';
import { hostsOf, type MongoEndpoint, openClient } from './connection.ts';
import type { Consistency } from './dump.ts';
import { type HeldLock, type LockIntent, lockMember } from './lock.ts';
import { readTopology, type Topology } from './topology.ts';

export interface ReadingOptions {
  /** Without it: lock, or snapshot where a lock would stall the replica set. */
  consistency?: Consistency;
  policy?: MemberPolicy;
  /** See LockOptions. */
  onIntent: (intent: LockIntent) => Promise<void>;
  lockTimeoutMS?: number;
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
  /** Why the mode is not the one that is usual. */
  notice: string | undefined;
  lock: HeldLock | undefined;
  /** Releases the lock, when there is one, and closes the connection. It can be called again. */
  close(): Promise<void>;
}

/**
 * Looks at what stands behind an endpoint, chooses the member to read, and locks it when that is the mode.
 *
 * @throws BackstayError UnsupportedTopology for a mongos; LockRefused when the lock was demanded and would stall the set; and all that
 *   reading the topology, choosing and locking throw
 */
export async function openReading(endpoint: MongoEndpoint, options: ReadingOptions): Promise<Reading> {
  const { consistency, policy, signal } = options;
  const connect = signal === undefined ? {} : { signal };
  const client = await openClient(endpoint, connect);
  let topology: Topology;
  try {
    topology = await readTopology(client);
  } finally {
    await client.close();
  }
  const cluster =
    topology.kind === 'mongos'
      ? 'a mongos'
      : topology.kind === 'replicaSet' && topology.role?.kind === 'configServer'
        ? 'a config server'
        : undefined;
  if (cluster !== undefined) {
    throw new BackstayError(
      'UnsupportedTopology',
      `${hostsOf(endpoint.uri)} is ${cluster}: the parts of a sharded cluster do not fit into one archive`,
      {
        remedy: 'back the cluster up with a BackupConfiguration, or dump one shard by its own address',
      },
    );
  }
  const choice = topology.kind === 'replicaSet' ? chooseMember(topology, policy) : undefined;
  const { mode, notice } = modeFor(choice, consistency);
  const member = choice?.member.host;
  const target = member === undefined ? {} : { member };
  const common = { mode, topology, choice, notice, member: member ?? hostsOf(endpoint.uri) };
  if (mode === 'lock') {
    const { onIntent, lockTimeoutMS } = options;
    const timeout = lockTimeoutMS === undefined ? {} : { timeoutMS: lockTimeoutMS };
    const lock = await lockMember(endpoint, { onIntent, ...target, ...timeout, ...connect });
    return { ...common, client: lock.client, lock, close: () => lock.release() };
  }
  const reader = await openClient(endpoint, { ...target, ...connect });
  return { ...common, client: reader, lock: undefined, close: () => reader.close() };
}

function modeFor(
  choice: Choice | undefined,
  wanted: Consistency | undefined,
): { mode: Consistency; notice: string | undefined } {
  const stall = choice?.lock.stallsMajority === true ? choice.lock.reason : undefined;
  if (stall === undefined || (wanted !== undefined && wanted !== 'lock'))
    return { mode: wanted ?? 'lock', notice: undefined };
  if (wanted === 'lock') {
    throw new BackstayError('LockRefused', `${choice?.member.host} cannot be locked without harm: ${stall}`, {
      remedy: 'use consistency "snapshot"',
    });
  }
  return { mode: 'snapshot', notice: `no lock, but a snapshot read: ${stall}` };
}
