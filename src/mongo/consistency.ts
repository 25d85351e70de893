import { BackstayError } from '../api/errors.ts';
import type { Choice } from './choose.ts';
import type { Consistency } from './dump.ts';
import { oplogObstacle } from './oplog-window.ts';
import type { ReplicaSetTopology, Standalone } from './topology.ts';
import { atLeast } from './version.ts';

/**
 * What to do instead of a lock that would do harm. snapshot: read at one cluster time without a lock, where the server can. proceed: lock
 * all the same. refuse: fail.
 */
export type MajorityStall = 'snapshot' | 'proceed' | 'refuse';

export interface ConsistencyWishes {
  /** Default lock. */
  consistency?: Consistency;
  /** Default snapshot. */
  onMajorityStall?: MajorityStall;
  /** What the oplog must hold for a lock, in seconds; 0 for anything. Default: an estimate from the size of the data. */
  minOplogWindowSeconds?: number;
}

export interface ConsistencyDecision {
  consistency: Consistency;
  /** Why it is not what was asked for, or is so in spite of the harm. */
  reason?: string;
  /** The lock is given up when writes of a majority wait for it. */
  guardsMajority: boolean;
}

/** A lock is wanted where it does no harm. */
export function wantsFreeLock({ consistency = 'lock', onMajorityStall }: ConsistencyWishes): boolean {
  return consistency === 'lock' && onMajorityStall !== 'proceed';
}

/**
 * Decides how what was chosen is read.
 *
 * @param choice undefined for a standalone
 * @throws BackstayError LockRefused when a lock would do harm, and there is nothing else or it was asked for
 */
export function decideConsistency(
  topology: Standalone | ReplicaSetTopology,
  choice: Choice | undefined,
  { consistency = 'lock', onMajorityStall = 'snapshot', minOplogWindowSeconds }: ConsistencyWishes,
): ConsistencyDecision {
  if (topology.kind === 'standalone' || choice === undefined) return decideAlone(consistency, onMajorityStall);
  if (consistency !== 'lock') return { consistency, guardsMajority: false };
  const stall = choice.lock.stallsMajority ? choice.lock.reason : undefined;
  const window = choice.member.state === 'PRIMARY' ? undefined : oplogObstacle(topology.oplog, minOplogWindowSeconds);
  const proceed = onMajorityStall === 'proceed';
  const obstacle = (proceed ? undefined : stall) ?? window;
  if (obstacle === undefined) {
    const reason = stall === undefined ? {} : { reason: `locked all the same: ${stall}` };
    return { consistency: 'lock', guardsMajority: !proceed, ...reason };
  }
  // snapshot reads outside transactions came with 5.0
  if (onMajorityStall !== 'refuse' && atLeast(topology.version, 5, 0)) {
    return { consistency: 'snapshot', reason: `not locked: ${obstacle}`, guardsMajority: false };
  }
  throw new BackstayError('LockRefused', `${choice.member.host} cannot be locked without harm: ${obstacle}`, {
    remedy:
      obstacle === stall
        ? 'bring the other members up, add one, set onMajorityStall, or use consistency "snapshot" or "none"'
        : 'make the oplog larger, set minOplogWindow, or use consistency "snapshot" or "none"',
  });
}

/** A standalone has no oplog to read the past from, and no other member that takes writes while it is locked. */
function decideAlone(wanted: Consistency, onMajorityStall: MajorityStall): ConsistencyDecision {
  if (wanted === 'none') return { consistency: 'none', guardsMajority: false };
  const stop = 'a lock stops every write to a standalone server';
  if (wanted === 'lock' && onMajorityStall === 'proceed') {
    return { consistency: 'lock', reason: `locked all the same: ${stop}`, guardsMajority: false };
  }
  if (wanted === 'lock' && onMajorityStall === 'refuse') {
    throw new BackstayError('LockRefused', stop, {
      remedy: 'set onMajorityStall to "proceed", or use consistency "none"',
    });
  }
  const why = wanted === 'lock' ? stop : 'a standalone server has no snapshot reads';
  return {
    consistency: 'none',
    reason: `${why}, so its collections show different moments`,
    guardsMajority: false,
  };
}
