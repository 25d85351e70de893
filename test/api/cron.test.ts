import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nextClockChange } from '../../src/api/clock-changes.ts';
import { nextRun, parseSchedule } from '../../src/api/cron.ts';
import { BackstayError } from '../../src/api/errors.ts';
import { timeZoneProblem, zoneOffset } from '../../src/api/timezones.ts';

/** Schedule, zone, start, and the next four firings of robfig/cron v3.0.1: null where it refuses the schedule. */
type Case = [string, string, string, string[] | null];

const test = suite('cron');

function golden(name: string): Case[] {
  return JSON.parse(readFileSync(join(import.meta.dirname, 'golden', name), 'utf8'));
}

/** As many firings as were recorded, or one more where there were fewer than four, to see that there is none. */
function firings([schedule, zone, from, recorded]: Case): string[] | null {
  try {
    const parsed = parseSchedule(schedule);
    const runs: string[] = [];
    let time: Date | undefined = new Date(from);
    for (let count = 0; count < Math.min(4, (recorded?.length ?? 0) + 1); count++) {
      time = nextRun(parsed, time, zone);
      if (time === undefined) break;
      runs.push(time.toISOString().replace('.000Z', 'Z'));
    }
    return runs;
  } catch (error) {
    if (error instanceof BackstayError && error.code === 'InvalidSchedule') return null;
    throw error;
  }
}

test('the 50 cases in which libraries differ fire as robfig/cron does', () => {
  const cases = golden('cron-cases.json');
  assert.is(cases.length, 50);
  for (const one of cases) {
    // robfig reads the prefix; the validation of a CronJob then forbids it.
    const expected = one[0].includes('TZ=') ? null : one[3];
    assert.equal(firings(one), expected, JSON.stringify(one.slice(0, 3)));
  }
});

test('300 random schedules in eleven zones, half of them near a change of the clocks, fire as robfig/cron does', () => {
  const cases = golden('cron-random.json');
  assert.is(cases.length, 300);
  for (const one of cases) assert.equal(firings(one), one[3], JSON.stringify(one.slice(0, 3)));
});

for (const [schedule, words] of [
  ['0 3 * * 7', 'day of the week "7" must lie between 0 and 6'],
  ['60 3 * * *', 'minute "60" must lie between 0 and 59'],
  ['0 22-2 * * *', 'hour "22-2" begins after its end'],
  ['*/0 * * * *', 'the step of minute "*/0" must be 1 or more'],
  ['0 0 3 * * *', 'it has 6'],
  ['0 3 L * *', '"L" in the field day of the month is not a number'],
  ['0 3 * smarch *', 'or a name such as jan'],
  ['@weekdays', 'is none of @yearly'],
  ['@every soon', 'write a duration after @every'],
  ['CRON_TZ=UTC 0 3 * * *', 'a time zone belongs in the field timeZone'],
  ['', 'the schedule is empty'],
] as const) {
  test(`"${schedule}" is refused with the field and what it may be`, () => {
    assert.throws(
      () => parseSchedule(schedule),
      (error: unknown) => error instanceof BackstayError && error.message.includes(words) && error.remedy !== undefined,
    );
  });
}

test('a date that does not exist never fires', () => {
  assert.is(nextRun(parseSchedule('0 3 31 2 *'), new Date('2026-01-01T00:00:00Z')), undefined);
});

test('a field of nothing but commas never fires', () => {
  assert.is(nextRun(parseSchedule(', 3 * * *'), new Date('2026-01-01T00:00:00Z')), undefined);
});

for (const [schedule, zone, from, expected] of [
  ['30 2 * * *', 'Europe/Berlin', '2026-11-01T00:00:00Z', { effect: 'skipped', time: '2027-03-28 02:30' }],
  ['30 2 * * *', 'Europe/Berlin', '2026-06-01T00:00:00Z', { effect: 'twice', time: '2026-10-25 02:30' }],
  ['15 2 * * *', 'Australia/Lord_Howe', '2026-09-01T00:00:00Z', { effect: 'skipped', time: '2026-10-04 02:15' }],
  ['30 3 * * *', 'Europe/Berlin', '2026-11-01T00:00:00Z', undefined],
  ['30 2 * * *', 'UTC', '2026-11-01T00:00:00Z', undefined],
  ['30 2 * * *', 'Asia/Kolkata', '2026-11-01T00:00:00Z', undefined],
  ['30 2 1 * *', 'Europe/Berlin', '2026-11-01T00:00:00Z', undefined],
  ['*/30 * * * *', 'Europe/Berlin', '2026-11-01T00:00:00Z', undefined],
  ['@every 1h', 'Europe/Berlin', '2026-11-01T00:00:00Z', undefined],
] as const) {
  test(`the change of the clocks that "${schedule}" meets in ${zone} after ${from.slice(0, 10)} is ${expected?.time ?? 'none'}`, () => {
    assert.equal(nextClockChange(parseSchedule(schedule), zone, new Date(from)), expected);
  });
}

for (const [zone, problem] of [
  ['Europe/Berlin', undefined],
  ['UTC', undefined],
  ['Etc/GMT+3', undefined],
  ['US/Eastern', undefined],
  ['America/Argentina/Buenos_Aires', undefined],
  ['europe/berlin', 'did you mean Europe/Berlin?'],
  ['utc', 'did you mean UTC?'],
  ['us/eastern', 'upper and lower case matter'],
  ['Local', 'name the zone itself'],
  ['+01:00', 'such as Europe/Berlin or UTC'],
  ['Mars/Olympus', 'such as Europe/Berlin or UTC'],
  ['../../etc/passwd', 'such as Europe/Berlin or UTC'],
] as const) {
  test(`the time zone ${zone} is ${problem === undefined ? 'taken' : 'refused'}`, () => {
    const found = timeZoneProblem(zone);
    if (problem === undefined) assert.is(found, undefined);
    else assert.ok(found?.includes(problem), found);
  });
}

test('the offset of a zone is exact on both sides of a change in the middle of a week', () => {
  const change = Date.parse('2026-03-29T01:00:00Z');
  assert.is(zoneOffset('Europe/Berlin', change - 1), 3_600_000);
  assert.is(zoneOffset('Europe/Berlin', change), 7_200_000);
});

test.run();
