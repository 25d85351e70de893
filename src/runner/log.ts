import { pino } from 'pino';
import type { Redact } from '../restic/redact.ts';

/** The part of pino's logger that the runner calls. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/**
 * Lines of JSON on standard output, written at once: what is logged is there even when the process is killed right after.
 *
 * @param redact applied to every line as the last thing before it is written
 */
export function openLog(fields: Record<string, string>, redact: Redact, level = 'info'): Log {
  return pino(
    {
      level,
      base: fields,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: redact },
    },
    pino.destination({ dest: 1, sync: true }),
  );
}

/** How often work that goes on is logged, in milliseconds. */
export const LOG_PROGRESS_MS = 10_000;

/** Seconds since `start`, a `performance.now()`, with a tenth's precision. */
export function secondsSince(start: number): number {
  return Math.round((performance.now() - start) / 100) / 10;
}

/** Decimal megabytes a second, with a tenth's precision. */
export function megabytesPerSecond(bytes: number, seconds: number): number {
  return seconds <= 0 ? 0 : Math.round(bytes / seconds / 1e5) / 10;
}
