import { Timestamp } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import { chooseMember } from '../../src/mongo/choose.ts';
import { type ConsistencyWishes, decideConsistency } from '../../src/mongo/consistency.ts';
import { isFallingOff, type Oplog, type OplogWindow, oplogObstacle } from '../../src/mongo/oplog-window.ts';
import type { Member, ReplicaSetTopology } from '../../src/mongo/topology.ts';

const test = suite('the consistency of a reading');

const at = (t: number): Timestamp => new Timestamp({ t, i: 1 });
const member = (host: string, fields: Partial<Member> = {}): Member => ({
  ...{ host, state: 'SECONDARY', healthy: true, hidden: false, arbiter: false, priority: 1, votes: 1, delaySeconds: 0 },
  ...{ tags: {}, lastApplied: at(100), lagSeconds: 0 },
  ...fields,
});
const primary = member('a:1', { state: 'PRIMARY' });
const sound = [primary, member('b:1'), member('c:1')];
const withArbiter = [primary, member('b:1'), member('c:1', { state: 'ARBITER', arbiter: true })];
const set = (members: Member[], more: Partial<ReplicaSetTopology> = {}): ReplicaSetTopology => ({
  ...{ kind: 'replicaSet', name: 'rs', members, primary: 'a:1', version: '6.0.5' },
  ...more,
});
const oplog = (seconds: number, changes: Partial<Oplog> = {}): Oplog => ({
  ...{ oldest: at(1000), newest: at(1000 + seconds), bytes: 960, maxBytes: 1000, dataBytes: 3e9 },
  ...changes,
});

/** The mode with the beginning of its reason, or the code of the refusal. */
function decided(topology: ReplicaSetTopology, wishes: ConsistencyWishes): string {
  try {
    const { consistency, reason } = decideConsistency(topology, chooseMember(topology), wishes);
    return reason === undefined ? consistency : `${consistency}: ${reason.split(':')[0]}`;
  } catch (error) {
    return error instanceof BackstayError ? error.code : String(error);
  }
}

const old = { version: '4.4.9' };
const short = { oplog: oplog(30) };
for (const [what, topology, wishes, expected] of [
  ['a sound set', set(sound), {}, 'lock'],
  ['a sound set', set(sound), { onMajorityStall: 'proceed' }, 'lock'],
  ['a sound set', set(sound), { onMajorityStall: 'refuse' }, 'lock'],
  ['a sound set', set(sound), { consistency: 'snapshot' }, 'snapshot'],
  ['a sound set', set(sound), { consistency: 'none' }, 'none'],
  ['a set with an arbiter', set(withArbiter), {}, 'snapshot: not locked'],
  ['a set with an arbiter', set(withArbiter), { onMajorityStall: 'proceed' }, 'lock: locked all the same'],
  ['a set with an arbiter', set(withArbiter), { onMajorityStall: 'refuse' }, 'LockRefused'],
  ['a set with an arbiter', set(withArbiter), { consistency: 'snapshot', onMajorityStall: 'refuse' }, 'snapshot'],
  ['a set with an arbiter', set(withArbiter), { consistency: 'none' }, 'none'],
  ['a primary alone', set([primary]), {}, 'snapshot: not locked'],
  ['a primary alone', set([primary]), { onMajorityStall: 'proceed' }, 'lock: locked all the same'],
  ['an old set with an arbiter', set(withArbiter, old), {}, 'LockRefused'],
  ['an old set with an arbiter', set(withArbiter, old), { onMajorityStall: 'proceed' }, 'lock: locked all the same'],
  ['a set with a short oplog', set(sound, short), {}, 'snapshot: not locked'],
  ['a set with a short oplog', set(sound, short), { onMajorityStall: 'refuse' }, 'LockRefused'],
  ['a set with a short oplog', set(sound, short), { onMajorityStall: 'proceed' }, 'snapshot: not locked'],
  ['a set with a short oplog that will do', set(sound, short), { minOplogWindowSeconds: 20 }, 'lock'],
  ['an old set with a short oplog', set(sound, { ...short, ...old }), {}, 'LockRefused'],
  [
    'a primary alone with a short oplog',
    set([primary], short),
    { onMajorityStall: 'proceed' },
    'lock: locked all the same',
  ],
] as [string, ReplicaSetTopology, ConsistencyWishes, string][]) {
  test(`${what}, ${JSON.stringify(wishes)}: ${expected}`, () => assert.is(decided(topology, wishes), expected));
}

test('the majority is guarded while a lock is held, unless the harm was asked for', () => {
  const guards = (onMajorityStall?: ConsistencyWishes['onMajorityStall']): boolean => {
    const wishes = onMajorityStall === undefined ? {} : { onMajorityStall };
    return decideConsistency(set(sound), chooseMember(set(sound)), wishes).guardsMajority;
  };
  assert.equal([guards(), guards('snapshot'), guards('refuse'), guards('proceed')], [true, true, true, false]);
});

for (const [wishes, expected] of [
  [{}, /^none: .*every write/],
  [{ onMajorityStall: 'proceed' }, /^lock: locked all the same/],
  [{ onMajorityStall: 'refuse' }, /^LockRefused/],
  [{ consistency: 'snapshot' }, /^none: .*no snapshot reads/],
  [{ consistency: 'none' }, /^none: undefined/],
] as [ConsistencyWishes, RegExp][]) {
  test(`a standalone, ${JSON.stringify(wishes)}`, () => {
    const standalone = { kind: 'standalone', host: 'a:1', version: '6.0.5' } as const;
    let said: string;
    try {
      const { consistency, reason } = decideConsistency(standalone, undefined, wishes);
      said = `${consistency}: ${reason}`;
    } catch (error) {
      said = error instanceof BackstayError ? error.code : String(error);
    }
    assert.match(said, expected);
  });
}

for (const [what, given, minimum, obstacle] of [
  ['that nobody may read', undefined, 3600, undefined],
  ['that is long enough', oplog(3600), 3600, undefined],
  ['that is too short', oplog(3599), 3600, /holds 3599 s, less than the 3600 s the least allowed/],
  ['that is not full yet', oplog(60, { bytes: 500 }), 3600, undefined],
  ['in which 3 GB fit by the estimate', oplog(80), undefined, undefined],
  ['in which 3 GB do not', oplog(79), undefined, /holds 79 s, less than the 80 s which 3000 MB may need/],
  ['whatever it holds', oplog(1), 0, undefined],
] as [string, Oplog | undefined, number | undefined, RegExp | undefined][]) {
  test(`an oplog ${what} ${obstacle === undefined ? 'allows' : 'forbids'} a lock`, () => {
    const reason = oplogObstacle(given, minimum);
    if (obstacle === undefined) assert.is(reason, undefined);
    else assert.match(reason ?? '', obstacle);
  });
}

const window = (oldest: number, newest: number): OplogWindow => ({ oldest: at(oldest), newest: at(newest) });
for (const [what, position, before, now, falls] of [
  ['an oplog that only grows', 1000, window(900, 1000), window(900, 5000), false],
  ['an oplog that has lost a little', 1000, window(900, 1000), window(930, 1060), false],
  ['an oplog of which a quarter is left', 1000, window(900, 1000), window(975, 1075), false],
  ['an oplog of which less is left', 1000, window(900, 1000), window(976, 1076), true],
  ['an oplog that has gone past', 1000, window(900, 1000), window(1100, 1200), true],
] as [string, number, OplogWindow, OplogWindow, boolean][]) {
  test(`a locked member ${falls ? 'is about to be left behind by' : 'can wait for'} ${what}`, () => {
    assert.is(isFallingOff(at(position), before, now), falls);
  });
}

test.run();
