import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MongoClient, Timestamp } from 'mongodb';
import { BackstayError, describeError, errorCode } from '../../api/errors.ts';
import { connectionsFor, type DumpProgress, dumpStreams } from '../../mongo/dump.ts';
import type { DatabaseHashes } from '../../mongo/hashes.ts';
import { watchLock } from '../../mongo/lock/watch.ts';
import { type HeldLock, LockNotGranted, lockMember } from '../../mongo/lock.ts';
import type { NamespaceSelection } from '../../mongo/selection.ts';
import { type Log, megabytesPerSecond, secondsSince } from '../log.ts';
import { archivesFor } from './archives.ts';
import type { Fan } from './fan.ts';
import type { LockRecords } from './locks.ts';
import type { ComponentPlan } from './plan.ts';
import type { OpenComponent } from './reading.ts';

/** What a dump came to. */
export interface ComponentDump {
  bytes: number;
  documents: number;
  collections: number;
  /** In the order of the fans. The hash is SHA-256, hexadecimal. */
  archives: { bytes: number; hash: string }[];
  /** seconds.ordinal */
  cutTime?: string;
  hashes?: DatabaseHashes;
}

/** How long a member was locked. */
export interface LockResult {
  lockedSeconds?: number;
  /** Why the member could not be unlocked; its record stays for the operator. */
  unlockFailure?: BackstayError;
}

export interface LockOptions {
  locks: LockRecords;
  lockTimeoutMs: number;
  /** How many archives a member is read into at the same time. */
  streams: number;
  /** A lock that lasts longer is given up. */
  maxLockMs: number;
  /** A lock was given up because it did harm, and is released: what reads has to end. */
  onGivenUp: (reason: BackstayError) => void;
  log: Log;
  signal: AbortSignal;
}

/** A member that is locked, with its record. */
export interface LockedMember {
  client: MongoClient;
  /** @throws BackstayError LockLost */
  verify(): Promise<void>;
  /** Unlocks and strikes the record out. It can be called again. */
  unlock(): Promise<void>;
  result(): LockResult;
}

/** How long a lock that was not granted in time is waited for, to see it settled before this process ends. */
const SETTLE_MS = 20_000;

/** Locks the member of a component; what is about to be locked is written down before. */
export async function lockComponent(plan: ComponentPlan, options: LockOptions): Promise<LockedMember> {
  const { name, endpoint, member } = plan;
  const { locks, lockTimeoutMs, maxLockMs, streams, log, signal } = options;
  const asked = performance.now();
  let intended: string | undefined;
  const lock = await lockMember(endpoint, {
    ...(member === undefined ? {} : { member }),
    timeoutMS: lockTimeoutMs,
    connections: connectionsFor(archivesFor(name, streams)),
    signal,
    onIntent: async (intent) => {
      intended = intent.member;
      await locks.requested(name, intent);
      log.info({ component: name, member: intent.member }, 'lock written down');
    },
  }).catch(async (error: unknown) => {
    if (intended !== undefined) await strikeWhenSettled(name, intended, error, options);
    throw error;
  });
  log.info({ component: name, member: lock.member, waitedSeconds: secondsSince(asked) }, 'member locked');
  // Not waited for: the record says Requested until then, which asks for the same repair.
  const noted = locks
    .held(name, lock.intent)
    .catch((error: unknown) => log.warn({ error: String(error) }, 'lock record not updated'));
  let unlocking: Promise<BackstayError | undefined> | undefined;
  let unlockFailure: BackstayError | undefined;
  const unlock = async (): Promise<void> => {
    watch.stop();
    unlocking ??= unlockMember(name, lock, noted, options);
    unlockFailure = await unlocking;
  };
  const watch = watchLock(lock, {
    endpoint,
    maxSeconds: maxLockMs / 1000,
    guardsMajority: plan.guardsMajority,
    async onBreach(reason) {
      log.error({ component: name, member: lock.member, code: reason.code }, `the lock is given up: ${reason.message}`);
      // The reason goes ahead of what the dump says when its connection is closed.
      const unlocked = unlock();
      options.onGivenUp(reason);
      await unlocked;
    },
  });
  return {
    client: lock.client,
    verify: () => lock.verify(),
    unlock,
    result: () => ({
      lockedSeconds: Math.round(lock.heldSeconds * 1000) / 1000,
      ...(unlockFailure === undefined ? {} : { unlockFailure }),
    }),
  };
}

/** Unlocks and strikes the record out. What goes wrong is returned: the dump is none the worse for it. */
async function unlockMember(
  component: string,
  lock: HeldLock,
  noted: Promise<void>,
  options: LockOptions,
): Promise<BackstayError | undefined> {
  const { log } = options;
  const { member } = lock;
  try {
    await lock.release();
  } catch (error) {
    const failure = toFailure(error, 'UnlockFailed');
    log.error({ component, member, code: failure.code }, `still locked: ${describeError(failure)}`);
    return failure;
  }
  const lockedSeconds = Math.round(lock.heldSeconds * 1000) / 1000;
  log.info({ component, member, lockedSeconds }, `unlocked after ${lockedSeconds} s`);
  await noted;
  await strike(component, member, options);
  return undefined;
}

export interface DumpingOptions {
  /** One for each archive. */
  fans: readonly Fan[];
  namespaces?: NamespaceSelection | undefined;
  /** Record the server's digests of the collections. */
  hashes: boolean;
  log: Log;
  signal: AbortSignal;
  onProgress: (progress: DumpProgress) => void;
}

/** Reads one server to its last byte: every byte is hashed and handed to a fan. The first archive that fails ends the others. */
export async function dumpComponent(
  { plan, client, atClusterTime, onLastRead }: OpenComponent,
  { fans, namespaces, hashes: wantsHashes, log, signal, onProgress }: DumpingOptions,
): Promise<ComponentDump> {
  const started = performance.now();
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const aborted = untilAborted(either);
  const { archives, result } = dumpStreams(
    client,
    {
      mode: plan.consistency,
      hashes: wantsHashes,
      signal: either,
      onProgress,
      ...(atClusterTime === undefined ? {} : { atClusterTime }),
      ...(onLastRead === undefined ? {} : { onLastRead }),
      ...(namespaces === undefined ? {} : { namespaces }),
    },
    fans.length,
  );
  let first: { error: unknown } | undefined;
  const fail = (error: unknown): void => {
    first ??= { error };
    stop.abort(error);
  };
  const pour = async (archive: AsyncIterable<Uint8Array>, fan: Fan): Promise<{ bytes: number; hash: string }> => {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of archive) {
      hash.update(chunk);
      bytes += chunk.length;
      // a repository that takes nothing must not keep what ended from being seen
      await Promise.race([fan.write(chunk), aborted.promise]).catch((error: unknown) => {
        // at once: the end of the reading takes a moment, in which others fail for want of this one
        fail(error);
        throw error;
      });
    }
    return { bytes, hash: hash.digest('hex') };
  };
  try {
    const poured = await Promise.allSettled(
      archives.map(async (archive, index) => {
        try {
          return await pour(archive, fans[index] as Fan);
        } catch (error) {
          fail(error);
          throw error;
        }
      }),
    );
    if (first !== undefined) throw first.error;
    const written = poured.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const { bytes, documents, namespaces, cutTime, outsideSnapshot, hashes, hashesMissing } = await result;
    const collections = namespaces.length;
    const seconds = secondsSince(started);
    const speed = megabytesPerSecond(bytes, seconds);
    log.info(
      { component: plan.name, archives: written.length, bytes, documents, seconds, megabytesPerSecond: speed },
      'dump finished',
    );
    if (outsideSnapshot.length > 0) {
      log.warn(
        { component: plan.name, collections: outsideSnapshot },
        'capped collections were read outside the snapshot',
      );
    }
    if (hashesMissing !== undefined) log.warn({ component: plan.name }, `no hashes were recorded: ${hashesMissing}`);
    return {
      bytes,
      documents,
      collections,
      archives: written,
      ...(cutTime === undefined ? {} : { cutTime: formatTime(cutTime) }),
      ...(hashes === undefined ? {} : { hashes }),
    };
  } catch (error) {
    signal.throwIfAborted();
    throw toFailure(error, 'DumpFailed');
  } finally {
    aborted.forget();
  }
}

/** A promise that rejects with the reason of the signal. */
function untilAborted(signal: AbortSignal): { promise: Promise<never>; forget: () => void } {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  promise.catch(() => {}); // it may reject when nobody waits
  return { promise, forget: () => signal.removeEventListener('abort', onAbort) };
}

/** The record goes when the lock is certainly not ours: at once when the server said no, and when a late grant was given back. */
async function strikeWhenSettled(
  component: string,
  member: string,
  error: unknown,
  options: LockOptions,
): Promise<void> {
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
  await strike(component, member, options);
}

/** A record that cannot be struck out does no harm: whoever looks at the member finds no lock of ours. */
async function strike(component: string, member: string, { locks, log }: LockOptions): Promise<void> {
  try {
    await locks.struck(member);
    log.info({ component, member }, 'lock struck out');
  } catch (error) {
    log.warn({ component, member, error: String(error) }, 'the lock record could not be struck out');
  }
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
