import { parseDuration } from '../api/durations.ts';
import { BackstayError } from '../api/errors.ts';
import type { PolicySync } from '../api/generated/types.ts';

/** The times of a PolicySync, in milliseconds. */
export interface Intervals {
  interval: number;
  retryInterval: number;
  timeout: number;
}

// An interval of a millisecond is allowed by its form, and would keep the git server busy for nothing.
const SHORTEST_INTERVAL = 5000;
const SHORTEST_TIMEOUT = 1000;
const DEFAULT_INTERVAL = 60_000;
const DEFAULT_TIMEOUT = 60_000;
/** Part of an interval by which the next reconciliation comes sooner or later, so that many PolicySyncs do not ask together. */
const JITTER = 0.05;

/** The times that the spec says, or the defaults of the schema where it is silent or, without admission, wrong. */
export function intervalsOf({ spec }: PolicySync): Intervals {
  const interval = Math.max(SHORTEST_INTERVAL, durationOr(spec.interval, DEFAULT_INTERVAL));
  return {
    interval,
    retryInterval: Math.max(SHORTEST_INTERVAL, durationOr(spec.retryInterval, interval)),
    timeout: Math.max(SHORTEST_TIMEOUT, durationOr(spec.timeout, DEFAULT_TIMEOUT)),
  };
}

/** @param random a number from 0 up to 1 */
export function jittered(milliseconds: number, random: number): number {
  return Math.round(milliseconds * (1 - JITTER + 2 * JITTER * random));
}

/** The error of a reconciliation that used up its time. */
export function timedOut({ timeout }: Intervals): BackstayError {
  return new BackstayError('TimedOut', `The reconciliation took longer than the ${timeout / 1000} s of spec.timeout`, {
    remedy: 'raise spec.timeout, or find out why the git server or the API server is slow',
  });
}

function durationOr(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  try {
    return parseDuration(text);
  } catch {
    return otherwise;
  }
}
