import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The children of a process. */
export function workersOf({ pid }: ChildProcess): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

/** The process that a watchdog watches over: its only child. */
export function workerOf(watchdog: ChildProcess): number {
  const [worker] = workersOf(watchdog);
  if (worker === undefined) throw new Error(`process ${watchdog.pid} has no child`);
  return worker;
}

/** Kills watchdog and worker in one moment, as the end of their container does. */
export function killBoth(watchdog: ChildProcess): void {
  const worker = workerOf(watchdog);
  process.kill(worker, 'SIGKILL');
  watchdog.kill('SIGKILL');
}
