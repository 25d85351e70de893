import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nextRun, parseSchedule } from '../../src/api/cron.ts';
import { longGap } from '../../src/api/demands/gaps.ts';
import { judgeByRules } from '../../src/api/demands/judge.ts';
import { asRE2, matchesPattern } from '../../src/api/demands/pattern.ts';
import { configuration, type Loose, lookupOf, policyRule } from './objects.ts';

const test = suite('what BackupPolicyRules ask for');
const HOUR = 3_600_000;
const NOW = new Date('2026-11-23T12:00:00Z');

test('what the API server warns of itself the webhook does not warn of again', () => {
  const demands = { minStorages: 2, maxInterval: '1h' };
  const rule = policyRule({ enforcement: 'Warn', demands });
  const warnings = (given: Loose): string[] =>
    judgeByRules('BackupConfiguration', {
      ...{ object: configuration(), namespace: 'shop', name: 'orders', lookup: lookupOf(given), now: NOW },
    }).warnings;
  const both = warnings(rule);
  assert.is(both.length, 2);
  const applied = { type: 'PolicyApplied', status: 'True', observedGeneration: 2 };
  const inForce = (generation: number): Loose => ({
    ...rule,
    metadata: { ...rule.metadata, generation },
    status: { conditions: [applied] },
  });
  assert.equal(
    warnings(inForce(2)),
    both.filter((text) => text.includes('a backup every 1h')),
  );
  assert.equal(warnings(inForce(3)), both, 'the policies that are in force are of another generation');
});

test('a pattern has one kind of wildcard, and everything else stands for itself', () => {
  const names = ['corp-a', 'corp-', 'corp', 'a.corp-b', 'corpXa', 'aab', 'aaab', 'ab', 'a/b/c', ''];
  for (const pattern of ['corp-*', '*corp*', '*', 'corp.a', 'a*b', '*a*b', 'a**b', '*/b/*', 'corp-a']) {
    const expression = new RegExp(asRE2([pattern]));
    for (const name of names) {
      const wanted = name.match(expression) !== null;
      assert.is(matchesPattern(pattern, name), wanted, `${pattern} ${name}`);
    }
  }
});

test('a pattern that would make a backtracking matcher hang does not', () => {
  const begin = performance.now();
  assert.not.ok(matchesPattern(`${'*a'.repeat(120)}*b`, 'a'.repeat(317)));
  assert.ok(performance.now() - begin < 1000);
});

test('the first gap that is too long', () => {
  const cases: [schedules: [string, string?][], hours: number, gap: string | undefined][] = [
    [[['0 3 * * *']], 24, undefined],
    [[['0 3 * * *']], 23, '2026-11-19T03:00 2026-11-20T03:00'],
    [[['0 3 * * *'], ['0 15 * * *']], 12, undefined],
    [[['0 3 * * *'], ['0 14 * * *']], 12, '2026-11-19T14:00 2026-11-20T03:00'],
    [[['0 3 * * *', 'Europe/Berlin']], 24, undefined],
    // Summer time begins on 28 March 2027: there is no half past two on that day.
    [[['30 2 * * *', 'Europe/Berlin']], 24, '2027-03-27T01:30 2027-03-29T00:30'],
    [[['30 2 * * *', 'Europe/Berlin'], ['0 12 * * *']], 24, undefined],
    [[['0 0 1 * *']], 31 * 24, undefined],
    [[['0 0 1 * *']], 30 * 24, '2026-12-01T00:00 2027-01-01T00:00'],
    [[['0 0 29 2 *']], 24, '2026-11-19T00:00 2028-02-29T00:00'],
    [[['* * * * *']], 0.25, undefined],
    [[['* 8-18 * * 1-5']], 24, '2026-11-20T18:59 2026-11-23T08:00'],
    [[['@every 6h']], 6, undefined],
    [[['@every 7h'], ['0 */4 * * *']], 6, undefined],
    [[['@every 7h']], 6, '2026-11-19T00:00 2026-11-19T07:00'],
    [[['nonsense']], 1, undefined],
  ];
  for (const [schedules, hours, wanted] of cases) {
    const gap = longGap(
      schedules.map(([schedule, timeZone]) => ({ schedule, timeZone })),
      hours * HOUR,
      NOW,
    );
    const text = gap && [gap.from, gap.to].map((time) => time?.toISOString().slice(0, 16)).join(' ');
    assert.is(text, wanted, JSON.stringify(schedules));
  }
});

test('the long strides find what going from run to run finds', () => {
  const schedules = [
    '*/7 * * * *',
    '0 0-9,14-23 * * *',
    '15 */5 * * *',
    '0 3 * * 0,3',
    '* 1 * * *',
    '0 6,7,19 */2 * *',
  ];
  for (const text of schedules) {
    for (const hours of [0.25, 1, 5, 6, 13, 24, 48, 96]) {
      const gap = longGap([{ schedule: text }], hours * HOUR, NOW);
      assert.is(gap?.from.getTime(), slowly(text, hours * HOUR), `${text} ${hours}`);
    }
  }
});

/** The beginning of the first long gap within some weeks, by looking at every run. */
function slowly(text: string, limit: number): number | undefined {
  const schedule = parseSchedule(text);
  let last = nextRun(schedule, new Date('2026-11-18T23:59:59Z'))?.getTime() ?? 0;
  if (last - Date.parse('2026-11-19T00:00:00Z') > limit) return Date.parse('2026-11-19T00:00:00Z');
  for (const end = last + 40 * 24 * HOUR; last < end; ) {
    const next = nextRun(schedule, new Date(last))?.getTime() ?? Number.POSITIVE_INFINITY;
    if (next - last > limit) return last;
    last = next;
  }
  return undefined;
}

test.run();
