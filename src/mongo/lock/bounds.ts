import type { Timestamp } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { isFallingOff, type OplogWindow } from '../oplog-window.ts';

/** How long a lock may last. */
export interface LockBounds {
  /** Seconds; it is given up then, whatever has been read. */
  maxSeconds: number;
  /** Give it up when writes of a majority, or an election, wait for it. */
  guardsMajority: boolean;
}

/** What is seen of a replica set while one of its members is locked. */
export interface Observation {
  /** Milliseconds of a clock that only goes forward. */
  at: number;
  /** unknown: nobody answered. */
  primary: 'present' | 'absent' | 'unknown';
  /** Newest operation of the primary, and the newest one that a majority has; only the primary knows both. */
  written?: Timestamp | undefined;
  committed?: Timestamp | undefined;
  /** The set's majority can depend on what is locked: the member has a vote, or a member with a vote gets its data from it. */
  isNeeded: boolean;
  oplog?: OplogWindow | undefined;
}

/** What has to be remembered between two looks. */
export interface LockHistory {
  lockedAt: number;
  /** The locked member's last operation. */
  position: Timestamp | undefined;
  /** The oldest write that is known to wait for a majority, and since when. */
  waiting?: { write: Timestamp; since: number } | undefined;
  noPrimarySince?: number | undefined;
  blindSince?: number | undefined;
  /** As it was first seen. */
  oplog?: OplogWindow | undefined;
}

/** With the time to notice and to unlock, a write waits for less than two seconds. */
const PATIENCE_MS = 1000;
/** Shorter than the ten seconds in which a set that lost its primary begins an election, in which a locked member cannot vote. */
const BLIND_MS = 5000;

/** Whether a lock has to be given up, and what is to be remembered for the next look. */
export function judgeLock(
  history: LockHistory,
  now: Observation,
  bounds: LockBounds,
): { history: LockHistory; breach?: BackstayError } {
  const next: LockHistory = {
    ...history,
    waiting: waitingSince(history, now),
    noPrimarySince: now.primary === 'absent' ? (history.noPrimarySince ?? now.at) : undefined,
    blindSince: now.primary === 'unknown' ? (history.blindSince ?? now.at) : undefined,
    oplog: history.oplog ?? now.oplog,
  };
  const breach = breachOf(next, now, bounds);
  return breach === undefined ? { history: next } : { history: next, breach };
}

/** A write is followed until a majority has it; then the newest one is. */
function waitingSince({ waiting }: LockHistory, { at, written, committed }: Observation): LockHistory['waiting'] {
  if (written === undefined || committed === undefined) return waiting;
  if (waiting !== undefined && committed.lessThan(waiting.write)) return waiting;
  return committed.lessThan(written) ? { write: written, since: at } : undefined;
}

function breachOf(history: LockHistory, now: Observation, bounds: LockBounds): BackstayError | undefined {
  const { lockedAt, position, waiting, noPrimarySince, blindSince, oplog } = history;
  const since = (time: number | undefined): number => (time === undefined ? 0 : now.at - time);
  if (since(lockedAt) >= bounds.maxSeconds * 1000) {
    return new BackstayError(
      'LockExpired',
      `the member was locked for ${bounds.maxSeconds} s, which is the most allowed`,
      {
        remedy: 'see whether the storage is slow, raise maxLockTime, or use consistency "snapshot"',
      },
    );
  }
  if (position !== undefined && oplog !== undefined && now.oplog !== undefined) {
    if (isFallingOff(position, oplog, now.oplog)) {
      return new BackstayError(
        'OplogTooShort',
        'the oplog was about to lose what the locked member needs to catch up',
        {
          remedy: 'make the oplog larger, back up when less is written, or use consistency "snapshot"',
        },
      );
    }
  }
  if (!bounds.guardsMajority || !now.isNeeded) return undefined;
  if (since(waiting?.since) >= PATIENCE_MS) {
    return new BackstayError('MajorityStalled', 'writes of a majority waited while the member was locked', {
      remedy: 'see whether the other members are up and not behind, or set onMajorityStall to "proceed"',
    });
  }
  if (since(noPrimarySince) >= PATIENCE_MS || since(blindSince) >= BLIND_MS) {
    return new BackstayError('PrimaryLost', 'there was no primary, and a member that is locked cannot vote for one', {
      remedy: 'run the backup again when the set has a primary',
    });
  }
  return undefined;
}
