import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BackstayError } from '../api/errors.ts';
import type { Component } from '../api/labels.ts';
import { type Client, connect } from '../kube/client.ts';
import { type Redact, redactor } from '../restic/redact.ts';
import { type Log, openLog, secondsSince } from './log.ts';
import { exitCodeOf, failureResult, type JobResult, writeTermination } from './termination.ts';

/** Field manager of everything that a runner writes. */
export const FIELD_MANAGER = 'backstay-runner';

/** What the work of a Job is done with. */
export interface JobContext {
  client: Client;
  log: Log;
  /** Aborted with a BackstayError when the Pod is asked to end. */
  signal: AbortSignal;
  env: NodeJS.ProcessEnv;
  /** A private folder that is removed in the end. */
  folder: string;
  /** Name of the Pod, or of the machine outside a cluster. */
  holder: string;
  /** Hides what was hidden so far in a text that goes into a status. */
  redact: Redact;
  /** From now on these values are hidden in logs and results. */
  hide(secrets: Iterable<string>): void;
}

/** What a Job that succeeded says. */
export interface Done {
  message: string;
  data: Record<string, unknown>;
}

/**
 * Runs the work of a Job: connects, logs, turns SIGTERM into an aborted signal, and leaves the result as termination message.
 *
 * @param about names what the Job is for, in every line of the log
 * @returns the exit code of the process
 */
export async function runJob(
  component: Component,
  about: Record<string, string>,
  work: (context: JobContext) => Promise<Done>,
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  const started = performance.now();
  const secrets = new Set<string>();
  let redact: Redact = (text) => text;
  const log = openLog({ job: component, ...about }, (text) => redact(text), env.BACKSTAY_LOG_LEVEL);
  const terminated = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    if (terminated.signal.aborted) return;
    log.warn({ signal: name }, 'asked to end: cleaning up');
    terminated.abort(
      new BackstayError('Terminated', `the runner was asked to end by ${name}`, {
        remedy: 'see why the Pod was deleted or its deadline was reached',
      }),
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  const folder = await mkdtemp(join(tmpdir(), 'backstay-'));
  let result: JobResult;
  try {
    const client = await connect({ userAgent: 'backstay-runner' });
    const done = await work({
      client,
      log,
      signal: terminated.signal,
      env,
      folder,
      holder: env.POD_NAME ?? env.HOSTNAME ?? 'runner',
      redact: (text) => redact(text),
      hide: (values) => {
        for (const value of values) secrets.add(value);
        redact = redactor(secrets);
      },
    });
    result = { code: 'Succeeded', message: redact(done.message), retryable: true, data: done.data };
    log.info({ seconds: secondsSince(started), ...done.data }, done.message);
  } catch (error) {
    result = failureResult(error, redact);
    const { code, message, remedy, data } = result;
    log.error({ code, ...(remedy === undefined ? {} : { remedy }), seconds: secondsSince(started), ...data }, message);
    // A stack is for what nobody foresaw.
    if (!(error instanceof BackstayError)) {
      log.error({ stack: error instanceof Error ? error.stack : String(error) }, 'unexpected error');
    }
  } finally {
    process.off('SIGTERM', onSignal);
    process.off('SIGINT', onSignal);
    await rm(folder, { recursive: true, force: true });
  }
  writeTermination(result, env);
  return exitCodeOf(result);
}
