/**
 * The work queue between watches and workers, with the semantics of client-go's:
 *
 * - A key is in the queue at most once: ten changes of an object before a worker comes are one piece of work.
 * - A key is worked on by one worker at a time. If it is added again meanwhile, it is queued again as soon as that worker is done.
 * - `addLimited` adds after a wait that doubles with every call for the key until `forget`.
 * - `close` takes no more; workers finish what they have and then get `undefined`.
 */
import { exponential } from './backoff.ts';
import { TokenBucket } from './bucket.ts';
import { type Clock, systemClock, type Timer } from './clock.ts';
import { Deadline } from './deadline.ts';
import type { QueueMetrics } from './metrics.ts';

export interface WorkQueueOptions {
  /** The first wait of `addLimited`, in milliseconds. Default 5. */
  baseMs?: number | undefined;
  /** Its longest wait, in milliseconds. Default 5 minutes. */
  maxMs?: number | undefined;
  /** A limit over all keys together, so that a thousand failing ones do not retry at once. Default 10 a second, 100 at once. */
  qps?: number | undefined;
  burst?: number | undefined;
  clock?: Clock | undefined;
  metrics?: QueueMetrics | undefined;
}

interface Delayed {
  at: number;
  timer: Timer;
}

export class WorkQueue {
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #bucket: TokenBucket;
  readonly #clock: Clock;
  readonly #metrics: QueueMetrics | undefined;
  /** Waiting for a worker, with the time of the add; a Map keeps the order. */
  readonly #waiting = new Map<string, number>();
  /** With a worker, since when. */
  readonly #processing = new Map<string, number>();
  /** Added while with a worker, and when. */
  readonly #dirty = new Map<string, number>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #closed = false;
  #onIdle: (() => void)[] = [];

  constructor(options: WorkQueueOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#baseMs = options.baseMs ?? 5;
    this.#maxMs = options.maxMs ?? 300_000;
    this.#bucket = new TokenBucket(options.qps ?? 10, options.burst ?? 100, this.#clock);
    this.#metrics = options.metrics;
    this.#metrics?.watchUnfinished(() => [...this.#processing.values()].map((since) => this.#secondsSince(since)));
  }

  /** Keys that wait for a worker; delayed ones do not count. */
  get length(): number {
    return this.#waiting.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  add(key: string): void {
    if (this.#closed || this.#waiting.has(key) || this.#dirty.has(key)) return;
    this.#metrics?.added();
    if (this.#processing.has(key)) {
      this.#dirty.set(key, this.#clock.now());
      return;
    }
    this.#enqueue(key, this.#clock.now());
  }

  /** Adds after a wait. Of several waits for a key the one that ends first counts. */
  addAfter(key: string, milliseconds: number): void {
    if (this.#closed) return;
    if (milliseconds <= 0) {
      this.add(key);
      return;
    }
    const at = this.#clock.now() + milliseconds;
    const before = this.#delayed.get(key);
    if (before !== undefined && before.at <= at) return;
    before?.timer.cancel();
    const timer = this.#clock.after(milliseconds, () => {
      const remaining = at - this.#clock.now();
      this.#delayed.delete(key);
      // A timer counts to 24.8 days at most; a longer wait takes several.
      if (remaining > 1) this.addAfter(key, remaining);
      else this.add(key);
    });
    this.#delayed.set(key, { at, timer });
  }

  /** Adds after the back-off of the key. */
  addLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#metrics?.retried();
    const own = exponential(failures, { baseMs: this.#baseMs, maxMs: this.#maxMs });
    this.addAfter(key, Math.max(own, this.#bucket.reserve()));
  }

  /** The work on the key succeeded, or is given up: its next back-off is a first one. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** How often `addLimited` was called for the key since it was last forgotten. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, when there is one; undefined once the queue is closed and empty. Every key taken must be given to `done`. */
  take(): Promise<string | undefined> {
    const [next] = this.#waiting;
    if (next !== undefined) {
      this.#start(...next);
      return Promise.resolve(next[0]);
    }
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  /** The worker is finished with the key, however it went. */
  done(key: string): void {
    const since = this.#processing.get(key);
    if (since === undefined) return;
    this.#processing.delete(key);
    this.#metrics?.finished(this.#secondsSince(since));
    const addedAt = this.#dirty.get(key);
    this.#dirty.delete(key);
    if (addedAt !== undefined) this.#enqueue(key, addedAt);
    this.#checkIdle();
  }

  /** Takes no more, drops what waits, and wakes the workers with `undefined`. What is being worked on goes on. */
  close(): void {
    this.#closed = true;
    for (const { timer } of this.#delayed.values()) timer.cancel();
    this.#delayed.clear();
    this.#waiting.clear();
    this.#dirty.clear();
    this.#metrics?.depth(0);
    for (const take of this.#takers.splice(0)) take(undefined);
  }

  /** Closes and waits for the workers, at most this long. True if all of them finished. */
  async drain(milliseconds: number): Promise<boolean> {
    this.close();
    if (this.#processing.size === 0) return true;
    using deadline = new Deadline(
      milliseconds,
      () => new Error('The queue was not drained in time'),
      undefined,
      this.#clock,
    );
    return await new Promise<boolean>((resolve) => {
      this.#onIdle.push(() => resolve(true));
      deadline.signal.addEventListener('abort', () => resolve(false), { once: true });
    });
  }

  #enqueue(key: string, addedAt: number): void {
    const taker = this.#takers.shift();
    if (taker === undefined) {
      this.#waiting.set(key, addedAt);
      this.#metrics?.depth(this.#waiting.size);
      return;
    }
    this.#start(key, addedAt);
    taker(key);
  }

  #start(key: string, addedAt: number): void {
    this.#waiting.delete(key);
    this.#processing.set(key, this.#clock.now());
    this.#metrics?.depth(this.#waiting.size);
    this.#metrics?.started(this.#secondsSince(addedAt));
  }

  #checkIdle(): void {
    if (this.#processing.size > 0) return;
    for (const idle of this.#onIdle.splice(0)) idle();
  }

  #secondsSince(moment: number): number {
    return (this.#clock.now() - moment) / 1000;
  }
}
