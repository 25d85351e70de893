import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackstayError } from '../../src/api/errors.ts';
import type { Ground } from './ground.ts';
import { startTime } from './record.ts';

/** A program of the lab, running on its own: its output is in a file, and the ground has it written down. */
export interface LabProcess {
  readonly name: string;
  readonly pid: number;
  /** Path of the file with its standard output and error. */
  readonly log: string;
  /** The exit code or the signal's name, once it has ended. */
  readonly ended: Promise<number | string>;
  hasEnded(): boolean;
  /** Sends a signal; one that ended already is left alone. */
  signal(name: NodeJS.Signals): void;
  /** Sends a signal and waits for the end; kills it after `graceMs`. */
  end(name?: NodeJS.Signals, graceMs?: number): Promise<void>;
  /** The last lines of its log. */
  tail(lines?: number): string;
}

export interface StartOptions {
  env?: Readonly<Record<string, string>>;
  cwd?: string;
}

/** Starts a program on the ground; `name` becomes its log file's. */
export function startProcess(
  ground: Ground,
  name: string,
  command: string,
  args: readonly string[],
  options: StartOptions = {},
): LabProcess {
  const log = join(ground.folder, `${name}.log`);
  const output = openSync(log, 'a');
  const child = spawn(command, args, {
    cwd: options.cwd ?? ground.folder,
    env: ground.environment(options.env),
    stdio: ['ignore', output, output],
    detached: true, // its own session: a Ctrl-C in the terminal does not reach it before its turn
  });
  closeSync(output);
  // Nothing runs between fork and this line; and were this process killed here, the marker in the environment would still tell.
  const pid = child.pid ?? 0;
  if (pid > 0) ground.record({ kind: 'process', name, pid, start: startTime(pid) ?? '' });
  child.unref();
  let over = false;
  const ended = new Promise<number | string>((resolve) => {
    child.once('exit', (code, signal) => {
      over = true;
      resolve(code ?? signal ?? 'unknown');
    });
    child.once('error', (error) => {
      over = true;
      resolve(error.message);
    });
  });
  const self: LabProcess = {
    name,
    pid,
    log,
    ended,
    hasEnded: () => over,
    signal: (signal) => {
      if (!over && pid > 0) child.kill(signal);
    },
    async end(signal = 'SIGTERM', graceMs = 10_000) {
      if (over) return;
      child.ref(); // the wait below would not keep this process alive otherwise
      self.signal(signal);
      const timer = setTimeout(() => self.signal('SIGKILL'), graceMs);
      await ended;
      clearTimeout(timer);
    },
    tail: (lines = 12) => readFileSync(log, 'utf8').trimEnd().split('\n').slice(-lines).join('\n'),
  };
  return self;
}

export interface UntilOptions {
  timeoutMs?: number;
  everyMs?: number;
  /** When this one ends, waiting is pointless. */
  process?: LabProcess;
}

/**
 * Repeats `check` until it gives something other than undefined or false. A check that throws has not succeeded yet; the last error is told
 * when the time is over.
 */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  options: UntilOptions = {},
): Promise<T> {
  const { timeoutMs = 30_000, everyMs = 50, process } = options;
  const deadline = performance.now() + timeoutMs;
  let cause: unknown;
  for (;;) {
    try {
      const result = await check();
      if (result !== undefined && result !== false) return result;
    } catch (error) {
      cause = error;
    }
    if (process?.hasEnded()) {
      const how = await process.ended;
      throw new BackstayError('LabPartEnded', `${process.name} ended with ${how} before ${what}:\n${process.tail()}`);
    }
    if (performance.now() > deadline) {
      const log = process === undefined ? '' : `; the end of its log:\n${process.tail()}`;
      throw new BackstayError('LabPartNotReady', `Waited ${timeoutMs / 1000} s for: ${what}${log}`, { cause });
    }
    await sleep(everyMs);
  }
}
