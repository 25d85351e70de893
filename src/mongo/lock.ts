import { setTimeout as sleep } from 'node:timers/promises';
import { type Document, type MongoClient, MongoServerError, type Timestamp } from 'mongodb';
import { BackstayError, describeError } from '../api/errors.ts';
import { readServerFacts } from './catalog.ts';
import { hostsOf, type MongoEndpoint, openClient } from './connection.ts';
import { abortError, isUnauthorized, mongoFailure, throwIfAborted } from './errors.ts';
import { BehindFence, fence } from './lock/fence.ts';
import { releaseOurs, releaseWithRetries, unlockWithRetries } from './lock/release.ts';
import { boundsAcquisition, countUnlocks, readLockState, requireFree, unlockOnce } from './lock/state.ts';

/**
 * An fsync lock counts in the memory of one mongod process: it has no owner and no end of its own, and outlives whoever took it. So what
 * is written down before it is taken says which process it is on, and which of the locks there can be ours.
 */
export interface LockIntent {
  /** host:port. */
  member: string;
  /** Identity of the mongod process; a restarted one holds no lock of ours. */
  processId: string;
  /** By the server's clock, RFC 3339. */
  requestedAt: string;
  /** The lock's operation on the server has a higher number than this. */
  afterOperation?: number;
  /** The number of the lock's operation, known once the lock is held. */
  lockOperation?: number;
  /** How many unlocks the process had seen by then. */
  unlocksBefore?: number;
}

export interface LockOptions {
  /** host:port; without it the server that the URI names. */
  member?: string;
  /** Called and awaited before the lock is asked for: what it stores must outlive this process. */
  onIntent: (intent: LockIntent) => Promise<void>;
  /** How long to wait for the lock, in milliseconds (default 60 000). */
  timeoutMS?: number;
  /** Connections that the held lock's client has (default 2): no other can be made while the member is locked. */
  connections?: number;
  signal?: AbortSignal;
}

/** A lock on a member. Release it: nothing else does. */
export interface HeldLock {
  readonly member: string;
  readonly intent: LockIntent;
  /** Connected to the member before the lock; what is dumped under the lock is read through it. */
  readonly client: MongoClient;
  /** The member's last applied operation, which stays the last one while the lock is held. */
  readonly lastApplied: Timestamp | undefined;
  /** Seconds since the lock was granted, until it was released. */
  readonly heldSeconds: number;
  /** @throws BackstayError LockLost when what was read since the lock may not fit together */
  verify(): Promise<void>;
  /** Unlocks once and closes the connections. It can be called again. @throws BackstayError UnlockFailed */
  release(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * The lock was not granted in time, and the server may grant it later, which cannot be called off. A watcher stays for that: `settled`
 * resolves when the lock is certainly not ours any more, and the intent must be kept until then.
 */
export class LockNotGranted extends BackstayError {
  readonly settled: Promise<void>;

  constructor(code: string, message: string, settled: Promise<void>, details: { remedy?: string; cause?: unknown }) {
    super(code, message, details);
    this.settled = settled;
  }
}

const DEFAULT_TIMEOUT_MS = 60_000;
/** A server that bounds the wait answers by itself, a little later. */
const GRACE_MS = 5000;
const RETRY_MS = 250;
/** Unlocking never waits for ever for an answer, nor for a login to a locked server: it is tried again on another connection. */
const UNLOCKING = { appName: 'backstay unlock', answerMS: 5000 } as const;

/**
 * Locks a member against writes, so that it stands still while it is read.
 *
 * @throws BackstayError LockRefused when somebody else holds a lock, or the server does not give one; LockNotGranted (LockTimeout,
 *   Aborted); what openClient throws
 */
export async function lockMember(endpoint: MongoEndpoint, options: LockOptions): Promise<HeldLock> {
  const { member, signal, timeoutMS = DEFAULT_TIMEOUT_MS, connections = 2 } = options;
  const name = member ?? hostsOf(endpoint.uri);
  const connect = { ...(member === undefined ? {} : { member }), ...(signal === undefined ? {} : { signal }) };
  // logging in to a locked server can hang on some versions: every connection is there before the lock
  const client = await openClient(endpoint, { ...connect, minConnections: connections });
  const spare = await openClient(endpoint, { ...connect, ...UNLOCKING, minConnections: 1 }).catch(async (error) => {
    await client.close();
    throw error;
  });
  const close = async (): Promise<void> => {
    await Promise.allSettled([client.close(), spare.close()]);
  };
  let keepOpen = false;
  try {
    const { version } = await readServerFacts(client);
    let throughFence = fence(client);
    const before = await readLockState(spare);
    requireFree(name, before);
    const intent: LockIntent = {
      member: name,
      processId: before.processId,
      requestedAt: before.localTime,
      ...(before.operation === undefined ? {} : { afterOperation: before.operation }),
    };
    throwIfAborted(signal);
    await options.onIntent(intent);
    throwIfAborted(signal);
    const bounded = boundsAcquisition(version);
    const deadline = performance.now() + timeoutMS;
    let command: Promise<Document>;
    let outcome: Outcome;
    do {
      command = throughFence({
        fsync: 1,
        lock: true,
        ...(bounded ? { forBackup: true, fsyncLockAcquisitionTimeoutMillis: timeoutMS } : {}),
      });
      outcome = await firstOf(command, bounded ? timeoutMS + GRACE_MS : timeoutMS, signal);
      if (wasNotSent(outcome)) {
        throughFence = fence(client);
        if ((await readLockState(spare)).processId !== intent.processId) throw restarted(name);
      }
    } while (mayAskAgain(outcome) && performance.now() < deadline && (await pause(signal)));
    if (wasNotSent(outcome)) throw restarted(name);
    if (outcome.kind === 'failed' && outcome.error instanceof MongoServerError) {
      // the server's own no: nothing is held
      throwIfAborted(signal);
      throw refused(name, outcome.error);
    }
    if (outcome.kind !== 'granted') {
      keepOpen = true;
      const settled = settle(command, spare, intent).finally(close);
      settled.catch(() => {}); // who does not wait for it has the intent
      throw notGranted(name, outcome, settled, timeoutMS, signal);
    }
    if (outcome.lockCount !== 1) {
      await unlockOnce(spare);
      throw new BackstayError('LockRefused', `${name} was locked by somebody else at the same moment`, {
        remedy: 'wait for the other backup',
      });
    }
    keepOpen = true;
    return await hold(name, intent, client, spare, close);
  } finally {
    if (!keepOpen) await close();
  }
}

/** A member that has just joined refuses (code 125, CommandFailed) until the majority point has passed its first data. */
const hasJustJoined = (outcome: Outcome): boolean =>
  outcome.kind === 'failed' &&
  outcome.error instanceof MongoServerError &&
  /stable timestamp is less than the initial data/i.test(outcome.error.message);

/** Nothing reached the server, whose process may be another one than the intent says. */
const wasNotSent = (outcome: Outcome): boolean => outcome.kind === 'failed' && outcome.error instanceof BehindFence;

const mayAskAgain = (outcome: Outcome): boolean => hasJustJoined(outcome) || wasNotSent(outcome);

function restarted(name: string): BackstayError {
  return new BackstayError('LockLost', `${name} was restarted before it was locked`, {
    remedy: 'run the backup again',
  });
}

/** @returns whether another try is wanted */
async function pause(signal: AbortSignal | undefined): Promise<boolean> {
  await sleep(RETRY_MS, undefined, signal === undefined ? {} : { signal }).catch(() => {});
  return signal?.aborted !== true;
}

function refused(name: string, error: MongoServerError): BackstayError {
  if (isUnauthorized(error)) {
    return mongoFailure(error, `lock ${name}`, 'the actions fsync and unlock on the cluster (role "hostManager")');
  }
  return new BackstayError('LockRefused', `${name} does not give a lock: ${describeError(error)}`, { cause: error });
}

type Outcome =
  | { kind: 'granted'; lockCount: number }
  | { kind: 'failed'; error: unknown }
  | { kind: 'timeout' }
  | { kind: 'aborted' };

/** The command itself is never aborted: that would close its connection, and the lock could be granted with nobody there. */
async function firstOf(
  command: Promise<{ lockCount?: unknown }>,
  timeoutMS: number,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  const over = new AbortController();
  const aborted = Promise.withResolvers<Outcome>();
  const onAbort = (): void => aborted.resolve({ kind: 'aborted' });
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([
      command.then(
        ({ lockCount }): Outcome => ({ kind: 'granted', lockCount: Number(lockCount) }),
        (error: unknown): Outcome => ({ kind: 'failed', error }),
      ),
      sleep(timeoutMS, { kind: 'timeout' } as const, { signal: over.signal, ref: true }),
      aborted.promise,
    ]);
  } finally {
    over.abort();
    signal?.removeEventListener('abort', onAbort);
  }
}

function notGranted(
  name: string,
  outcome: Exclude<Outcome, { kind: 'granted' }>,
  settled: Promise<void>,
  timeoutMS: number,
  signal: AbortSignal | undefined,
): LockNotGranted {
  if (outcome.kind === 'aborted' && signal !== undefined) {
    const { code, message, remedy } = abortError(signal);
    return new LockNotGranted(code, message, settled, remedy === undefined ? {} : { remedy });
  }
  if (outcome.kind === 'failed') {
    return new LockNotGranted('LockLost', `the connection to ${name} broke while it was being locked`, settled, {
      cause: outcome.error,
    });
  }
  return new LockNotGranted('LockTimeout', `${name} did not grant the lock within ${timeoutMS / 1000} s`, settled, {
    remedy: 'look for long transactions and index builds on the member, or allow more time',
  });
}

/** Waits for the answer to a lock command that nobody waits for any more, and gives back what it granted. */
async function settle(command: Promise<unknown>, spare: MongoClient, intent: LockIntent): Promise<void> {
  try {
    await command;
  } catch (error) {
    if (error instanceof MongoServerError) return;
    // the answer is lost: the lock may be there, or come; and the server may have to come back first
    await releaseWithRetries(spare, intent);
    return;
  }
  await unlockWithRetries(spare, intent);
}

async function hold(
  name: string,
  asked: LockIntent,
  client: MongoClient,
  spare: MongoClient,
  close: () => Promise<void>,
): Promise<HeldLock> {
  const since = performance.now();
  let intent = asked;
  let until: number | undefined;
  let releasing: Promise<void> | undefined;
  const giveBack = async (): Promise<void> => {
    try {
      await unlockWithRetries(spare, intent);
    } finally {
      until = performance.now();
      await close();
    }
  };
  const release = (): Promise<void> => {
    releasing ??= giveBack();
    return releasing;
  };
  try {
    const [state, { lastApplied }] = [await readLockState(spare), await readServerFacts(client)];
    if (state.worker !== undefined) intent = { ...asked, lockOperation: state.worker };
    const unlocksBefore = await countUnlocks(spare);
    if (unlocksBefore !== undefined) intent = { ...intent, unlocksBefore };
    const held = intent;
    return {
      member: name,
      intent: held,
      client,
      lastApplied,
      get heldSeconds() {
        return ((until ?? performance.now()) - since) / 1000;
      },
      verify: () => verify(name, held, spare, lastApplied),
      release,
      [Symbol.asyncDispose]: release,
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** A member that restarted, was unlocked or applied something has moved under the reader. */
async function verify(
  name: string,
  intent: LockIntent,
  client: MongoClient,
  lastApplied: Timestamp | undefined,
): Promise<void> {
  const [state, facts] = [await readLockState(client), await readServerFacts(client)];
  const lost = (what: string): BackstayError =>
    new BackstayError('LockLost', `${name} ${what} while it was being read`, { remedy: 'run the backup again' });
  if (state.processId !== intent.processId) throw lost('was restarted');
  if (!state.locked) throw lost('was unlocked by somebody else');
  if (intent.lockOperation !== undefined && state.worker !== undefined && state.worker !== intent.lockOperation) {
    throw lost('was unlocked and locked again by somebody else');
  }
  const moved =
    lastApplied === undefined ? facts.lastApplied !== undefined : facts.lastApplied?.equals(lastApplied) !== true;
  if (moved) throw lost('applied operations');
}

export type LeftoverOutcome = 'released' | 'notLocked' | 'memberRestarted' | 'notOurs';

/**
 * Releases what a process left that wrote down an intent and died: it unlocks once, and only when the same mongod process is still
 * locked by what can be that lock. A lock that is still waited for on the server is awaited.
 *
 * @throws BackstayError UnlockFailed when a lock neither comes nor goes in time; LockUnclear when somebody else has locked the member as
 *   well and it was unlocked once, by the dead process or by them; what openClient throws
 */
export async function releaseLeftover(
  endpoint: MongoEndpoint,
  intent: LockIntent,
  options: { signal?: AbortSignal; timeoutMS?: number } = {},
): Promise<LeftoverOutcome> {
  const { signal, timeoutMS = 90_000 } = options;
  const client = await openClient(endpoint, {
    ...UNLOCKING,
    member: intent.member,
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    return await releaseOurs(client, intent, timeoutMS, signal);
  } catch (error) {
    throw mongoFailure(error, `unlock ${intent.member}`, 'the action unlock on the cluster (role "hostManager")');
  } finally {
    await client.close();
  }
}
