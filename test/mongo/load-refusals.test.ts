import { BSON, type Document, type MongoClient } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import { crc64 } from '../../src/mongo/archive/crc64.ts';
import {
  type CollectionEntry,
  encodeNamespaceHeader,
  encodePrelude,
  TERMINATOR,
} from '../../src/mongo/archive/format.ts';
import { openClient } from '../../src/mongo/connection.ts';
import { type LoadOptions, type LoadProgress, type LoadResult, load, loaderName } from '../../src/mongo/load.ts';
import { lockMember } from '../../src/mongo/lock.ts';
import { takeGround } from '../lab/ground.ts';
import { startMongod } from '../lab/mongod.ts';
import { until } from '../lab/process.ts';
import { startReplicaSet } from '../lab/replica-set.ts';
import { dumped, inChunks, wipe } from './archives.ts';

const test = suite('what a load refuses, and how it fails');

const ground = await takeGround();
const [source, target, set] = [
  await startMongod({ on: ground }),
  await startMongod({ on: ground }),
  await startReplicaSet({ on: ground, members: 2, auth: true }),
];
const [from, to, replicated] = [await source.client(), await target.client(), await set.client()];

test.before.each(async () => {
  await wipe(from);
  await wipe(to);
});
test.after(async () => {
  for (const client of [from, to, replicated]) await client.close();
  for (const part of [source, target, set]) await part.stop();
  await ground[Symbol.asyncDispose]();
});

const loaded = (bytes: Uint8Array, options: Partial<LoadOptions> = {}, client = to): Promise<LoadResult> =>
  load(client, inChunks(bytes), { existing: 'refuse', usersAndRoles: false, ...options });
const failure = async (promise: Promise<unknown>): Promise<BackstayError> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, BackstayError, String(error));
  return error as BackstayError;
};
const documents = (count: number, more: (n: number) => Document = () => ({})): (Document & { _id: never })[] =>
  Array.from({ length: count }, (_, n) => ({ _id: n as never, ...more(n) }));
const names = async (client: MongoClient): Promise<string[]> => {
  const { databases } = await client.db('admin').admin().listDatabases({ nameOnly: true });
  return databases.map(({ name }) => name).filter((name) => !['admin', 'config', 'local'].includes(name));
};

/** An archive as a server of another version would make it. */
function archiveOf(version: string, contents: Record<string, Document[]>): Buffer {
  const entries = Object.keys(contents).map((name): CollectionEntry => {
    const [db = '', collection = ''] = name.split(/\.(.*)/s);
    return { db, collection, type: 'collection', metadata: '{"indexes":[]}' };
  });
  const pieces = [
    encodePrelude({ concurrentCollections: 1, serverVersion: version, toolVersion: '100.9.0' }, entries),
    ...entries.flatMap(({ db, collection }) => {
      const bytes = Buffer.concat((contents[`${db}.${collection}`] ?? []).map((document) => BSON.serialize(document)));
      const header = (end: boolean): Uint8Array =>
        encodeNamespaceHeader({ db, collection, end, crc: end ? crc64(bytes) : 0n });
      return [header(false), bytes, TERMINATOR, header(true)];
    }),
  ];
  return Buffer.concat(pieces);
}

test('a dump of a newer release is refused, one of the same or an older release is not', async () => {
  for (const [version, code] of [
    ['7.0.2', 'ServerTooOld'],
    ['6.3.1', undefined],
    ['6.0.27-8', undefined],
    ['4.4.1', undefined],
  ] as const) {
    const attempt = loaded(archiveOf(version, { 'shop.orders': [{ _id: 1 }] }), { existing: 'drop' });
    if (code === undefined) assert.is((await attempt).documents, 1, version);
    else assert.is((await failure(attempt)).code, code);
    assert.equal(await names(to), code === undefined ? ['shop'] : []);
  }
});

test('a target that behaves like an older release than the dumped one is refused', async () => {
  const versions = (version: string): Document[] => [{ _id: 'featureCompatibilityVersion', version }];
  const archive = (version: string): Buffer =>
    archiveOf('6.0.5', { 'admin.system.version': versions(version), 'shop.orders': [{ _id: 1 }] });
  await to.db('admin').command({ setFeatureCompatibilityVersion: '5.0' });
  try {
    const error = await failure(loaded(archive('6.0')));
    assert.is(error.code, 'FeatureCompatibilityTooOld');
    assert.match(error.message, /6\.0.*5\.0/);
    assert.equal(await names(to), []);
    assert.is((await loaded(archive('5.0'))).documents, 1);
  } finally {
    await to.db('admin').command({ setFeatureCompatibilityVersion: '6.0' });
  }
});

test('a secondary is refused', async () => {
  const [secondary] = await set.secondaries();
  await using client = await secondary?.client();
  assert.ok(client);
  assert.is((await failure(loaded(archiveOf('6.0.5', { 'a.b': [] }), {}, client))).code, 'NotWritable');
});

test('a target that another load is connected to is refused, by whoever may see it', async () => {
  const archive = archiveOf('6.0.5', { 'shop.orders': [{ _id: 1 }] });
  const others = loaderName();
  const other = await openClient({ uri: target.uri() }, { appName: others });
  const own = await openClient({ uri: target.uri() }, { appName: loaderName() });
  try {
    const error = await failure(loaded(archive, {}, own));
    assert.is(error.code, 'AnotherSessionRunning');
    assert.match(error.message, /127\./);
    assert.equal(await names(to), []);
    await other.close();
    await until('the server has noticed', async () => {
      const { inprog } = await to.db('admin').command({ currentOp: 1, $all: true, appName: others });
      return inprog.length === 0;
    });
    assert.is((await loaded(archive, {}, own)).documents, 1);
  } finally {
    await other.close();
    await own.close();
  }
});

test("nothing is restored into the server's own collections, whatever the renames say", async () => {
  await from.db('a').collection('b').insertOne({});
  const { bytes } = await dumped(from);
  for (const name of [
    'config.shards',
    'local.x',
    'admin.system.version',
    'admin.system.users',
    'x.system.views',
    'x/y.z',
  ]) {
    const error = await failure(
      loaded(bytes, { existing: 'drop', namespaces: { rename: [{ from: 'a.b', to: name }] } }),
    );
    assert.is(error.code, 'InvalidPattern', name);
  }
  const config = archiveOf('6.0.5', {
    'config.shards': [{ _id: 'evil' }],
    'config.version': [{ _id: 9 }],
    'a.b': [{ _id: 1 }],
  });
  assert.equal(
    (await loaded(config)).namespaces.map(({ name }) => name),
    ['a.b'],
  );
  assert.is(await to.db('config').collection('shards').countDocuments(), 0);
});

test('databases whose names differ in case alone are refused', async () => {
  await to.db('Shop').collection('x').insertOne({});
  const error = await failure(loaded(archiveOf('6.0.5', { 'a.b': [], 'shop.orders': [{ _id: 1 }] })));
  assert.is(error.code, 'DatabaseNameConflict');
  assert.equal(await names(to), ['Shop']);
  const two = archiveOf('6.0.5', { 'one.x': [], 'ONE.y': [] });
  assert.is((await failure(loaded(two))).code, 'DatabaseNameConflict');
});

test('each kind of thing that stands in the way is found before the first write', async () => {
  const db = from.db('shop');
  await db.collection('first').insertOne({});
  await db.collection('last').insertOne({});
  await db.createCollection('view', { viewOn: 'first', pipeline: [{ $match: { a: 1 } }] });
  await db.createCollection('series', { timeseries: { timeField: 'at', metaField: 'of' } });
  await db.collection('series').insertOne({ at: new Date(), of: 1 });
  const { bytes } = await dumped(from);
  const there = to.db('shop');
  const cases: [what: string, make: () => Promise<unknown>, refused: RegExp, merge: string | undefined][] = [
    ['documents', () => there.collection('last').insertOne({}), /shop\.last/, undefined],
    [
      'another view',
      () => there.createCollection('view', { viewOn: 'last' }),
      /view \(other options\)/,
      'TargetDiffers',
    ],
    ['a collection for a view', () => there.createCollection('view'), /view \(other options\)/, 'TargetDiffers'],
    ['a view for a collection', () => there.createCollection('last', { viewOn: 'x' }), /last/, 'TargetDiffers'],
    [
      'measurements',
      async () => {
        await there.createCollection('series', {
          timeseries: { timeField: 'at', metaField: 'of', granularity: 'seconds' },
        });
        await there.collection('series').insertOne({ at: new Date(), of: 1 });
      },
      /series/,
      undefined,
    ],
    [
      'another time series',
      () => there.createCollection('series', { timeseries: { timeField: 't' } }),
      /series/,
      'TargetDiffers',
    ],
  ];
  for (const [what, make, refused, merge] of cases) {
    await there.dropDatabase();
    await make();
    const before = await there.listCollections({}, { nameOnly: true }).toArray();
    const error = await failure(loaded(bytes));
    assert.is(error.code, 'TargetNotEmpty', what);
    assert.match(error.message, refused, what);
    if (merge !== undefined) assert.is((await failure(loaded(bytes, { existing: 'merge' }))).code, merge, what);
    assert.equal(await there.listCollections({}, { nameOnly: true }).toArray(), before, what);
    if (merge === undefined) assert.is((await loaded(bytes, { existing: 'merge' })).failed, 0, what);
    await loaded(bytes, { existing: 'drop' });
    assert.is(await there.collection('series').countDocuments(), 1, what);
  }
});

test('an archive of users alone leaves those of the target as they are, unless it may drop', async () => {
  await from.db('admin').command({ createUser: 'ann', pwd: 'a', roles: [], customData: { from: 'dump' } });
  await to.db('admin').command({ createUser: 'ann', pwd: 'b', roles: [], customData: { from: 'target' } });
  await to.db('admin').command({ createUser: 'bob', pwd: 'b', roles: [] });
  const { bytes } = await dumped(from);
  const dataOf = async (): Promise<unknown> => (await to.db('admin').command({ usersInfo: 'ann' })).users[0].customData;
  const first = await loaded(bytes, { usersAndRoles: true });
  assert.equal([first.users, first.kept, await dataOf()], [0, ['admin.ann'], { from: 'target' }]);
  const second = await loaded(bytes, { usersAndRoles: true, existing: 'drop' });
  assert.equal([second.users, second.kept, await dataOf()], [1, [], { from: 'dump' }]);
  assert.is((await to.db('admin').command({ usersInfo: 'bob' })).users.length, 1);
});

test('one collection comes back beside the original, with its options, indexes and documents', async () => {
  const db = from.db('shop');
  await db.createCollection('orders', { validator: { n: { $type: 'int' } }, collation: { locale: 'de' } });
  await db.collection('orders').insertMany(documents(500, (n) => ({ n })));
  await db.collection('orders').createIndex({ n: -1 }, { name: 'byNumber', unique: true });
  await db.collection('other').insertOne({});
  const { bytes } = await dumped(from);
  await loaded(bytes, {}, to);
  await to.db('shop').collection('orders').deleteMany({});
  const namespaces = { include: ['shop.orders'], rename: [{ from: 'shop.orders', to: 'shop.orders-restored' }] };
  const result = await loaded(bytes, { namespaces });
  assert.equal(result.namespaces, [
    { name: 'shop.orders-restored', documents: 500, restored: 500, failed: 0, counted: 500 },
  ]);
  const [copy] = await to.db('shop').listCollections({ name: 'orders-restored' }, { nameOnly: false }).toArray();
  const { options } = copy as { options?: Document };
  assert.is(options?.collation?.locale, 'de');
  assert.equal(
    (await to.db('shop').collection('orders-restored').indexes()).map(({ name }) => name),
    ['_id_', 'byNumber'],
  );
  assert.is(await to.db('shop').collection('orders').countDocuments(), 0, 'the original is left alone');
});

test('a duplicate key in the middle stops the load, and says how far it came', async () => {
  const archive = archiveOf('6.0.5', {
    'shop.a': documents(1000),
    'shop.b': [...documents(500), { _id: 250 }, ...documents(500).map(({ _id }) => ({ _id: Number(_id) + 500 }))],
    'shop.c': documents(10),
  });
  let last: LoadProgress | undefined;
  const onProgress = (progress: LoadProgress): void => {
    last = progress;
  };
  const error = await failure(loaded(archive, { onProgress }));
  assert.is(error.code, 'LoadFailed');
  assert.match(error.message, /shop\.b.*E11000/);
  assert.equal([last?.restored, last?.failed], [2000, 1]);
  assert.is(await to.db('shop').collection('c').countDocuments(), 0);
});

test('documents that a validator forbids are restored as they were', async () => {
  await from.db('shop').collection('a').insertMany(documents(10));
  await from.db('shop').command({ collMod: 'a', validator: { must: { $exists: true } } });
  assert.is((await loaded((await dumped(from)).bytes)).failed, 0);
  assert.is(await to.db('shop').collection('a').countDocuments(), 10);
});

test('a document that the server refuses stops the load', async () => {
  const archive = archiveOf('6.0.5', { 'shop.a': [{ _id: 1 }, { _id: /no id/ }, { _id: 2 }] });
  const error = await failure(loaded(archive));
  assert.is(error.code, 'LoadFailed');
  assert.match(error.message, /shop\.a/);
});

test('a server that is killed in the middle fails the load', async () => {
  const archive = archiveOf('6.0.5', { 'shop.a': documents(20_000, () => ({ text: 'x'.repeat(500) })) });
  await using victim = await startMongod({ on: ground });
  const client = await openClient({ uri: victim.uri() }, { timeoutMS: 3000 });
  try {
    let killed: Promise<void> | undefined;
    let last: LoadProgress | undefined;
    const onProgress = (progress: LoadProgress): void => {
      last = progress;
      if (progress.documents > 5000) killed ??= victim.kill();
    };
    const error = await failure(loaded(archive, { onProgress, workers: 1 }, client));
    await killed;
    assert.is(error.code, 'DatabaseError');
    assert.ok((last?.restored ?? 0) < 20_000);
  } finally {
    await client.close();
  }
});

test('documents that vanish or appear before the end are noticed', async () => {
  const archive = archiveOf('6.0.5', { 'shop.a': documents(10), 'shop.b': documents(5) });
  for (const [meddle, message] of [
    [() => to.db('shop').collection('a').deleteOne({}), /shop\.a has 9 documents after the load, not 10/],
    [() => to.db('shop').collection('a').insertOne({}), /shop\.a has 11 documents after the load, not 10/],
  ] as const) {
    let meddling: Promise<unknown> | undefined;
    const onProgress = ({ collections }: LoadProgress): void => {
      if (collections === 1) meddling ??= meddle();
    };
    const error = await failure(
      load(
        to,
        (async function* slowly() {
          yield archive.subarray(0, archive.length - 20);
          await meddling;
          yield archive.subarray(archive.length - 20);
        })(),
        { existing: 'drop', usersAndRoles: false, onProgress },
      ),
    );
    assert.is(error.code, 'RestoreIncomplete');
    assert.match(error.message, message);
  }
});

test('time series, capped and expiring collections are counted too', async () => {
  const db = from.db('shop');
  await db.createCollection('series', { timeseries: { timeField: 'at', metaField: 'of' } });
  await db.collection('series').insertMany(documents(50, (n) => ({ at: new Date(1e12 + n), of: n % 5 })));
  await db.createCollection('ring', { capped: true, size: 4096, max: 7 });
  await db.collection('ring').insertMany(documents(20));
  await db.collection('old').insertMany(documents(5, () => ({ at: new Date(0) })));
  await from.db('admin').command({ setParameter: 1, ttlMonitorEnabled: false });
  await db.collection('old').createIndex({ at: 1 }, { expireAfterSeconds: 1 });
  const { bytes } = await dumped(from);
  await from.db('admin').command({ setParameter: 1, ttlMonitorEnabled: true });
  const { namespaces, notices } = await loaded(bytes);
  const counted = Object.fromEntries(namespaces.map((one) => [one.name, one.counted]));
  assert.equal([counted['shop.series'], counted['shop.ring']], [5, 7]);
  assert.ok((counted['shop.old'] ?? -1) >= 0);
  assert.equal(notices, []);
});

test('hashes that a locked member had are compared', async () => {
  const db = replicated.db('shop');
  await db.collection('a').insertMany(documents(100), { writeConcern: { w: 'majority' } });
  await db.collection('b').insertMany(documents(100));
  await db.createCollection('series', { timeseries: { timeField: 'at' } });
  await db.collection('series').insertMany(documents(20, () => ({ at: new Date() })));
  await db.createCollection('view', { viewOn: 'a', pipeline: [] });
  const [secondary] = await set.secondaries();
  assert.ok(secondary);
  await set.settled();
  const lock = await lockMember(
    { uri: secondary.uri() },
    { member: secondary.address, timeoutMS: 10_000, onIntent: async () => {} },
  );
  const { bytes, result } = await dumped(lock.client, {
    mode: 'lock',
    hashes: true,
    namespaces: { include: ['shop'] },
  });
  await lock.release();
  assert.equal(Object.keys(result.hashes?.shop ?? {}).sort(), ['a', 'b', 'system.buckets.series']);
  const { hashes = {} } = result;
  assert.is((await loaded(bytes, { hashes })).hashed, 3);
  const renamed = { rename: [{ from: 'shop.*', to: 'copy.*' }] };
  assert.is((await loaded(bytes, { hashes, namespaces: renamed })).hashed, 3, 'also under other names');
  const wrong = { shop: { ...hashes.shop, a: '0'.repeat(32) } };
  const error = await failure(loaded(bytes, { hashes: wrong, existing: 'drop' }));
  assert.is(error.code, 'HashMismatch');
  assert.match(error.message, /shop\.a /);
  assert.not.match(error.message, /shop\.b/);
  await to.db('shop').dropDatabase();
  await to
    .db('shop')
    .collection('a')
    .insertOne({ _id: 'mine' as never });
  assert.is((await loaded(bytes, { hashes, existing: 'merge' })).hashed, 2, 'merged ones have another hash');
});

test('hashes are not recorded where they would be those of another moment, or may not be read', async () => {
  await from.db('a').collection('b').insertOne({});
  const { result } = await dumped(from, { hashes: true });
  assert.is(result.hashes, undefined);
  assert.match(result.hashesMissing ?? '', /lock/);
  const login = { username: 'backup', password: 'x' };
  await replicated.db('admin').command({ createUser: 'backup', pwd: 'x', roles: ['backup'] });
  await replicated
    .db('shop2')
    .collection('b')
    .insertOne({}, { writeConcern: { w: 'majority' } });
  await using client = await set.client({ auth: login, authSource: 'admin' });
  const denied = await dumped(client, { hashes: true, mode: 'lock', namespaces: { include: ['shop2'] } });
  assert.is(denied.result.hashes, undefined);
  assert.match(denied.result.hashesMissing ?? '', /readAnyDatabase/);
});

test('what the role "restore" alone cannot verify is said', async () => {
  await from.db('once').collection('b').insertMany(documents(3));
  const { bytes } = await dumped(from, { namespaces: { include: ['once'] } });
  await replicated.db('admin').command({ createUser: 'restore', pwd: 'x', roles: ['restore'] });
  await using client = await set.client({ auth: { username: 'restore', password: 'x' }, authSource: 'admin' });
  const { notices, documents: count } = await loaded(bytes, {}, client);
  assert.is(count, 3);
  assert.equal(notices, ['once.b was not counted: the user may not']);
});

test.run();
