import { nextRun, parseSchedule, type Schedule } from '../api/cron.ts';
import { BackstayError } from '../api/errors.ts';
import type { BackupConfiguration } from '../api/generated/types.ts';
import { zoneOffset } from '../api/timezones.ts';
import { objectLabel } from '../gitops/read/objects.ts';

/** When a session of a BackupConfiguration would next be started. */
export interface UpcomingRuns {
  object: string;
  session: string;
  schedule: string;
  timeZone: string;
  /** Whether it would not be started at all, for now. */
  paused: boolean;
  /** Set for @every: its times are counted from when the schedule is made, and so these ones from now. */
  fromNow?: true;
  next: {
    /** RFC 3339, in UTC. */
    time: string;
    /** What the clocks of the time zone show, and how far they are ahead of UTC: `Fri 2026-11-27 03:00 +01:00`. */
    local: string;
  }[];
}

const SHOWN_RUNS = 3;
const MINUTE_MS = 60_000;
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** The next three runs of each session that has a schedule. One that cannot be read is left out: admission speaks of it. */
export function upcomingRuns(configuration: BackupConfiguration, now: Date): UpcomingRuns[] {
  const { spec } = configuration;
  return spec.sessions.flatMap(({ name, scheduler }) => {
    const schedule = scheduler === undefined ? undefined : read(scheduler.schedule);
    if (schedule === undefined) return [];
    const { timeZone = 'UTC' } = scheduler;
    return {
      object: objectLabel(configuration),
      session: name,
      schedule: scheduler.schedule,
      timeZone,
      paused: spec.paused === true || scheduler.suspend === true,
      ...(schedule.kind === 'every' ? { fromNow: true as const } : {}),
      next: runsOf(schedule, timeZone, now).map((time) => ({
        time: time.toISOString().replace('.000Z', 'Z'),
        local: localTime(time.getTime(), timeZone),
      })),
    };
  });
}

function read(text: string): Schedule | undefined {
  try {
    return parseSchedule(text);
  } catch (error) {
    if (error instanceof BackstayError) return undefined;
    throw error;
  }
}

function runsOf(schedule: Schedule, timeZone: string, now: Date): Date[] {
  const runs: Date[] = [];
  for (let after = now; runs.length < SHOWN_RUNS; ) {
    const next = nextRun(schedule, after, timeZone);
    if (next === undefined) break;
    runs.push(next);
    after = next;
  }
  return runs;
}

function localTime(time: number, timeZone: string): string {
  const offset = zoneOffset(timeZone, time);
  const clock = new Date(time + offset);
  const iso = clock.toISOString();
  // Only @every comes at seconds.
  const seconds = iso.slice(16, 19) === ':00' ? '' : iso.slice(16, 19);
  const minutes = Math.round(Math.abs(offset) / MINUTE_MS);
  const two = (number: number): string => String(number).padStart(2, '0');
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
  return `${DAYS[clock.getUTCDay()]} ${iso.slice(0, 10)} ${iso.slice(11, 16)}${seconds} ${zone}`;
}
