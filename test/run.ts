/**
 * `npm test [-- WORD…]` runs every test file whose path has one of the words in it, and the checks of the source.
 *
 * Each file is a process of its own with a time limit, and a few run at a time, those that take long first. Those that need a cluster share
 * one, which starts while the others run.
 * The last line is always `N passed, N failed`.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { cacheFolder, ROOT } from '../scripts/tools/cache.ts';
import type { ToolName } from '../scripts/tools/registry.ts';
import { tools } from '../scripts/tools/tool.ts';
import { describeError } from '../src/api/errors.ts';
import { startKubernetes } from './lab/kubernetes.ts';
import { SHARED_LAB } from './lab/shared.ts';
import { CHECKS } from './run/checks.ts';
import { execute } from './run/execute.ts';
import { findTests, inOrder, isAsked, type TestFile } from './run/files.ts';
import { type Outcome, outcomeOf } from './run/outcome.ts';
import { inTurn, type Work } from './run/turns.ts';

/** A test mostly waits, for servers and for Pods: more of them than processors keep these busy. */
const WORKERS = 2 * availableParallelism();

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
  const needed: ToolName[] = ['mongod', 'restic', 'versitygw', 'pushgateway', 'kubernetes', 'argodiff'];
  const wanted = files.length === 0 ? [] : needed;
  const onProgress = (line: string): void => console.log(line);
  if (files.some(({ cluster }) => cluster !== 'none')) wanted.push('containerd', 'pause');
  await tools(wanted, { onProgress });

  // Programs of the project are started by the hundred: what Node.js has compiled once it need not compile again.
  const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0', NODE_COMPILE_CACHE: join(cacheFolder(), 'compiled') };
  const starting = files.some(({ cluster }) => cluster === 'shared') ? startKubernetes({ onProgress }) : undefined;
  starting?.catch(() => {}); // told by the first test that needs it
  try {
    const one = ({ path, timeLimitMs, cluster }: TestFile): Work => {
      return async () => {
        const lab = cluster === 'shared' ? await starting : undefined;
        await test(path, timeLimitMs, { ...env, [SHARED_LAB]: lab?.folder ?? '' })();
      };
    };
    const quiet = files.filter(({ needsQuiet }) => needsQuiet);
    const others = inOrder(files.filter((file) => !quiet.includes(file)));
    await inTurn([...checks.map(check), ...others.map(one)], WORKERS, abort.signal);
    await inTurn(quiet.map(one), 1, abort.signal);
  } finally {
    await (await starting?.catch(() => undefined))?.stop();
  }
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
