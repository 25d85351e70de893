import { Timestamp } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { judgeLock, type LockBounds, type LockHistory, type Observation } from '../../src/mongo/lock/bounds.ts';

const test = suite('the bounds of a lock');

const at = (t: number): Timestamp => new Timestamp({ t, i: 1 });

/** What is seen at a moment, in seconds since the lock. */
type Look = Omit<Observation, 'at' | 'primary' | 'isNeeded'> & Partial<Observation> & { s: number };
const calm = (s: number): Look => ({ s, written: at(s), committed: at(s) });
const behind = (s: number, written: number, committed: number): Look => ({
  s,
  written: at(written),
  committed: at(committed),
});

/** The reason for which a lock is given up, and at which look, in seconds. */
function verdict(looks: readonly Look[], bounds: Partial<LockBounds> = {}): string {
  let history: LockHistory = { lockedAt: 0, position: at(1000) };
  for (const { s, ...look } of looks) {
    const now = { at: s * 1000, primary: 'present', isNeeded: true, ...look } as const;
    const judged = judgeLock(history, now, { maxSeconds: 100, guardsMajority: true, ...bounds });
    if (judged.breach !== undefined) return `${judged.breach.code} at ${s}`;
    history = judged.history;
  }
  return 'kept';
}

const oplog = (oldest: number, newest: number): Pick<Observation, 'oplog'> => ({
  oplog: { oldest: at(oldest), newest: at(newest) },
});
const absent = { primary: 'absent' } as const;
const unknown = { primary: 'unknown' } as const;
const stalled = [behind(0, 5, 5), behind(1, 6, 5), behind(1.5, 6, 5), behind(2, 6, 5), behind(2.5, 9, 5)];

for (const [what, looks, expected, bounds] of [
  ['nothing happens', [calm(0), calm(1), calm(50), calm(99.9)], 'kept'],
  ['the time is up', [calm(0), calm(99), calm(100)], 'LockExpired at 100'],
  ['a write waits for a second', stalled, 'MajorityStalled at 2'],
  ['a write waits, and that was asked for', stalled, 'kept', { guardsMajority: false }],
  [
    'a write waits, and the locked member has no part in it',
    stalled.map((one) => ({ ...one, isNeeded: false })),
    'kept',
  ],
  [
    'each write waits for less, though there is always one that does',
    [behind(0, 2, 1), behind(0.5, 3, 2), behind(1, 4, 3), behind(1.5, 5, 4), behind(2, 6, 5), behind(2.5, 7, 6)],
    'kept',
  ],
  [
    'writes get through one by one, each of them late',
    [behind(0, 20, 1), behind(0.5, 30, 7), behind(1, 40, 15)],
    'MajorityStalled at 1',
  ],
  ['a set without writes stays as it is', [behind(0, 5, 5), behind(9, 5, 5), behind(50, 5, 5)], 'kept'],
  [
    'the answers come from a member that does not know what a majority has',
    [behind(0, 6, 5), { s: 0.5 }, { s: 1.2 }],
    'MajorityStalled at 1.2',
  ],
  ['there is no primary for a moment', [calm(0), { s: 1, ...absent }, { s: 1.9, ...absent }, calm(2)], 'kept'],
  ['there is no primary for a second', [calm(0), { s: 1, ...absent }, { s: 2, ...absent }], 'PrimaryLost at 2'],
  ['nobody answers for a moment', [calm(0), { s: 1, ...unknown }, { s: 5.9, ...unknown }, calm(6)], 'kept'],
  ['nobody answers', [calm(0), { s: 1, ...unknown }, { s: 6, ...unknown }], 'PrimaryLost at 6'],
  [
    'nobody answers, and harm was asked for',
    [
      { s: 1, ...unknown },
      { s: 60, ...unknown },
    ],
    'kept',
    { guardsMajority: false },
  ],
  [
    'the oplog is about to go past',
    [
      { ...calm(0), ...oplog(900, 1000) },
      { ...calm(5), ...oplog(950, 1050) },
      { ...calm(8), ...oplog(980, 1080) },
    ],
    'OplogTooShort at 8',
  ],
  [
    'the oplog is about to go past, whatever harm was asked for',
    [
      { ...calm(0), ...oplog(900, 1000) },
      { ...calm(8), ...oplog(980, 1080) },
    ],
    'OplogTooShort at 8',
    { guardsMajority: false },
  ],
] as [string, Look[], string, Partial<LockBounds>?][]) {
  test(`${what}: ${expected}`, () => assert.is(verdict(looks, bounds), expected));
}

test('every reason to give a lock up has a remedy', () => {
  const history: LockHistory = { lockedAt: 0, position: undefined };
  const now: Observation = { at: 1000, primary: 'present', isNeeded: true };
  const { breach } = judgeLock(history, now, { maxSeconds: 1, guardsMajority: true });
  assert.ok(breach?.remedy);
});

test.run();
