import type { Load } from './callers.ts';
import type { Percentiles } from './percentiles.ts';

export interface Row extends Load {
  title: string;
}

export interface Report {
  direct: readonly Row[];
  /** Time inside the webhook, from the whole body to the answer, for each number of callers. */
  own: readonly Percentiles[];
  through: readonly Row[];
  callers: readonly number[];
  machine: string;
}

const table = (rows: readonly Row[]): string[] => [
  '| what answers | callers | requests/s | median | p95 | p99 | failed |',
  '|---|---|---|---|---|---|---|',
  ...rows.map(
    ({ title, callers, perSecond, median, p95, p99, failed }) =>
      `| ${title} | ${callers} | ${perSecond.toFixed(0)} | ${median.toFixed(2)} | ${p95.toFixed(2)} | ${p99.toFixed(2)} | ${failed} |`,
  ),
];

/** The page of the documentation. */
export function page({ direct, own, through, callers, machine }: Report): string {
  return [
    '# Benchmarks of the webhook',
    '',
    `On ${machine}, which server and callers share. Times are in milliseconds, as callers see them who ask again as soon as they have an`,
    'answer, so they grow with the number of callers once the processors are busy. `npm run bench:webhook -- --write` writes this page.',
    '',
    '## At the address of the webhook',
    '',
    'The review of a BackupConfiguration over connections that are kept. What express costs, and our rules, is the difference to the lines above.',
    '',
    ...table(direct),
    '',
    'Our own part, from the whole body to the answer:',
    '',
    '| callers | median | p95 | p99 |',
    '|---|---|---|---|',
    ...own.map(
      ({ median, p95, p99 }, index) =>
        `| ${callers[index]} | ${median.toFixed(3)} | ${p95.toFixed(3)} | ${p99.toFixed(3)} |`,
    ),
    '',
    '## Through the API server',
    '',
    'A dry-run create of a BackupConfiguration, which asks the mutating and then the validating webhook.',
    '',
    ...table(through),
    '',
  ].join('\n');
}
