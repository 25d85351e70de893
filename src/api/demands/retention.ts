import { parseRetentionPeriod } from '../durations.ts';
import { BackstayError } from '../errors.ts';
import type { BackupPolicyRule, RetentionPolicy } from '../generated/types.ts';
import type { Draft } from '../rules/rule.ts';
import type { Check } from './check.ts';

type Demands = BackupPolicyRule['spec']['demands'];
type Policy = Draft<RetentionPolicy>;

const MINUTE = 60_000;
/** How many hours the history of each count reaches back by one; the newest N say nothing of time. */
const HOURS = { hourly: 1, daily: 24, weekly: 168, monthly: 720, yearly: 8760 } as const;
const COUNTS = Object.keys(HOURS) as (keyof typeof HOURS)[];
/** Minutes of a unit by the end of the number that it follows; mo before what ends in o. */
const UNITS = { mo: 43_200, y: 525_600, w: 10_080, d: 1440, h: 60 } as const;

/** What demands ask of a RetentionPolicy. */
export function retentionChecks({ minRetention }: Demands): Check<Policy>[] {
  const minutes = minutesOf(minRetention);
  if (minRetention === undefined || minutes === undefined) return [];
  const sentence = `demands Snapshots of ${minRetention} at least, and they are kept no longer than by`;
  return [
    {
      demand: 'minRetention',
      field: 'spec.maxRetentionPeriod',
      sentence,
      find: ({ spec }) => {
        const period = spec?.maxRetentionPeriod;
        return (minutesOf(period) ?? Number.POSITIVE_INFINITY) < minutes ? [period ?? ''] : [];
      },
      cel: (self) => {
        const period = `${self}.spec.maxRetentionPeriod`;
        const unit = Object.entries(UNITS).map(([end, size]) => `p.endsWith("${end}") ? ${size}.0 : `);
        const sum = `${period}.findAll("[0-9]+(mo|[ywdhm])").map(p, double(p.find("[0-9]+")) * (${unit.join('')}1.0)).sum()`;
        return `has(${period}) && ${sum} < ${minutes}.0 ? [${period}] : []`;
      },
    },
    {
      demand: 'minRetention',
      field: 'spec.successfulSnapshots',
      sentence,
      find: ({ spec }) => {
        const counts = spec?.successfulSnapshots;
        if (counts === undefined) return [];
        const reach = Math.max(...COUNTS.map((count) => (counts[count] ?? 0) * HOURS[count]));
        return reach * 60 < minutes ? [`successfulSnapshots, which reach back ${reach}h`] : [];
      },
      cel: (self) => {
        const counts = `${self}.spec.successfulSnapshots`;
        const reach = `[${COUNTS.map((count) => `${counts}.?${count}.orValue(0) * ${HOURS[count]}`).join(', ')}].max()`;
        const found = `"successfulSnapshots, which reach back " + string(${reach}) + "h"`;
        return `has(${counts}) && ${reach} * 60 < ${Math.ceil(minutes)} ? [${found}] : []`;
      },
    },
  ];
}

function minutesOf(period: string | undefined): number | undefined {
  try {
    return period === undefined ? undefined : parseRetentionPeriod(period) / MINUTE;
  } catch (error) {
    // The schema refuses it.
    if (error instanceof BackstayError) return undefined;
    throw error;
  }
}
