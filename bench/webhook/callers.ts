import { type Percentiles, percentiles } from './percentiles.ts';

/** What callers saw who ask again as soon as they have an answer. */
export interface Load extends Percentiles {
  callers: number;
  perSecond: number;
  failed: number;
}

/** Lets so many callers ask for some milliseconds; times are in milliseconds. */
export async function load(callers: number, milliseconds: number, ask: () => Promise<void>): Promise<Load> {
  const times: number[] = [];
  let failed = 0;
  const started = performance.now();
  const end = started + milliseconds;
  const caller = async (): Promise<void> => {
    for (let from = performance.now(); from < end; from = performance.now()) {
      try {
        await ask();
        times.push(performance.now() - from);
      } catch {
        failed += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const seconds = (performance.now() - started) / 1000;
  return { callers, ...percentiles(times), perSecond: times.length / seconds, failed };
}
