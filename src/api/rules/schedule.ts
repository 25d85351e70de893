import { nextClockChange } from '../clock-changes.ts';
import { nextRun, parseSchedule, type Schedule } from '../cron.ts';
import { BackstayError } from '../errors.ts';
import { timeZoneProblem } from '../timezones.ts';
import type { Findings } from './findings.ts';

// How far the fields of a schedule reach: a larger step fires at the first value only.
const RANGES = [60, 24, 31, 12, 7];

/** Judges a schedule and its time zone as the CronJob that is made of them would be judged, and what its author may not have meant. */
export function checkSchedule(
  findings: Findings,
  scheduler: { readonly schedule?: string | undefined; readonly timeZone?: string | undefined },
  path: string,
  now: Date,
): void {
  const { schedule: text, timeZone } = scheduler;
  const zoneProblem = timeZone === undefined ? undefined : timeZoneProblem(timeZone);
  if (zoneProblem !== undefined) findings.refuse(`${path}.timeZone`, 'FieldValueInvalid', zoneProblem);
  if (text === undefined) return;
  const field = `${path}.schedule`;
  const schedule = parse(findings, field, text);
  if (schedule === undefined || zoneProblem !== undefined) return;
  if (nextRun(schedule, now, timeZone) === undefined) {
    findings.refuse(field, 'FieldValueInvalid', `"${text}" names no time within the next five years`);
    return;
  }
  if (schedule.kind === 'every') {
    if (timeZone !== undefined) findings.warn(`${path}.timeZone has no effect on "${text}"`);
    return;
  }
  warnAboutSteps(findings, field, text);
  const change = nextClockChange(schedule, timeZone ?? 'UTC', now);
  if (change === undefined) return;
  const effect = change.effect === 'skipped' ? 'does not come' : 'comes twice';
  findings.warn(`${field}: ${change.time} ${effect} in ${timeZone}, because the clocks change`);
}

function parse(findings: Findings, field: string, text: string): Schedule | undefined {
  try {
    return parseSchedule(text);
  } catch (error) {
    if (!(error instanceof BackstayError)) throw error;
    findings.refuse(field, 'FieldValueInvalid', `${error.message}; ${error.remedy}`);
    return undefined;
  }
}

function warnAboutSteps(findings: Findings, field: string, text: string): void {
  const fields = text.trim().split(/\s+/);
  for (const [index, part] of fields.entries()) {
    const step = /\/(\d+)/.exec(part)?.[1];
    const range = RANGES[index] ?? Number.POSITIVE_INFINITY;
    if (step !== undefined && Number(step) >= range) findings.warn(`${field}: "${part}" fires at its first value only`);
  }
}
