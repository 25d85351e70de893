import { parseDuration, parseRetentionPeriod } from '../durations.ts';
import { BackstayError } from '../errors.ts';
import type { Findings } from './findings.ts';

/** Refuses a duration that is shorter than makes sense; what is no duration at all its schema refuses. */
export function checkDuration(findings: Findings, text: string | undefined, field: string, atLeast = '1s'): void {
  const milliseconds = read(text, parseDuration);
  if (milliseconds !== undefined && milliseconds < parseDuration(atLeast)) {
    findings.refuse(field, 'FieldValueInvalid', `"${text}" is too short: it must be at least ${atLeast}`);
  }
}

/** Refuses a retention period of nothing. */
export function checkRetentionPeriod(findings: Findings, text: string | undefined, field: string): void {
  if (read(text, parseRetentionPeriod) === 0) {
    findings.refuse(field, 'FieldValueInvalid', `"${text}" is too short: it must be at least 1m`);
  }
}

function read(text: string | undefined, parse: (text: string) => number): number | undefined {
  try {
    return text === undefined ? undefined : parse(text);
  } catch (error) {
    if (error instanceof BackstayError) return undefined;
    throw error;
  }
}
