// What a plan shows, without a cluster.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { discreet } from '../../src/gitops/sops/discreet.ts';
import { FORMATS } from '../../src/plan/formats.ts';
import { differencesBetween } from '../../src/plan/presentable.ts';
import type { PlanReport } from '../../src/plan/report.ts';
import { upcomingRuns } from '../../src/plan/schedules.ts';
import { unifiedDiff } from '../../src/plan/unified-diff.ts';
import { configuration, type Loose, retention, session } from '../api/objects.ts';

const test = suite('plan');
const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => `line ${index + 1}`);
const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

test('texts that are the same have no differences', () => {
  assert.equal(unifiedDiff(text(numbers(5)), text(numbers(5))), []);
  assert.equal(unifiedDiff('', ''), []);
});

test('three lines around a change are shown, and changes far from each other have hunks of their own', () => {
  const lines = numbers(30);
  const changed = lines.with(4, 'five').toSpliced(24, 1);
  assert.equal(unifiedDiff(text(lines), text(changed)), [
    ...['@@ -2,7 +2,7 @@', ' line 2', ' line 3', ' line 4', '-line 5', '+five', ' line 6', ' line 7', ' line 8'],
    ...['@@ -22,7 +22,6 @@', ' line 22', ' line 23', ' line 24', '-line 25', ' line 26', ' line 27', ' line 28'],
  ]);
});

test('what is new is added to nothing', () => {
  assert.equal(unifiedDiff('', 'a\nb\n'), ['@@ -0,0 +1,2 @@', '+a', '+b']);
});

test('a diff of any two texts turns one into the other', () => {
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return Math.floor((seed / 2147483648) * below);
  };
  for (let round = 0; round < 300; round++) {
    const make = (): string[] => Array.from({ length: random(25) }, () => `w${random(6)}`);
    const [before, after] = [make(), make()];
    assert.equal(patched(before, unifiedDiff(text(before), text(after))), after, JSON.stringify([before, after]));
  }
});

/** Applies a diff as patch(1) does, and checks what it takes away. */
function patched(before: readonly string[], diff: readonly string[]): string[] {
  const result: string[] = [];
  let at = 0;
  for (const line of diff) {
    const hunk = /^@@ -(\d+)(?:,(\d+))? /.exec(line);
    if (hunk !== null) {
      const start = Number(hunk[1]) - (hunk[2] === '0' ? 0 : 1);
      while (at < start) result.push(before[at++] ?? '');
    } else if (line.startsWith('+')) result.push(line.slice(1));
    else {
      assert.is(before[at], line.slice(1));
      if (line.startsWith(' ')) result.push(line.slice(1));
      at++;
    }
  }
  return [...result, ...before.slice(at)];
}

test('what the server keeps by itself is no difference', () => {
  const before = retention();
  const after = structuredClone(before);
  Object.assign(after.metadata, { resourceVersion: '7', uid: 'u', generation: 3, managedFields: [{ manager: 'x' }] });
  after.metadata.annotations = { 'kubectl.kubernetes.io/last-applied-configuration': '{}' };
  after.status = { phase: 'Ready' };
  assert.equal(differencesBetween(before, after), []);
  after.spec.maxRetentionPeriod = '7d';
  assert.ok(differencesBetween(before, after).includes('+  maxRetentionPeriod: 7d'));
});

test('values of a Secret are shown nowhere, only which of them change', () => {
  const secret = (data: object): Loose => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'restic' }, data });
  const diff = differencesBetween(
    secret({ a: 'c2VjcmV0', b: 'b2xk' }),
    secret({ a: 'c2VjcmV0', b: 'bmV3', c: 'dGhpcmQ=' }),
  );
  assert.equal(
    diff.filter((line) => line.startsWith('+') || line.startsWith('-')),
    ['-  b: "*** (before)"', '+  b: "*** (after)"', '+  c: "***"'],
  );
  assert.not.match(diff.join('\n'), 'c2VjcmV0');
  const message = 'data.b: expected string, got hunter2';
  assert.is(discreet(secret({ b: 'hunter2' }), message), 'data.b: expected string, got ***');
  assert.is(discreet(retention(), message), message);
});

test('the next three runs are told by the clocks of their zone, also where these change', () => {
  const runs = upcomingRuns(
    configuration({
      paused: true,
      sessions: [
        session({ scheduler: { schedule: '30 2 * * *', timeZone: 'Europe/Berlin' } }),
        session({ name: 'often', scheduler: { schedule: '@every 90s' } }),
        session({ name: 'wrong', scheduler: { schedule: '0 3 * * 7' } }),
      ],
    }),
    new Date('2026-03-27T12:00:00Z'),
  );
  assert.equal(
    runs.map(({ session: name }) => name),
    ['nightly', 'often'],
  );
  assert.ok(runs[0]?.paused);
  // At 2:30 on the 29th there is no such time.
  assert.equal(runs[0]?.next, [
    { time: '2026-03-28T01:30:00Z', local: 'Sat 2026-03-28 02:30 +01:00' },
    { time: '2026-03-30T00:30:00Z', local: 'Mon 2026-03-30 02:30 +02:00' },
    { time: '2026-03-31T00:30:00Z', local: 'Tue 2026-03-31 02:30 +02:00' },
  ]);
  assert.equal([runs[1]?.timeZone, runs[1]?.fromNow], ['UTC', true]);
  assert.is(runs[1]?.next[0]?.local, 'Fri 2026-03-27 12:01:30 +00:00');
});

test('colours are for terminals; without them the text is the same', () => {
  const report: PlanReport = {
    objects: [
      {
        action: 'change',
        object: 'A/b',
        file: 'x.yaml',
        line: 3,
        diff: ['@@ -1 +1 @@', '-a', '+b'],
        causes: [],
        warnings: ['w'],
      },
      { action: 'unchanged', object: 'A/c', causes: [], warnings: [] },
    ],
    problems: [],
    schedules: [],
  };
  const plain = FORMATS.text(report, { color: false });
  assert.is(
    plain,
    '~ A/b  (x.yaml:3)\n    warning: w\n    @@ -1 +1 @@\n    -a\n    +b\n\nPlan: 0 to create, 1 to change, 0 to prune, 1 to leave as they are.\n',
  );
  const colored = FORMATS.text(report, { color: true });
  assert.match(colored, '\u001b[32m+b\u001b[39m');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters
  assert.is(colored.replaceAll(/\u001b\[\d+m/g, ''), plain);
});

test.run();
