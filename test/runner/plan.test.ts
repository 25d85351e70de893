import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError, errorCode } from '../../src/api/errors.ts';
import type { ClusterPart, ClusterTopology } from '../../src/mongo/cluster/topology.ts';
import type { Member, ReplicaSetTopology } from '../../src/mongo/topology.ts';
import { planCluster, planFor } from '../../src/runner/backup/plan.ts';

const test = suite('the plan of a backup');

function member(host: string, changes: Partial<Member> = {}): Member {
  return {
    host,
    state: 'SECONDARY',
    healthy: true,
    hidden: false,
    arbiter: false,
    priority: 1,
    votes: 1,
    delaySeconds: 0,
    tags: {},
    lastApplied: undefined,
    lagSeconds: 0,
    ...changes,
  };
}

function set(members: Member[], version = '6.0.5'): ReplicaSetTopology {
  return { kind: 'replicaSet', name: 'rs0', members, primary: 'a:1', version };
}

const three = [member('a:1', { state: 'PRIMARY' }), member('b:1'), member('c:1')];
const withArbiter = [
  member('a:1', { state: 'PRIMARY' }),
  member('b:1'),
  member('c:1', { state: 'ARBITER', arbiter: true }),
];
const lock = { consistency: 'lock', policy: {} } as const;

test('a secondary of three is locked', () => {
  const plan = planFor(set(three), 'a:1', lock);
  assert.is(plan.member, 'b:1');
  assert.is(plan.consistency, 'lock');
  assert.is(plan.consistencyReason, undefined);
  assert.equal(plan.database, { version: '6.0.5', topology: 'ReplicaSet', replicaSet: 'rs0' });
});

test('a lock that would stall the majority becomes a snapshot read, and the reason is told', () => {
  for (const members of [withArbiter, [member('a:1', { state: 'PRIMARY' })]]) {
    const plan = planFor(set(members), 'a:1', lock);
    assert.is(plan.consistency, 'snapshot');
    assert.match(plan.consistencyReason ?? '', /^not locked: /);
  }
});

test('a lock that would stall the majority is taken all the same when that is asked for, and the reason is told', () => {
  const plan = planFor(set(withArbiter), 'a:1', { ...lock, onMajorityStall: 'proceed' });
  assert.is(plan.consistency, 'lock');
  assert.match(plan.consistencyReason ?? '', /^locked all the same: /);
  assert.is(plan.guardsMajority, false);
});

test('a standalone is read as it is', () => {
  const standalone = { kind: 'standalone', host: 'a:1', version: '6.0.5' } as const;
  const plan = planFor(standalone, 'a:1', lock);
  assert.is(plan.consistency, 'none');
  assert.match(plan.consistencyReason ?? '', /every write/);
  assert.is(plan.member, undefined);
  assert.equal(plan.database, { version: '6.0.5', topology: 'Standalone' });
});

test('one shard of a cluster is refused', () => {
  const role = { kind: 'shard', name: 'sh1', clusterId: '00', configServer: 'cfg/c:1' } as const;
  assert.throws(
    () => planFor({ ...set(three), role }, 'a:1', lock),
    (error: unknown) =>
      error instanceof BackstayError && error.code === 'UnsupportedTopology' && /cfg\/c:1/.test(error.remedy ?? ''),
  );
});

const part = (name: string, members: Member[]): ClusterPart => ({
  name,
  endpoint: { uri: `mongodb://${name}/` },
  topology: { ...set(members), name },
});
const alone = [member('d:1', { state: 'PRIMARY' })];
const cluster: ClusterTopology = {
  kind: 'sharded',
  clusterId: '00',
  version: '6.0.5',
  router: { kind: 'mongos', endpoint: { uri: 'mongodb://m/' } },
  configServer: part('configserver', three),
  shards: [part('sh0', withArbiter), part('sh1', [member('e:1', { state: 'PRIMARY' }), member('f:1'), member('g:1')])],
};

test('each part of a cluster is decided by itself, the config server first', () => {
  const { database, components, consistency } = planCluster(cluster, lock);
  assert.equal(database, { version: '6.0.5', topology: 'Sharded' });
  assert.equal(
    components.map(({ name, member: host, consistency: how }) => [name, host, how]),
    [
      ['configserver', 'b:1', 'lock'],
      ['sh0', 'b:1', 'snapshot'],
      ['sh1', 'f:1', 'lock'],
    ],
  );
  assert.is(consistency, 'lock');
  const lonely = { ...cluster, configServer: part('configserver', alone), shards: [part('sh0', alone)] };
  assert.is(planCluster(lonely, lock).consistency, 'snapshot');
  assert.is(planCluster(cluster, { consistency: 'none', policy: {} }).consistency, 'none');
});

test('a member that is asked for is taken where it is', () => {
  const { components } = planCluster(cluster, { consistency: 'lock', policy: { members: ['g:1', 'z:1'] } });
  assert.equal(
    components.map(({ member: host }) => host),
    ['b:1', 'b:1', 'g:1'],
  );
});

test('members that no part has are refused', () => {
  assert.throws(
    () => planCluster(cluster, { consistency: 'lock', policy: { members: ['z:1'] } }),
    (error: unknown) => errorCode(error) === 'NoMember',
  );
});

test.run();
