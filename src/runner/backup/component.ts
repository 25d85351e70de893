import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MongoClient, Timestamp } from 'mongodb';
import { BackstayError, describeError, errorCode } from '../../api/errors.ts';
import { type MongoEndpoint, openClient } from '../../mongo/connection.ts';
import { type Consistency, type DumpProgress, dump } from '../../mongo/dump.ts';
import { type HeldLock, LockNotGranted, lockMember } from '../../mongo/lock.ts';
import type { NamespaceSelection } from '../../mongo/selection.ts';
import { type Log, megabytesPerSecond, secondsSince } from '../log.ts';
import type { Fan } from './fan.ts';
import type { LockRecords } from './locks.ts';

/** One server to dump, and how. */
export interface ComponentPlan {
  /** dump, or the name of the shard. */
  name: string;
  endpoint: MongoEndpoint;
  /** host:port; undefined for a standalone, which is what the endpoint names. */
  member?: string;
  consistency: Consistency;
  namespaces?: NamespaceSelection;
}

export interface ComponentDump {
  bytes: number;
  documents: number;
  collections: number;
  /** SHA-256 of the archive, hexadecimal. */
  hash: string;
  /** seconds.ordinal */
  cutTime?: string;
  lockedSeconds?: number;
  /** Why the member could not be unlocked; its record stays for the operator. */
  unlockFailure?: BackstayError;
}

export interface ComponentOptions {
  fan: Fan;
  locks: LockRecords;
  lockTimeoutMs: number;
  log: Log;
  signal: AbortSignal;
  onProgress: (progress: DumpProgress) => void;
}

/** How long a lock that was not granted in time is waited for, to see it settled before this process ends. */
const SETTLE_MS = 20_000;

/** Reads one server to its last byte into the fan. Under a lock, the member is unlocked the moment that byte is read and the lock verified. */
export async function dumpComponent(plan: ComponentPlan, options: ComponentOptions): Promise<ComponentDump> {
  if (plan.consistency === 'lock') return dumpLocked(plan, options);
  const { endpoint, member } = plan;
  const { signal } = options;
  const client = await openClient(endpoint, { signal, ...(member === undefined ? {} : { member }) });
  try {
    return await pump(client, plan, options);
  } finally {
    await client.close();
  }
}

async function dumpLocked(plan: ComponentPlan, options: ComponentOptions): Promise<ComponentDump> {
  const { name, endpoint, member } = plan;
  const { locks, lockTimeoutMs, log, signal } = options;
  const asked = performance.now();
  let intended: string | undefined;
  const lock = await lockMember(endpoint, {
    ...(member === undefined ? {} : { member }),
    timeoutMS: lockTimeoutMs,
    signal,
    onIntent: async (intent) => {
      intended = intent.member;
      log.info({ member: intent.member }, 'lock written down');
      await locks.requested(name, intent);
    },
  }).catch(async (error: unknown) => {
    if (intended !== undefined) await strikeWhenSettled(intended, error, options);
    throw error;
  });
  log.info({ member: lock.member, waitedSeconds: secondsSince(asked) }, 'member locked');
  // Not waited for: the record says Requested until then, which asks for the same repair.
  locks
    .held(name, lock.intent)
    .catch((error: unknown) => log.warn({ error: String(error) }, 'lock record not updated'));
  let unlocking: Promise<BackstayError | undefined> | undefined;
  const unlock = (): Promise<BackstayError | undefined> => (unlocking ??= unlockMember(lock, options));
  try {
    const dumped = await pump(lock.client, plan, options, async () => {
      await lock.verify();
      await unlock();
    });
    const unlockFailure = await unlock();
    const lockedSeconds = Math.round(lock.heldSeconds * 1000) / 1000;
    return { ...dumped, lockedSeconds, ...(unlockFailure === undefined ? {} : { unlockFailure }) };
  } finally {
    await unlock();
  }
}

/** Unlocks and strikes the record out. What goes wrong is returned: the dump is none the worse for it. */
async function unlockMember(lock: HeldLock, options: ComponentOptions): Promise<BackstayError | undefined> {
  const { log } = options;
  const { member } = lock;
  try {
    await lock.release();
  } catch (error) {
    const failure = toFailure(error, 'UnlockFailed');
    log.error({ member, code: failure.code }, `still locked: ${describeError(failure)}`);
    return failure;
  }
  const lockedSeconds = Math.round(lock.heldSeconds * 1000) / 1000;
  log.info({ member, lockedSeconds }, `unlocked after ${lockedSeconds} s`);
  await strike(member, options);
  return undefined;
}

/** The dump itself: every byte is hashed and handed to the fan. */
async function pump(
  client: MongoClient,
  plan: ComponentPlan,
  { fan, log, signal, onProgress }: ComponentOptions,
  onLastRead?: () => Promise<void>,
): Promise<ComponentDump> {
  const started = performance.now();
  const hash = createHash('sha256');
  const stream = dump(client, {
    mode: plan.consistency,
    signal,
    onProgress,
    ...(onLastRead === undefined ? {} : { onLastRead }),
    ...(plan.namespaces === undefined ? {} : { namespaces: plan.namespaces }),
  });
  try {
    for await (const chunk of stream) {
      hash.update(chunk);
      await fan.write(chunk);
    }
    const { bytes, documents, namespaces, cutTime, outsideSnapshot } = await stream.result;
    const collections = namespaces.length;
    const seconds = secondsSince(started);
    const speed = megabytesPerSecond(bytes, seconds);
    log.info({ component: plan.name, bytes, documents, seconds, megabytesPerSecond: speed }, 'dump finished');
    if (outsideSnapshot.length > 0) {
      log.warn({ collections: outsideSnapshot }, 'capped collections were read outside the snapshot');
    }
    const digest = hash.digest('hex');
    return {
      bytes,
      documents,
      collections,
      hash: digest,
      ...(cutTime === undefined ? {} : { cutTime: formatTime(cutTime) }),
    };
  } catch (error) {
    signal.throwIfAborted();
    throw toFailure(error, 'DumpFailed');
  }
}

/** The record goes when the lock is certainly not ours: at once when the server said no, and when a late grant was given back. */
async function strikeWhenSettled(member: string, error: unknown, options: ComponentOptions): Promise<void> {
  if (error instanceof LockNotGranted) {
    options.log.warn({ member }, 'the lock was not granted; waiting until it is certain that it is not held');
    const over = sleep(SETTLE_MS, 'unsettled' as const, { ref: false });
    const settled = error.settled.then(
      () => 'settled' as const,
      () => 'unsettled' as const,
    );
    if ((await Promise.race([settled, over])) === 'unsettled') {
      options.log.error(
        { member },
        'the member may still be locked for us; its record stays, for the operator to release',
      );
      return;
    }
  }
  await strike(member, options);
}

/** A record that cannot be struck out does no harm: whoever looks at the member finds no lock of ours. */
async function strike(member: string, { locks, log }: ComponentOptions): Promise<void> {
  await locks.struck(member).catch((error: unknown) => {
    log.warn({ member, error: String(error) }, 'the lock record could not be struck out');
  });
}

/** Keeps the code of a failure that has a telling one. */
function toFailure(error: unknown, code: string): BackstayError {
  if (error instanceof BackstayError && errorCode(error) !== 'DatabaseError') return error;
  const remedy = error instanceof BackstayError ? error.remedy : undefined;
  return new BackstayError(code, describeError(error), { ...(remedy === undefined ? {} : { remedy }), cause: error });
}

function formatTime({ t, i }: Timestamp): string {
  return `${t}.${i}`;
}
