import { describeError, errorCode } from '../../api/errors.ts';
import type { PolicySync, PolicySyncStatusCommitStatus } from '../../api/generated/types.ts';
import { exponential } from '../../kube/backoff.ts';
import type { Client } from '../../kube/client.ts';
import { type Clock, sleep, systemClock } from '../../kube/clock.ts';
import { deliver } from './deliver.ts';
import type { Delivery } from './delivery.ts';
import { StatusError } from './refusal.ts';
import { isNews, type Report } from './report.ts';
import type { SendLimits } from './send.ts';

export interface ReporterDependencies {
  /** For Secrets. */
  client: Pick<Client, 'get'>;
  /** Told the key of a PolicySync that there is something to write into its status. */
  wake: (key: string) => void;
  /** Aborts when nothing may be sent any more. */
  signal?: AbortSignal | undefined;
  clock?: Clock | undefined;
  limits?: SendLimits | undefined;
  /** Between two attempts that failed, in milliseconds. */
  backoff?: { baseMs: number; maxMs: number } | undefined;
}

/** A server that asks for more is asked again all the same: limits are counted by the hour. */
const LONGEST_BLOCK_MS = 3_600_000;
const BACKOFF = { baseMs: 30_000, maxMs: 15 * 60_000 };

/** What is told of one PolicySync. */
interface Line extends Delivery {
  key: string;
  wanted: { policySync: PolicySync; report: Report } | undefined;
  failures: number;
  /** The server asked to be left alone until then, in milliseconds of the clock. */
  blockedUntil: number;
  running: boolean;
  /** Ends a wait for the next attempt. */
  poke: AbortController;
  stop: AbortController;
}

/**
 * Tells git servers about commits, beside the reconciliations and never in their way: a report is taken at once, the newest one counts, and
 * what could not be told is tried again with growing waits.
 */
export class CommitStatusReporter {
  readonly #dependencies: ReporterDependencies;
  readonly #clock: Clock;
  readonly #lines = new Map<string, Line>();

  constructor(dependencies: ReporterDependencies) {
    this.#dependencies = dependencies;
    this.#clock = dependencies.clock ?? systemClock;
    dependencies.signal?.addEventListener('abort', () => this.#stop(), { once: true });
  }

  /**
   * Takes a report, which is told in the background unless it was told before.
   *
   * @param atOnce whether a person waits for it: waits between attempts are cut short
   */
  report(key: string, policySync: PolicySync, report: Report | undefined, atOnce = false): void {
    if (policySync.spec.commitStatus === undefined) this.forget(policySync.metadata.uid ?? key);
    else this.#take(key, policySync, report, atOnce);
  }

  /** How the telling goes. */
  delivery(uid: string): Delivery {
    const { told, failure } = this.#lines.get(uid) ?? { told: undefined, failure: undefined };
    return { told, failure };
  }

  forget(uid: string): void {
    this.#lines.get(uid)?.stop.abort();
    this.#lines.delete(uid);
  }

  #take(key: string, policySync: PolicySync, report: Report | undefined, atOnce: boolean): void {
    if (report === undefined || this.#dependencies.signal?.aborted === true) return;
    const line = this.#line(key, policySync);
    const former = line.wanted;
    line.wanted = { policySync, report };
    if (!isNews(report, told(line, policySync))) {
      line.wanted = undefined;
      line.failure = undefined;
      line.poke.abort();
      return;
    }
    const isOther =
      former === undefined ||
      former.report.commit !== report.commit ||
      former.report.state !== report.state ||
      former.policySync.metadata.generation !== policySync.metadata.generation;
    if (atOnce) line.blockedUntil = 0;
    if (atOnce || isOther) line.poke.abort();
    if (!line.running) void this.#run(line);
  }

  #line(key: string, { metadata }: PolicySync): Line {
    const uid = metadata.uid ?? key;
    const line: Line = this.#lines.get(uid) ?? {
      key,
      told: undefined,
      failure: undefined,
      wanted: undefined,
      failures: 0,
      blockedUntil: 0,
      running: false,
      poke: new AbortController(),
      stop: new AbortController(),
    };
    this.#lines.set(uid, line);
    return line;
  }

  async #run(line: Line): Promise<void> {
    const { signal } = line.stop;
    line.running = true;
    for (let job = line.wanted; job !== undefined && !signal.aborted; job = line.wanted) {
      if (!isNews(job.report, told(line, job.policySync))) {
        line.wanted = undefined;
        continue;
      }
      line.poke = new AbortController();
      const waitMs = line.blockedUntil - this.#clock.now();
      if (waitMs <= 0) await this.#tell(line, job, signal);
      else await this.#rest(line, waitMs);
    }
    line.running = false;
  }

  async #tell(line: Line, job: NonNullable<Line['wanted']>, signal: AbortSignal): Promise<void> {
    const { policySync, report } = job;
    const { baseMs, maxMs } = this.#dependencies.backoff ?? BACKOFF;
    try {
      await deliver(policySync, report, this.#dependencies, signal);
      line.told = toldOf(report);
      line.failure = undefined;
      line.failures = 0;
      if (line.wanted === job) line.wanted = undefined;
      // That it began is not worth a write of its own: how it ended is written soon.
      if (report.state !== 'Pending') this.#dependencies.wake(line.key);
    } catch (error) {
      if (signal.aborted) return;
      const wanted = error instanceof StatusError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
      const asked = Math.min(LONGEST_BLOCK_MS, wanted);
      line.failure = { code: errorCode(error), message: describeError(error) };
      if (asked > 0) line.blockedUntil = this.#clock.now() + asked;
      this.#dependencies.wake(line.key);
      await this.#rest(line, Math.max(asked, exponential(line.failures, { baseMs, maxMs })));
      line.failures += 1;
    }
  }

  /** Waits, until there is something else to tell. */
  async #rest(line: Line, milliseconds: number): Promise<void> {
    await sleep(milliseconds, AbortSignal.any([line.poke.signal, line.stop.signal]), this.#clock).catch(() => {});
  }

  #stop(): void {
    for (const uid of [...this.#lines.keys()]) this.forget(uid);
  }
}

function told(line: Line, { status }: PolicySync): PolicySyncStatusCommitStatus | undefined {
  return line.told ?? status?.commitStatus;
}

function toldOf({ commit, state, reason, context }: Report): PolicySyncStatusCommitStatus {
  return { commit, state, context, ...(reason === undefined ? {} : { reason }) };
}
