import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inOrder, isAsked, readHeader } from './files.ts';
import { outcomeOf } from './outcome.ts';
import { inTurn } from './turns.ts';

const test = suite('test runner');
const summary = (total: number, passed: number, skipped = 0): string =>
  `\n  Total:     ${total}\n  Passed:    ${passed}\n  Skipped:   ${skipped}\n  Duration:  1ms\n`;

test('the counts are those of the summary, of every suite in the file', () => {
  const output = summary(3, 3, 1) + summary(2, 1);
  assert.equal(outcomeOf({ output, code: 1, signal: null }), { passed: 4, failed: 1, skipped: 1 });
});

test('colours do not hide the summary', () => {
  const output = summary(2, 2).replace('2\n', '\u001b[32m2\u001b[39m\n');
  assert.is(outcomeOf({ output, code: 0, signal: null }).passed, 2);
});

test('a file that crashes, is killed, runs out of time or has no tests counts as one failed', () => {
  for (const ending of [
    { output: 'SyntaxError', code: 1, signal: null },
    { output: summary(2, 2), code: null, signal: 'SIGSEGV' },
    { output: '', code: 0, signal: null },
    { output: summary(2, 2), code: null, signal: 'SIGKILL', timedOutAfterMs: 1000 },
  ]) {
    const { failed, problem } = outcomeOf(ending);
    assert.is(failed, 1);
    assert.ok(problem);
  }
});

test('passing tests do not excuse a process that ends badly after them', () => {
  const { failed, passed } = outcomeOf({ output: summary(2, 2), code: 7, signal: null });
  assert.equal([passed, failed], [2, 1]);
});

test('the header of a file tells its time limit, and whether it needs a cluster or quiet', () => {
  assert.equal(readHeader("import 'x';\n"), { cluster: 'none', needsQuiet: false, timeLimitMs: 180_000 });
  const limit = { needsQuiet: false, timeLimitMs: 300_000 };
  assert.equal(readHeader('// needs: cluster\n// time-limit: 300s\n'), { cluster: 'shared', ...limit });
  assert.equal(readHeader('// needs: own cluster\n// time-limit: 300s\n'), { cluster: 'own', ...limit });
  assert.is(readHeader('// needs: quiet\n').needsQuiet, true);
});

test('the long ones begin first, those without the shared cluster while it starts', () => {
  const file = (path: string, cluster: 'shared' | 'own' | 'none', seconds: number) => {
    return { path, cluster, timeLimitMs: seconds * 1000, needsQuiet: false };
  };
  const files = [
    file('short', 'none', 180),
    file('in cluster', 'shared', 300),
    file('long in cluster', 'shared', 500),
    file('long', 'none', 240),
    file('own', 'own', 200),
  ];
  assert.equal(
    inOrder(files).map(({ path }) => path),
    ['own', 'long', 'long in cluster', 'in cluster', 'short'],
  );
});

test('no more run at a time than there are workers, and each runs once', async () => {
  const [ran, running] = [[] as number[], new Set<number>()];
  let most = 0;
  const work = Array.from({ length: 7 }, (_, index) => async () => {
    running.add(index);
    most = Math.max(most, running.size);
    await new Promise((resolve) => setImmediate(resolve));
    running.delete(index);
    ran.push(index);
  });
  await inTurn(work, 3, new AbortController().signal);
  assert.is(most, 3);
  assert.equal(ran.sort(), [0, 1, 2, 3, 4, 5, 6]);
});

test('nothing is begun after the abort', async () => {
  const abort = new AbortController();
  let began = 0;
  const work = async (): Promise<void> => {
    began += 1;
    abort.abort();
  };
  await inTurn([work, work], 1, abort.signal);
  assert.is(began, 1);
});

test('a word asks for every path that it is part of', () => {
  assert.ok(isAsked('test/mongo/dump.test.ts', []));
  assert.ok(isAsked('test/mongo/dump.test.ts', ['restic', 'mongo']));
  assert.not(isAsked('test/mongo/dump.test.ts', ['restic']));
});

test.run();
