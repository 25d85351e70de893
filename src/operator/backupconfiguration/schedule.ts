/** Times of a session's schedule. Pure. */
import { nextRun, parseSchedule } from '../../api/cron.ts';
import type { BackupConfigurationSessionScheduler } from '../../api/generated/types.ts';
import type { CronJob } from '../../kube/builtin.ts';

const SAMPLES = 10;
const SHORTEST_DEADLINE_SECONDS = 60;
const LONGEST_DEADLINE_SECONDS = 24 * 3600;

/**
 * How late a session may still start, in seconds, when its scheduler does not say: one period of the schedule, at most a day.
 *
 * A CronJob without this field never starts again after it has missed more than 100 runs (kube-controller-manager,
 * pkg/controller/cronjob/utils.go); with it, only the runs of one period are counted, so at most one.
 */
export function startingDeadlineSeconds(scheduler: BackupConfigurationSessionScheduler, now: Date): number {
  if (scheduler.startingDeadlineSeconds !== undefined) return scheduler.startingDeadlineSeconds;
  const period = shortestPeriod(scheduler, now) ?? LONGEST_DEADLINE_SECONDS;
  return Math.min(LONGEST_DEADLINE_SECONDS, Math.max(SHORTEST_DEADLINE_SECONDS, period));
}

/** The shortest time between two runs among the next ones, in seconds; undefined for a schedule that does not repeat. */
function shortestPeriod({ schedule, timeZone }: BackupConfigurationSessionScheduler, now: Date): number | undefined {
  const parsed = parseSchedule(schedule);
  if (parsed.kind === 'every') return parsed.milliseconds / 1000;
  // From a fixed time, so that the result does not change from one reconciliation to the next within a year.
  let run = nextRun(parsed, new Date(Date.UTC(now.getUTCFullYear(), 0, 1)), timeZone);
  let shortest: number | undefined;
  for (let sample = 0; sample < SAMPLES && run !== undefined; sample++) {
    const next = nextRun(parsed, run, timeZone);
    if (next === undefined) break;
    const gap = (next.getTime() - run.getTime()) / 1000;
    if (shortest === undefined || gap < shortest) shortest = gap;
    run = next;
  }
  return shortest;
}

/** When the session runs next. `@every` counts from the last run, as the CronJob controller does. */
export function nextScheduleTime(
  { schedule, timeZone }: BackupConfigurationSessionScheduler,
  cronJob: CronJob | undefined,
  now: Date,
): Date | undefined {
  const parsed = parseSchedule(schedule);
  if (parsed.kind === 'fields') return nextRun(parsed, now, timeZone);
  const base = cronJob?.status?.lastScheduleTime ?? cronJob?.metadata.creationTimestamp;
  if (base === undefined) return undefined;
  const since = Date.parse(base);
  const runs = Math.floor((now.getTime() - since) / parsed.milliseconds) + 1;
  return new Date(since + Math.max(1, runs) * parsed.milliseconds);
}
