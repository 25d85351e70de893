import { type Binary, type Document, type MongoClient, ObjectId, Timestamp } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import {
  type ClusterLoadOptions,
  type ClusterLoadResult,
  type ClusterSource,
  loadCluster,
} from '../../src/mongo/cluster/load.ts';
import { mapShards } from '../../src/mongo/cluster/restore/mapping.ts';
import { CONFIG_SERVER, readCluster } from '../../src/mongo/cluster/topology.ts';
import { takeGround } from '../lab/ground.ts';
import { type ShardedCluster, startShardedCluster } from '../lab/sharded-cluster.ts';
import { dumpedInto, inChunks } from './archives.ts';

const test = suite('restore of a sharded cluster');
/** Who restores: no more than the built-in roles that docs/install.md names. */
const LOGIN = { username: 'restorer', password: 'r' };

const ground = await takeGround();
const source = await startShardedCluster({ on: ground, auth: true, shards: [{ name: 'sh0' }, { name: 'sh1' }] });
const target = await startShardedCluster({
  on: ground,
  auth: true,
  shards: [{ name: 'alpha' }, { name: 'beta' }, { name: 'gamma' }],
});
/** The other way round, so that an order would be found out. */
const SHARDS = [
  { from: 'sh0', to: 'beta' },
  { from: 'sh1', to: 'alpha' },
];
const clients = new Map<string, MongoClient>();
const clientOf = (name: string): MongoClient => {
  const client = clients.get(name);
  if (client === undefined) throw new Error(name);
  return client;
};
let sources: ClusterSource[] = [];

test.before(async () => {
  for (const [cluster, prefix] of [
    [source, 'from'],
    [target, 'to'],
  ] as [ShardedCluster, string][]) {
    clients.set(`${prefix}-config`, await cluster.config.client());
    for (const shard of cluster.shards) clients.set(shard.name, await shard.client());
  }
  await source.createDatabase('shop', 'sh0');
  await source.createDatabase('blog', 'sh1');
  await source.createDatabase('empty', 'sh1');
  await source.createCollection('shop.orders', { shardKey: { _id: 'hashed' } });
  await source.createCollection('blog.posts', { shardKey: { author: 1, '2': 1 } });
  await source.createCollection('shop.items');
  await source.createCollection('blog.drafts');
  await source.insert(
    'shop.orders',
    Array.from({ length: 500 }, (_, n) => ({ _id: n, v: n })),
  );
  for (const shard of ['sh0', 'sh1']) await clientOf(shard).db('shop').collection('orders').createIndex({ v: 1 });
  await clientOf('sh1')
    .db('blog')
    .collection('posts')
    .insertMany([
      { author: 'a', '2': 1 },
      { author: 'b', '2': 2 },
    ]);
  await clientOf('sh0')
    .db('shop')
    .collection('items')
    .insertMany([{ _id: 1 as never }, { _id: 2 as never }]);
  await clientOf('sh0')
    .db('shop')
    .createCollection('cheap', { viewOn: 'items', pipeline: [{ $limit: 1 }] });
  await clientOf('sh1')
    .db('blog')
    .collection('drafts')
    .insertOne({ _id: 'x' as never });
  const config = clientOf('from-config');
  await config
    .db('config')
    .collection('tags')
    .insertOne({ ns: 'shop.orders', min: { _id: 1 }, max: { _id: 2 }, tag: 'EU' });
  await config
    .db('admin')
    .collection('notes')
    .insertOne({ _id: 'of the cluster' as never });
  await config.db('admin').command({ createUser: 'app', pwd: 'a', roles: ['readWriteAnyDatabase'] });
  await clientOf('sh0')
    .db('admin')
    .command({ createUser: 'local', pwd: 'a', roles: ['read'] });
  // the restorer's namesake in the dump has another password
  for (const name of ['from-config', 'sh0', 'sh1', 'to-config', 'alpha', 'beta', 'gamma']) {
    await clientOf(name)
      .db('admin')
      .command({
        createUser: LOGIN.username,
        pwd: ['from-config', 'sh0', 'sh1'].includes(name) ? 'other' : LOGIN.password,
        roles: ['backup', 'restore', 'clusterMonitor'],
        writeConcern: { w: 'majority' },
      });
  }
  sources = [];
  for (const [name, client, count] of [
    [CONFIG_SERVER, 'from-config', 1],
    ['sh0', 'sh0', 2],
    ['sh1', 'sh1', 1],
  ] as const) {
    const { archives } = await dumpedInto(count, clientOf(client));
    sources.push({ name, open: () => archives.map((bytes) => inChunks(bytes)) });
  }
});

test.after(async () => {
  for (const client of clients.values()) await client.close();
  await source.stop();
  await target.stop();
  await ground[Symbol.asyncDispose]();
});

const restored = async (
  options: Partial<ClusterLoadOptions> = {},
  some: ClusterSource[] = sources,
  login: { username: string; password: string } | undefined = LOGIN,
): Promise<ClusterLoadResult> => {
  const uri = `mongodb://${target.config.members[0]?.address}/`;
  const credential = { kind: 'scram' as const, source: 'admin', ...(login ?? { username: '', password: '' }) };
  const cluster = await readCluster({ uri, credential });
  return loadCluster(cluster, some, { existing: 'refuse', usersAndRoles: true, shards: SHARDS, ...options });
};
const failure = async (promise: Promise<unknown>): Promise<BackstayError> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, BackstayError, String(error));
  return error as BackstayError;
};
const all = (client: MongoClient, db: string, collection: string, filter: Document = {}): Promise<Document[]> =>
  client.db(db).collection(collection).find(filter).sort({ _id: 1 }).toArray();
const hashOf = async (client: MongoClient, db: string): Promise<unknown> =>
  (await client.db(db).command({ dbHash: 1 })).collections;

/** Everything that tells who the target is. */
async function identity(): Promise<unknown> {
  const config = clientOf('to-config');
  const shards = await Promise.all(
    ['alpha', 'beta', 'gamma'].map((name) =>
      all(clientOf(name), 'admin', 'system.version', { _id: { $ne: '_shardsvrCreateCollectionParticipant' } }),
    ),
  );
  const kept = ['shards', 'version', 'settings'].map((name) => all(config, 'config', name));
  const restorers = await Promise.all(
    ['to-config', 'alpha', 'beta', 'gamma'].map((name) =>
      all(clientOf(name), 'admin', 'system.users', { user: { $in: ['restorer', 'root'] } }),
    ),
  );
  return [shards, await Promise.all(kept), restorers];
}

/** Nothing of the dump has arrived anywhere. */
async function assertUntouched(): Promise<void> {
  for (const name of ['alpha', 'beta', 'gamma']) {
    const { databases } = await clientOf(name).db('admin').admin().listDatabases({ nameOnly: true });
    assert.equal(
      databases.map((one) => one.name).filter((one) => ['shop', 'blog'].includes(one)),
      [],
      name,
    );
  }
  const config = clientOf('to-config').db('config');
  for (const name of ['databases', 'collections', 'chunks', 'tags'])
    assert.is(await config.collection(name).countDocuments(), 0, name);
}

test('shards are mapped by name, never by order', () => {
  const map = (components: string[], shards: string[], renames: { from: string; to: string }[] = []): unknown => {
    try {
      return Object.fromEntries(mapShards([CONFIG_SERVER, ...components], shards, renames));
    } catch (error) {
      return (error as BackstayError).code;
    }
  };
  assert.equal(map(['a', 'b'], ['b', 'a']), { a: 'a', b: 'b' });
  assert.equal(map(['a'], ['a', 'b']), { a: 'a' });
  assert.equal(map(['a', 'b'], ['a', 'c'], [{ from: 'b', to: 'c' }]), { a: 'a', b: 'c' });
  assert.equal(
    map(
      ['a', 'b'],
      ['a', 'b'],
      [
        { from: 'a', to: 'b' },
        { from: 'b', to: 'a' },
      ],
    ),
    { a: 'b', b: 'a' },
  );
  assert.is(map(['a', 'b'], ['a', 'c']), 'ShardMissing');
  assert.is(map(['a', 'b', 'c'], ['a', 'b']), 'TooFewShards');
  assert.is(map(['a', 'b'], ['a', 'b'], [{ from: 'a', to: 'b' }]), 'ShardMappingInvalid');
  assert.is(map(['a'], ['a'], [{ from: 'x', to: 'a' }]), 'ShardMappingInvalid');
  assert.is(map(['a'], ['a'], [{ from: 'a', to: 'x' }]), 'ShardMappingInvalid');
  assert.throws(
    () => mapShards(['a'], ['a'], []),
    (error: BackstayError) => error.code === 'UnsupportedTopology',
  );
});

test('what does not fit is refused before anything is written to any part', async () => {
  const before = await identity();
  assert.is((await failure(restored({ shards: [] }))).code, 'ShardMissing');
  assert.is((await failure(restored({}, sources.slice(1)))).code, 'UnsupportedTopology');
  assert.is((await failure(restored({ existing: 'merge' }))).code, 'MergeUnsupported');
  const without = await failure(restored({ shards: SHARDS.slice(0, 1) }, sources.slice(0, 2)));
  assert.is(without.code, 'ShardMissing');
  assert.match(without.message, /sh1/);
  const moved = [{ from: 'shop.*', to: 'admin.*' }];
  assert.is((await failure(restored({ namespaces: { rename: moved } }))).code, 'InvalidPattern');
  await assertUntouched();
  assert.equal(await identity(), before);
});

test('data on one shard stops the restore of all', async () => {
  for (const [shard, name] of [
    ['beta', 'items'],
    ['gamma', 'orders'],
  ] as const) {
    await clientOf(shard).db('shop').collection(name).insertOne({});
    const error = await failure(restored());
    assert.is(error.code, 'TargetNotEmpty', shard);
    assert.match(error.message, new RegExp(`shop\\.${name}`));
    await clientOf(shard).db('shop').dropDatabase();
    await assertUntouched();
  }
});

test('a damaged archive of one shard stops all, with its name', async () => {
  const [config, first, second] = sources;
  assert.ok(config && first && second);
  const cut = async function* (archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of archive) yield chunk.subarray(0, 100);
  };
  const broken = { ...second, open: () => second.open().map(cut) };
  const error = await failure(restored({}, [config, first, broken]));
  assert.match(error.code, /^Archive/);
  assert.match(error.message, /component sh1/);
  await assertUntouched();
});

test('every shard gets its data back, and the cluster finds it', async () => {
  const before = await identity();
  let checked = 0;
  const result = await restored({
    onChecked: async () => {
      checked += 1;
      await assertUntouched();
    },
  });
  assert.is(checked, 1);
  assert.equal(result.routing, { databases: 3, collections: 2, chunks: 5, tags: 1 });
  assert.ok(result.notices.some((notice) => notice.includes('zone EU')));
  for (const { from, to } of SHARDS) {
    for (const db of ['shop', 'blog'])
      assert.equal(await hashOf(clientOf(to), db), await hashOf(clientOf(from), db), to);
    const names = (indexes: { name?: string }[]): unknown => indexes.map(({ name }) => name).sort();
    assert.equal(
      names(await clientOf(to).db('shop').collection('orders').indexes()),
      names(await clientOf(from).db('shop').collection('orders').indexes()),
    );
  }
  assert.equal(await identity(), before, 'the target is who it was, and so is who restores');
  assert.is((await all(clientOf('to-config'), 'admin', 'notes')).length, 1);
});

test('the routing is that of the dump, with the shards and identities of the target', async () => {
  const [from, to] = [clientOf('from-config'), clientOf('to-config')];
  const shardOf = (name: string): string => SHARDS.find((shard) => shard.from === name)?.to ?? '';
  const databases = async (client: MongoClient): Promise<[string, string][]> =>
    (await all(client, 'config', 'databases')).map(({ _id, primary }) => [String(_id), primary]);
  assert.equal(
    await databases(to),
    (await databases(from)).map(([name, primary]) => [name, shardOf(primary)]),
  );
  for (const { _id, uuid, key, unique, lastmodEpoch, timestamp } of await all(from, 'config', 'collections')) {
    const [entry] = await all(to, 'config', 'collections', { _id });
    assert.equal([entry?.key, entry?.unique], [key, unique]);
    assert.not.equal(entry?.lastmodEpoch, lastmodEpoch);
    assert.ok(entry?.timestamp instanceof Timestamp);
    assert.not.equal(entry.timestamp, timestamp);
    assert.not.equal(entry?.uuid, uuid);
    const chunks = (client: MongoClient, id: unknown): Promise<Document[]> =>
      client
        .db('config')
        .collection('chunks')
        .find({ uuid: id as Binary })
        .sort({ min: 1 })
        .toArray();
    const [old, now] = [await chunks(from, uuid), await chunks(to, entry?.uuid)];
    assert.equal(
      now.map(({ min, max, shard, lastmod }) => [min, max, shard, lastmod]),
      old.map(({ min, max, shard, lastmod }) => [min, max, shardOf(shard), lastmod]),
    );
    for (const { history, shard } of now) assert.equal(history, [{ validAfter: entry?.timestamp, shard }]);
    const [db = '', collection = ''] = String(_id).split('.');
    for (const { to: name } of SHARDS) {
      const [listed] = await clientOf(name).db(db).listCollections({ name: collection }).toArray();
      if (listed !== undefined) assert.equal((listed as Document).info.uuid, entry?.uuid, name);
    }
  }
  const [tag] = await all(to, 'config', 'tags');
  assert.equal([tag?.ns, tag?.tag, tag?.min], ['shop.orders', 'EU', { _id: 1 }]);
});

test('a shard answers who asks with the version of the routing', async () => {
  const [entry] = await all(clientOf('to-config'), 'config', 'collections', { _id: 'shop.orders' });
  const chunks = await all(clientOf('to-config'), 'config', 'chunks', { uuid: entry?.uuid });
  let found = 0;
  for (const { to } of SHARDS) {
    const versions = chunks.filter(({ shard }) => shard === to).map(({ lastmod }) => lastmod as Timestamp);
    const v = versions.reduce((most, one) => (one.greaterThan(most) ? one : most));
    const shardVersion = { e: entry?.lastmodEpoch, t: entry?.timestamp, v };
    const ask = (version: Document): Promise<Document> =>
      clientOf(to).db('shop').command({ find: 'orders', batchSize: 1000, shardVersion: version });
    const stale = { ...shardVersion, e: new ObjectId(), t: new Timestamp({ t: 1, i: 1 }) };
    await ask(stale).then(
      () => assert.unreachable('an older collection is another one'),
      ({ codeName }: { codeName?: string }) => assert.is(codeName, 'StaleConfig'),
    );
    const reply = await ask(shardVersion);
    assert.ok(reply.cursor.firstBatch.length > 0);
    found += reply.cursor.firstBatch.length;
  }
  assert.is(found, 500, 'each document is where the routing says, and none is filtered away');
});

test('a chunk can be moved in the restored cluster', async () => {
  const [entry] = await all(clientOf('to-config'), 'config', 'collections', { _id: 'shop.orders' });
  const [chunk] = await clientOf('to-config')
    .db('config')
    .collection('chunks')
    .find({ uuid: entry?.uuid, shard: 'beta' }, { promoteValues: false })
    .toArray();
  await target.configCommand({
    _configsvrMoveRange: 'shop.orders',
    toShard: 'gamma',
    min: chunk?.min,
    writeConcern: { w: 'majority' },
  });
  assert.ok((await clientOf('gamma').db('shop').collection('orders').countDocuments()) > 0);
  const [listed] = await clientOf('gamma').db('shop').listCollections({ name: 'orders' }).toArray();
  assert.equal((listed as Document).info.uuid, entry?.uuid);
});

test('users come back last, and the one who restores stays', async () => {
  assert.is((await all(clientOf('to-config'), 'admin', 'system.users', { user: 'app' })).length, 1);
  assert.is((await all(clientOf('beta'), 'admin', 'system.users', { user: 'local' })).length, 1);
  assert.is((await all(clientOf('alpha'), 'admin', 'system.users', { user: 'local' })).length, 0);
});

test('a target that has the collections is refused, and the roles of a plain restore may not drop them', async () => {
  const refused = await failure(restored());
  assert.is(refused.code, 'TargetNotEmpty');
  const error = await failure(restored({ existing: 'drop' }));
  assert.is(error.code, 'MissingPrivilege');
  assert.match(String(error.remedy), /remove on config\.collections/);
});

test('with drop the cluster is as in the dump again', async () => {
  const config = clientOf('to-config');
  const onConfig = ['collections', 'chunks', 'tags'].map((collection) => ({
    resource: { db: 'config', collection },
    actions: ['remove'],
  }));
  await config.db('admin').command({ createRole: 'clusterRestore', privileges: onConfig, roles: [] });
  await config.db('admin').command({ grantRolesToUser: LOGIN.username, roles: ['clusterRestore'] });
  await clientOf('beta').db('shop').collection('orders').deleteMany({});
  await restored({ existing: 'drop', usersAndRoles: false });
  assert.equal(await hashOf(clientOf('beta'), 'shop'), await hashOf(clientOf('sh0'), 'shop'));
  assert.equal(await hashOf(clientOf('alpha'), 'shop'), await hashOf(clientOf('sh1'), 'shop'));
  assert.equal(await clientOf('gamma').db('shop').listCollections().toArray(), [], 'the moved chunk is gone');
  assert.is(await config.db('config').collection('chunks').countDocuments(), 5);
});

test('one collection is restored beside the original', async () => {
  const namespaces = { include: ['shop.orders'], rename: [{ from: 'shop.orders', to: 'shop.before' }] };
  const { routing } = await restored({ namespaces, usersAndRoles: false });
  assert.equal(routing, { databases: 0, collections: 1, chunks: 4, tags: 1 });
  const found = await Promise.all(
    SHARDS.map(({ to }) => clientOf(to).db('shop').collection('before').countDocuments()),
  );
  assert.is(
    found.reduce((sum, one) => sum + one),
    500,
  );
  const [entry] = await all(clientOf('to-config'), 'config', 'collections', { _id: 'shop.before' });
  const [original] = await all(clientOf('to-config'), 'config', 'collections', { _id: 'shop.orders' });
  assert.not.equal(entry?.uuid, original?.uuid);
});

test('a database whose primary shard is another one is refused', async () => {
  const namespaces = { include: ['shop.items'], rename: [{ from: 'shop.items', to: 'blog.items' }] };
  const error = await failure(restored({ namespaces, usersAndRoles: false }));
  assert.is(error.code, 'DatabasePrimaryDiffers');
  assert.match(error.message, /alpha.*beta/);
});

test.run();
