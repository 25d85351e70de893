import { BackstayError } from '../../api/errors.ts';
import type { Component } from '../../api/labels.ts';
import { type Log, openLog } from '../log.ts';
import { exitCodeOf, failureResult, writeTermination } from '../termination.ts';
import { supervise } from './supervise.ts';

/**
 * Runs the work of a Job in a child of this process, see supervise. When the child is killed, this process says so in the termination
 * message, which the child cannot any more.
 *
 * @returns the exit code of the process
 */
export async function superviseJob(component: Component, about: Record<string, string>): Promise<number> {
  let log: Log | undefined;
  const { exitCode, killedBy, released, left } = await supervise({
    say: (level, fields, message) => {
      log ??= openLog({ job: component, part: 'watchdog', ...about }, (text) => text);
      log[level](fields, message);
    },
  });
  if (killedBy === undefined) return exitCode;
  const error = new BackstayError('RunnerKilled', `the runner was killed by ${killedBy}${heldNote(released, left)}`, {
    remedy: 'raise resources.limits.memory in containerRuntimeSettings if it ran out of memory, or see who kills it',
  });
  const result = { ...failureResult(error, (text) => text), data: { released, left } };
  writeTermination(result);
  return exitCodeOf(result);
}

function heldNote(released: readonly string[], left: readonly { key: string }[]): string {
  const parts = [
    ...(released.length === 0 ? [] : [`${released.join(', ')} was given back`]),
    ...(left.length === 0 ? [] : [`${left.map(({ key }) => key).join(', ')} could not be given back yet`]),
  ];
  return parts.length === 0 ? '' : `; ${parts.join('; ')}`;
}
