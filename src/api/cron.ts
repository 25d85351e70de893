import { BackstayError } from './errors.ts';
import { zoneOffset } from './timezones.ts';

/**
 * A schedule as a CronJob reads it: ParseStandard of robfig/cron v3.0.1, which Kubernetes calls, with what CronJob validation forbids
 * besides. Fields are bit masks; bit 63 says that the field was written with a star.
 */
export type Schedule =
  | { readonly kind: 'every'; readonly milliseconds: number }
  | {
      readonly kind: 'fields';
      /** Whether the hour was written with a star. */
      readonly everyHour: boolean;
      readonly minute: bigint;
      readonly hour: bigint;
      readonly dayOfMonth: bigint;
      readonly month: bigint;
      readonly dayOfWeek: bigint;
    };

interface Bounds {
  readonly field: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

const STAR = 1n << 63n;
const MINUTE: Bounds = { field: 'minute', min: 0, max: 59 };
const HOUR: Bounds = { field: 'hour', min: 0, max: 23 };
const DAY_OF_MONTH: Bounds = { field: 'day of the month', min: 1, max: 31 };
const MONTHS = ['', 'jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const MONTH: Bounds = { field: 'month', min: 1, max: 12, names: MONTHS };
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const DAY_OF_WEEK: Bounds = { field: 'day of the week', min: 0, max: 6, names: DAYS };
const DESCRIPTORS: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
/** robfig gives up after the fifth year; 29 February comes within that until 2096. */
const YEARS_AHEAD = 5;

/**
 * Reads a schedule.
 *
 * @throws BackstayError InvalidSchedule saying which field is wrong and what it may be
 */
export function parseSchedule(text: string): Schedule {
  if (text.includes('TZ')) throw invalid(text, 'a time zone belongs in the field timeZone');
  if (text.startsWith('@')) return parseDescriptor(text);
  // unicode.IsSpace of Go: JavaScript's \s but for U+FEFF, and U+0085.
  const fields = text
    .split(/[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u)
    .filter(Boolean);
  const [minute, hour, dayOfMonth, month, dayOfWeek] = fields;
  if (
    fields.length !== 5 ||
    minute === undefined ||
    hour === undefined ||
    dayOfMonth === undefined ||
    month === undefined ||
    dayOfWeek === undefined
  ) {
    const wanted = 'five fields are required: minute, hour, day of the month, month, day of the week';
    throw invalid(text, `${wanted}; it has ${fields.length}`);
  }
  const hours = parseField(hour, HOUR, text);
  return {
    kind: 'fields',
    everyHour: (hours & STAR) !== 0n,
    minute: parseField(minute, MINUTE, text),
    hour: hours,
    dayOfMonth: parseField(dayOfMonth, DAY_OF_MONTH, text),
    month: parseField(month, MONTH, text),
    dayOfWeek: parseField(dayOfWeek, DAY_OF_WEEK, text),
  };
}

/**
 * The first firing after a moment, or undefined when there is none within five years. Around a change of the clocks it does what
 * robfig/cron does: a time that the clocks skip does not fire on that day, one that comes twice fires twice.
 */
export function nextRun(schedule: Schedule, after: Date, timeZone = 'UTC'): Date | undefined {
  const second = Math.floor(after.getTime() / SECOND_MS) * SECOND_MS;
  if (schedule.kind === 'every') return new Date(second + schedule.milliseconds);
  let time = second + SECOND_MS;
  const yearLimit = wall(time, timeZone).year + YEARS_AHEAD;
  let floored = false;
  const floor = (to: (now: Wall) => number): void => {
    if (!floored) time = to(wall(time, timeZone));
    floored = true;
  };
  for (;;) {
    if (wall(time, timeZone).year > yearLimit) return undefined;
    if (!skip(() => !has(schedule.month, wall(time, timeZone).month), nextMonth)) continue;
    if (!skip(() => !dayMatches(schedule, wall(time, timeZone)), nextDay)) continue;
    if (!skip(() => !has(schedule.hour, wall(time, timeZone).hour), nextHour)) continue;
    if (!skip(() => !has(schedule.minute, wall(time, timeZone).minute), nextMinute)) continue;
    if (time % MINUTE_MS === 0) return new Date(time);
    time = Math.ceil(time / MINUTE_MS) * MINUTE_MS;
    floored = true;
  }

  /** Steps on while `unwanted`; false when a larger unit began, so that everything must be looked at again. */
  function skip(unwanted: () => boolean, step: () => boolean): boolean {
    while (unwanted()) if (step()) return false;
    return true;
  }
  function nextMonth(): boolean {
    floor(({ year, month }) => fromWall({ year, month, day: 1, hour: 0, minute: 0, second: 0 }, timeZone));
    const now = wall(time, timeZone);
    time = fromWall({ ...now, month: now.month + 1 }, timeZone);
    return wall(time, timeZone).month === 1;
  }
  function nextDay(): boolean {
    floor(({ year, month, day }) => fromWall({ year, month, day, hour: 0, minute: 0, second: 0 }, timeZone));
    const now = wall(time, timeZone);
    time = fromWall({ ...now, day: now.day + 1 }, timeZone);
    // Where the clocks change at midnight the day begins at 23 or 1.
    const { hour } = wall(time, timeZone);
    if (hour !== 0) time += (hour > 12 ? 24 - hour : -hour) * HOUR_MS;
    return wall(time, timeZone).day === 1;
  }
  function nextHour(): boolean {
    floor((now) => fromWall({ ...now, minute: 0, second: 0 }, timeZone));
    time += HOUR_MS;
    return wall(time, timeZone).hour === 0;
  }
  function nextMinute(): boolean {
    floor(() => Math.floor(time / MINUTE_MS) * MINUTE_MS);
    time += MINUTE_MS;
    return wall(time, timeZone).minute === 0;
  }
}

/** Whether a schedule names the minute that the clocks show; `local` is their reading as if it were UTC, in milliseconds. */
export function firesAt(schedule: Extract<Schedule, { kind: 'fields' }>, local: number): boolean {
  const now = wall(local, 'UTC');
  const inDay = has(schedule.month, now.month) && dayMatches(schedule, now);
  return inDay && has(schedule.hour, now.hour) && has(schedule.minute, now.minute);
}

/** What the clocks of a zone show; months from 1, days of the week from Sunday. */
interface Wall {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

function wall(time: number, timeZone: string): Wall & { weekday: number } {
  const local = new Date(time + zoneOffset(timeZone, time));
  return {
    year: local.getUTCFullYear(),
    month: local.getUTCMonth() + 1,
    day: local.getUTCDate(),
    hour: local.getUTCHours(),
    minute: local.getUTCMinutes(),
    second: local.getUTCSeconds(),
    weekday: local.getUTCDay(),
  };
}

/** The moment when the clocks show this, as time.Date of Go chooses it: with the offset that holds just before or after a gap. */
function fromWall({ year, month, day, hour, minute, second }: Wall, timeZone: string): number {
  const local = Date.UTC(year, month - 1, day, hour, minute, second);
  return local - zoneOffset(timeZone, local - zoneOffset(timeZone, local));
}

function dayMatches(schedule: Extract<Schedule, { kind: 'fields' }>, now: { day: number; weekday: number }): boolean {
  const inMonth = has(schedule.dayOfMonth, now.day);
  const inWeek = has(schedule.dayOfWeek, now.weekday);
  const both = (schedule.dayOfMonth & STAR) !== 0n || (schedule.dayOfWeek & STAR) !== 0n;
  return both ? inMonth && inWeek : inMonth || inWeek;
}

function has(mask: bigint, bit: number): boolean {
  return (mask & (1n << BigInt(bit))) !== 0n;
}

function parseDescriptor(text: string): Schedule {
  const fields = DESCRIPTORS[text];
  if (fields !== undefined) return parseSchedule(fields);
  if (!text.startsWith('@every ')) {
    const known = Object.keys(DESCRIPTORS).join(', ');
    throw invalid(text, `"${text}" is none of ${known}, @every <duration>`);
  }
  const milliseconds = goDuration(text.slice('@every '.length));
  if (milliseconds === undefined) throw invalid(text, 'write a duration after @every, such as @every 6h');
  return { kind: 'every', milliseconds: Math.max(Math.floor(milliseconds / SECOND_MS), 1) * SECOND_MS };
}

/** Milliseconds of a duration as time.ParseDuration of Go reads it. */
function goDuration(text: string): number | undefined {
  const units: Readonly<Record<string, number>> = {
    ns: 1e-6,
    us: 1e-3,
    µs: 1e-3,
    μs: 1e-3,
    ms: 1,
    s: SECOND_MS,
    m: MINUTE_MS,
    h: HOUR_MS,
  };
  if (/^[+-]?0$/.test(text)) return 0;
  if (!/^[+-]?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, count = '', unit = ''] of text.matchAll(/([\d.]+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    total += Number(count) * (units[unit] ?? 0);
  }
  // A duration of Go holds at most 2^63 nanoseconds.
  if (total >= 2 ** 63 / 1e6) return undefined;
  return text.startsWith('-') ? -total : total;
}

function parseField(field: string, bounds: Bounds, text: string): bigint {
  let mask = 0n;
  for (const range of field.split(',').filter(Boolean)) mask |= parseRange(range, bounds, text);
  return mask;
}

function parseRange(range: string, bounds: Bounds, text: string): bigint {
  const { field, min, max } = bounds;
  const where = `${field} "${range}"`;
  const [span = '', stepText, ...moreSteps] = range.split('/');
  const [lowText = '', highText, ...moreHyphens] = span.split('-');
  let low = min;
  let high = max;
  let star = 0n;
  if (lowText === '*' || lowText === '?') {
    star = STAR;
  } else {
    if (moreHyphens.length > 0) throw invalid(text, `${where} has too many hyphens`);
    low = parseNumber(lowText, bounds, text);
    high = highText === undefined ? low : parseNumber(highText, bounds, text);
  }
  let step = 1;
  if (moreSteps.length > 0) throw invalid(text, `${where} has too many slashes`);
  if (stepText !== undefined) {
    step = parseNumber(stepText, { field, min, max }, text);
    if (highText === undefined) high = max;
    if (step > 1) star = 0n;
  }
  if (low < min || high > max) throw invalid(text, `${where} must lie between ${min} and ${max}`);
  if (low > high) throw invalid(text, `${where} begins after its end`);
  if (step === 0) throw invalid(text, `the step of ${where} must be 1 or more`);
  let mask = star;
  for (let bit = low; bit <= high; bit += step) mask |= 1n << BigInt(bit);
  return mask;
}

function parseNumber(text: string, { field, names }: Bounds, whole: string): number {
  const named = names?.indexOf(text.toLowerCase()) ?? -1;
  if (named >= 0 && text !== '') return named;
  // strconv.Atoi takes a sign and fails beyond 64 bits.
  if (!/^\+?\d+$/.test(text) || BigInt(text.replace('+', '')) >= 1n << 63n) {
    const words = names === undefined ? '' : ` or a name such as ${names[1]}`;
    throw invalid(whole, `"${text}" in the field ${field} is not a number${words}`);
  }
  return Number(text);
}

function invalid(text: string, why: string): BackstayError {
  const remedy = 'write it as a CronJob reads it, such as "0 3 * * *" or "@daily"';
  return new BackstayError('InvalidSchedule', text === '' ? 'the schedule is empty' : why, { remedy });
}
