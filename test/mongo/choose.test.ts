import { Timestamp } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Choice, chooseMember, type MemberPolicy } from '../../src/mongo/choose.ts';
import { type Member, type ReplicaSetTopology, replicaSetOf } from '../../src/mongo/topology.ts';

const test = suite('choice of a member');

const member = (host: string, fields: Partial<Member> = {}): Member => ({
  host,
  state: 'SECONDARY',
  healthy: true,
  hidden: false,
  arbiter: false,
  priority: 1,
  votes: 1,
  delaySeconds: 0,
  tags: {},
  lastApplied: new Timestamp({ t: 100, i: 1 }),
  lagSeconds: 0,
  ...fields,
});
const set = (...members: Member[]): ReplicaSetTopology => ({
  kind: 'replicaSet',
  name: 'rs',
  version: '7.0.14',
  members,
  primary: members.find(({ state }) => state === 'PRIMARY')?.host,
});
const primary = (host = 'p:1'): Member => member(host, { state: 'PRIMARY' });
const choose = (topology: ReplicaSetTopology, policy?: MemberPolicy): Choice => chooseMember(topology, policy);
const reasonOf = (choice: Choice, host: string): string =>
  choice.rejected.find((rejection) => rejection.member === host)?.reason ?? '';

for (const [what, members, expected, policy] of [
  ['a healthy secondary before the primary', [primary(), member('b:1')], 'b:1', {}],
  [
    'hidden before priority 0 before others',
    [primary(), member('a:1'), member('b:1', { priority: 0 }), member('c:1', { priority: 0, hidden: true })],
    'c:1',
    {},
  ],
  ['priority 0 before others', [primary(), member('a:1'), member('b:1', { priority: 0 })], 'b:1', {}],
  [
    'one without a vote before one with',
    [primary(), member('a:1', { priority: 0 }), member('b:1', { priority: 0, votes: 0 })],
    'b:1',
    {},
  ],
  ['the first by name among equals', [primary(), member('c:1'), member('b:1')], 'b:1', {}],
  ['the same one when lag differs by little', [primary(), member('c:1'), member('b:1', { lagSeconds: 4 })], 'b:1', {}],
  [
    'the one with clearly less lag',
    [primary(), member('b:1', { lagSeconds: 25 }), member('c:1'), member('d:1'), member('e:1')],
    'c:1',
    {},
  ],
  [
    'one behind before one that is needed for a majority',
    [primary(), member('b:1'), member('c:1', { lagSeconds: 25 })],
    'c:1',
    {},
  ],
  ['one that nobody syncs from', [primary(), member('b:1'), member('c:1', { syncSource: 'b:1' })], 'c:1', {}],
  [
    'one with fewer that sync from it',
    [
      primary(),
      member('b:1'),
      member('c:1', { syncSource: 'b:1' }),
      member('d:1', { syncSource: 'b:1' }),
      member('e:1', { syncSource: 'd:1' }),
    ],
    'c:1',
    {},
  ],
  [
    'a hidden one even when it is synced from',
    [primary(), member('b:1', { hidden: true, priority: 0 }), member('c:1', { syncSource: 'b:1' })],
    'b:1',
    {},
  ],
  ['the one that is asked for', [primary(), member('b:1'), member('c:1')], 'c:1', { members: ['c:1'] }],
  [
    'the first of a list that is fit',
    [primary(), member('b:1'), member('c:1', { lagSeconds: 99 }), member('d:1', { hidden: true, priority: 0 })],
    'b:1',
    { members: ['c:1', 'x:1', 'b:1', 'd:1'] },
  ],
  ['the primary when it is asked for', [primary(), member('b:1')], 'p:1', { members: ['p:1'], allowPrimary: false }],
  [
    'the one with the tags',
    [primary(), member('b:1'), member('c:1', { tags: { use: 'backup', dc: 'x' } })],
    'c:1',
    { tags: { use: 'backup' } },
  ],
  ['a laggard when that is allowed', [primary(), member('b:1', { lagSeconds: 100 })], 'b:1', { maxLagSeconds: 120 }],
] as [string, Member[], string, MemberPolicy][]) {
  test(`takes ${what}`, () => {
    assert.is(choose(set(...members), policy).member.host, expected);
  });
}

for (const [what, fields, reason] of [
  ['an arbiter', { arbiter: true, state: 'ARBITER' }, /arbiter/],
  ['a delayed member', { delaySeconds: 3600, hidden: true, priority: 0, lagSeconds: 3600 }, /delayed by 3600 s/],
  ['a member that does not answer', { healthy: false, state: 'DOWN' }, /does not answer/],
  ['a recovering member', { state: 'RECOVERING' }, /RECOVERING/],
  ['a member that is far behind', { lagSeconds: 31 }, /31 s behind the primary, more than 30 s/],
] as [string, Partial<Member>, RegExp][]) {
  test(`never takes ${what}, and says why`, () => {
    const choice = choose(set(primary(), member('b:1', { ...fields, hidden: true, priority: 0 }), member('z:1')));
    assert.is(choice.member.host, 'z:1');
    assert.match(reasonOf(choice, 'b:1'), reason);
  });
}

test('takes the primary when no secondary is fit, and says so', () => {
  const choice = choose(set(primary(), member('b:1', { lagSeconds: 500 })));
  assert.is(choice.member.host, 'p:1');
  assert.match(choice.reason, /no secondary is fit/);
  assert.is(choice.lock.stallsMajority, true);
});

test('refuses when only the primary is left and it is not allowed', () => {
  assert.throws(
    () => choose(set(primary(), member('b:1', { healthy: false })), { allowPrimary: false }),
    /b:1: it does not answer.*p:1: it is the primary/,
  );
});

test('refuses a set without a primary, since nobody knows who lags', () => {
  assert.throws(() => choose(set(member('b:1', { lagSeconds: undefined }))), /no primary/);
});

test('refuses a member that is not in the set', () => {
  assert.throws(() => choose(set(primary(), member('b:1')), { members: ['x:1'] }), /x:1: it is not a member/);
});

test('refuses when none of the members that are asked for is fit, and says what is wrong with each', () => {
  assert.throws(
    () =>
      choose(set(primary(), member('b:1', { lagSeconds: 99 }), member('c:1', { delaySeconds: 9 }), member('d:1')), {
        members: ['c:1', 'b:1', 'x:1'],
      }),
    /c:1: it is delayed by 9 s; b:1: it is 99 s behind .*; x:1: it is not a member/,
  );
});

test('says of a list which members were passed over, and why', () => {
  const choice = choose(set(primary(), member('b:1'), member('c:1')), { members: ['x:1', 'c:1', 'b:1'] });
  assert.is(choice.reason, 'it was asked for, 0 s behind');
  assert.is(reasonOf(choice, 'x:1'), 'it is not a member');
  assert.is(reasonOf(choice, 'b:1'), 'another member was asked for');
});

const from = (host: string, syncSource: string, fields: Partial<Member> = {}): Member =>
  member(host, { syncSource, ...fields });

for (const [what, members, stalls] of [
  ['three members with data', [primary(), member('b:1'), member('c:1')], false],
  [
    'primary, secondary, arbiter',
    [primary(), member('b:1'), member('c:1', { arbiter: true, state: 'ARBITER', priority: 0 })],
    true,
  ],
  ['two members', [primary(), member('b:1')], true],
  ['three members with one down', [primary(), member('b:1'), member('c:1', { healthy: false, state: 'DOWN' })], true],
  ['two voters and one without a vote', [primary(), member('b:1', { votes: 0, priority: 0 }), member('c:1')], false],
  [
    'five members with two down',
    [primary(), member('b:1'), member('c:1'), member('d:1', { healthy: false }), member('e:1', { healthy: false })],
    true,
  ],
  [
    'five members with one down',
    [primary(), member('b:1'), member('c:1'), member('d:1'), member('e:1', { healthy: false })],
    false,
  ],
  [
    'three members of which one is delayed',
    [primary(), member('b:1'), member('c:1', { delaySeconds: 60, priority: 0 })],
    true,
  ],
  ['three members of which one recovers', [primary(), member('b:1'), member('c:1', { state: 'RECOVERING' })], true],
  ['three members of which one is behind', [primary(), member('b:1'), member('c:1', { lagSeconds: 2 })], true],
  [
    'three members of which one is behind by less than can be told',
    [primary(), member('b:1'), member('c:1', { lagSeconds: 1 })],
    false,
  ],
  ['three members of which the other syncs from it', [primary(), member('b:1'), from('c:1', 'b:1')], true],
  ['three members of which it syncs from the other', [primary(), from('b:1', 'c:1'), from('c:1', 'p:1')], false],
  [
    'five members of which two sync from it, one by way of the other',
    [primary(), member('b:1'), from('c:1', 'd:1'), from('d:1', 'b:1'), from('e:1', 'p:1')],
    true,
  ],
  [
    'five members of which one syncs from it',
    [primary(), member('b:1'), from('c:1', 'b:1'), from('d:1', 'p:1'), from('e:1', 'p:1')],
    false,
  ],
  [
    'a set whose voting secondary syncs from one without a vote',
    [primary(), member('b:1', { votes: 0, priority: 0 }), from('c:1', 'b:1')],
    true,
  ],
  [
    'a set whose primary still names a source of the time before',
    [member('p:1', { state: 'PRIMARY', syncSource: 'b:1' }), member('b:1'), from('c:1', 'p:1')],
    false,
  ],
] as [string, Member[], boolean][]) {
  test(`a lock ${stalls ? 'stalls' : 'does not stall'} the majority of ${what}`, () => {
    const choice = choose(set(...members), { members: ['b:1'] });
    assert.is(choice.member.host, 'b:1');
    assert.is(choice.lock.stallsMajority, stalls);
  });
}

test('the reason of a stall names who does not count, and why', () => {
  const { lock } = choose(set(primary(), member('b:1'), from('c:1', 'b:1')), { members: ['b:1'] });
  assert.equal(lock, {
    stallsMajority: true,
    reason: 'writes of a majority need 2 members with data, and only 1 would be left (c:1 gets its data from b:1)',
    isPassing: false,
  });
});

test('configuration and status of a set come together by member', () => {
  const at = (t: number): { ts: Timestamp } => ({ ts: new Timestamp({ t, i: 1 }) });
  const topology = replicaSetOf(
    {
      _id: 'rs',
      members: [
        { _id: 0, host: 'a:1', priority: 1, votes: 1 },
        {
          _id: 2,
          host: 'c:1',
          priority: 0,
          votes: 0,
          hidden: true,
          tags: { use: 'backup' },
          secondaryDelaySecs: { toString: () => '5' },
        },
        { _id: 1, host: 'b:1', arbiterOnly: true, priority: 0, votes: 1 },
        { _id: 3, host: 'd:1', slaveDelay: 9, priority: 0, votes: 1 },
      ],
    },
    {
      members: [
        { _id: 0, name: 'a:1', health: 1, stateStr: 'PRIMARY', optime: at(1000), syncSourceHost: '' },
        { _id: 1, name: 'b:1', health: 1, stateStr: 'ARBITER' },
        { _id: 2, name: 'c:1', health: 1, stateStr: 'SECONDARY', optime: at(993), syncSourceHost: 'a:1' },
        { _id: 3, name: 'd:1', health: 0, stateStr: '(not reachable/healthy)', optime: at(0) },
      ],
    },
    '6.0.5',
  );
  assert.is(topology.primary, 'a:1');
  const [a, c, b, d] = topology.members;
  assert.is(a?.lagSeconds, 0);
  assert.is(c?.lagSeconds, 7);
  assert.is(c?.syncSource, 'a:1');
  assert.is(a?.syncSource, undefined);
  assert.is(c?.hidden, true);
  assert.is(c?.delaySeconds, 5);
  assert.equal(c?.tags, { use: 'backup' });
  assert.is(b?.arbiter, true);
  assert.is(d?.state, 'DOWN');
  assert.is(d?.delaySeconds, 9);
});

test.run();
