import { setTimeout as sleep } from 'node:timers/promises';
import { type MongoClient, MongoServerError } from 'mongodb';
import { BackstayError, describeError, errorCode } from '../../api/errors.ts';
import { throwIfAborted } from '../errors.ts';
import type { LeftoverOutcome, LockIntent } from '../lock.ts';
import { countUnlocks, type LockState, readLockState, unlockOnce } from './state.ts';

/** How long an unlock goes on being tried; whoever keeps the intent tries for longer. */
export const RELEASE_MS = 30_000;
const RETRY_MS = 500;

/**
 * Unlocks once. A server that cannot be reached is tried again for a while; one that restarted, or was unlocked by somebody, needs
 * nothing. When an unlock's answer is lost and the member is still locked, it is taken for not done.
 */
export async function unlockWithRetries(client: MongoClient, intent: LockIntent): Promise<void> {
  const deadline = performance.now() + RELEASE_MS;
  for (;;) {
    try {
      const state = await readLockState(client);
      if (state.processId !== intent.processId || !state.locked || !isOurs(state, intent)) return;
      await unlockOnce(client);
      return;
    } catch (error) {
      if (performance.now() > deadline) {
        throw new BackstayError('UnlockFailed', `${intent.member} could not be unlocked: ${describeError(error)}`, {
          remedy: `run db.fsyncUnlock() on ${intent.member}, or restart it`,
          cause: error,
        });
      }
      await sleep(RETRY_MS);
    }
  }
}

/** releaseOurs, over and over while the server cannot be reached or does not answer. */
export async function releaseWithRetries(client: MongoClient, intent: LockIntent): Promise<LeftoverOutcome> {
  const deadline = performance.now() + RELEASE_MS;
  for (;;) {
    try {
      return await releaseOurs(client, intent, deadline - performance.now());
    } catch (error) {
      if (performance.now() > deadline || errorCode(error) === 'LockUnclear') throw error;
      await sleep(RETRY_MS);
    }
  }
}

/** Whether the lock that a server holds can be the one of an intent. */
function isOurs(state: LockState, { afterOperation, lockOperation }: LockIntent): boolean {
  if (state.worker === undefined) return true;
  if (lockOperation !== undefined) return state.worker === lockOperation;
  return afterOperation === undefined || state.worker > afterOperation;
}

/**
 * Locks of several holders are one number on the server. When there was an unlock since ours was held, and the member is locked still, then
 * either we have unlocked and died before that was written down, or somebody else has locked and unlocked: nobody can tell which.
 */
async function requireStillHeld(client: MongoClient, { member, unlocksBefore }: LockIntent): Promise<void> {
  if (unlocksBefore === undefined) return;
  const unlocks = (await countUnlocks(client)) ?? unlocksBefore;
  if (unlocks <= unlocksBefore) return;
  throw new BackstayError('LockUnclear', `${member} is locked by somebody else too, and may not be by us any more`, {
    remedy: `when the other one has unlocked ${member} and it still is locked, run db.fsyncUnlock() on it`,
  });
}

/** Unlocks once. @returns false in the moment in which a lock is being granted: it shows already, and does not count yet */
async function unlockIfCounted(client: MongoClient): Promise<boolean> {
  try {
    await unlockOnce(client);
    return true;
  } catch (error) {
    if (error instanceof MongoServerError && /not locked/.test(error.message)) return false;
    throw error;
  }
}

/**
 * Releases the lock of an intent from a process that may have died: see releaseLeftover.
 */
export async function releaseOurs(
  client: MongoClient,
  intent: LockIntent,
  timeoutMS: number,
  signal?: AbortSignal,
): Promise<LeftoverOutcome> {
  const deadline = performance.now() + timeoutMS;
  for (;;) {
    throwIfAborted(signal);
    const state = await readLockState(client);
    if (state.processId !== intent.processId) return 'memberRestarted';
    if (!state.locked && !state.waiting) return 'notLocked';
    if (!isOurs(state, intent)) return 'notOurs';
    if (state.locked) {
      await requireStillHeld(client, intent);
      if (await unlockIfCounted(client)) return 'released';
    }
    if (performance.now() > deadline) {
      throw new BackstayError('UnlockFailed', `${intent.member} still waits for a lock that nobody needs`, {
        remedy: `end what it waits for, or restart ${intent.member}`,
      });
    }
    await sleep(RETRY_MS);
  }
}
