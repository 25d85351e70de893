/**
 * Work that is tried again until it succeeds (reaching a storage, opening a repository, forgetting data, releasing locks): a pure reading of
 * the Jobs that tried it.
 *
 * The last Job is kept as the record of what was found, with what it was asked to look at as a fingerprint; so an operator that
 * restarts knows where it stands without a status field for it, and the log of the last try stays within reach.
 */
import type { Job, Pod } from '../../kube/builtin.ts';
import { type Failure, type Hindrance, jobOutcome } from './outcome.ts';
import type { JobResult } from './result.ts';

export const ATTEMPT_ANNOTATION = 'backstay.dev/attempt';
/** How many tries in a row failed before this one. */
export const FAILURES_ANNOTATION = 'backstay.dev/failures';
/** What the try was about, so that a change asks for a new one. */
export const FINGERPRINT_ANNOTATION = 'backstay.dev/fingerprint';

const FIRST_RETRY_MS = 10_000;
const LONGEST_RETRY_MS = 5 * 60_000;

export interface AttemptsInput {
  /** The Jobs of this piece of work, in any order. */
  jobs: readonly Job[];
  pods: readonly Pod[];
  fingerprint: string;
  /** Milliseconds since 1970. */
  now: number;
  /** A success older than this asks for a new try; never, when left out. */
  repeatAfterMs?: number;
}

interface Start {
  /** Number of the try, for its name. */
  attempt: number;
  failures: number;
}

export type Attempts = {
  /** Jobs that are no longer needed. */
  stale: Job[];
} & (
  | ({ state: 'start'; former?: Ended } & Start)
  | { state: 'running'; job: Job; former?: Ended; hindrance?: Hindrance }
  | ({ state: 'ended' } & Ended)
);

/** How the last try for this fingerprint ended, and when the next one is due. */
export type Ended =
  | { ok: true; job: Job; result: JobResult; finishedAt: number; nextAt?: number }
  | { ok: false; job: Job; failure: Failure; finishedAt: number; nextAt: number };

/** Where the work stands: to be started, going on, or ended (and waiting until `nextAt` if there is a next time). */
export function readAttempts({ jobs, pods, fingerprint, now, repeatAfterMs }: AttemptsInput): Attempts {
  const ordered = [...jobs]
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .sort((a, b) => numberOf(b) - numberOf(a));
  const [latest, ...older] = ordered;
  if (latest === undefined) return { state: 'start', attempt: highest(jobs) + 1, failures: 0, stale: [] };
  const next = highest(jobs) + 1;
  const same = latest.metadata.annotations?.[FINGERPRINT_ANNOTATION] === fingerprint;
  // What was asked for has changed: the answer to the old question is of no use.
  if (!same) return { state: 'start', attempt: next, failures: 0, stale: ordered };

  const outcome = jobOutcome(latest, pods, now);
  if (outcome.state === 'running') {
    const { hindrance } = outcome;
    return { state: 'running', job: latest, stale: older, ...(hindrance === undefined ? {} : { hindrance }) };
  }
  const ended = endOf(latest, outcome, repeatAfterMs);
  if (ended.nextAt !== undefined && now >= ended.nextAt) {
    return {
      state: 'start',
      attempt: next,
      failures: ended.ok ? 0 : failuresOf(latest) + 1,
      former: ended,
      stale: ordered,
    };
  }
  return { state: 'ended', ...ended, stale: older };
}

/** How long to wait after so many failures in a row: 10 s, doubling up to 5 min. */
export function retryDelay(failures: number): number {
  return Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.max(0, failures - 1));
}

function endOf(
  job: Job,
  outcome: Exclude<ReturnType<typeof jobOutcome>, { state: 'running' }>,
  repeatAfterMs: number | undefined,
): Ended {
  const { finishedAt } = outcome;
  if (outcome.state === 'succeeded') {
    const nextAt = repeatAfterMs === undefined ? {} : { nextAt: finishedAt + repeatAfterMs };
    return { ok: true, job, result: outcome.result, finishedAt, ...nextAt };
  }
  const { state: _, finishedAt: __, ...failure } = outcome;
  return { ok: false, job, failure, finishedAt, nextAt: finishedAt + retryDelay(failuresOf(job) + 1) };
}

function highest(jobs: readonly Job[]): number {
  return jobs.reduce((most, job) => Math.max(most, numberOf(job)), 0);
}

function numberOf(job: Job): number {
  return Number(job.metadata.annotations?.[ATTEMPT_ANNOTATION] ?? 0) || 0;
}

function failuresOf(job: Job): number {
  return Number(job.metadata.annotations?.[FAILURES_ANNOTATION] ?? 0) || 0;
}
