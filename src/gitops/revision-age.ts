import type { Outcome } from './status.ts';

/** When the commits of a PolicySync were made, in milliseconds since 1970; undefined where that is not known. */
export interface RevisionTimes {
  /** Of the commit that is applied. */
  applied: number | undefined;
  /** Of the commit that the repository has and that is not applied; undefined when there is none. */
  waiting: { revision: string; since: number } | undefined;
}

export const UNKNOWN_TIMES: RevisionTimes = { applied: undefined, waiting: undefined };

/**
 * The times after a reconciliation.
 *
 * @param committedAt of the commit that it read; undefined when it came to none, and then a new one waits since it was first seen
 * @param now milliseconds since 1970: a commit that says that it comes from the future was made now
 */
export function timesAfter(
  former: RevisionTimes,
  outcome: Outcome,
  lastApplied: string | undefined,
  committedAt: number | undefined,
  now: number,
): RevisionTimes {
  const madeAt = committedAt === undefined ? undefined : Math.min(now, committedAt);
  if (outcome.kind === 'applied') return { applied: madeAt, waiting: undefined };
  const { revision } = outcome;
  // The server did not even say what it has: what waited goes on waiting.
  if (revision === undefined) return former;
  if (revision === lastApplied) return { applied: madeAt ?? former.applied, waiting: undefined };
  if (former.waiting?.revision === revision && madeAt === undefined) return former;
  return { applied: former.applied, waiting: { revision, since: madeAt ?? now } };
}
