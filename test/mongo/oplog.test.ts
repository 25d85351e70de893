import { BSON, type Document, type MongoClient, type Timestamp } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { crc64 } from '../../src/mongo/archive/crc64.ts';
import { encodeNamespaceHeader, encodePrelude, OPLOG, TERMINATOR } from '../../src/mongo/archive/format.ts';
import { load } from '../../src/mongo/load.ts';
import { parseNamespace } from '../../src/mongo/namespace.ts';
import { rawDocuments } from '../../src/mongo/wire.ts';
import { takeGround } from '../lab/ground.ts';
import { startMongod } from '../lab/mongod.ts';
import { startReplicaSet } from '../lab/replica-set.ts';
import { readWholeArchive } from './archive-reader.ts';
import { dumped, inChunks, wipe } from './archives.ts';

const test = suite('oplog of an archive');

const ground = await takeGround();
const [set, server] = [await startReplicaSet({ on: ground }), await startMongod({ on: ground })];
const [from, to] = [await set.client(), await server.client()];

test.before.each(async () => {
  await wipe(from);
  await wipe(to);
});
test.after(async () => {
  await from.close();
  await to.close();
  await set.stop();
  await server.stop();
  await ground[Symbol.asyncDispose]();
});

/** An archive of what there was before, and the oplog of what happened since, as mongodump --oplog writes it. */
async function archiveWithOplog(before: Buffer, since: Timestamp): Promise<Buffer> {
  const entries: Uint8Array[] = [];
  for await (const entry of rawDocuments(from.db('local'), { find: 'oplog.rs', filter: { ts: { $gte: since } } })) {
    entries.push(Uint8Array.from(entry));
  }
  const { entries: listed, boundaries, namespaces } = readWholeArchive(before);
  const described = listed.map(({ name, metadata, type }) => ({
    ...parseNamespace(name),
    metadata,
    type: type as 'collection',
  }));
  const preludeEnd = boundaries.find((at) => at > 4 && before.readInt32LE(at - 4) === -1) ?? 0;
  assert.ok(namespaces.length > 0);
  return Buffer.concat([
    encodePrelude({ concurrentCollections: 1, serverVersion: '6.0.5', toolVersion: 'backstay-test' }, [
      ...described,
      { ...OPLOG, metadata: '', type: 'collection' },
    ]),
    before.subarray(preludeEnd),
    encodeNamespaceHeader({ ...OPLOG, end: false, crc: 0n }),
    ...entries,
    TERMINATOR,
    encodeNamespaceHeader({ ...OPLOG, end: true, crc: crc64(Buffer.concat(entries)) }),
  ]);
}

/** Everything that a replay must bring back. */
async function state(client: MongoClient): Promise<unknown> {
  const db = client.db('shop');
  const { collections } = await db.command({ dbHash: 1 });
  const listed: Document[] = await db.listCollections({ type: 'collection' }).toArray();
  const details: [string, unknown, unknown][] = [];
  for (const { name, options } of listed)
    details.push([name, options, name === 'system.views' ? [] : await indexesOf(client, name)]);
  return { collections, details: details.sort(([a], [b]) => (a < b ? -1 : 1)) };
}

async function indexesOf(client: MongoClient, collection: string): Promise<string[]> {
  const indexes: Document[] = await client.db('shop').collection(collection).indexes();
  return indexes.map((index) => JSON.stringify(index)).sort();
}

async function replayed(change: () => Promise<void>): Promise<{ applied: number; skipped: number } | undefined> {
  const { lastWrite } = await from.db('admin').command({ hello: 1 });
  const { bytes } = await dumped(from);
  await change();
  const archive = await archiveWithOplog(bytes, lastWrite.opTime.ts);
  const { oplog } = await load(to, inChunks(archive), { existing: 'refuse', usersAndRoles: false });
  const [found, wanted] = [await state(to), await state(from)];
  assert.is(JSON.stringify(found, null, 1), JSON.stringify(wanted, null, 1));
  return oplog;
}

const shop = (): ReturnType<MongoClient['db']> => from.db('shop');
async function fill(): Promise<void> {
  await shop()
    .collection('orders')
    .insertMany(Array.from({ length: 20 }, (_, n) => ({ _id: n as never, n, list: [1, 2, 3] })));
  await shop()
    .collection('orders')
    .createIndexes([
      { key: { n: 1 }, name: 'n' },
      { key: { at: 1 }, name: 'at', expireAfterSeconds: 1e8 },
      { key: { gone: 1 }, name: 'gone' },
    ]);
  await shop()
    .collection('old')
    .insertOne({ _id: 1 as never });
  await shop()
    .collection('dropped')
    .insertOne({ _id: 1 as never });
}

test('inserts, updates and deletes are replayed', async () => {
  await fill();
  const oplog = await replayed(async () => {
    const orders = shop().collection('orders');
    await orders.insertMany([
      { _id: 100 as never, '2': 'b', '1': 'a' },
      { _id: 101 as never, big: BSON.Long.MAX_VALUE, d: new BSON.Double(2) },
    ]);
    await orders.updateMany({ n: { $lt: 5 } }, { $inc: { n: 1000 }, $push: { list: 4 } } as never);
    await orders.updateOne({ _id: 7 as never }, [{ $set: { n: { $add: ['$n', 0.5] } } }]);
    await orders.replaceOne({ _id: 8 as never }, { replaced: true });
    await orders.deleteMany({ _id: { $gte: 15, $lt: 20 } as never });
  });
  assert.ok((oplog?.applied ?? 0) >= 14);
});

test('an entry that the copied documents show already does no harm', async () => {
  await fill();
  const { lastWrite } = await from.db('admin').command({ hello: 1 });
  const orders = shop().collection('orders');
  await orders.updateOne({ _id: 1 as never }, { $push: { list: 9 } } as never);
  await orders.insertOne({ _id: 200 as never });
  await orders.deleteOne({ _id: 2 as never });
  const { bytes } = await dumped(from);
  await load(to, inChunks(await archiveWithOplog(bytes, lastWrite.opTime.ts)), {
    existing: 'refuse',
    usersAndRoles: false,
  });
  assert.equal(await state(to), await state(from));
});

test('collections that come, go and change their names are replayed', async () => {
  await fill();
  await replayed(async () => {
    await shop().createCollection('new', { validator: { n: { $type: 'int' } } });
    await shop()
      .collection('new')
      .insertOne({ n: new BSON.Int32(1) });
    await shop().createCollection('ring', { capped: true, size: 4096 });
    await shop().collection('dropped').drop();
    await shop().collection('old').rename('renamed');
    await shop().command({ collMod: 'orders', validationLevel: 'off' });
    await shop().createCollection('brief');
    await shop().collection('brief').insertOne({});
    await shop().collection('brief').drop();
  });
});

test('a rename over another collection is replayed', async () => {
  await fill();
  await replayed(async () => {
    await shop().collection('orders').rename('old', { dropTarget: true });
  });
});

test('indexes that come, go and change are built as they are at the end', async () => {
  await fill();
  await replayed(async () => {
    const orders = shop().collection('orders');
    await orders.createIndex({ list: 1, n: -1 }, { name: 'built beside writes' });
    await orders.dropIndex('gone');
    await shop().command({ collMod: 'orders', index: { name: 'at', expireAfterSeconds: 2e8 } });
    await shop().command({ collMod: 'orders', index: { keyPattern: { n: 1 }, hidden: true } });
    await shop().createCollection('fresh');
    await shop().collection('fresh').createIndex({ x: 'hashed' });
    await shop()
      .collection('old')
      .createIndexes([{ key: { a: 1 } }, { key: { b: 1 } }]);
    await shop().collection('old').dropIndexes();
  });
});

test('a transaction is replayed when it commits, and not when it aborts', async () => {
  await fill();
  await replayed(async () => {
    const orders = shop().collection('orders');
    await from.withSession((session) =>
      session.withTransaction(async () => {
        await orders.updateOne({ _id: 3 as never }, { $set: { paid: true } }, { session });
        await shop()
          .collection('old')
          .insertOne({ _id: 50 as never }, { session });
      }),
    );
    // larger than one entry of the oplog may be
    await from.withSession((session) =>
      session.withTransaction(async () => {
        for (let n = 0; n < 3; n += 1)
          await orders.insertOne({ _id: (300 + n) as never, text: 'x'.repeat(7_000_000) }, { session });
      }),
    );
    const session = from.startSession();
    session.startTransaction();
    await orders.deleteMany({}, { session });
    await session.abortTransaction();
    await session.endSession();
  });
});

test("the server's own data is left out", async () => {
  await fill();
  const oplog = await replayed(async () => {
    await from.db('admin').command({ createUser: 'late', pwd: 'x', roles: [] });
    await shop()
      .collection('orders')
      .insertOne({ _id: 400 as never });
  });
  assert.ok((oplog?.skipped ?? 0) > 0);
  const { users } = await to.db('admin').command({ usersInfo: 1 });
  assert.equal(users, []);
});

test('a database that goes is gone', async () => {
  await fill();
  await from.db('other').collection('c').insertOne({});
  await replayed(async () => {
    await from.db('other').dropDatabase();
  });
  const { databases } = await to.db('admin').admin().listDatabases({ nameOnly: true });
  assert.not.ok(databases.some(({ name }) => name === 'other'));
});

test.run();
