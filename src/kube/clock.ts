/**
 * Time, as everything here that waits sees it. One interface, so that a test moves hours in a millisecond.
 */

/** A timer that can be cancelled. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds that only ever go up; the origin means nothing. */
  now(): number;
  /** The time of day, for timestamps that others read and never for measuring. */
  date(): Date;
  after(milliseconds: number, run: () => void): Timer;
}

/** setTimeout fires at once when it is given more than this. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  after: (milliseconds, run) => {
    const timeout = setTimeout(run, Math.min(Math.max(0, milliseconds), LONGEST_TIMEOUT));
    return { cancel: () => clearTimeout(timeout) };
  },
};

/** Waits; rejects with the signal's reason as soon as it aborts. */
export function sleep(milliseconds: number, signal?: AbortSignal, clock: Clock = systemClock): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const abort = () => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(milliseconds, () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    });
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/** MicroTime of meta/v1: RFC 3339 with six digits, which Leases and Events demand. */
export function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}
