import type { Growth } from './growth.ts';
import type { Measurement } from './measure.ts';
import { ratioOf, type Spread, spreadOf } from './statistics.ts';
import type { Result } from './trial.ts';

export interface Report {
  results: readonly Result[];
  growths: readonly Growth[];
  /** Whom Backstay was measured beside. */
  peer: string;
  machine: string;
  /** What else a reader has to know of the circumstances. */
  note?: string;
}

/** A result as figures. Rates are in MB/s, 10⁶ bytes of the data. */
export interface Figures {
  title: string;
  size: string;
  ours: Spread;
  theirs: Spread;
  ratio: Spread;
  /** Processor seconds of a run. */
  oursCpu: number;
  theirsCpu: number;
  oursPeakMiB: number;
  theirsPeakMiB: number;
}

export function figuresOf({ task, megabytes, shards, ours, theirs }: Result): Figures {
  const seconds = (runs: Measurement[]): number[] => runs.map((run) => run.seconds);
  const rates = (runs: Measurement[]): Spread => spreadOf(seconds(runs).map((taken) => megabytes / taken));
  const cpu = (runs: Measurement[]): number => spreadOf(runs.map(({ cpuSeconds }) => cpuSeconds)).median;
  const peak = (runs: Measurement[]): number => Math.max(...runs.map(({ peakMiB }) => peakMiB));
  return {
    title: task.title,
    size: `${megabytes / 1000} GB${shards > 1 ? `, ${shards} shards` : ''}`,
    ours: rates(ours),
    theirs: rates(theirs),
    ratio: ratioOf(seconds(ours), seconds(theirs)),
    oursCpu: cpu(ours),
    theirsCpu: cpu(theirs),
    oursPeakMiB: peak(ours),
    theirsPeakMiB: peak(theirs),
  };
}

/** The page of the documentation. */
export function table({ results, growths, peer, machine, note = '' }: Report): string {
  const rows = results.map((result) => {
    const { title, size, ratio, ...rest } = figuresOf(result);
    const cells = [
      ...[title, size, rest.ours.median.toFixed(0), rest.theirs.median.toFixed(0), ratioText(ratio)],
      ...[rest.oursCpu.toFixed(1), rest.theirsCpu.toFixed(1)],
      ...[rest.oursPeakMiB.toFixed(0), rest.theirsPeakMiB.toFixed(0)],
    ];
    return `| ${cells.join(' | ')} |`;
  });
  const grown = growths.map(
    ({ megabytes, what, share }) => `| ${what} | ${megabytes / 1000} GB | ${(share * 100).toFixed(2)} % |`,
  );
  const runs = results.map(({ ours }) => ours.length);
  const [fewest, most] = [Math.min(...runs), Math.max(...runs)];
  return [
    '# Benchmarks',
    '',
    `Backstay beside ${peer}: ${fewest === most ? most : `${fewest} to ${most}`} runs of each in alternation, from the start of the process to its end, on ${machine}.`,
    'Servers, repository and both contenders share the machine, so a ratio says more than a rate. `npm run bench -- --write` writes this page.',
    ...(note === '' ? [] : ['', note]),
    '',
    '![Ratios with their spread](benchmarks.svg)',
    '',
    'Rates are medians in MB/s of BSON. The ratio is how many times as fast Backstay is: median (lowest to highest, with more than one run). CPU is the',
    'processor time in seconds, and memory the highest resident set (VmHWM) in MiB, of what dumps or loads; mongod and restic are not counted.',
    'The second figure of each is that of the other.',
    '',
    `| task | data | Backstay | ${peer} | ratio | CPU | | memory | |`,
    '|---|---|---|---|---|---|---|---|---|',
    ...rows,
    '',
    ...(grown.length === 0
      ? []
      : [
          'How much a repository that has the data grows by another backup:',
          '',
          '| the data meanwhile | data | growth |',
          '|---|---|---|',
          ...grown,
          '',
          'restic keeps data in pieces of 512 KiB to 8 MiB, and stores a piece anew when one byte of it differs. Changes that lie together, as of the latest',
          'documents, touch few pieces. When every hundredth document of 1000 bytes is another one, there is no piece without one: then another backup',
          'takes as much as the first, whoever writes the archive.',
          '',
        ]),
    ...notes(peer),
  ].join('\n');
}

function ratioText({ median, min, max }: Spread): string {
  return min === max ? median.toFixed(2) : `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;
}

function notes(peer: string): string[] {
  const data = [
    'The data is documents of 1000 bytes without secondary indexes, in three collections, half of it compressible. Restores go to the primary of',
    'a replica set of one member with write concern majority.',
    '',
  ];
  if (peer !== 'the driver alone') return data;
  return [
    ...data,
    'mongodump and mongorestore were not there (`MONGODUMP` and `MONGORESTORE` name them). In their place, a program with the public functions of',
    'the driver alone reads raw documents by a cursor, or inserts documents that it has in memory, 1000 at a time in four insertMany at once. It has',
    'no archive to read or to check: of what restic gives it, it counts the bytes.',
    '',
  ];
}
