import { BackstayError } from './errors.ts';

// The units that schemas/ allows: those of Go durations that matter here, and longer ones for retention.
const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const DAY = 86_400_000;
const PERIOD_UNITS: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: DAY,
  w: 7 * DAY,
  mo: 30 * DAY,
  y: 365 * DAY,
};
const DURATION = /^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$/;
const PERIOD = /^([0-9]+(y|mo|w|d|h|m))+$/;

/**
 * A duration such as 90s or 1h30m in milliseconds.
 *
 * @throws BackstayError InvalidDuration
 */
export function parseDuration(text: string): number {
  if (!DURATION.test(text)) throw invalid(text, 'a duration', 'write numbers with h, m, s or ms, such as 1h30m');
  return sum(text, /([0-9.]+)(ms|s|m|h)/g, DURATION_UNITS);
}

/**
 * A retention period such as 30d or 1y6mo in milliseconds: a month is 30 days, a year 365.
 *
 * @throws BackstayError InvalidDuration
 */
export function parseRetentionPeriod(text: string): number {
  if (!PERIOD.test(text)) throw invalid(text, 'a period', 'write whole numbers with y, mo, w, d, h or m, such as 30d');
  return sum(text, /([0-9]+)(y|mo|w|d|h|m)/g, PERIOD_UNITS);
}

/** Milliseconds as text that parseDuration reads back: 5400000 is 1h30m. */
export function formatDuration(milliseconds: number): string {
  let rest = Math.round(milliseconds);
  let text = '';
  for (const unit of ['h', 'm', 's', 'ms']) {
    const size = DURATION_UNITS[unit] ?? 1;
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text === '' ? '0s' : text;
}

function sum(text: string, part: RegExp, units: Readonly<Record<string, number>>): number {
  let total = 0;
  for (const [, count = '', unit = ''] of text.matchAll(part)) total += Number(count) * (units[unit] ?? 0);
  return total;
}

function invalid(text: string, what: string, remedy: string): BackstayError {
  return new BackstayError('InvalidDuration', `"${text}" is not ${what}`, { remedy });
}
