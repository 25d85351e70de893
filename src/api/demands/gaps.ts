/**
 * The longest time that several schedules leave between two runs. CEL cannot say this: it knows neither cron nor time zones.
 *
 * Time is measured on the clocks of the later run's zone: in the night in which they are set back a daily run comes 25 hours after the last,
 * and is daily all the same. A run that the clocks skip when they are set forward is missing, and counts as such.
 */
import { nextRun, parseSchedule, type Schedule } from '../cron.ts';
import { BackstayError } from '../errors.ts';
import { timeZoneProblem, zoneOffset } from '../timezones.ts';

/** A schedule as a session has it. */
export interface Scheduler {
  readonly schedule?: string | undefined;
  readonly timeZone?: string | undefined;
}

/** A time without a run; without an end there is none for years. */
export interface Gap {
  from: Date;
  to: Date | undefined;
}

interface Run {
  time: number;
  zone: string;
}

const SECOND = 1000;
const DAY = 86_400_000;
const WEEK = 7 * DAY;
// Both changes of the clocks and every month are in it.
const HORIZON = 400 * DAY;
const REMEMBERED = 1000;

const known = new Map<string, Gap | undefined>();

/**
 * The first gap that is longer than `limit` milliseconds within the 400 days from the beginning of this week; undefined when there is none.
 * What cannot be read is left out: other rules refuse it.
 */
export function longGap(schedulers: readonly Scheduler[], limit: number, now: Date): Gap | undefined {
  const begin = Math.floor(now.getTime() / WEEK) * WEEK;
  const pairs = schedulers.map(({ schedule = '', timeZone = 'UTC' }) => [schedule, timeZone] as const);
  const key = JSON.stringify([begin, limit, pairs]);
  if (!known.has(key)) {
    if (known.size >= REMEMBERED) known.clear();
    const readable = pairs.flatMap(([text, zone]) => {
      const schedule = read(text, zone);
      return schedule === undefined ? [] : [{ schedule, zone }];
    });
    known.set(key, gapOf(readable, limit, begin));
  }
  return known.get(key);
}

function read(text: string, zone: string): Schedule | undefined {
  if (timeZoneProblem(zone) !== undefined) return undefined;
  try {
    return parseSchedule(text);
  } catch (error) {
    if (error instanceof BackstayError) return undefined;
    throw error;
  }
}

interface Zoned {
  schedule: Schedule;
  zone: string;
}

function gapOf(all: readonly Zoned[], limit: number, begin: number): Gap | undefined {
  const intervals = all.flatMap(({ schedule }) => (schedule.kind === 'every' ? [schedule.milliseconds] : []));
  if (intervals.some((interval) => interval <= limit)) return undefined;
  // When a longer interval begins depends on when its CronJob is made: it fills no gap for certain.
  const timed = all.filter(({ schedule }) => schedule.kind === 'fields');
  if (timed.length > 0) return search(timed, limit, begin);
  // Where nothing can be read, the rules of the kind say so.
  return intervals.length === 0 ? undefined : { from: new Date(begin), to: new Date(begin + Math.min(...intervals)) };
}

/**
 * Goes from run to run, in the longest strides that can hide no gap: a run that is found half the limit or more from the last, and not beyond
 * the limit, leaves no room for one between them. So a schedule of every minute costs no more than one of every few hours.
 */
function search(all: readonly Zoned[], limit: number, begin: number): Gap | undefined {
  let last = next(all, begin - SECOND);
  if (last === undefined || last.time - begin > limit) return { from: new Date(begin), to: asDate(last) };
  while (last.time < begin + HORIZON) {
    const middle: number = last.time + Math.floor(limit / 2);
    const found: Run | undefined = next(all, middle - SECOND);
    if (found !== undefined && elapsed(last, found) <= limit) {
      last = found;
      continue;
    }
    const before = lastBefore(all, last, middle);
    if (found === undefined || elapsed(before, found) > limit)
      return { from: new Date(before.time), to: asDate(found) };
    last = found;
  }
  return undefined;
}

/** The last run before a moment, looked for by halves: a moment after it has the same next run. */
function lastBefore(all: readonly Zoned[], first: Run, moment: number): Run {
  let best = first;
  let end = moment;
  while (end - best.time > SECOND) {
    const half = best.time + Math.floor((end - best.time) / 2 / SECOND) * SECOND;
    const found = next(all, half);
    if (found !== undefined && found.time < moment) best = found;
    else end = half;
    if (end <= best.time) break;
  }
  return best;
}

function next(all: readonly Zoned[], after: number): Run | undefined {
  let first: Run | undefined;
  for (const { schedule, zone } of all) {
    const time = nextRun(schedule, new Date(after), zone)?.getTime();
    if (time !== undefined && (first === undefined || time < first.time)) first = { time, zone };
  }
  return first;
}

/** From one run to another, without the hour by which the clocks were set back in between. */
function elapsed(from: Run, to: Run): number {
  const back = zoneOffset(to.zone, from.time) - zoneOffset(to.zone, to.time);
  return to.time - from.time - Math.max(0, back);
}

function asDate(run: Run | undefined): Date | undefined {
  return run === undefined ? undefined : new Date(run.time);
}
