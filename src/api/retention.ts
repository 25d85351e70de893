/**
 * Which Snapshots a RetentionPolicy keeps, and why: a pure function over names and times.
 *
 * The buckets are those of `restic forget --keep-*` (restic, internal/restic/snapshot_policy.go, ApplyPolicy): the newest Snapshot of every
 * hour, day, ISO week, month or year is kept until the count of the rule is used up, and while a rule has counts left it also keeps
 * the oldest Snapshot, so that the history is as long as the policy allows. Buckets are counted in UTC.
 */
import { parseRetentionPeriod } from './durations.ts';
import type { RetentionPolicy, Snapshot } from './generated/types.ts';

/** An ended Snapshot. */
export interface Candidate {
  name: string;
  /** When the backup began, in milliseconds since 1970. */
  time: number;
  good: boolean;
}

/** The counts of a RetentionPolicy; a rule that is left out keeps nothing. */
export interface KeepCounts {
  last?: number;
  hourly?: number;
  daily?: number;
  weekly?: number;
  monthly?: number;
  yearly?: number;
}

export interface RetentionRules {
  /** Older Snapshots go, whatever the counts say; in milliseconds. */
  maxAgeMs?: number;
  /** Without it, every good Snapshot that is young enough stays. */
  successful?: KeepCounts;
  /** How many of the newest failed Snapshots stay; 1 when left out. */
  failed?: number;
}

export interface RetentionPlan {
  /** Newest first, each with the rules that keep it: `last`, `daily`, `newest`, …. */
  keep: { name: string; reasons: string[] }[];
  /** Oldest first: the order in which they are removed, so that an interrupted run leaves the most valuable ones. */
  remove: { name: string; reason: string }[];
}

type Rule = keyof KeepCounts;

const RULES: readonly Rule[] = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'];

/** Sorts the ended Snapshots of one repository and session into those that stay and those that go. Ones that still run must not be given. */
export function planRetention(candidates: readonly Candidate[], rules: RetentionRules, now: number): RetentionPlan {
  const reasons = new Map<string, string[]>();
  const removal = new Map<string, string>();
  const good = newestFirst(candidates.filter((candidate) => candidate.good));
  const failed = newestFirst(candidates.filter((candidate) => !candidate.good));

  const young = (candidate: Candidate): boolean =>
    rules.maxAgeMs === undefined || now - candidate.time <= rules.maxAgeMs;
  for (const candidate of candidates) {
    if (!young(candidate)) removal.set(candidate.name, 'older than maxRetentionPeriod');
  }
  const kept = keptByCounts(good.filter(young), rules.successful);
  for (const candidate of good.filter(young)) {
    const why = kept.get(candidate.name);
    if (why === undefined) removal.set(candidate.name, 'kept by no rule of successfulSnapshots');
    else reasons.set(candidate.name, why);
  }
  for (const [index, candidate] of failed.filter(young).entries()) {
    if (index < (rules.failed ?? 1)) reasons.set(candidate.name, ['failed']);
    else removal.set(candidate.name, 'beyond failedSnapshots.last');
  }
  // A week of failures must not cost the last backup that can be restored.
  const newest = good[0];
  if (newest !== undefined && removal.delete(newest.name)) reasons.set(newest.name, ['newest']);

  const ordered = newestFirst(candidates);
  return {
    keep: ordered.flatMap(({ name }) => {
      const why = reasons.get(name);
      return why === undefined ? [] : [{ name, reasons: why }];
    }),
    remove: ordered.reverse().flatMap(({ name }) => {
      const reason = removal.get(name);
      return reason === undefined ? [] : [{ name, reason }];
    }),
  };
}

/**
 * The rules of a RetentionPolicy in the terms of `planRetention`.
 *
 * @throws BackstayError InvalidDuration
 */
export function retentionRulesOf({ spec }: Pick<RetentionPolicy, 'spec'>): RetentionRules {
  return {
    ...(spec.maxRetentionPeriod === undefined ? {} : { maxAgeMs: parseRetentionPeriod(spec.maxRetentionPeriod) }),
    ...(spec.successfulSnapshots === undefined ? {} : { successful: spec.successfulSnapshots }),
    ...(spec.failedSnapshots?.last === undefined ? {} : { failed: spec.failedSnapshots.last }),
  };
}

/** A Snapshot in the terms of `planRetention`. */
export function candidateOf({ metadata, status }: Snapshot): Candidate {
  const time = Date.parse(status?.snapshotTime ?? metadata.creationTimestamp ?? '');
  return { name: metadata.name ?? '', time, good: status?.phase === 'Succeeded' };
}

/** Whether retention looks at a Snapshot: it has ended, and is not about to go. */
export function isCandidate({ metadata, status }: Snapshot): boolean {
  return metadata.deletionTimestamp === undefined && (status?.phase === 'Succeeded' || status?.phase === 'Failed');
}

function keptByCounts(snapshots: readonly Candidate[], counts: KeepCounts | undefined): Map<string, string[]> {
  const kept = new Map<string, string[]>();
  if (counts === undefined) {
    for (const { name } of snapshots) kept.set(name, ['young enough']);
    return kept;
  }
  const buckets = RULES.map((rule) => ({ rule, left: counts[rule] ?? 0, last: '' }));
  for (const [index, snapshot] of snapshots.entries()) {
    const why: string[] = [];
    for (const bucket of buckets) {
      if (bucket.left <= 0) continue;
      const value = bucketOf(bucket.rule, snapshot, index);
      if (value === bucket.last && index !== snapshots.length - 1) continue;
      bucket.last = value;
      bucket.left--;
      why.push(bucket.rule);
    }
    if (why.length > 0) kept.set(snapshot.name, why);
  }
  return kept;
}

function bucketOf(rule: Rule, snapshot: Candidate, index: number): string {
  const iso = new Date(snapshot.time).toISOString();
  switch (rule) {
    case 'last':
      return `${index}`;
    case 'hourly':
      return iso.slice(0, 13);
    case 'daily':
      return iso.slice(0, 10);
    case 'weekly':
      return isoWeek(snapshot.time);
    case 'monthly':
      return iso.slice(0, 7);
    case 'yearly':
      return iso.slice(0, 4);
  }
}

/** The ISO 8601 week of a time in UTC, as `2026-W53`: weeks begin on Monday and belong to the year of their Thursday. */
export function isoWeek(time: number): string {
  const thursday = new Date(time);
  thursday.setUTCHours(0, 0, 0, 0);
  thursday.setUTCDate(thursday.getUTCDate() + 3 - ((thursday.getUTCDay() + 6) % 7));
  const year = thursday.getUTCFullYear();
  const days = (thursday.getTime() - Date.UTC(year, 0, 1)) / 86_400_000;
  return `${year}-W${String(1 + Math.floor(days / 7)).padStart(2, '0')}`;
}

/** Equal times are told apart by name, so that the plan does not depend on the order of a list. */
function newestFirst(candidates: readonly Candidate[]): Candidate[] {
  return [...candidates].sort((a, b) => b.time - a.time || (a.name < b.name ? 1 : -1));
}
