/**
 * `npm test [-- WORD…]` runs every test file whose path has one of the words in it, and the checks of the source.
 *
 * Each file is a process of its own with a time limit, and a few run at a time. Those that need a cluster share one, which is started once.
 * The last line is always `N passed, N failed`.
 */
import { availableParallelism } from 'node:os';
import { ROOT } from '../scripts/tools/cache.ts';
import type { ToolName } from '../scripts/tools/registry.ts';
import { tools } from '../scripts/tools/tool.ts';
import { describeError } from '../src/api/errors.ts';
import type { Cluster } from './lab/cluster.ts';
import { startKubernetes } from './lab/kubernetes.ts';
import { SHARED_LAB } from './lab/shared.ts';
import { CHECKS } from './run/checks.ts';
import { execute } from './run/execute.ts';
import { findTests, isAsked } from './run/files.ts';
import { type Outcome, outcomeOf } from './run/outcome.ts';

const words = process.argv.slice(2);
const abort = new AbortController();
const sum: Outcome = { passed: 0, failed: 0, skipped: 0 };

function report(name: string, startedAt: number, outcome: Outcome, output: string): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6);
  const counts =
    outcome.skipped > 0 ? `${outcome.passed} passed, ${outcome.skipped} skipped` : `${outcome.passed} passed`;
  if (outcome.failed === 0) console.log(`ok   ${seconds} s  ${name} (${counts})`);
  else
    console.log(
      `FAIL ${seconds} s  ${name} (${outcome.problem ?? `${outcome.failed} failed, ${counts}`})\n${output.trimEnd()}\n`,
    );
  sum.passed += outcome.passed;
  sum.failed += outcome.failed;
  sum.skipped += outcome.skipped;
}

/** One piece of work, done when the promise is. */
type Work = () => Promise<void>;

async function inTurn(work: readonly Work[], workers: number): Promise<void> {
  const queue = [...work];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined && !abort.signal.aborted; next = queue.shift()) await next();
  };
  await Promise.all(Array.from({ length: workers }, worker));
}

function check({ name, command, args }: (typeof CHECKS)[number]): Work {
  return async () => {
    const startedAt = performance.now();
    const ending = await execute(command, args, { cwd: ROOT, env: process.env, limitMs: 120_000, abort: abort.signal });
    const good = ending.code === 0;
    report(name, startedAt, { passed: good ? 1 : 0, failed: good ? 0 : 1, skipped: 0 }, ending.output);
  };
}

function test(path: string, limitMs: number, env: NodeJS.ProcessEnv): Work {
  return async () => {
    const startedAt = performance.now();
    const ending = await execute(process.execPath, [path], { cwd: ROOT, env, limitMs, abort: abort.signal });
    if (!abort.signal.aborted) report(path, startedAt, outcomeOf(ending), ending.output);
  };
}

async function runAll(): Promise<void> {
  const files = findTests(ROOT).filter(({ path }) => isAsked(path, words));
  const checks = CHECKS.filter(({ name }) => isAsked(name, words));
  if (files.length === 0 && checks.length === 0) throw new Error(`No test has ${words.join(' or ')} in its path`);

  // Built before the first test, so that no test's time limit has to hold for it and no compiler disturbs a measurement.
  const wanted: ToolName[] = files.length === 0 ? [] : ['mongod', 'restic', 'versitygw', 'pushgateway', 'kubernetes'];
  const onProgress = (line: string): void => console.log(line);
  const needsCluster = files.some((file) => file.needsCluster);
  if (needsCluster) wanted.push('containerd', 'pause');
  await tools(wanted, { onProgress });

  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0', [SHARED_LAB]: '' };
  await inTurn(checks.map(check), 1);
  await using lab: Cluster | undefined = needsCluster ? await startKubernetes({ onProgress }) : undefined;
  // The long ones first, so that none is left over at the end.
  const inOrder = files.toSorted((one, other) => other.timeLimitMs - one.timeLimitMs);
  await inTurn(
    inOrder.map(({ path, timeLimitMs }) => test(path, timeLimitMs, { ...env, [SHARED_LAB]: lab?.folder ?? '' })),
    availableParallelism(),
  );
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => abort.abort());
try {
  await runAll();
} catch (error) {
  console.error(describeError(error));
  sum.failed += 1;
}
if (abort.signal.aborted) console.log('Stopped before the end');
if (sum.skipped > 0) console.log(`${sum.skipped} skipped`);
console.log(`${sum.passed} passed, ${sum.failed} failed`);
// The lab's watchdogs clean up whatever a test left; nothing of it is this process's to wait for.
process.exit(sum.failed > 0 || abort.signal.aborted ? 1 : 0);
