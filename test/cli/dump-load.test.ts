// time-limit: 240s
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MongoClient } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { takeGround } from '../lab/ground.ts';
import { startMongod } from '../lab/mongod.ts';
import { until } from '../lab/process.ts';
import { startReplicaSet } from '../lab/replica-set.ts';
import { readWholeArchive } from '../mongo/archive-reader.ts';
import { assertDatabase, DATABASES, expected, fixtureBytes, wipe } from '../mongo/archives.ts';
import { backstay } from './backstay.ts';

const test = suite('backstay dump and load');

const ground = await takeGround();
const server = await startMongod({ on: ground });
const client = await server.client();
const uri = server.uri();
const set = await startReplicaSet({ on: ground, members: [{}, {}, { hidden: true, priority: 0 }], auth: true });
const hidden = set.member(2);
const root = set.credentials as NonNullable<typeof set.credentials>;
const setUri = `mongodb://root@${set.member(0).address}/?replicaSet=rs0`;
const env = { MONGODB_PASSWORD: root.password };

test.before.each(() => wipe(client));
test.after(async () => {
  await client.close();
  await server.stop();
  await set.stop();
  await ground[Symbol.asyncDispose]();
});

/** A standalone is locked only when it is asked for. */
const LOCKED = ['--on-majority-stall', 'proceed'];
const isLocked = async (member: MongoClient): Promise<boolean> =>
  (await member.db('admin').command({ currentOp: 1, $ownOps: true })).fsyncLock === true;

test('an archive of mongodump goes in, comes out and goes in again', async () => {
  const wanted = await expected();
  const first = await backstay(['load', '--uri', uri], { input: await fixtureBytes('full.archive.gz') });
  assert.is(first.code, 0, first.stderr);
  assert.match(first.stderr, /loaded 13 namespaces with 3,267 documents, 11 indexes, 2 users, 1 role: 19\.4 MB in/);
  const dump = await backstay(['dump', '--uri', uri, '--consistency', 'none']);
  assert.is(dump.code, 0, dump.stderr);
  assert.match(dump.stderr, /dumped 16 namespaces with 3,272 documents from .* \(none\)/);
  const again = await backstay(['load', '--uri', uri, '--drop'], { input: dump.stdout });
  assert.is(again.code, 0, again.stderr);
  for (const name of DATABASES) await assertDatabase(client, name, wanted[name]);
});

test('a standalone is read as it is, and told so, unless its writes may wait for a lock', async () => {
  await client.db('a').collection('b').insertOne({});
  const asItIs = await backstay(['dump', '--uri', uri]);
  assert.is(asItIs.code, 0, asItIs.stderr);
  assert.match(asItIs.stderr, /a lock stops every write to a standalone server/);
  const { code, stderr } = await backstay(['dump', '--uri', uri, ...LOCKED]);
  assert.is(code, 0, stderr);
  assert.match(stderr, /\(lock, locked for \d+\.\d s\)/);
  assert.is(await isLocked(client), false);
});

test('a set is dumped from its hidden member, under a lock, and says why', async () => {
  await using primary = await set.client();
  await primary
    .db('shop')
    .collection('orders')
    .insertMany([{ n: 1 }, { n: 2 }], { writeConcern: { w: 3 } });
  const { code, stdout, stderr } = await backstay(['dump', '--uri', setUri, '--log-level', 'debug', '--db', 'shop'], {
    env,
  });
  assert.is(code, 0, stderr);
  assert.match(stderr, new RegExp(`reads ${hidden.address}: hidden secondary`));
  assert.match(stderr, /not .*: it is the primary/);
  assert.match(stderr, /from .* \(lock, as of 20.*, locked for/);
  assert.equal(
    readWholeArchive(stdout).namespaces.map(({ name, documents }) => [name, documents.length]),
    [['shop.orders', 2]],
  );
  await using member = await hidden.client();
  assert.is(await isLocked(member), false);
});

test('the member and the consistency can be chosen', async () => {
  const { address } = set.member(1);
  const { code, stderr } = await backstay(
    ['dump', '--uri', setUri, '--members', address, '--consistency', 'snapshot'],
    {
      env,
    },
  );
  assert.is(code, 0, stderr);
  assert.match(stderr, new RegExp(`from ${address} \\(snapshot, as of`));
});

test('the password comes from a file as well', async () => {
  const file = join(ground.folder, 'password');
  await writeFile(file, `${root.password}\n`);
  const { code, stderr } = await backstay(['dump', '--uri', setUri, '--password-file', file, '--db', 'shop']);
  assert.is(code, 0, stderr);
});

test('a wrong password is a failure that shows neither', async () => {
  const { code, stdout, stderr } = await backstay(['dump', '--uri', setUri], {
    env: { MONGODB_PASSWORD: 'swordfish' },
  });
  assert.is(code, 1);
  assert.match(stderr, /refused the login: .*; check user name, password/);
  assert.not.match(stderr, /swordfish|\n +at /);
  assert.is(stdout.length, 0);
});

test('a set whose majority a lock would stall is read as a snapshot, and told', async () => {
  await using pair = await startReplicaSet({ on: ground, name: 'psa', members: [{}, {}, { arbiter: true }] });
  await using primary = await pair.client();
  // by a heartbeat, a moment after the member itself
  await until('the primary knows that the other one is a secondary', async () => {
    const { members } = await primary.db('admin').command({ replSetGetStatus: 1 });
    return (members as { stateStr: string }[]).some(({ stateStr }) => stateStr === 'SECONDARY');
  });
  const automatic = await backstay(['dump', '--uri', pair.uri]);
  assert.is(automatic.code, 0, automatic.stderr);
  assert.match(automatic.stderr, /not locked: writes of a majority need 2 members with data/);
  assert.match(automatic.stderr, /\(snapshot, as of/);
  const all = await backstay(['dump', '--uri', pair.uri, '--on-majority-stall', 'proceed']);
  assert.is(all.code, 0, all.stderr);
  assert.match(all.stderr, /locked all the same: writes of a majority need 2 members with data/);
  const refused = await backstay(['dump', '--uri', pair.uri, '--on-majority-stall', 'refuse']);
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /cannot be locked without harm.*use consistency "snapshot"/);
  assert.is(refused.stdout.length, 0);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} releases the lock`, async () => {
    await client
      .db('a')
      .collection('b')
      .insertMany(Array.from({ length: 3000 }, (_, n) => ({ n, text: 'x'.repeat(10_000) })));
    const stopped = await backstay(['dump', '--uri', uri, ...LOCKED], {
      onStart: (child) => {
        // nobody reads: the dump stands still under its lock
        child.stdout?.pause();
        until('the server is locked', () => isLocked(client)).then(() => {
          child.kill(signal);
          child.stdout?.resume();
        });
      },
    });
    assert.is(stopped.code, 1);
    assert.match(stopped.stderr, new RegExp(`stopped by ${signal}`));
    assert.is(await isLocked(client), false);
  });
}

test('a closed output releases the lock and is a failure', async () => {
  await client
    .db('a')
    .collection('b')
    .insertMany(Array.from({ length: 3000 }, (_, n) => ({ n, text: 'x'.repeat(10_000) })));
  const { code, stderr } = await backstay(['dump', '--uri', uri, ...LOCKED], {
    onStart: (child) => {
      until('the server is locked', () => isLocked(client)).then(() => child.stdout?.destroy());
    },
  });
  assert.is(code, 1, stderr);
  assert.match(stderr, /standard output was closed/);
  assert.is(await isLocked(client), false);
});

test('a load refuses data that is there, before it writes', async () => {
  await client
    .db('catalogue')
    .collection('orders')
    .insertOne({ _id: 1 as never });
  const { code, stderr } = await backstay(['load', '--uri', uri], { input: await fixtureBytes('full.archive') });
  assert.is(code, 1);
  assert.match(stderr, /the target already has catalogue\.orders; drop them/);
  assert.equal(await client.db('big').listCollections().toArray(), []);
});

test('a merge that leaves documents out is a failure, and names the collections', async () => {
  const input = await fixtureBytes('catalogue.archive');
  await client
    .db('catalogue')
    .collection('types')
    .insertOne({ _id: 1 as never });
  await backstay(['load', '--uri', uri, '--merge', '--include', 'catalogue.strict'], { input });
  const { code, stderr } = await backstay(['load', '--uri', uri, '--merge', '--include', 'catalogue.strict'], {
    input,
  });
  assert.is(code, 1);
  assert.match(stderr, /restored 0, failed 2: they were there already, catalogue\.strict \(2\)/);
});

test('a chosen collection is loaded under another name, without users', async () => {
  const input = await fixtureBytes('full.archive');
  const args = ['load', '--uri', uri, '--include', 'catalogue.orders', '--rename', 'catalogue.orders=copy.orders'];
  const { code, stderr } = await backstay(args, { input });
  assert.is(code, 0, stderr);
  assert.is(await client.db('copy').collection('orders').countDocuments(), 3000);
  const { users } = await client.db('admin').command({ usersInfo: { forAllDBs: true } });
  assert.equal(users, []);
});

for (const [what, cut, message] of [
  ['nothing', 0, /is cut off at the prelude, byte 0: there is no archive/],
  ['half an archive', 300_000, /is cut off at catalogue\.\S+, byte \d+/],
] as const) {
  test(`${what} on standard input is a failure`, async () => {
    const { code, stderr } = await backstay(['load', '--uri', uri], {
      input: (await fixtureBytes('catalogue.archive')).subarray(0, cut),
    });
    assert.is(code, 1);
    assert.match(stderr, message);
  });
}

test('no archive is written to a terminal, and none is read from one', async () => {
  const { execFile } = await import('node:child_process');
  const main = new URL('../../src/cli/main.ts', import.meta.url).pathname;
  const python = 'import pty,sys,os; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';
  for (const [command, message] of [
    ['dump', /an archive is not for a terminal/],
    ['load', /there is no archive on standard input/],
  ] as const) {
    const output = await new Promise<{ code: unknown; text: string }>((resolve) => {
      execFile('python3', ['-c', python, process.execPath, main, command, '--uri', uri], (error, stdout) =>
        resolve({ code: error?.code, text: stdout }),
      );
    });
    assert.is(output.code, 2, output.text);
    assert.match(output.text, message);
  }
});

test('a dump as three files is read under one lock, and loaded from them in any order', async () => {
  const wanted = await expected();
  await backstay(['load', '--uri', uri], { input: await fixtureBytes('full.archive.gz') });
  const [one, two, three] = ['one', 'two', 'three'].map((name) => join(ground.folder, `${name}.archive`));
  assert.ok(one && two && three);
  const dump = await backstay(['dump', '--uri', uri, ...LOCKED, one, two, three]);
  assert.is(dump.code, 0, dump.stderr);
  assert.match(dump.stderr, /dumped 16 namespaces with 3,272 documents from .* \(lock, locked for/);
  assert.is(dump.stdout.length, 0);
  const incomplete = await backstay(['load', '--uri', uri, '--drop', one, three]);
  assert.is(incomplete.code, 1);
  assert.match(
    incomplete.stderr,
    /the dump is 3 archives, and number 2 is missing; give all archives of the dump at once/,
  );
  await wipe(client);
  const load = await backstay(['load', '--uri', uri, three, one, two]);
  assert.is(load.code, 0, load.stderr);
  assert.match(load.stderr, /loaded 13 namespaces with 3,267 documents, 11 indexes, 2 users, 1 role/);
  for (const name of DATABASES) await assertDatabase(client, name, wanted[name]);
  const absent = await backstay(['load', '--uri', uri, one, two, join(ground.folder, 'absent.archive')]);
  assert.is(absent.code, 2);
  assert.match(absent.stderr, /absent\.archive cannot be read \(ENOENT\)/);
});

test('of several files none is there when one cannot be written, and nothing is locked', async () => {
  await client.db('a').collection('b').insertOne({});
  const [first, last] = ['first', 'last'].map((name) => join(ground.folder, `${name}.archive`));
  assert.ok(first && last);
  await writeFile(first, 'of an earlier dump');
  const { code, stderr } = await backstay(['dump', '--uri', uri, ...LOCKED, first, '/dev/full', last]);
  assert.is(code, 1, stderr);
  assert.match(stderr, /\/dev\/full cannot be written \(ENOSPC\)/);
  assert.is(await readFile(first, 'utf8'), 'of an earlier dump');
  const left = (await readdir(ground.folder)).filter((name) => /^last|partial$/.test(name));
  assert.equal(left, []);
  assert.is(await isLocked(client), false);
  for (const [files, message] of [
    [[first, first], /first\.archive is given twice/],
    [Array.from({ length: 9 }, (_, n) => `${n}.archive`), /a dump is 8 archives at most, not 9/],
  ] as const) {
    const refused = await backstay(['dump', '--uri', uri, ...files]);
    assert.is(refused.code, 2);
    assert.match(refused.stderr, message);
  }
});

test('a dump goes to a file as it goes to a pipe', async () => {
  await client
    .db('a')
    .collection('b')
    .insertMany([{ _id: 1 as never }, { _id: 2 as never }]);
  const output = join(ground.folder, 'a.archive');
  assert.is((await backstay(['dump', '--uri', uri], { output })).code, 0);
  const { stdout } = await backstay(['dump', '--uri', uri, '--consistency', 'none']);
  const [piped, stored] = [readWholeArchive(stdout), readWholeArchive(await readFile(output))];
  assert.equal(piped.entries, stored.entries);
  assert.ok(stdout.equals(await readFile(output)));
});

test.run();
