// needs: cluster
// time-limit: 300s
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Snapshots } from '../../src/api/kinds.ts';
import { workerOf } from '../lab/family.ts';
import { type Mongod, startMongod } from '../lab/mongod.ts';
import { until } from '../lab/process.ts';
import { type ReplicaSet, startReplicaSet } from '../lab/replica-set.ts';
import { type ShardedCluster, startShardedCluster } from '../lab/sharded-cluster.ts';
import { fill, hashOf, openScene, type Scene } from './scene.ts';

const test = suite('restores by the runner');
const LOGIN = { username: 'root', password: 'r00t' };
const SHARDS = [
  { from: 'sh0', to: 'beta' },
  { from: 'sh1', to: 'alpha' },
];

let scene: Scene;
let set: ReplicaSet;
let target: Mongod;
let source: ShardedCluster;
let cluster: ShardedCluster;
let ofSet: string;
let ofCluster: string;

test.before(async () => {
  scene = await openScene();
  const on = scene.ground;
  [set, target, source, cluster] = await Promise.all([
    startReplicaSet({ on, members: [{}, { hidden: true, priority: 0, votes: 0 }], auth: true }),
    startMongod({ on }),
    startShardedCluster({ on, auth: LOGIN, shards: [{ name: 'sh0' }, { name: 'sh1' }] }),
    startShardedCluster({ on, auth: LOGIN, shards: [{ name: 'alpha' }, { name: 'beta' }] }),
  ]);
  await using client = await set.client();
  await fill(client, 'shop', 20);
  await client
    .db('shop')
    .collection('grouped')
    .insertMany(Array.from({ length: 3000 }, (_, n) => ({ group: n < 2000 ? n : 7 })));
  await set.settled();
  await source.createDatabase('shop', 'sh0');
  await source.createCollection('shop.orders', { shardKey: { _id: 'hashed' } });
  await source.insert(
    'shop.orders',
    Array.from({ length: 3000 }, (_, n) => ({ _id: n, text: 'x'.repeat(1000) })),
  );
  const hosts = set.members.map(({ address }) => address).join(',');
  await scene.binding('orders', { clientConfig: { url: `mongodb://${hosts}/?replicaSet=rs0` } }, set.credentials);
  await scene.binding('empty', { clientConfig: { url: `mongodb://${target.address}` } });
  for (const [name, { config }] of [
    ['cluster', source],
    ['other', cluster],
  ] as const) {
    await scene.binding(name, { clientConfig: { url: `mongodb://${config.member(0).address}` } }, LOGIN);
  }
  for (const name of ['set', 'cluster']) {
    await scene.repository(name, 'main');
    await scene.made(name);
  }
  await scene.configuration('set', 'orders', ['set']);
  await scene.configuration('cluster', 'cluster', ['cluster']);
  const back = async (name: string, more: string[] = []): Promise<string> => {
    const session = await scene.session(name, [name]);
    const { exitCode, output } = await scene.run(['backup', '--session', session, ...more]);
    assert.is(exitCode, 0, output);
    return (await scene.snapshot(name, session)).metadata.name ?? '';
  };
  ofSet = await back('set', ['--db-hash', 'true']);
  ofCluster = await back('cluster', ['--streams', '2']);
});

test.after(async () => {
  await Promise.all([source?.stop(), cluster?.stop()]);
  await scene[Symbol.asyncDispose]();
});

type Spec = Parameters<Scene['restoreSession']>[1];
let sessions = 0;
/** Makes a RestoreSession; its name. */
async function asked(
  to: string,
  repository: 'set' | 'cluster',
  more: Partial<Spec['dataSource']> = {},
  guards?: Spec['guards'],
): Promise<string> {
  const name = `restore-${++sessions}`;
  const spec = {
    target: { name: to },
    dataSource: { repository, ...more },
    ...(guards === undefined ? {} : { guards }),
  };
  await scene.restoreSession(name, spec, repository === 'set' ? ofSet : ofCluster);
  return name;
}

const job = (session: string): string[] => ['restore', '--session', session, '--users-and-roles', 'false'];
const databases = async (mongod: Mongod): Promise<string[]> => {
  await using client = await mongod.client();
  const listed = await client.db('admin').admin().listDatabases({ nameOnly: true });
  return listed.databases.map(({ name }) => name).filter((name) => !['admin', 'config', 'local'].includes(name));
};
const dropAll = async (): Promise<void> => {
  await using client = await target.client();
  await client.db('shop').dropDatabase();
};

test('hashes that the backup recorded are compared, and the numbers are told', async () => {
  const name = await asked('empty', 'set');
  const { exitCode, output, result } = await scene.run(job(name));
  assert.is(exitCode, 0, output);
  assert.is(result?.data.hashedCollections, 4, output);
  assert.match(result?.message ?? '', /^restored 23000, failed 0, in 5 collections$/);
  const [component] = (await scene.restored(name)).status?.components ?? [];
  assert.equal([component?.phase, component?.documents, component?.failedDocuments], ['Succeeded', 23_000, 0]);
});

test('a duplicate key in the middle fails the restore, with the numbers until then', async () => {
  await dropAll();
  await using client = await target.client();
  await client.db('shop').collection('grouped').createIndex({ group: 1 }, { unique: true });
  const name = await asked('empty', 'set');
  const { exitCode, output, result } = await scene.run(job(name));
  assert.is(exitCode, 3, output);
  assert.is(result?.code, 'LoadFailed');
  assert.match(result?.message ?? '', /shop\.grouped.*E11000.*; restored 2000, failed 1000 until then$/);
  assert.is(result?.data.failedDocuments, 1000);
  const [component] = (await scene.restored(name)).status?.components ?? [];
  assert.equal([component?.phase, component?.documents, component?.failedDocuments], ['Failed', 2000, 1000]);
  assert.match(component?.error ?? '', /LoadFailed/);
});

test('a server that is killed in the middle fails the restore', async () => {
  await dropAll();
  const running = await scene.start(job(await asked('empty', 'set')));
  await running.said('restore begins');
  await using client = await target.client();
  await until(
    'documents arrive',
    async () => (await client.db('shop').collection('orders0').estimatedDocumentCount()) > 0,
  );
  await target.kill();
  const { exitCode, result, output } = await running.ended;
  await target.start();
  assert.is(exitCode, 1, output);
  assert.is(result?.code, 'DatabaseError');
});

test('a target that behaves like an older release is refused before the first write', async () => {
  await dropAll();
  await using client = await target.client();
  await client.db('admin').command({ setFeatureCompatibilityVersion: '5.0' });
  const { exitCode, result } = await scene.run(job(await asked('empty', 'set')));
  await client.db('admin').command({ setFeatureCompatibilityVersion: '6.0' });
  assert.equal([exitCode, result?.code], [3, 'FeatureCompatibilityTooOld']);
  assert.equal(await databases(target), []);
});

test('a target of another kind, or of other shards, is refused before the first write', async () => {
  const cases: [what: string, session: string, code: string][] = [
    ['a set into a cluster', await asked('other', 'set'), 'UnsupportedTopology'],
    ['a cluster into a server', await asked('empty', 'cluster'), 'UnsupportedTopology'],
    [
      'a config server into a server',
      await asked('empty', 'cluster', { components: ['configserver'] }),
      'UnsupportedTopology',
    ],
    ['shards of other names', await asked('other', 'cluster'), 'ShardMissing'],
    [
      'a shard too few',
      await asked('other', 'cluster', { shards: SHARDS, components: ['configserver', 'sh0'] }),
      'ShardMappingInvalid',
    ],
    [
      'two into one',
      await asked('other', 'cluster', {
        shards: [
          { from: 'sh0', to: 'beta' },
          { from: 'sh1', to: 'beta' },
        ],
      }),
      'ShardMappingInvalid',
    ],
    ['merging', await asked('other', 'cluster', { shards: SHARDS }, { existingData: 'Merge' }), 'MergeUnsupported'],
  ];
  for (const [what, session, code] of cases) {
    const { exitCode, result, output } = await scene.run(job(session));
    assert.equal([exitCode, result?.code], [3, code], `${what}\n${output}`);
  }
  for (const member of [target, ...cluster.shards.map((shard) => shard.member(0))])
    assert.equal(await databases(member), []);
});

test('each shard of a cluster was backed up as two archives, the config server as one', async () => {
  const snapshot = await scene.client.get(Snapshots, { namespace: scene.namespace, name: ofCluster });
  assert.equal(
    snapshot?.status?.components?.map(({ name, file, archives }) => [name, file ?? archives?.map((one) => one.file)]),
    [
      ['configserver', 'configserver.archive'],
      ['sh0', ['sh0.archive', 'sh0-2.archive']],
      ['sh1', ['sh1.archive', 'sh1-2.archive']],
    ],
  );
});

test('one shard of a cluster is restored into a server by itself', async () => {
  const { exitCode, output } = await scene.run(job(await asked('empty', 'cluster', { components: ['sh1'] })));
  assert.is(exitCode, 0, output);
  await using from = await source.shard('sh1').client();
  await using to = await target.client();
  assert.equal(await hashOf(to, 'shop'), await hashOf(from, 'shop'));
});

const balancerMode = async (): Promise<string> => (await cluster.configCommand({ _configsvrBalancerStatus: 1 })).mode;

test('a runner that is killed in the middle leaves no balancer stopped', async () => {
  await cluster.configCommand({ _configsvrBalancerStart: 1 });
  const name = await asked('other', 'cluster', { shards: SHARDS });
  const running = await scene.start(job(name));
  await running.said('balancer stopped');
  process.kill(workerOf(running.child), 'SIGKILL');
  const { result } = await running.ended;
  assert.is(result?.code, 'RunnerKilled');
  assert.is(await balancerMode(), 'full');
  const again = await scene.run(job(name));
  assert.is((await scene.restored(name)).status?.balancer, undefined, again.output);
});

for (const mode of ['full', 'off']) {
  test(`a cluster is restored into another one, whose balancer is ${mode} again afterwards`, async () => {
    await cluster.configCommand({ [mode === 'full' ? '_configsvrBalancerStart' : '_configsvrBalancerStop']: 1 });
    await using config = await cluster.config.client();
    const kept = async (): Promise<unknown> => [
      await config.db('config').collection('shards').find().toArray(),
      await config.db('config').collection('version').find().toArray(),
    ];
    const before = await kept();
    const name = await asked('other', 'cluster', { shards: SHARDS }, { existingData: 'Drop' });
    const { exitCode, output, result, lines } = await scene.run(job(name));
    assert.is(exitCode, 0, output);
    assert.match(result?.message ?? '', /^restored 3000, failed 0/);
    assert.is(
      lines.some(({ msg }) => msg === 'balancer put back'),
      mode === 'full',
    );
    assert.is(await balancerMode(), mode);
    assert.equal(await kept(), before);
    const { status } = await scene.restored(name);
    assert.is(status?.balancer, undefined);
    assert.equal(status?.components?.map((one) => [one.name, one.phase, one.member]).sort(), [
      ['configserver', 'Succeeded', cluster.config.member(0).address],
      ['sh0', 'Succeeded', cluster.shard('beta').member(0).address],
      ['sh1', 'Succeeded', cluster.shard('alpha').member(0).address],
    ]);
    for (const { from, to } of SHARDS) {
      await using left = await source.shard(from).client();
      await using right = await cluster.shard(to).client();
      assert.equal(await hashOf(right, 'shop'), await hashOf(left, 'shop'));
    }
    assert.is(await config.db('config').collection('chunks').countDocuments(), 4);
  });
}

test.run();
