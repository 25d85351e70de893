import { setTimeout } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import {
  Binary,
  BSON,
  Code,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  type MongoClient,
  ObjectId,
  Timestamp,
} from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError, errorCode } from '../../src/api/errors.ts';
import { nextBatchSize } from '../../src/mongo/dump/documents.ts';
import { type DumpProgress, dump, dumpStreams } from '../../src/mongo/dump.ts';
import { type LoadOptions, type LoadResult, load, loadArchives } from '../../src/mongo/load.ts';
import { takeGround } from '../lab/ground.ts';
import { startMongod } from '../lab/mongod.ts';
import { startReplicaSet } from '../lab/replica-set.ts';
import { readWholeArchive } from './archive-reader.ts';
import { assertDatabase, DATABASES, dumped, dumpedInto, expected, fixture, inChunks, wipe } from './archives.ts';

const test = suite('dump and load');

const ground = await takeGround();
const [source, target, set] = [
  await startMongod({ on: ground }),
  await startMongod({ on: ground }),
  await startReplicaSet({ on: ground }),
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

const loaded = (bytes: Uint8Array, options: Partial<LoadOptions> = {}): Promise<LoadResult> =>
  load(to, inChunks(bytes), { existing: 'refuse', usersAndRoles: true, ...options });
const failure = async (promise: Promise<unknown>): Promise<BackstayError> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, BackstayError);
  return error as BackstayError;
};
const hashes = async (client: MongoClient, name: string): Promise<unknown> =>
  (await client.db(name).command({ dbHash: 1 })).collections;

/** Collections of every kind, with names that are hard to write. */
async function fill(client: MongoClient): Promise<void> {
  const db = client.db('odd');
  const names = [
    'with.dots',
    'per%cent',
    'sla/sh',
    'ä ö',
    'line\nbreak',
    'quote"d',
    'système',
    'x'.repeat(200),
    '*',
    'systemic',
  ];
  for (const name of names)
    await db.collection(name).insertMany([{ _id: 1 as never }, { _id: 'b' as never, '': { '$dollar.dot': 1 } }]);
  await db.collection('types').insertOne({
    _id: new ObjectId(),
    double: new Double(1),
    int: new Int32(1),
    long: Long.fromNumber(1),
    decimal: Decimal128.fromString('1.10'),
    binary: new Binary(Buffer.from([1, 2]), 0x80),
    code: new Code('x', { a: 1 }),
    time: new Timestamp({ t: 1, i: 2 }),
    inner: { min: new MinKey(), max: new MaxKey(), zero: new Timestamp({ t: 0, i: 0 }) },
    date: new Date(-1e15),
  });
  await db.command({
    create: 'numbered',
    validator: new Map([['$or', [{ '10': 1, a: 2 }, { n: { $regex: '^a', $options: 'i' } }]]]),
  });
  await db.command({
    createIndexes: 'numbered',
    indexes: [
      {
        key: new Map([
          ['b', 1],
          ['2', -1],
          ['1', 1],
        ]),
        name: 'order of keys',
      },
      { key: { _id: 'hashed' }, name: 'hashed' },
      { key: { g: '2d' }, name: 'flat', min: new Double(-10), max: new Double(10) },
      { key: { t: 1 }, name: 'expires', expireAfterSeconds: new Int32(1_000_000_000) },
      { key: { s: 1 }, name: 'sparse', sparse: true, hidden: true, collation: { locale: 'de', strength: 1 } },
    ],
  });
  await db.createCollection('collated', { collation: { locale: 'sv', strength: 1 } });
  await db.collection('collated').createIndex({ a: 1 }, { name: 'plain', collation: { locale: 'simple' } });
  await db.collection('collated').createIndex({ b: 1 }, { name: 'inherited' });
  await db.createCollection('ring', { capped: true, size: 100_000, max: 500 });
  await db.collection('ring').insertMany(Array.from({ length: 700 }, (_, n) => ({ _id: n as never })));
  await db.createCollection('series', { timeseries: { timeField: 'at', metaField: 'of' } });
  await db
    .collection('series')
    .insertMany(Array.from({ length: 300 }, (_, n) => ({ at: new Date(1e12 + n * 60_000), of: n % 3, v: n })));
  await db.collection('series').createIndex({ of: 1, at: 1 });
  await db.createCollection('view of a view', { viewOn: 'a view', pipeline: [{ $match: { _id: 1 } }] });
  await db.createCollection('a view', { viewOn: 'with.dots', pipeline: [] });
  await client.db('code').command({ insert: 'system.js', documents: [{ _id: 'f', value: new Code('return 1') }] });
  await client
    .db('large')
    .collection('d')
    .insertMany(Array.from({ length: 30_000 }, (_, n) => ({ _id: n as never, text: 'y'.repeat(700 + (n % 100)) })));
}

test('what was loaded is dumped as the same documents, options and indexes', async () => {
  await fill(from);
  const first = await dumped(from);
  const result = await loaded(first.bytes);
  assert.is(result.failed, 0);
  const data = first.result.namespaces.filter(({ name }) => !name.startsWith('admin.'));
  assert.is(
    result.documents,
    data.reduce((sum, { documents }) => sum + documents, 0),
  );
  for (const name of ['odd', 'code', 'large']) assert.equal(await hashes(to, name), await hashes(from, name));

  const second = await dumped(to);
  const [a, b] = [readWholeArchive(first.bytes), readWholeArchive(second.bytes)];
  const plain = (metadata: string): string => metadata.replace(/"uuid":"[0-9a-f]*",/, '');
  assert.equal(
    b.entries.map((entry) => ({ ...entry, metadata: plain(entry.metadata) })),
    a.entries.map((entry) => ({ ...entry, metadata: plain(entry.metadata) })),
  );
  // natural order and all: a repository has these bytes already
  assert.equal(second.result.namespaces, first.result.namespaces);
  for (const [index, namespace] of a.namespaces.entries()) {
    const other = b.namespaces[index];
    assert.is(other?.name, namespace.name);
    assert.ok(Buffer.concat(other?.documents ?? []).equals(Buffer.concat(namespace.documents)), namespace.name);
  }
});

test('a dump as three archives has everything once, is the same again, and is loaded as one', async () => {
  await fill(from);
  await from.db('shop').command({ createUser: 'reader', pwd: 'secret', roles: ['read'] });
  const whole = await dumped(from);
  const [first, second] = [await dumpedInto(3, from), await dumpedInto(3, from)];
  assert.equal(second.archives, first.archives);
  const read = first.archives.map(readWholeArchive);
  const names = read.map(({ namespaces }) => namespaces.map(({ name }) => name));
  assert.equal(
    names.flat().sort(),
    readWholeArchive(whole.bytes)
      .namespaces.map(({ name }) => name)
      .sort(),
  );
  assert.ok(names.every((some) => some.length > 2));
  assert.is(names[0]?.[0], 'admin.system.users');
  const views = read.map(({ entries }) => entries.filter(({ type }) => type === 'view').length);
  assert.equal(views, [2, 0, 0]);
  assert.equal(
    read.map(({ header }) => [header.part, header.parts]),
    [1, 2, 3].map((number) => [number, 3]),
  );
  assert.equal(
    [...first.result.namespaces].sort((a, b) => (a.name < b.name ? -1 : 1)),
    [...whole.result.namespaces].sort((a, b) => (a.name < b.name ? -1 : 1)),
  );

  const inputs = (): AsyncIterable<Uint8Array>[] => first.archives.map((bytes) => inChunks(bytes));
  const all: LoadOptions = { existing: 'refuse', usersAndRoles: true };
  const seen: number[] = [];
  const result = await loadArchives(to, inputs(), { ...all, onProgress: ({ read: bytes }) => seen.push(bytes) });
  assert.is(seen.at(-1), first.result.bytes);
  assert.is(result.failed, 0);
  assert.is(result.users, 1);
  for (const name of ['odd', 'code', 'large']) assert.equal(await hashes(to, name), await hashes(from, name));
  const again = await dumpedInto(3, to);
  assert.equal(again.result.namespaces.slice(3), first.result.namespaces.slice(3));
});

test('more archives than collections are a dump as well, and so are those of a server without any', async () => {
  await from
    .db('code')
    .collection('only')
    .insertMany([{ n: 1 }, { n: 2 }]);
  for (const documents of [2, 0]) {
    if (documents === 0) await wipe(from);
    await wipe(to);
    const { archives } = await dumpedInto(8, from);
    assert.is(archives.filter((bytes) => readWholeArchive(bytes).namespaces.length === 0).length >= 6, true);
    const inputs = archives.map((bytes) => inChunks(bytes));
    const result = await loadArchives(to, inputs, { existing: 'refuse', usersAndRoles: true });
    assert.equal([result.documents, result.failed], [documents, 0]);
    assert.is(await to.db('code').collection('only').countDocuments(), documents);
  }
});

test('of several archives one that is missing, given twice or damaged refuses all before the first write', async () => {
  await fill(from);
  const { archives } = await dumpedInto(3, from);
  const [one, two, three] = archives;
  assert.ok(one && two && three);
  const gone = async function* (): AsyncGenerator<Uint8Array> {
    yield* [];
    throw new BackstayError('ResticSnapshotNotFound', 'no matching ID found');
  };
  const cases: [inputs: AsyncIterable<Uint8Array>[], code: string][] = [
    [[inChunks(one), inChunks(three)], 'ArchiveMissing'],
    [[inChunks(two)], 'ArchiveMissing'],
    [[inChunks(one), inChunks(two), inChunks(two), inChunks(three)], 'ArchivesOverlap'],
    [[inChunks(one), inChunks(two), inChunks(three.subarray(0, 50))], 'ArchiveTruncated'],
    [[inChunks(one), gone(), inChunks(three)], 'ResticSnapshotNotFound'],
  ];
  for (const [inputs, code] of cases) {
    let checked = false;
    const options: LoadOptions = {
      existing: 'refuse',
      usersAndRoles: true,
      onChecked: async () => {
        checked = true;
      },
    };
    assert.is((await failure(loadArchives(to, inputs, options))).code, code);
    assert.is(checked, false);
  }
  const { databases } = await to.db('admin').admin().listDatabases({ nameOnly: true });
  assert.equal(
    databases.map(({ name }) => name).filter((name) => ['odd', 'code', 'large'].includes(name)),
    [],
  );

  const end = three.subarray(0, three.length - 30);
  const inputs = [one, two, end].map((bytes) => inChunks(bytes));
  const error = await failure(loadArchives(to, inputs, { existing: 'refuse', usersAndRoles: true }));
  assert.is(error.code, 'ArchiveTruncated', 'one that is cut at its end fails all');
});

test('the lock is given back once, when the last of all archives is read', async () => {
  await fill(from);
  let asked = 0;
  const onLastRead = async (): Promise<void> => {
    asked += 1;
  };
  const drain = async (archive: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const _ of archive);
  };
  const [held, ...others] = dumpStreams(from, { mode: 'none', onLastRead }, 3).archives;
  assert.ok(held);
  const rest = Promise.all(others.map(drain));
  for await (const _ of held) {
    if (asked > 0) break;
    // the archive with the large collection has more to read than is on its way
    await rest;
    assert.is(asked, 0);
  }
  assert.is(asked, 1);
});

test('a reader that stops ends the other archives, and the dump', async () => {
  await fill(from);
  const { archives, result } = dumpStreams(from, { mode: 'none' }, 3);
  const [large, other] = archives;
  assert.ok(large && other);
  const reading = (async () => {
    for await (const _ of large) await setTimeout(50);
  })();
  const reason = failure(reading);
  for await (const _ of other) break;
  assert.is((await reason).code, 'Aborted');
  assert.is((await failure(result)).code, 'Aborted');
});

test('a load in any order brings the same documents', async () => {
  await fill(from);
  const { bytes } = await dumped(from);
  const result = await loaded(bytes, { keepOrder: false });
  assert.is(result.failed, 0);
  for (const name of ['odd', 'code', 'large']) assert.equal(await hashes(to, name), await hashes(from, name));
});

test('a majority has every document when a load is done', async () => {
  await fill(from);
  const { bytes } = await dumped(from, { namespaces: { include: ['large'] } });
  await load(replicated, inChunks(bytes), { existing: 'refuse', usersAndRoles: false });
  const seen = await replicated
    .db('large')
    .collection('d')
    .countDocuments({}, { readConcern: { level: 'majority' } });
  assert.is(seen, 30_000);
});

test('two dumps of an unchanged server are the same bytes', async () => {
  await fill(from);
  const [first, second] = [await dumped(from), await dumped(from)];
  assert.ok(first.bytes.equals(second.bytes));
  assert.equal(first.result, second.result);
});

test('a reply has about 4 MiB, whatever the size of the documents, and less when there are many at once', () => {
  const sizes: [bytes: number, documents: number, next: number][] = [
    [1_000_000, 1000, 4194],
    [20_000, 1000, 209_715],
    [16_000_000, 1, 1],
    [0, 0, 1000],
  ];
  for (const [bytes, documents, next] of sizes) {
    const last = { bytes: new Uint8Array(bytes), documents };
    assert.is(nextBatchSize(last), next, `${documents} of ${bytes} bytes`);
    assert.is(nextBatchSize(last, 2), next);
  }
  assert.is(nextBatchSize({ bytes: new Uint8Array(1_000_000), documents: 1000 }, 8), 1048);
});

test('the result says what is in the archive', async () => {
  await fill(from);
  const { bytes, result } = await dumped(from);
  const archive = readWholeArchive(bytes);
  assert.is(result.bytes, bytes.length);
  const logical = (name: string): string => name.replace('.system.buckets.', '.');
  assert.equal(
    result.namespaces.map(({ name, documents, crc }) => [name, documents, BigInt.asIntN(64, BigInt(`0x${crc}`))]),
    archive.namespaces.map(({ name, documents, crc }) => [logical(name), documents.length, crc]),
  );
  assert.is(
    result.documents,
    archive.namespaces.reduce((sum, { documents }) => sum + documents.length, 0),
  );
});

test('while a dump and a load run they say how far they are, and how far it is', async () => {
  const documents = Array.from({ length: 3000 }, (_, n) => ({ n, text: 'z'.repeat(1000) }));
  await from.db('shop').collection('orders').insertMany(documents);
  await from
    .db('shop')
    .collection('customers')
    .insertMany([{ n: 1 }, { n: 2 }]);
  const seen: DumpProgress[] = [];
  const stream = dump(from, { mode: 'none', onProgress: (progress) => seen.push(progress) });
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) {
    pieces.push(Uint8Array.from(piece));
    await setTimeout(100); // as long as statistics of two collections may take
  }
  const { bytes, documents: all } = await stream.result;
  const last = seen.at(-1);
  assert.is(last?.documentsInAll, all);
  assert.is(last?.documents, all);
  // the statistics have the documents alone, so that the archive is a little more
  assert.ok((last?.bytesInAll ?? 0) > 3_000_000 && (last?.bytesInAll ?? 0) <= bytes);
  assert.ok(seen.every((one) => (one.bytesInAll ?? one.bytes) >= one.bytes));
  assert.is(last?.collections, last?.collectionsInAll);

  const archive = Buffer.concat(pieces);
  const reads: number[] = [];
  await loaded(archive, { onProgress: ({ read }) => reads.push(read) });
  assert.is(reads.at(-1), archive.length);
  assert.ok((reads[0] ?? 0) < archive.length);
  const packed = gzipSync(archive);
  await loaded(packed, { existing: 'drop', onProgress: ({ read }) => reads.push(read) });
  assert.is(reads.at(-1), packed.length, 'of a packed archive the packed bytes');
});

test('users, roles and versions come first, the rest by name, one at a time', async () => {
  await load(from, fixture('full.archive'), { existing: 'refuse', usersAndRoles: true });
  const archive = readWholeArchive((await dumped(from)).bytes);
  const names = archive.namespaces.map(({ name }) => name);
  assert.equal(names.slice(0, 3), ['admin.system.users', 'admin.system.roles', 'admin.system.version']);
  const rest = archive.entries.slice(3).map(({ name }) => Buffer.from(name));
  assert.equal(rest, [...rest].sort(Buffer.compare));
  assert.is(archive.concurrent, 1);
  assert.is(archive.header.concurrent_collections, 1);
  assert.not.ok(names.some((name) => /^(?:local|config)\.|system\.(?:views|profile|keys)/.test(name)));
});

test('an archive of ours loads like the one that it was made from', async () => {
  const wanted = await expected();
  await load(from, fixture('full.archive'), { existing: 'refuse', usersAndRoles: true });
  await load(to, dump(from, { mode: 'none' }), { existing: 'refuse', usersAndRoles: true });
  for (const name of DATABASES) await assertDatabase(to, name, wanted[name]);
});

test('a packed archive loads as well', async () => {
  await from
    .db('a')
    .collection('b')
    .insertMany([{ x: 1 }, { x: 2 }]);
  await loaded(gzipSync((await dumped(from)).bytes));
  assert.equal(await hashes(to, 'a'), await hashes(from, 'a'));
});

test('a dump takes chosen namespaces only', async () => {
  await fill(from);
  const { bytes } = await dumped(from, { namespaces: { include: ['odd', 'code'], exclude: ['odd.*e*'] } });
  const names = readWholeArchive(bytes).entries.map(({ name }) => name);
  assert.ok(names.includes('odd.with.dots') && names.includes('code.system.js'));
  assert.not.ok(
    names.some((name) => name.startsWith('large.') || name.startsWith('admin.') || name.includes('series')),
  );
});

test('a load takes chosen namespaces and gives them other names', async () => {
  await fill(from);
  const { bytes } = await dumped(from);
  const result = await loaded(bytes, {
    namespaces: {
      include: ['odd.with.dots', 'odd.a view', 'odd.series', 'odd.numbered'],
      rename: [{ from: 'odd.*', to: 'copy.new *' }],
    },
  });
  assert.equal(result.namespaces.map(({ name }) => name).sort(), [
    'copy.new a view',
    'copy.new numbered',
    'copy.new series',
    'copy.new with.dots',
  ]);
  const { databases } = await to.db('admin').admin().listDatabases({ nameOnly: true });
  assert.not.ok(databases.some(({ name }) => name === 'odd' || name === 'large'));
  assert.is(await to.db('copy').collection('new series').countDocuments(), 300);
  assert.is(await to.db('copy').collection('new a view').countDocuments(), 2, 'the view follows its collection');
  assert.is((await to.db('copy').collection('new numbered').indexes()).length, 6);
});

test('two namespaces are not loaded into one', async () => {
  await from.db('a').collection('b').insertOne({});
  await from.db('a').collection('c').insertOne({});
  const { bytes } = await dumped(from);
  const error = await failure(loaded(bytes, { namespaces: { rename: [{ from: 'a.b', to: 'a.c' }] } }));
  assert.is(error.code, 'InvalidPattern');
});

test('a target that holds data is refused before anything is written', async () => {
  await fill(from);
  const { bytes } = await dumped(from);
  await to
    .db('odd')
    .collection('types')
    .insertOne({ _id: 1 as never });
  const error = await failure(loaded(bytes));
  assert.is(error.code, 'TargetNotEmpty');
  assert.match(error.message, /odd\.types/);
  assert.is((await to.db('odd').listCollections().toArray()).length, 1);
});

test('an empty collection is no data, unless it has other options', async () => {
  await from.db('a').createCollection('b', { capped: true, size: 4096 });
  await from
    .db('a')
    .collection('c')
    .insertOne({ _id: 1 as never });
  const { bytes } = await dumped(from);
  await to.db('a').createCollection('c');
  await loaded(bytes);
  await to.db('a').dropDatabase();
  await to.db('a').createCollection('b');
  assert.match((await failure(loaded(bytes))).message, /a\.b \(other options\)/);
});

test('drop replaces what is in the archive and nothing else', async () => {
  await fill(from);
  const { bytes } = await dumped(from);
  await fill(to);
  await to.db('odd').collection('types').insertOne({ more: true });
  await to
    .db('odd')
    .collection('not in the archive')
    .insertOne({ _id: 1 as never });
  await loaded(bytes, { existing: 'drop' });
  const { 'not in the archive': own, ...rest } = (await hashes(to, 'odd')) as Record<string, string>;
  assert.ok(own);
  assert.equal(rest, await hashes(from, 'odd'));
  assert.equal(await hashes(to, 'code'), await hashes(from, 'code'));
});

test('merge adds documents and counts those that are there already', async () => {
  await from
    .db('a')
    .collection('b')
    .insertMany([1, 2, 3].map((_id) => ({ _id: _id as never, from: 'archive' })));
  await from.db('a').createCollection('ring', { capped: true, size: 4096 });
  await from
    .db('a')
    .collection('ring')
    .insertMany([1, 2, 3].map((_id) => ({ _id: _id as never })));
  const { bytes } = await dumped(from);
  await to
    .db('a')
    .collection('b')
    .insertMany([2, 9].map((_id) => ({ _id: _id as never, from: 'target' })));
  await to.db('a').createCollection('ring', { capped: true, size: 4096 });
  await to
    .db('a')
    .collection('ring')
    .insertOne({ _id: 1 as never });
  const result = await loaded(bytes, { existing: 'merge' });
  assert.is(result.failed, 2);
  assert.equal(result.namespaces, [
    { name: 'a.b', documents: 3, restored: 2, failed: 1, counted: 4 },
    { name: 'a.ring', documents: 3, restored: 2, failed: 1, counted: 3 },
  ]);
  assert.is(
    (
      await to
        .db('a')
        .collection('b')
        .findOne({ _id: 2 as never })
    )?.from,
    'target',
  );
  assert.is(await to.db('a').collection('b').countDocuments(), 4);
});

test('an index that the data does not allow fails the load', async () => {
  await from.db('a').collection('b').createIndex({ x: 1 }, { unique: true });
  await from
    .db('a')
    .collection('b')
    .insertMany([{ _id: 1 as never, x: 1 }]);
  const { bytes } = await dumped(from);
  await to
    .db('a')
    .collection('b')
    .insertOne({ _id: 2 as never, x: 1 });
  const error = await failure(loaded(bytes, { existing: 'merge' }));
  assert.match(error.message, /build the indexes of a\.b/);
});

test('a damaged archive fails the load', async () => {
  await from
    .db('a')
    .collection('b')
    .insertMany(Array.from({ length: 1000 }, (_, n) => ({ n, text: 'z'.repeat(100) })));
  const { bytes } = await dumped(from);
  const damaged = Buffer.from(bytes);
  const at = damaged.indexOf('zzzzzzzz', 50_000);
  damaged[at] = 0x79;
  assert.match((await failure(loaded(damaged))).message, /a\.b.*checksum/);
  await to.db('a').dropDatabase();
  assert.is((await failure(loaded(bytes.subarray(0, 60_000)))).code, 'ArchiveTruncated');
});

test('an abort stops a load and a dump', async () => {
  await fill(from);
  const reason = new BackstayError('Interrupted', 'stopped by a test');
  const stop = new AbortController();
  const stream = dump(from, { mode: 'none', signal: stop.signal });
  let pieces = 0;
  const error = await failure(
    (async () => {
      for await (const piece of stream) {
        pieces += piece.length === 0 ? 0 : 1;
        stop.abort(reason);
      }
    })(),
  );
  assert.is(error, reason);
  assert.ok(pieces > 0);
  assert.is(await stream.result.catch((same: unknown) => same), reason);

  const { bytes } = await dumped(from);
  const halt = new AbortController();
  const loading = loaded(bytes, {
    signal: halt.signal,
    onProgress: ({ documents }) => documents > 100 && halt.abort(reason),
  });
  assert.is(await failure(loading), reason);
});

test('a reader that stops early leaves no cursor on the server', async () => {
  await fill(from);
  const open = async (): Promise<number> =>
    (await from.db('admin').command({ serverStatus: 1 })).metrics.cursor.open.total;
  const before = await open();
  const stream = dump(from, { mode: 'none', namespaces: { include: ['large'] } });
  for await (const piece of stream) if (piece.length > 1_000_000) break;
  assert.is(await open(), before);
  assert.is(errorCode(await stream.result.catch((error: unknown) => error)), 'Aborted');
});

test('the last batch is kept back until the caller has verified its lock', async () => {
  await from
    .db('a')
    .collection('b')
    .insertMany(Array.from({ length: 2000 }, (_, n) => ({ n, text: 'z'.repeat(100) })));
  let handed = 0;
  const stream = dump(from, {
    mode: 'none',
    onLastRead: async () => {
      throw new BackstayError('LockLost', 'a test lost it');
    },
  });
  const error = await failure(
    (async () => {
      for await (const piece of stream) handed += piece.length;
    })(),
  );
  assert.is(error.code, 'LockLost');
  assert.ok(handed < 2000 * 100, 'no complete archive came out');
});

test('a snapshot shows one moment while the data changes', async () => {
  const db = replicated.db('bank');
  await db
    .collection('a')
    .insertMany(Array.from({ length: 20_000 }, (_, n) => ({ _id: n as never, money: 10, text: 'm'.repeat(900) })));
  await db
    .collection('c')
    .insertMany(Array.from({ length: 20_000 }, (_, n) => ({ _id: n as never, money: 10, text: 'm'.repeat(900) })));
  await db.createCollection('capped', { capped: true, size: 4096 });
  const stop = new AbortController();
  const moving = (async () => {
    for (let n = 0; !stop.signal.aborted; n = (n + 1) % 20_000) {
      await using session = replicated.startSession();
      await session.withTransaction(async () => {
        await db.collection('a').updateOne({ _id: (19_999 - n) as never }, { $inc: { money: -1 } }, { session });
        await db.collection('c').updateOne({ _id: (19_999 - n) as never }, { $inc: { money: 1 } }, { session });
      });
    }
  })();
  await using direct = await set.member(0).client();
  const { archives, result } = await dumpedInto(2, direct, { mode: 'snapshot', namespaces: { include: ['bank'] } });
  stop.abort();
  await moving;
  const contents = archives.map(readWholeArchive);
  assert.ok(
    contents.every(({ namespaces }) => namespaces.some(({ documents }) => documents.length === 20_000)),
    'the money lies in two archives',
  );
  const sum = contents
    .flatMap(({ namespaces }) => namespaces)
    .flatMap(({ documents }) => documents)
    .reduce((total, document) => total + Number(BSON.deserialize(document).money ?? 0), 0);
  assert.is(sum, 400_000);
  assert.instance(result.cutTime, Timestamp);
  assert.equal(result.outsideSnapshot, ['bank.capped']);
});

test('a snapshot of a time that is gone says so', async () => {
  await using direct = await set.member(0).client();
  await replicated.db('gone').collection('a').insertOne({});
  const error = await failure(
    dumped(direct, {
      mode: 'snapshot',
      atClusterTime: new Timestamp({ t: 1, i: 1 }),
      namespaces: { include: ['gone'] },
    }),
  );
  assert.is(error.code, 'SnapshotTooOld');
  assert.match(String(error.remedy), /minSnapshotHistoryWindowInSeconds/);
});

test('a standalone has no snapshots', async () => {
  assert.is((await failure(dumped(from, { mode: 'snapshot' }))).code, 'SnapshotUnsupported');
});

test.run();
