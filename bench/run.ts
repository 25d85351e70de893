/** `npm run bench`: dumps and restores beside those of others, see USAGE. */
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { readOptions } from '../scripts/options.ts';
import { ROOT } from '../scripts/tools/cache.ts';
import { tools } from '../scripts/tools/tool.ts';
import { describeError } from '../src/api/errors.ts';
import { plot } from './plot.ts';
import { type Report, table } from './report.ts';
import { merged, type Results, readResults, writeResults } from './results.ts';
import { peer, TASKS } from './tasks.ts';
import { runTrial, type Trial } from './trial.ts';

const USAGE = `usage: npm run bench [-- OPTIONS]

Measures dumps and restores beside mongodump and mongorestore, whose paths MONGODUMP and MONGORESTORE have, or beside the driver's own
cursor and insertMany. More than one shard are dumped at the same time, in one process.

  --sizes 0.1,1,4   gigabytes of data (default 0.2)
  --shards 1,2,4    numbers of shards, each with the largest size (default 1)
  --runs NUMBER     how often each is run (default 3); none with 0
  --only WORD       only what has the word in its title
  --add FILE        add the runs to those of earlier times in the file, and report them all
  --note TEXT       a sentence for the report
  --write           write docs/benchmarks.md and its plot
`;

function numbers(list: string): number[] {
  const values = list.split(',').map(Number);
  if (values.some((value) => !(value > 0))) throw new Error(`${list} is not a list of numbers`);
  return values;
}

async function main(): Promise<void> {
  const values = readOptions(USAGE, {
    sizes: { type: 'string', default: '0.2' },
    shards: { type: 'string', default: '1' },
    runs: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    add: { type: 'string', default: '' },
    note: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
  });
  const [sizes, shards, runs] = [numbers(values.sizes), numbers(values.shards), Number(values.runs)];
  const opponent = peer(process.env);
  const tasks = TASKS.filter(({ title }) => title.toLowerCase().includes(values.only.toLowerCase()));
  const trials: Trial[] = shards.includes(1) ? sizes.map((size) => ({ megabytes: size * 1000, shards: 1 })) : [];
  for (const count of shards.filter((number) => number > 1))
    trials.push({ megabytes: Math.max(...sizes) * 1000, shards: count });
  const measured: Results = { results: [], growths: [] };
  const say = (line: string): void => console.error(line);
  for (const trial of runs === 0 ? [] : trials) {
    const { restic } = await tools(['restic', 'mongod']);
    const { results, growths } = await runTrial(trial, { runs, tasks, peer: opponent, restic, say });
    measured.results.push(...results);
    measured.growths.push(...growths);
  }
  const all = values.add === '' ? measured : merged(await readResults(values.add), measured);
  if (values.add !== '') await writeResults(values.add, all);
  const report: Report = {
    ...all,
    peer: opponent.name,
    note: values.note,
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
