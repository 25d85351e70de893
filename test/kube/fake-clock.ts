import type { Clock } from '../../src/kube/clock.ts';

/** A clock that stands still until a test moves it. */
export interface FakeClock extends Clock {
  /** Moves both clocks, runs what falls due in its order, and lets promises settle after each timer. */
  advance(milliseconds: number): Promise<void>;
  /** Moves both clocks without running a timer: a process that was stopped. What fell due runs with the next `advance`. */
  freeze(milliseconds: number): void;
  /** Moves the time of day alone. */
  setBack(milliseconds: number): void;
  /** Milliseconds until each waiting timer fires, shortest first. */
  waits(): number[];
}

export function fakeClock(): FakeClock {
  let now = 0;
  let wall = Date.UTC(2026, 0, 1);
  let timers: { at: number; run: () => void }[] = [];
  const next = () =>
    timers.reduce<(typeof timers)[number] | undefined>((a, b) => (a && a.at <= b.at ? a : b), undefined);
  return {
    now: () => now,
    date: () => new Date(wall),
    after(milliseconds, run) {
      const timer = { at: now + Math.min(Math.max(0, milliseconds), 2 ** 31 - 1), run };
      timers.push(timer);
      return { cancel: () => (timers = timers.filter((each) => each !== timer)) };
    },
    async advance(milliseconds) {
      const until = now + milliseconds;
      await settle();
      for (let timer = next(); timer !== undefined && timer.at <= until; timer = next()) {
        const due = timer;
        timers = timers.filter((each) => each !== due);
        wall += Math.max(0, due.at - now);
        now = Math.max(now, due.at);
        due.run();
        await settle();
      }
      wall += until - now;
      now = until;
    },
    freeze(milliseconds) {
      now += milliseconds;
      wall += milliseconds;
    },
    setBack(milliseconds) {
      wall -= milliseconds;
    },
    waits: () => timers.map(({ at }) => at - now).sort((a, b) => a - b),
  };
}

/** Lets every promise that is ready run its course. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
