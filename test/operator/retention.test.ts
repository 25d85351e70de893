import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tool } from '../../scripts/tools/tool.ts';
import { type Candidate, isoWeek, type KeepCounts, planRetention } from '../../src/api/retention.ts';
import { makeRepository } from '../lab/restic.ts';

const test = suite('retention plan');

const NOW = Date.parse('2026-03-15T12:00:00Z');
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

function at(time: string, good = true): Candidate {
  return { name: time, time: Date.parse(`${time}:00Z`), good };
}

function every(step: number, count: number): Candidate[] {
  return Array.from({ length: count }, (_, index) => ({ name: `s${index}`, time: NOW - index * step, good: true }));
}

const kept = (candidates: readonly Candidate[], rules: Parameters<typeof planRetention>[1]): string[] =>
  planRetention(candidates, rules, NOW).keep.map(({ name }) => name);

const TABLE: { name: string; candidates: Candidate[]; rules: Parameters<typeof planRetention>[1]; keep: string[] }[] = [
  { name: 'last keeps the newest', candidates: every(HOUR, 5), rules: { successful: { last: 2 } }, keep: ['s0', 's1'] },
  {
    name: 'daily keeps the newest of each day',
    candidates: [at('2026-03-15T11:00'), at('2026-03-15T01:00'), at('2026-03-14T23:59'), at('2026-03-13T05:00')],
    rules: { successful: { daily: 2 } },
    keep: ['2026-03-15T11:00', '2026-03-14T23:59'],
  },
  {
    name: 'weeks are those of ISO 8601: a Sunday belongs to the Monday before it',
    candidates: [at('2026-03-15T11:00'), at('2026-03-09T11:00'), at('2026-03-08T11:00')],
    rules: { successful: { weekly: 2 } },
    keep: ['2026-03-15T11:00', '2026-03-08T11:00'],
  },
  {
    name: 'the oldest stays while a rule has counts left',
    candidates: [at('2026-03-15T11:00'), at('2026-03-15T01:00')],
    rules: { successful: { daily: 3 } },
    keep: ['2026-03-15T11:00', '2026-03-15T01:00'],
  },
  {
    name: 'what any rule keeps is kept',
    candidates: [...every(DAY, 40)],
    rules: { successful: { last: 1, monthly: 2 } },
    // 15 March is the newest of March, s15 is 28 February.
    keep: ['s0', 's15'],
  },
  {
    name: 'a period alone keeps all that are young',
    candidates: every(DAY, 5),
    rules: { maxAgeMs: 2 * DAY },
    keep: ['s0', 's1', 's2'],
  },
  {
    name: 'a period caps the counts',
    candidates: every(DAY, 5),
    rules: { maxAgeMs: DAY, successful: { last: 4 } },
    keep: ['s0', 's1'],
  },
  {
    name: 'the newest good one stays however old it is, and whatever failed after it',
    candidates: [
      at('2026-03-15T11:00', false),
      at('2026-03-14T11:00', false),
      at('2025-01-01T00:00'),
      at('2024-01-01T00:00'),
    ],
    rules: { maxAgeMs: 7 * DAY, successful: { last: 1 }, failed: 1 },
    keep: ['2026-03-15T11:00', '2025-01-01T00:00'],
  },
  {
    name: 'one failed Snapshot is kept for reading when the policy does not say',
    candidates: [at('2026-03-15T11:00'), at('2026-03-14T11:00', false), at('2026-03-13T11:00', false)],
    rules: { successful: { last: 1 } },
    keep: ['2026-03-15T11:00', '2026-03-14T11:00'],
  },
  {
    name: 'none is, when it says so',
    candidates: [at('2026-03-15T11:00'), at('2026-03-14T11:00', false)],
    rules: { successful: { last: 1 }, failed: 0 },
    keep: ['2026-03-15T11:00'],
  },
  { name: 'nothing is removed from nothing', candidates: [], rules: { successful: { last: 1 } }, keep: [] },
];

for (const { name, candidates, rules, keep } of TABLE) {
  test(name, () => {
    assert.equal(kept(candidates, rules), keep);
    // The order in which Snapshots are listed means nothing.
    assert.equal(kept([...candidates].reverse(), rules), keep);
    const plan = planRetention(candidates, rules, NOW);
    assert.is(plan.keep.length + plan.remove.length, candidates.length);
  });
}

test('the oldest go first, so that an interrupted run leaves the newest', () => {
  const plan = planRetention(every(HOUR, 4), { successful: { last: 1 } }, NOW);
  assert.equal(
    plan.remove.map(({ name }) => name),
    ['s3', 's2', 's1'],
  );
});

test('the last days of a year may belong to the first week of the next', () => {
  assert.is(isoWeek(Date.parse('2024-12-30T00:00:00Z')), '2025-W01');
  assert.is(isoWeek(Date.parse('2027-01-01T00:00:00Z')), '2026-W53');
  assert.is(isoWeek(Date.parse('2026-01-05T00:00:00Z')), '2026-W02');
});

test('the counts keep what `restic forget` keeps', async () => {
  const restic = await tool('restic');
  const folder = await mkdtemp(join(tmpdir(), 'retention-'));
  const run = promisify(execFile);
  const env = {
    ...process.env,
    TZ: 'UTC',
    RESTIC_REPOSITORY: join(folder, 'repo'),
    RESTIC_CACHE_DIR: join(folder, 'cache'),
  };
  const call = async (...args: string[]): Promise<string> =>
    (await run(restic, ['--insecure-no-password', '--quiet', ...args], { env, cwd: folder, maxBuffer: 1 << 24 }))
      .stdout;
  try {
    await makeRepository(env.RESTIC_REPOSITORY, '');
    // Gaps of minutes, hours, days and months, also over the turn of a year.
    const hoursAgo = [0, 0.2, 1, 5, 23, 25, 30, 49, 100, 170, 200, 400, 800, 1700, 1800, 2500, 8760, 9000, 17600];
    const candidates = hoursAgo.map((hours, index) => ({ name: `t${index}`, time: NOW - hours * HOUR, good: true }));
    for (const { name, time } of candidates) {
      const stamp = new Date(time).toISOString().slice(0, 19).replace('T', ' ');
      await call('backup', '--stdin-from-command', '--tag', name, '--time', stamp, '--host', 'h', '--', 'echo', name);
    }
    const policies: KeepCounts[] = [
      { last: 3 },
      { hourly: 4 },
      { daily: 5 },
      { weekly: 4 },
      { monthly: 12 },
      { yearly: 2 },
      { last: 2, hourly: 3, daily: 3, weekly: 2, monthly: 2, yearly: 5 },
    ];
    for (const policy of policies) {
      const flags = Object.entries(policy).flatMap(([rule, count]) => [`--keep-${rule}`, String(count)]);
      const [group] = JSON.parse(await call('forget', '--dry-run', '--json', '--group-by', 'host', ...flags)) as {
        keep: { tags: string[] }[];
      }[];
      const theirs = (group?.keep ?? []).flatMap(({ tags }) => tags).sort();
      assert.equal(kept(candidates, { successful: policy }).sort(), theirs, JSON.stringify(policy));
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test.run();
