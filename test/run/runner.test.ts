import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isAsked, readHeader } from './files.ts';
import { outcomeOf } from './outcome.ts';

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

test('the header of a file tells its time limit and whether it needs the cluster', () => {
  assert.equal(readHeader("import 'x';\n"), { needsCluster: false, timeLimitMs: 240_000 });
  assert.equal(readHeader('// needs: cluster\n// time-limit: 300s\n'), { needsCluster: true, timeLimitMs: 300_000 });
});

test('a word asks for every path that it is part of', () => {
  assert.ok(isAsked('test/mongo/dump.test.ts', []));
  assert.ok(isAsked('test/mongo/dump.test.ts', ['restic', 'mongo']));
  assert.not(isAsked('test/mongo/dump.test.ts', ['restic']));
});

test.run();
