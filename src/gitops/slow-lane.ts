import type { Outcome } from './status.ts';

/** A failure that took this long kept a worker from others, whatever it was. In milliseconds. */
const LONG_MS = 5000;

/**
 * Keeps servers that do not answer from holding all workers: PolicySyncs that used up their time the last time share half of the workers,
 * and whoever follows another server finds the rest free.
 */
export class SlowLane {
  readonly #places: number;
  readonly #slow = new Set<string>();
  #taken = 0;

  /** @param workers of the controller */
  constructor(workers: number) {
    this.#places = Math.max(1, Math.floor(workers / 2));
  }

  /** Room for a reconciliation until it is disposed of; undefined when the key is a slow one and others like it are at it. */
  enter(key: string): Disposable | undefined {
    if (!this.#slow.has(key)) return { [Symbol.dispose]: () => {} };
    if (this.#taken >= this.#places) return undefined;
    this.#taken += 1;
    let isOver = false;
    return {
      [Symbol.dispose]: () => {
        if (!isOver) this.#taken -= 1;
        isOver = true;
      },
    };
  }

  /** @param tookMs how long it took, in milliseconds */
  ended(key: string, outcome: Outcome, tookMs: number): void {
    if (outcome.kind === 'failed' && (outcome.code === 'TimedOut' || tookMs >= LONG_MS)) this.#slow.add(key);
    else this.#slow.delete(key);
  }

  forget(key: string): void {
    this.#slow.delete(key);
  }
}
