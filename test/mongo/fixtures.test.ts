import { BSON, MongoClient } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { load } from '../../src/mongo/load.ts';
import { takeGround } from '../lab/ground.ts';
import { startMongod } from '../lab/mongod.ts';
import { startReplicaSet } from '../lab/replica-set.ts';
import { readWholeArchive } from './archive-reader.ts';
import { assertDatabase, DATABASES, expected, fixture, fixtureBytes, inChunks, wipe } from './archives.ts';

const test = suite('archives of the real mongodump');

const ground = await takeGround();
const server = await startMongod({ on: ground });
const client = await server.client();
const wanted = await expected();

test.before.each(() => wipe(client));
test.after(async () => {
  await client.close();
  await server.stop();
  await ground[Symbol.asyncDispose]();
});

for (const name of ['full.archive', 'full.archive.gz']) {
  test(`${name} comes back as it was`, async () => {
    const result = await load(client, fixture(name), { existing: 'refuse', usersAndRoles: true });
    for (const database of DATABASES) await assertDatabase(client, database, wanted[database]);
    assert.is(result.failed, 0);
    assert.is(result.documents, 3267);
    assert.is(result.users, 2);
    assert.is(result.roles, 1);
    assert.is(result.serverVersion, '6.0.5');
    const users = await client.db('admin').command({ usersInfo: { forAllDBs: true }, showCredentials: true });
    const plain = users.users.map(({ _id, user, db, customData, roles }: Record<string, unknown>) =>
      customData === undefined ? { _id, user, db, roles } : { _id, user, db, customData, roles },
    );
    const byId = (a: { _id: string }, b: { _id: string }): number => (a._id < b._id ? -1 : 1);
    assert.equal(plain.sort(byId), wanted.users.sort(byId));
    assert.ok(users.users.every(({ credentials }: { credentials: object }) => Object.keys(credentials).length > 0));
    const roles = await client.db('admin').command({ rolesInfo: 1, showPrivileges: true });
    assert.is(roles.roles[0].role, 'reporter');
    assert.equal(roles.roles[0].privileges, wanted.roles[0]?.privileges);
    const { databases } = await client.db('admin').admin().listDatabases({ nameOnly: true });
    assert.not.ok(databases.some(({ name: left }) => left === 'tempusers'));
    assert.equal(await client.db('admin').listCollections({ name: /^temp/ }).toArray(), []);
  });
}

test('catalogue.archive brings its database and no user', async () => {
  const result = await load(client, fixture('catalogue.archive'), { existing: 'refuse', usersAndRoles: true });
  await assertDatabase(client, 'catalogue', wanted.catalogue);
  assert.is(result.users + result.roles, 0);
});

test('time series, views and capped collections can be used after a load', async () => {
  await load(client, fixture('catalogue.archive'), { existing: 'refuse', usersAndRoles: false });
  const db = client.db('catalogue');
  const measurements = await db.collection('weather').countDocuments();
  assert.ok(measurements > 5, 'buckets are unpacked');
  await db.collection('weather').insertOne({ t: new Date(), m: 'new', v: 1 });
  assert.is(await db.collection('weather').countDocuments(), measurements + 1);
  assert.is(
    await db.collection('cheap').countDocuments(),
    await db.collection('orders').countDocuments({ qty: { $lt: 3 } }),
  );
  const order = async (): Promise<unknown[]> =>
    (
      await db
        .collection('ring')
        .find({}, { sort: { $natural: 1 } })
        .toArray()
    ).map(({ _id }) => _id);
  assert.equal(
    await order(),
    [...(await order())].sort((a, b) => Number(a) - Number(b)),
  );
});

test('oplog.archive shows the end of its dump once its oplog is replayed', async () => {
  const bytes = await fixtureBytes('oplog.archive');
  const oplog = readWholeArchive(bytes).namespaces.find(({ name }) => name === '.oplog');
  assert.ok(oplog);
  const result = await load(client, inChunks(bytes), { existing: 'refuse', usersAndRoles: true });
  await assertDatabase(client, 'big', wanted.big);
  await assertDatabase(client, 'mïxed-db', wanted['mïxed-db']);
  await assertDatabase(client, 'catalogue', wanted.catalogue, ['orders']);
  assert.ok(result.oplog !== undefined && result.oplog.applied > 0);
  assert.is((result.oplog?.applied ?? 0) + (result.oplog?.skipped ?? 0), oplog.documents.length);
  const replayed = await client.db('catalogue').command({ dbHash: 1, collections: ['orders'] });

  // replayed once more by the server alone, from the entries as they are, nothing changes: the last state of every document is there
  const updates = oplog.documents
    .map((entry) => BSON.deserialize(entry, { promoteValues: false }))
    .filter(({ op, ns }) => op !== 'n' && String(ns).startsWith('catalogue.'));
  assert.ok(updates.length > 0);
  for (const { op, ns, o, o2 } of updates)
    await client.db('admin').command({ applyOps: [{ op, ns, o, ...(o2 === undefined ? {} : { o2 }) }] });
  const again = await client.db('catalogue').command({ dbHash: 1, collections: ['orders'] });
  assert.is(again.md5, replayed.md5);
});

test('an oplog is left out when that is asked for', async () => {
  const result = await load(client, fixture('oplog.archive'), {
    existing: 'refuse',
    usersAndRoles: false,
    oplogReplay: false,
    namespaces: { include: ['mïxed-db'] },
  });
  assert.is(result.oplog, undefined);
  assert.equal(
    result.namespaces.map(({ name }) => name),
    ['mïxed-db.c'],
  );
});

test('an oplog is not replayed for chosen namespaces', async () => {
  const error = await load(client, fixture('oplog.archive'), {
    existing: 'refuse',
    usersAndRoles: false,
    namespaces: { include: ['big'] },
  }).catch((reason: unknown) => reason);
  assert.match(String(error), /cannot be replayed for chosen namespaces/);
  assert.equal(await client.db('big').listCollections().toArray(), []);
});

test('a replica set takes a load too', async () => {
  await using set = await startReplicaSet({ on: ground });
  await using primary = new MongoClient(set.uri);
  await load(primary, fixture('oplog.archive'), { existing: 'refuse', usersAndRoles: true });
  await assertDatabase(primary, 'catalogue', wanted.catalogue, ['orders']);
  await assertDatabase(primary, 'big', wanted.big);
});

test.run();
