import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, errorCode } from '../../api/errors.ts';
import type { Duty, Word } from './duty.ts';
import { WORKER_VARIABLE } from './guard.ts';

/** How a worker ended, and what its watchdog did about it. */
export interface Supervised {
  /** The exit code of the worker; 128 and the number of the signal when it was killed. */
  exitCode: number;
  /** The signal that ended the worker before its time. */
  killedBy?: NodeJS.Signals;
  released: string[];
  /** What could not be given back. */
  left: { key: string; message: string }[];
}

export interface SuperviseOptions {
  /** How long to go on trying to give something back, in milliseconds. The operator goes on after that. */
  patienceMs?: number;
  say(level: 'info' | 'warn' | 'error', fields: Record<string, unknown>, message: string): void;
}

const PATIENCE_MS = 120_000;
const RETRY_MS = 1000;
/**
 * The young generation of a worker's heap, in MiB. By default it grows to 48 MiB while the program is loaded and stays so; a worker moves
 * buffers, which are outside of it, and is no slower with less.
 */
export const WORKER_FLAGS: readonly string[] = ['--max-semi-space-size=2'];

/**
 * Runs this very command again as a child that does the work, and gives back what it leaves behind when it dies: killed for its memory, by a
 * crash, by kill -9. A process that is the first of a container takes everything with it when it dies, so the watchdog is the parent, small and
 * idle, and the worker the child.
 */
export async function supervise(options: SuperviseOptions): Promise<Supervised> {
  const duties = new Map<string, Duty>();
  const worker = spawn(process.execPath, [...WORKER_FLAGS, ...process.execArgv, ...process.argv.slice(1)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [WORKER_VARIABLE]: '1' },
  });
  worker.on('message', (word: Word) => {
    if (word.said === 'taken') duties.set(word.key, word.duty);
    else duties.delete(word.key);
  });
  const stop = passSignals(worker);
  const { code, signal } = await endOf(worker);
  const released: string[] = [];
  const left: Supervised['left'] = [];
  if (signal !== null || duties.size > 0) {
    options.say('error', { exitCode: code, signal, held: [...duties.keys()] }, 'the worker is gone');
  }
  await Promise.all(
    [...duties].map(async ([key, duty]) => {
      try {
        await giveBack(key, duty, options);
        released.push(key);
      } catch (error) {
        left.push({ key, message: describeError(error) });
        options.say('error', { held: key, error: describeError(error) }, 'could not be given back');
      }
    }),
  );
  stop();
  const exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
  return { exitCode, ...(signal === null ? {} : { killedBy: signal }), released, left };
}

/** Tries until it succeeds or its time is over; a server that cannot be reached comes back. */
async function giveBack(key: string, duty: Duty, { say, patienceMs = PATIENCE_MS }: SuperviseOptions): Promise<void> {
  // Only a worker that died needs the database here: a watchdog stays small.
  const { fulfil } = await import('./duty.ts');
  const deadline = performance.now() + patienceMs;
  for (;;) {
    try {
      const outcome = await fulfil(duty, AbortSignal.timeout(patienceMs));
      say('info', { held: key, outcome }, 'given back');
      return;
    } catch (error) {
      // Waiting for somebody else's unlock is the operator's, which has the time.
      if (performance.now() > deadline || errorCode(error) === 'LockUnclear') throw error;
      await sleep(RETRY_MS);
    }
  }
}

/** Who ends the watchdog means the work: it is passed on, and the watchdog waits for the worker to clean up. */
function passSignals(worker: ChildProcess): () => void {
  const pass = (signal: NodeJS.Signals): void => {
    worker.kill(signal);
  };
  const signals: NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP'];
  for (const signal of signals) process.on(signal, pass);
  return () => {
    for (const signal of signals) process.off(signal, pass);
  };
}

/** The end of the process, after the last of its words was read. */
function endOf(worker: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    let exit: { code: number | null; signal: NodeJS.Signals | null } | undefined;
    const settle = (): void => {
      if (exit !== undefined && !worker.connected) resolve(exit);
    };
    worker.once('exit', (code, signal) => {
      exit = { code, signal };
      settle();
    });
    worker.once('disconnect', settle);
  });
}
