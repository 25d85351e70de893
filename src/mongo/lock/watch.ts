import { setTimeout as sleep } from 'node:timers/promises';
import { type Document, type MongoClient, Timestamp } from 'mongodb';
import type { BackstayError } from '../../api/errors.ts';
import { type MongoEndpoint, openClient } from '../connection.ts';
import type { HeldLock } from '../lock.ts';
import { followersOf } from '../majority.ts';
import { type OplogWindow, readOplogWindow } from '../oplog-window.ts';
import { type ReplicaSetTopology, replicaSetOf } from '../topology.ts';
import { judgeLock, type LockBounds, type LockHistory, type Observation } from './bounds.ts';

export interface WatchOptions extends LockBounds {
  /** Leads to the replica set, or to the standalone. */
  endpoint: MongoEndpoint;
  /** Called once, when the lock has to be given up: unlocks first, and then ends what reads. */
  onBreach: (reason: BackstayError) => Promise<void>;
}

/** Looks after a lock until it is stopped. */
export interface LockWatch {
  /** Nothing is called any more. It can be called again, and from inside of onBreach. */
  stop(): void;
}

const LOOK_MS = 250;
/** A look at the oplog is two reads, and it changes slowly. */
const OPLOG_EVERY = 20;
/** Whoever does not answer in this time is not seen. */
const ANSWER_MS = 2000;

/** Watches the set of a locked member from its other members, and has the lock given up before it does harm: see judgeLock. */
export function watchLock(lock: Pick<HeldLock, 'member' | 'lastApplied'>, options: WatchOptions): LockWatch {
  const stopped = new AbortController();
  // whoever stops it need not wait until its connection is closed; onBreach tells its own failures
  watch(lock, options, stopped.signal).catch(() => {});
  return { stop: () => stopped.abort() };
}

async function watch(
  { member, lastApplied }: Pick<HeldLock, 'member' | 'lastApplied'>,
  { endpoint, onBreach, ...bounds }: WatchOptions,
  signal: AbortSignal,
): Promise<void> {
  let history: LockHistory = { lockedAt: performance.now(), position: lastApplied };
  const observer = new Observer(endpoint, member, lastApplied !== undefined);
  try {
    for (let look = 0; !signal.aborted; look += 1) {
      const observation = await observer.look(look % OPLOG_EVERY === 0, signal);
      if (signal.aborted) return;
      const judged = judgeLock(history, observation, bounds);
      history = judged.history;
      if (judged.breach !== undefined) return await onBreach(judged.breach);
      await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
    }
  } finally {
    await observer.close();
  }
}

/** Asks the primary, or who else there is. */
class Observer {
  readonly #endpoint: MongoEndpoint;
  readonly #locked: string;
  readonly #isMember: boolean;
  #client: MongoClient | undefined;
  #config: Document | undefined;
  #oplog: OplogWindow | undefined;

  constructor(endpoint: MongoEndpoint, locked: string, isMember: boolean) {
    this.#endpoint = endpoint;
    this.#locked = locked;
    this.#isMember = isMember;
  }

  async look(withOplog: boolean, signal: AbortSignal): Promise<Observation> {
    // a standalone has no set to look at, and only its time runs out
    if (!this.#isMember) return { at: performance.now(), primary: 'present', isNeeded: false };
    try {
      const topology = await this.#ask(signal);
      if (withOplog) this.#oplog = await this.#readOplog();
      return { at: performance.now(), ...topology, oplog: this.#oplog };
    } catch {
      return { at: performance.now(), primary: 'unknown', isNeeded: true };
    }
  }

  async close(): Promise<void> {
    await this.#client?.close().catch(() => {});
  }

  async #ask(signal: AbortSignal): Promise<Omit<Observation, 'at' | 'oplog'>> {
    const options = { appName: 'backstay lock watch', timeoutMS: ANSWER_MS, answerMS: ANSWER_MS, signal };
    this.#client ??= await openClient(this.#endpoint, options);
    const admin = this.#client.db('admin');
    const anybody = { readPreference: 'primaryPreferred' } as const;
    this.#config ??= (await admin.command({ replSetGetConfig: 1 }, anybody)).config as Document;
    const status = await admin.command({ replSetGetStatus: 1 }, anybody);
    const topology = replicaSetOf(this.#config, status, '');
    const isPrimary = status.myState === 1;
    return {
      primary: topology.primary === undefined ? 'absent' : 'present',
      isNeeded: isNeeded(topology, this.#locked),
      ...(isPrimary
        ? { written: timeOf(status.optimes?.appliedOpTime), committed: timeOf(status.optimes?.lastCommittedOpTime) }
        : {}),
    };
  }

  async #readOplog(): Promise<OplogWindow | undefined> {
    return this.#client === undefined ? undefined : readOplogWindow(this.#client).catch(() => undefined);
  }
}

function isNeeded({ members }: ReplicaSetTopology, locked: string): boolean {
  const still = [locked, ...followersOf(members, locked)];
  return members.some(({ host, votes }) => votes > 0 && still.includes(host));
}

function timeOf(optime: Document | undefined): Timestamp | undefined {
  return optime?.ts instanceof Timestamp ? optime.ts : undefined;
}
