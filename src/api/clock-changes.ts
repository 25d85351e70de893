import { firesAt, type Schedule } from './cron.ts';
import { zoneOffset } from './timezones.ts';

/** A time of a schedule that the clocks of its zone skip or show twice. */
export interface ClockChange {
  effect: 'skipped' | 'twice';
  /** The local time, as 2027-03-28 02:30. */
  time: string;
}

const MINUTE = 60_000;
const DAY = 86_400_000;
// No zone keeps an offset for less than three weeks.
const STEP = 14 * DAY;
const AHEAD = 366 * DAY;

/**
 * The first time within a year that a schedule names and that the clocks of its zone skip (it will not fire then) or show twice (it will
 * fire twice). Schedules that run every hour lose nothing that matters and are left out.
 */
export function nextClockChange(schedule: Schedule, timeZone: string, from: Date): ClockChange | undefined {
  if (schedule.kind === 'every' || schedule.everyHour) return undefined;
  const start = Math.floor(from.getTime() / MINUTE) * MINUTE;
  for (let time = start; time < start + AHEAD; time += STEP) {
    const before = zoneOffset(timeZone, time);
    const after = zoneOffset(timeZone, time + STEP);
    if (before === after) continue;
    const change = bisect(timeZone, time, time + STEP, before);
    // What the clocks would have shown: the gap that they jump over, or the stretch that they repeat.
    const [low, high] = after > before ? [before, after] : [after, before];
    for (let local = change + low; local < change + high; local += MINUTE) {
      if (!firesAt(schedule, local)) continue;
      const text = new Date(local).toISOString().slice(0, 16).replace('T', ' ');
      return { effect: after > before ? 'skipped' : 'twice', time: text };
    }
  }
  return undefined;
}

/** The first minute whose offset is no longer `before`. */
function bisect(timeZone: string, from: number, to: number, before: number): number {
  let [low, high] = [from, to];
  while (high - low > MINUTE) {
    const middle = low + Math.floor((high - low) / 2 / MINUTE) * MINUTE;
    if (zoneOffset(timeZone, middle) === before) low = middle;
    else high = middle;
  }
  return high;
}
