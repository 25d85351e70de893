/**
 * `npm run bench [-- --sizes 0.1,1,4] [-- --shards 1,2,4] [-- --runs 5] [-- --only WORD] [-- --write]`
 *
 * Measures dumps and restores beside mongodump and mongorestore, whose paths MONGODUMP and MONGORESTORE have, or beside the driver's own
 * cursor and insertMany. Sizes are in gigabytes. More than one shard are dumped at the same time, in one process. `--write` writes
 * docs/benchmarks.md and its plot.
 */
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../scripts/tools/cache.ts';
import { tools } from '../scripts/tools/tool.ts';
import { describeError } from '../src/api/errors.ts';
import type { Growth } from './growth.ts';
import { plot } from './plot.ts';
import { type Report, table } from './report.ts';
import { peer, TASKS } from './tasks.ts';
import { type Result, runTrial, type Trial } from './trial.ts';

function numbers(list: string): number[] {
  const values = list.split(',').map(Number);
  if (values.some((value) => !(value > 0))) throw new Error(`${list} is not a list of numbers`);
  return values;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sizes: { type: 'string', default: '0.2' },
      shards: { type: 'string', default: '1' },
      runs: { type: 'string', default: '3' },
      only: { type: 'string', default: '' },
      write: { type: 'boolean', default: false },
    },
  });
  const [sizes, shards, runs] = [numbers(values.sizes), numbers(values.shards), Number(values.runs)];
  const { restic } = await tools(['restic', 'mongod']);
  const opponent = peer(process.env);
  const tasks = TASKS.filter(({ title }) => title.toLowerCase().includes(values.only.toLowerCase()));
  const trials: Trial[] = sizes.map((size) => ({ megabytes: size * 1000, shards: 1 }));
  for (const count of shards.filter((number) => number > 1))
    trials.push({ megabytes: Math.max(...sizes) * 1000, shards: count });
  const results: Result[] = [];
  const growths: Growth[] = [];
  const say = (line: string): void => console.error(line);
  for (const trial of trials) {
    const measured = await runTrial(trial, { runs, tasks, peer: opponent, restic, say });
    results.push(...measured.results);
    growths.push(...measured.growths);
  }
  const report: Report = {
    results,
    growths,
    peer: opponent.name,
    machine: `${availableParallelism()} processors (${cpus()[0]?.model ?? 'unknown'}), Node.js ${process.versions.node}`,
  };
  const text = table(report);
  console.log(text);
  if (!values.write) return;
  await writeFile(join(ROOT, 'docs', 'benchmarks.svg'), plot(report));
  await writeFile(join(ROOT, 'docs', 'benchmarks.md'), text);
}

await main().catch((error: unknown) => {
  console.error(describeError(error));
  process.exitCode = 1;
});
