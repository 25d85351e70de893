// needs: cluster
// time-limit: 400s
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Document, MongoClient } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Mongod } from '../lab/mongod.ts';
import { type ShardedCluster, startShardedCluster } from '../lab/sharded-cluster.ts';
import { openScene, type Scene } from './scene.ts';

const test = suite('the backup of a sharded cluster');
/** No superuser: what the documentation asks for. */
const LOGIN = { username: 'backup', password: 'p@ss:w/r%d#?&' };
const COMPONENTS = ['configserver', 'sh0', 'sh1', 'sh2'];

let scene: Scene;
let lab: ShardedCluster;
let config: MongoClient;

test.before(async () => {
  scene = await openScene();
  lab = await startShardedCluster({
    on: scene.ground,
    config: [{}, { hidden: true, votes: 0 }],
    shards: [{ name: 'sh0', members: [{}, { hidden: true, votes: 0 }] }, { name: 'sh1', members: 3 }, { name: 'sh2' }],
    auth: true,
  });
  config = await lab.config.client();
  for (const set of [lab.config, ...lab.shards]) {
    await using client = await set.client();
    const privileges = [
      { resource: { cluster: true }, actions: ['internal'] },
      { resource: { db: 'config', collection: 'settings' }, actions: ['remove'] },
    ];
    await client.db('admin').command({ createRole: 'balancer', privileges, roles: [] });
    const roles = ['backup', 'clusterMonitor', 'hostManager', ...(set === lab.config ? ['balancer'] : [])];
    await client.db('admin').command({ createUser: LOGIN.username, pwd: LOGIN.password, roles });
  }
  await lab.createDatabase('shop', 'sh0');
  await lab.createCollection('shop.orders', { shardKey: { _id: 'hashed' } });
  const text = 'x'.repeat(1000);
  await lab.insert(
    'shop.orders',
    Array.from({ length: 3000 }, (_, _id) => ({ _id, text })),
  );
  await scene.binding('shop', { clientConfig: { url: `mongodb://${lab.config.member(0).address}/` } }, LOGIN);
  const volume = join(scene.ground.folder, 'volume');
  await mkdir(volume);
  await scene.storage('volume', { provider: 'local', local: { hostPath: { path: '/srv' }, mountPath: volume } });
  for (const [repository, storage] of [
    ['bucket', 'main'],
    ['disk', 'volume'],
  ] as const) {
    await scene.repository(repository, storage);
    await scene.run(['repository', '--name', repository]);
  }
  await scene.configuration('shop', 'shop', ['bucket', 'disk']);
});

test.after(async () => {
  await config?.close();
  await lab?.stop();
  await scene[Symbol.asyncDispose]();
});

const members = (): Mongod[] => [lab.config, ...lab.shards].flatMap((set) => [...set.members]);

async function lockedMembers(): Promise<string[]> {
  const found: string[] = [];
  for (const member of members()) {
    await using client = await member.client();
    if ((await client.db('admin').command({ currentOp: 1 })).fsyncLock === true) found.push(member.address);
  }
  return found;
}

async function balancer(): Promise<Document> {
  const settings = config.db('config').collection<{ _id: string } & Document>('settings');
  const { mode } = await config.db('admin').command({ _configsvrBalancerStatus: 1 });
  return { mode, settings: await settings.find().sort({ _id: 1 }).toArray() };
}

test('the config server and every shard are components of one Snapshot, at one time', async () => {
  const window = { _id: 'balancer', mode: 'full', stopped: false, activeWindow: { start: '23:00', stop: '6:00' } };
  await config.db('config').collection<{ _id: string } & Document>('settings').insertOne(window);
  const session = await scene.session('shop', ['bucket', 'disk']);
  const { exitCode, output, result } = await scene.run(['backup', '--session', session]);
  assert.is(exitCode, 0, output);
  assert.is(result?.data.documents, await documentsInAll());
  for (const repository of ['bucket', 'disk']) {
    const { status } = await scene.snapshot(repository, session);
    assert.is(status?.database?.topology, 'Sharded');
    assert.match(status?.manifestID ?? '', /^[0-9a-f]{64}$/);
    const { components = [] } = status ?? {};
    assert.equal(
      components.map(({ name, phase, file }) => [name, phase, file]),
      COMPONENTS.map((name) => [name, 'Succeeded', `${name}.archive`]),
    );
    assert.equal(
      components.map(({ consistency }) => consistency),
      ['lock', 'lock', 'lock', 'snapshot'],
    );
    assert.match(components.at(-1)?.consistencyReason ?? '', /^not locked/);
    assert.is(new Set(components.map(({ cutTime }) => cutTime)).size, 1);
    assert.match(components[0]?.cutTime ?? '', /^\d+\.\d+$/);
    assert.is(new Set(components.map(({ resticSnapshotID }) => resticSnapshotID)).size, 4);
    assert.equal(
      components.map(({ member }) => member),
      [
        lab.config.member(1).address,
        lab.shard('sh0').member(1).address,
        components[2]?.member,
        lab.shard('sh2').member(0).address,
      ],
    );
  }
  const { status } = await scene.backupSession(session);
  assert.equal([status?.locks ?? [], status?.balancer, status?.consistency], [[], undefined, 'lock']);
  assert.equal(await lockedMembers(), []);
  assert.equal(await balancer(), { mode: 'full', settings: [window] });
});

/** Documents of a dump, by the servers' own count. */
async function documentsInAll(): Promise<number> {
  let sum = 3000;
  for (const set of [lab.config, ...lab.shards]) {
    await using client = await set.client();
    const count = (db: string, name: string): Promise<number> => client.db(db).collection(name).countDocuments();
    for (const name of ['system.users', 'system.roles', 'system.version']) sum += await count('admin', name);
    if (set !== lab.config) continue;
    for (const name of ['chunks', 'collections', 'databases', 'shards', 'tags', 'version']) {
      sum += await count('config', name);
    }
  }
  // The settings as they were then, with the balancer stopped: balancer and autosplit.
  return sum + 2;
}

test('when one shard is locked by somebody else, there is no Snapshot, no lock of ours, and the balancer is as it was', async () => {
  const before = await balancer();
  const secondaries = await lab.shard('sh1').secondaries();
  const clients = await Promise.all(secondaries.map((secondary) => secondary.client()));
  for (const client of clients) await client.db('admin').command({ fsync: 1, lock: true });
  try {
    const session = await scene.session('shop', ['disk']);
    const { exitCode, output, result } = await scene.run(['backup', '--session', session]);
    assert.is(exitCode, 4, output);
    assert.is(result?.code, 'LockRefused');
    const { status } = await scene.snapshot('disk', session);
    assert.is(status?.manifestID, undefined);
    assert.equal(
      status?.components?.map(({ name, phase }) => [name, phase]),
      COMPONENTS.map((name) => [name, 'Failed']),
    );
    assert.equal((await lockedMembers()).sort(), secondaries.map(({ address }) => address).sort());
    const { status: ended } = await scene.backupSession(session);
    assert.equal([ended?.locks ?? [], ended?.balancer], [[], undefined]);
    assert.equal(await balancer(), before);
  } finally {
    for (const client of clients) {
      await client.db('admin').command({ fsyncUnlock: 1 });
      await client.close();
    }
  }
  await lab.shard('sh1').settled();
});

test('what a runner and its watchdog leave when both are killed is released, and the balancer starts again', async () => {
  const before = await balancer();
  const session = await scene.session('shop', ['disk']);
  const job = await scene.start(['backup', '--session', session]);
  await job.said('member locked');
  job.kill();
  await job.ended;
  const { status } = await scene.backupSession(session);
  assert.is(status?.balancer?.former, 'full');
  assert.is(status?.balancer?.state, 'Stopped');
  assert.is(status?.locks?.[0]?.component, 'configserver');
  assert.is((await balancer()).mode, 'off');
  const released = await scene.run(['release', '--session', session]);
  assert.is(released.exitCode, 0, released.output);
  assert.ok((released.result?.data.released as string[] | undefined)?.includes('balancer'));
  assert.equal(await lockedMembers(), []);
  assert.equal(await balancer(), before);
  const { status: after } = await scene.backupSession(session);
  assert.equal([after?.locks ?? [], after?.balancer], [[], undefined]);
  const again = await scene.run(['backup', '--session', session]);
  assert.is(again.exitCode, 0, again.output);
});

test('a shard alone is refused, with the address to use', async () => {
  await scene.binding('lonely', { clientConfig: { url: `mongodb://${lab.shard('sh1').member(0).address}/` } }, LOGIN);
  await scene.configuration('lonely', 'lonely', ['disk']);
  const session = await scene.session('lonely', ['disk']);
  const { exitCode, output, result } = await scene.run(['backup', '--session', session]);
  assert.is(exitCode, 3, output);
  assert.is(result?.code, 'UnsupportedTopology');
  assert.match(result?.remedy ?? '', lab.config.member(0).address);
});

test.run();
