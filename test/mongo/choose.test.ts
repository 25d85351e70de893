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
  ['the one with clearly less lag', [primary(), member('b:1', { lagSeconds: 25 }), member('c:1')], 'c:1', {}],
  ['the one that is asked for', [primary(), member('b:1'), member('c:1')], 'c:1', { member: 'c:1' }],
  ['the primary when it is asked for', [primary(), member('b:1')], 'p:1', { member: 'p:1', allowPrimary: false }],
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
    /b:1: it does not answer.*p:1 is the primary/,
  );
});

test('refuses a set without a primary, since nobody knows who lags', () => {
  assert.throws(() => choose(set(member('b:1', { lagSeconds: undefined }))), /no primary/);
});

test('refuses a member that is not in the set', () => {
  assert.throws(() => choose(set(primary(), member('b:1')), { member: 'x:1' }), /has no member x:1/);
});

test('refuses the member that is asked for when it is not fit', () => {
  assert.throws(
    () => choose(set(primary(), member('b:1', { lagSeconds: 99 }), member('c:1')), { member: 'b:1' }),
    /99 s behind/,
  );
});

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
] as [string, Member[], boolean][]) {
  test(`a lock ${stalls ? 'stalls' : 'does not stall'} the majority of ${what}`, () => {
    const choice = choose(set(...members));
    assert.is(choice.member.host, 'b:1');
    assert.is(choice.lock.stallsMajority, stalls);
  });
}

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
        { _id: 0, name: 'a:1', health: 1, stateStr: 'PRIMARY', optime: at(1000) },
        { _id: 1, name: 'b:1', health: 1, stateStr: 'ARBITER' },
        { _id: 2, name: 'c:1', health: 1, stateStr: 'SECONDARY', optime: at(993) },
        { _id: 3, name: 'd:1', health: 0, stateStr: '(not reachable/healthy)', optime: at(0) },
      ],
    },
    '6.0.5',
  );
  assert.is(topology.primary, 'a:1');
  const [a, c, b, d] = topology.members;
  assert.is(a?.lagSeconds, 0);
  assert.is(c?.lagSeconds, 7);
  assert.is(c?.hidden, true);
  assert.is(c?.delaySeconds, 5);
  assert.equal(c?.tags, { use: 'backup' });
  assert.is(b?.arbiter, true);
  assert.is(d?.state, 'DOWN');
  assert.is(d?.delaySeconds, 9);
});

test.run();
