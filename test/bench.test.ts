import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { measure } from '../bench/measure.ts';
import { plot } from '../bench/plot.ts';
import { figuresOf, table } from '../bench/report.ts';
import { ratioOf, spreadOf } from '../bench/statistics.ts';
import { peer, TASKS } from '../bench/tasks.ts';
import type { Result } from '../bench/trial.ts';
import { ROOT } from '../scripts/tools/cache.ts';

const test = suite('benchmark');

test('a median lies between the lowest and the highest', () => {
  assert.equal(spreadOf([3, 1, 2]), { median: 2, min: 1, max: 3 });
  assert.equal(spreadOf([4, 1, 2, 3]), { median: 2.5, min: 1, max: 4 });
  assert.equal(spreadOf([7]), { median: 7, min: 7, max: 7 });
});

test('a ratio is taken turn by turn: half the time is twice as fast', () => {
  assert.equal(ratioOf([1, 2, 4], [2, 2, 2]), { median: 1, min: 0.5, max: 2 });
});

test('the Database Tools are the measure where they are named, else the driver', () => {
  assert.is(peer({}).name, 'the driver alone');
  assert.is(peer({ MONGODUMP: '/bin/mongodump' }).name, 'the driver alone');
  assert.is(
    peer({ MONGODUMP: '/bin/mongodump', MONGORESTORE: '/bin/mongorestore' }).name,
    'mongodump and mongorestore',
  );
});

test('memory and processor time of a process are seen, and what it says last', async () => {
  const work = `const b = Buffer.alloc(100 * 2 ** 20, 1); const t = Date.now(); while (Date.now() - t < 300); console.log('{"n":' + b[0] + '}')`;
  const { seconds, cpuSeconds, peakMiB, said } = await measure({ program: process.execPath, args: ['-e', work] });
  assert.ok(peakMiB > 100 && peakMiB < 400, `${peakMiB} MiB`);
  assert.ok(cpuSeconds > 0 && cpuSeconds < seconds + 1, `${cpuSeconds} of ${seconds} s`);
  assert.equal(said, { n: 1 });
});

test('a program that fails ends the benchmark with its words', async () => {
  const run = measure({ program: process.execPath, args: ['-e', 'console.error("no such thing"); process.exit(3)'] });
  assert.match(String(await run.catch((error: unknown) => error)), /ended with 3: no such thing/);
});

test('page and plot have every task with its ratio and memory', () => {
  const run = (seconds: number): Result['ours'][number] => ({ seconds, cpuSeconds: 1, peakMiB: 100, said: {} });
  const results: Result[] = TASKS.map((task) => {
    const runs = { ours: [run(1), run(2)], theirs: [run(2), run(6)] };
    return { task, megabytes: 1000, shards: 1, peer: 'another', ...runs };
  });
  const report = { results, growths: [], peer: 'another', machine: 'a machine' };
  assert.equal(results.map(figuresOf)[0]?.ratio, { median: 2.5, min: 2, max: 3 });
  for (const { title } of TASKS) {
    assert.match(table(report), new RegExp(`\\| ${title} \\| 1 GB \\| 750 \\| 333 \\| 2\\.50 \\(2\\.00 to 3\\.00\\)`));
    assert.match(plot(report), new RegExp(`${title}, 1 GB`));
  }
});

for (const program of ['bench/run.ts', 'bench/gitops/run.ts', 'bench/webhook/run.ts', 'test/e2e/chaos/run.ts']) {
  test(`${program} says what its options are, and refuses others`, () => {
    const run = (option: string) => spawnSync(process.execPath, [join(ROOT, program), option], { encoding: 'utf8' });
    const help = run('--help');
    assert.is(help.status, 0, help.stderr);
    assert.match(help.stdout, /^usage: npm run [a-z:]+ \[-- OPTIONS\]\n/);
    const other = run('--nothing');
    assert.is(other.status, 1);
    assert.match(other.stderr, /Unknown option '--nothing'.*add --help for help/);
  });
}

test.run();
