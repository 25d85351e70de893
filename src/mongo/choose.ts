import { BackstayError } from '../api/errors.ts';
import { followersOf, type LockEffect, lockEffect } from './majority.ts';
import type { Member, ReplicaSetTopology } from './topology.ts';

/** What a member must be like to be read from. */
export interface MemberPolicy {
  /** The only members to take, host:port, the preferred one first. They must be fit all the same. */
  members?: readonly string[];
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

export interface Choice {
  member: Member;
  /** Why it is this one, for people. */
  reason: string;
  rejected: Rejection[];
  lock: LockEffect;
}

const DEFAULT_MAX_LAG_SECONDS = 30;

/**
 * Chooses the member to read: the first fit one of a list, or hidden before priority 0 before other secondaries. Among equals it is one that
 * can be locked without harm and that nobody else gets data from, then one with less lag (in steps of ten seconds, so that the choice stays
 * the same from run to run and the documents come in the same order), then the first by name.
 *
 * @throws BackstayError NoMember with what is wrong with each
 */
export function chooseMember(topology: ReplicaSetTopology, policy: MemberPolicy = {}): Choice {
  const { allowPrimary = true, members: listed = [] } = policy;
  const rejected: Rejection[] = [];
  const fit: Member[] = [];
  for (const member of topology.members) {
    const reason = unfit(member, policy);
    if (reason === undefined) fit.push(member);
    else rejected.push({ member: member.host, reason });
  }
  const isListed = listed.length > 0;
  const secondaries = fit.filter(({ state }) => state === 'SECONDARY');
  const candidates = isListed ? inOrder(fit, listed) : ranked(topology, secondaries);
  const primary = isListed || !allowPrimary ? undefined : fit.find(({ state }) => state === 'PRIMARY');
  const member = candidates[0] ?? primary;
  if (member === undefined) throw noMember(topology, policy, rejected);
  for (const other of fit) {
    if (other !== member) rejected.push({ member: other.host, reason: passedOver(other, isListed) });
  }
  for (const host of strangers(topology, listed)) rejected.push({ member: host, reason: STRANGER });
  return { member, reason: reasonFor(member, isListed), rejected, lock: lockEffect(topology, member) };
}

const STRANGER = 'it is not a member';

function strangers({ members }: ReplicaSetTopology, listed: readonly string[]): string[] {
  return listed.filter((host) => !members.some((member) => member.host === host));
}

function inOrder(fit: readonly Member[], listed: readonly string[]): Member[] {
  return listed.flatMap((host) => fit.find((member) => member.host === host) ?? []);
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

function ranked(topology: ReplicaSetTopology, secondaries: readonly Member[]): Member[] {
  const lag = (member: Member): number => Math.floor((member.lagSeconds ?? 0) / 10);
  const stalls = (member: Member): number => Number(lockEffect(topology, member).stallsMajority);
  const followers = (member: Member): number => followersOf(topology.members, member.host).length;
  return [...secondaries].sort(
    (a, b) =>
      Number(b.hidden) - Number(a.hidden) ||
      Number(b.priority === 0) - Number(a.priority === 0) ||
      // a member without a vote counts for no majority
      a.votes - b.votes ||
      stalls(a) - stalls(b) ||
      followers(a) - followers(b) ||
      lag(a) - lag(b) ||
      a.host.localeCompare(b.host, 'en'),
  );
}

function reasonFor(member: Member, isListed: boolean): string {
  const lag = member.lagSeconds === undefined ? '' : `, ${member.lagSeconds} s behind`;
  if (isListed) return `it was asked for${lag}`;
  if (member.state === 'PRIMARY') return 'it is the primary, and no secondary is fit';
  if (member.hidden) return `hidden secondary${lag}`;
  if (member.priority === 0) return `secondary that cannot become primary${lag}`;
  return `healthy secondary${lag}`;
}

function passedOver(member: Member, isListed: boolean): string {
  if (isListed) return 'another member was asked for';
  return member.state === 'PRIMARY' ? 'it is the primary' : 'another secondary is preferred';
}

function noMember(topology: ReplicaSetTopology, policy: MemberPolicy, rejected: Rejection[]): BackstayError {
  const { members: listed = [], allowPrimary } = policy;
  const { name, members, primary } = topology;
  const say = (ones: readonly Rejection[]): string =>
    ones.map(({ member, reason }) => `${member}: ${reason}`).join('; ');
  if (listed.length > 0) {
    const wrong = listed.map((member) => rejected.find((one) => one.member === member) ?? { member, reason: STRANGER });
    return new BackstayError('NoMember', `replica set ${name} has none of the members to read (${say(wrong)})`, {
      remedy: `name one of ${members.map(({ host }) => host).join(', ')}, or mend it`,
    });
  }
  const last =
    allowPrimary === false && primary !== undefined ? [{ member: primary, reason: 'it is the primary' }] : [];
  return new BackstayError(
    'NoMember',
    `no member of replica set ${name} is fit to be read (${say([...rejected, ...last])})`,
    {
      remedy: 'mend a secondary, or allow more lag or the primary',
    },
  );
}
