/**
 * A signal with a deadline that cleans up after itself.
 *
 * `AbortSignal.any` and `AbortSignal.timeout` would do, but they stay attached to a long-lived parent until they are collected, use the
 * real clock only, and their timers cannot be moved. A watch that lives for weeks makes thousands of them.
 */
import { type Clock, systemClock, type Timer } from './clock.ts';

export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #parent: AbortSignal | undefined;
  readonly #reason: () => Error;
  readonly #milliseconds: number;
  readonly #follow = () => this.#controller.abort(this.#parent?.reason);
  #timer: Timer | undefined;
  #expired = false;

  /** Aborts after `milliseconds` with the error that `reason` makes, or together with `parent` and with its reason. */
  constructor(milliseconds: number, reason: () => Error, parent?: AbortSignal, clock: Clock = systemClock) {
    this.#milliseconds = milliseconds;
    this.#reason = reason;
    this.#parent = parent;
    this.#clock = clock;
    if (parent?.aborted) this.#follow();
    else {
      parent?.addEventListener('abort', this.#follow, { once: true });
      this.extend();
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** True if the time ran out, false if the parent was aborted or nothing happened yet. */
  get expired(): boolean {
    return this.#expired;
  }

  /** Starts the time anew: an inactivity timer extends with every sign of life. */
  extend(): void {
    this.extendFrom(this.#clock.now());
  }

  /** Starts the time as if at `moment` of the clock. */
  extendFrom(moment: number): void {
    if (this.#controller.signal.aborted) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(moment + this.#milliseconds - this.#clock.now(), () => this.expire());
  }

  /** Aborts now, as if the time had run out. */
  expire(): void {
    if (this.#controller.signal.aborted) return;
    this.#timer?.cancel();
    this.#expired = true;
    this.#controller.abort(this.#reason());
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
    this.#parent?.removeEventListener('abort', this.#follow);
  }
}
