import { BackstayError } from '../../api/errors.ts';
import type { Duty, Word } from './duty.ts';

/** Tells a process by its environment that it is the worker of a watchdog, which is its parent. */
export const WORKER_VARIABLE = 'BACKSTAY_WATCHDOG';

/** The worker's end of the line to its watchdog. */
export interface Guard {
  /** Resolves when the watchdog will learn of it even if this process is killed at once. */
  taken(key: string, duty: Duty): Promise<void>;
  given(key: string): void;
}

/** For work that nobody watches, such as a test that calls it in its own process. */
export const UNGUARDED: Guard = { taken: () => Promise.resolve(), given: () => {} };

/** Whether this process is the worker of a watchdog. */
export function isWorker(): boolean {
  return process.env[WORKER_VARIABLE] !== undefined && process.send !== undefined;
}

/**
 * The line to the watchdog, and nothing where there is none. A watchdog that dies ends this process in order, as SIGTERM does: what is
 * held must not depend on this process alone.
 */
export function guardOf(): Guard {
  if (!isWorker()) return UNGUARDED;
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel?.unref();
  return {
    taken: (key, duty) => say({ said: 'taken', key, duty }),
    given: (key) => {
      // The watchdog would find nothing to release, so that it may go unheard.
      say({ said: 'given', key }).catch(() => {});
    },
  };
}

/** What has been written to the pipe is read also after the death of its writer. */
function say(word: Word): Promise<void> {
  return new Promise((resolve, reject) => {
    if (process.send === undefined || !process.connected) {
      reject(new BackstayError('WatchdogGone', 'the process that watches over this one was killed'));
      return;
    }
    process.send(word, undefined, undefined, (error) => (error === null ? resolve() : reject(error)));
  });
}
