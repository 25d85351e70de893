import type { Member, ReplicaSetTopology } from './topology.ts';

/** What holding a lock on the member would do to the rest of the set. */
export type LockEffect =
  | { stallsMajority: false }
  /** Writes that wait for a majority would hang, and flow control would slow the primary down. */
  | {
      stallsMajority: true;
      reason: string;
      /** Only because members are behind, which they may not be a moment later. */
      isPassing: boolean;
    };

/**
 * A member further behind than this does not count on for a majority: a write would wait that long. Positions are known in whole seconds,
 * so that this is up to two.
 */
const PROMPT_SECONDS = 1;

/**
 * The members that get their data from the given one, also by way of others: they stand still with it. A member looks for another source
 * only when its own is 30 s behind others. Source: maxSyncSourceLagSecs.
 */
export function followersOf(members: readonly Member[], host: string): string[] {
  const followers: string[] = [];
  const sources = [host];
  for (let source = sources.pop(); source !== undefined; source = sources.pop()) {
    for (const member of members) {
      // a primary's source is from before it became one
      if (member.syncSource !== source || member.state === 'PRIMARY') continue;
      if (member.host === host || followers.includes(member.host)) continue;
      followers.push(member.host);
      sources.push(member.host);
    }
  }
  return followers;
}

/**
 * A locked secondary acknowledges nothing, nor does one that syncs from it. The majority of all votes must be reached by the other members
 * that hold data and are not behind, or writes with w:majority hang until it is unlocked: so it is in a set of primary, secondary and
 * arbiter, in one of two members, and in one of three with one down.
 */
export function lockEffect({ members }: Pick<ReplicaSetTopology, 'members'>, locked: Member): LockEffect {
  if (locked.state === 'PRIMARY')
    return { stallsMajority: true, reason: 'a locked primary takes no writes', isPassing: false };
  const votes = members.reduce((sum, { votes: count }) => sum + count, 0);
  const majority = Math.floor(votes / 2) + 1;
  // the server needs no more acknowledgements than there are voting members with data
  const bearing = members.filter((member) => member.votes > 0 && !member.arbiter);
  const needed = Math.min(majority, bearing.length);
  const followers = followersOf(members, locked.host);
  const missing: string[] = [];
  let left = 0;
  let late = 0;
  for (const member of bearing) {
    if (member === locked) continue;
    const follows = followers.includes(member.host);
    const reason = follows ? `gets its data from ${locked.host}` : silence(member);
    if (!follows && isLate(member)) late += 1;
    if (reason === undefined) left += 1;
    else missing.push(`${member.host} ${reason}`);
  }
  if (left >= needed) return { stallsMajority: false };
  const why = missing.length === 0 ? '' : ` (${missing.join(', ')})`;
  return {
    stallsMajority: true,
    reason: `writes of a majority need ${needed} members with data, and only ${left} would be left${why}`,
    isPassing: left + late >= needed,
  };
}

/** Why a member does not acknowledge at once, undefined when it does. */
function silence({ healthy, state, delaySeconds, lagSeconds }: Member): string | undefined {
  if (state === 'PRIMARY') return undefined;
  if (!healthy) return 'does not answer';
  if (state !== 'SECONDARY') return `is in state ${state}`;
  if (delaySeconds > 0) return `is delayed by ${delaySeconds} s`;
  return isBehind(lagSeconds) ? `is ${lagSeconds} s behind` : undefined;
}

const isBehind = (seconds: number | undefined): boolean => seconds !== undefined && seconds > PROMPT_SECONDS;

/** It is behind, and nothing else is wrong with it. */
const isLate = (member: Member): boolean =>
  isBehind(member.lagSeconds) && silence({ ...member, lagSeconds: 0 }) === undefined;
