/**
 * Growing waits between attempts.
 */

export interface BackoffOptions {
  /** The first wait, in milliseconds. */
  baseMs: number;
  /** No wait is longer. */
  maxMs: number;
  /** A number from 0 up to 1; Math.random unless a test wants to know. */
  random?: () => number;
}

/** `base * 2^attempt`, capped; attempt 0 is the first. */
export function exponential(attempt: number, { baseMs, maxMs }: BackoffOptions): number {
  // 2 ** 1024 is Infinity, which the minimum turns back into a number.
  return Math.min(maxMs, baseMs * 2 ** attempt);
}

/**
 * Waits with full jitter: anything between zero and the exponential step, so that many clients that lost the same server do not come back
 * together (AWS Architecture Blog, "Exponential Backoff And Jitter").
 */
export class Backoff {
  readonly #options: BackoffOptions;
  #attempt = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** The next wait in milliseconds; never shorter than `atLeastMs`, which is what a server's Retry-After asks for. */
  next(atLeastMs = 0): number {
    const step = exponential(this.#attempt++, this.#options);
    // Jitter on top of Retry-After too: the server told everybody the same number.
    return atLeastMs + step * (this.#options.random ?? Math.random)();
  }

  /** How many waits were handed out since the last success. */
  get attempts(): number {
    return this.#attempt;
  }

  /** After a success: the next wait is a first one again. */
  reset(): void {
    this.#attempt = 0;
  }
}
