import { BackstayError } from '../api/errors.ts';
import type { Member, ReplicaSetTopology } from './topology.ts';

/** What a member must be like to be read from. */
export interface MemberPolicy {
  /** The member to take, host:port, whatever the order of preference says. It must be fit all the same. */
  member?: string;
  /** A secondary further behind is not taken (default 30). */
  maxLagSeconds?: number;
  /** Take the primary when no secondary is fit (default true). */
  allowPrimary?: boolean;
  /** All of these tags must be the member's. */
  tags?: Record<string, string>;
}

export interface Rejection {
  member: string;
  reason: string;
}

/** What holding a lock on the member would do to the rest of the set. */
export type LockEffect =
  | { stallsMajority: false }
  /** Writes that wait for a majority would hang, and flow control would slow the primary down. */
  | { stallsMajority: true; reason: string };

export interface Choice {
  member: Member;
  /** Why it is this one, for people. */
  reason: string;
  rejected: Rejection[];
  lock: LockEffect;
}

const DEFAULT_MAX_LAG_SECONDS = 30;

/**
 * Chooses the member to read: hidden before priority 0 before other secondaries, those with less lag first among equals (in steps of ten
 * seconds, so that the choice stays the same from run to run and the documents come in the same order), then by name.
 *
 * @throws BackstayError NoMember with what is wrong with each
 */
export function chooseMember(topology: ReplicaSetTopology, policy: MemberPolicy = {}): Choice {
  const { allowPrimary = true } = policy;
  const rejected: Rejection[] = [];
  const fit: Member[] = [];
  for (const member of topology.members) {
    const reason = unfit(member, policy);
    if (reason === undefined) fit.push(member);
    else rejected.push({ member: member.host, reason });
  }
  const wanted = policy.member === undefined ? fit : fit.filter(({ host }) => host === policy.member);
  const secondaries = wanted.filter(({ state }) => state === 'SECONDARY').sort(byPreference);
  const primary = wanted.find(({ state }) => state === 'PRIMARY');
  const [first] = secondaries;
  const member = first ?? (allowPrimary || policy.member !== undefined ? primary : undefined);
  if (member === undefined) throw noMember(topology, policy, rejected);
  for (const other of fit) {
    if (other !== member) rejected.push({ member: other.host, reason: passedOver(other, policy) });
  }
  return { member, reason: reasonFor(member, policy), rejected, lock: lockEffect(topology, member) };
}

/** Why a member cannot be read for a backup, undefined when it can. */
function unfit(
  member: Member,
  { maxLagSeconds = DEFAULT_MAX_LAG_SECONDS, tags = {} }: MemberPolicy,
): string | undefined {
  if (member.arbiter || member.state === 'ARBITER') return 'it is an arbiter and holds no data';
  if (member.delaySeconds > 0) return `it is delayed by ${member.delaySeconds} s`;
  if (!member.healthy) return 'it does not answer';
  if (member.state !== 'SECONDARY' && member.state !== 'PRIMARY') return `its state is ${member.state}`;
  if (member.lagSeconds === undefined && member.state === 'SECONDARY')
    return 'its lag is not known, since there is no primary';
  if (member.lagSeconds !== undefined && member.lagSeconds > maxLagSeconds) {
    return `it is ${member.lagSeconds} s behind the primary, more than ${maxLagSeconds} s`;
  }
  const missing = Object.entries(tags).find(([name, value]) => member.tags[name] !== value);
  return missing === undefined ? undefined : `it lacks the tag ${missing.join('=')}`;
}

function byPreference(a: Member, b: Member): number {
  const lag = (member: Member): number => Math.floor((member.lagSeconds ?? 0) / 10);
  return (
    Number(b.hidden) - Number(a.hidden) ||
    Number(b.priority === 0) - Number(a.priority === 0) ||
    // a member without a vote counts for no majority
    a.votes - b.votes ||
    lag(a) - lag(b) ||
    a.host.localeCompare(b.host, 'en')
  );
}

function reasonFor(member: Member, policy: MemberPolicy): string {
  const lag = member.lagSeconds === undefined ? '' : `, ${member.lagSeconds} s behind`;
  if (policy.member !== undefined) return `it was asked for${lag}`;
  if (member.state === 'PRIMARY') return 'it is the primary, and no secondary is fit';
  if (member.hidden) return `hidden secondary${lag}`;
  if (member.priority === 0) return `secondary that cannot become primary${lag}`;
  return `healthy secondary${lag}`;
}

function passedOver(member: Member, policy: MemberPolicy): string {
  if (policy.member !== undefined) return 'another member was asked for';
  return member.state === 'PRIMARY' ? 'it is the primary' : 'another secondary is preferred';
}

function noMember(topology: ReplicaSetTopology, policy: MemberPolicy, rejected: Rejection[]): BackstayError {
  const known = topology.members.some(({ host }) => host === policy.member);
  if (policy.member !== undefined && !known) {
    return new BackstayError('NoMember', `replica set ${topology.name} has no member ${policy.member}`, {
      remedy: `name one of ${topology.members.map(({ host }) => host).join(', ')}`,
    });
  }
  const all = rejected.map(({ member, reason }) => `${member}: ${reason}`).join('; ');
  const primary =
    policy.allowPrimary === false && topology.primary !== undefined ? `; ${topology.primary} is the primary` : '';
  return new BackstayError(
    'NoMember',
    `no member of replica set ${topology.name} is fit to be read (${all}${primary})`,
    {
      remedy: 'mend a secondary, or allow more lag or the primary',
    },
  );
}

/**
 * A locked secondary acknowledges nothing. The majority of all votes must be reached by the other members that hold data, or writes with
 * w:majority hang until it is unlocked: so it is in a set of primary, secondary and arbiter, in one of two members, and in one of three
 * with one down.
 */
function lockEffect({ members }: ReplicaSetTopology, locked: Member): LockEffect {
  if (locked.state === 'PRIMARY') return { stallsMajority: true, reason: 'a locked primary takes no writes' };
  const votes = members.reduce((sum, { votes: count }) => sum + count, 0);
  const majority = Math.floor(votes / 2) + 1;
  // the server needs no more acknowledgements than there are voting members with data
  const bearing = members.filter((member) => member.votes > 0 && !member.arbiter);
  const needed = Math.min(majority, bearing.length);
  const left = bearing.filter(
    (member) =>
      member !== locked &&
      member.healthy &&
      (member.state === 'PRIMARY' || member.state === 'SECONDARY') &&
      member.delaySeconds === 0,
  );
  if (left.length >= needed) return { stallsMajority: false };
  return {
    stallsMajority: true,
    reason: `writes of a majority need ${needed} members with data, and only ${left.length} would be left`,
  };
}
