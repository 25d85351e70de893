// time-limit: 60s
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { BSON, type Document, Timestamp } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCode } from '../../src/api/errors.ts';
import { crc64 } from '../../src/mongo/archive/crc64.ts';
import {
  type CollectionEntry,
  encodeNamespaceHeader,
  encodePrelude,
  OPLOG,
  TERMINATOR,
} from '../../src/mongo/archive/format.ts';
import { type ReadOptions, readArchive } from '../../src/mongo/archive/reader.ts';
import { load } from '../../src/mongo/load.ts';
import { bucketsOf, type Namespace, nameOf } from '../../src/mongo/namespace.ts';
import { takeGround } from '../lab/ground.ts';
import { startMongod } from '../lab/mongod.ts';
import { readWholeArchive } from './archive-reader.ts';
import { dumped, fixtureBytes, inChunks, wipe } from './archives.ts';
import { forSeeds, type Random } from './random.ts';

const test = suite('properties of archives');

const ground = await takeGround();
const server = await startMongod({ on: ground });
const client = await server.client();

test.before.each(() => wipe(client));
test.after(async () => {
  await client.close();
  await server.stop();
  await ground[Symbol.asyncDispose]();
});

const LIMITS: ReadOptions = { batchBytes: 64 * 1024, batchDocuments: 1000 };
/** Far more than any of these archives takes: who is not done by then will never be. */
const HANG_MS = 10_000;

interface Contents {
  /** As it is written in the blocks: buckets for a time series. */
  namespace: Namespace;
  entry: CollectionEntry;
  documents: Uint8Array[];
}

function randomContents(random: Random): Contents[] {
  const names = new Set<string>();
  const contents: Contents[] = [];
  for (let left = random.between(1, 8); left > 0; left -= 1) {
    const [db, collection] = [random.databaseName(), random.collectionName()];
    if (names.has(nameOf({ db, collection }))) continue;
    names.add(nameOf({ db, collection }));
    const type = random.pick(['collection', 'collection', 'view', 'timeseries'] as const);
    const count = type === 'view' || random.chance(0.3) ? 0 : random.below(40);
    const documents = Array.from({ length: count }, (_, id) =>
      BSON.serialize(random.document(id, random.chance(0.05) ? random.below(100_000) : random.below(300))),
    );
    const namespace = { db, collection: type === 'timeseries' ? bucketsOf(collection) : collection };
    contents.push({ namespace, entry: { db, collection, type, metadata: '{"indexes":[]}' }, documents });
  }
  if (random.chance(0.3)) {
    const entry: CollectionEntry = { ...OPLOG, type: 'collection', metadata: '' };
    const documents = [BSON.serialize({ ts: new Timestamp({ t: 1, i: 1 }), op: 'n' })];
    contents.push({ namespace: OPLOG, entry, documents });
  }
  return contents;
}

/** An archive whose namespaces take turns in blocks of random length; the oplog stays last. */
function write(random: Random, contents: Contents[]): Buffer {
  const parts = [
    encodePrelude(
      { concurrentCollections: 4, serverVersion: '6.0.5', toolVersion: 'backstay-test' },
      contents.map(({ entry }) => entry),
    ),
  ];
  const rest = contents.map((one) => ({ ...one, left: [...one.documents] }));
  while (rest.length > 0) {
    const last = rest.length === 1 ? 0 : random.below(Math.min(4, rest.filter(({ entry }) => entry.db !== '').length));
    const [next] = rest.slice(last);
    if (next === undefined) break;
    const { namespace, documents, left } = next;
    parts.push(encodeNamespaceHeader({ ...namespace, end: false, crc: 0n }));
    parts.push(...left.splice(0, random.chance(0.5) ? left.length : random.below(left.length + 1)), TERMINATOR);
    if (left.length > 0) continue;
    parts.push(encodeNamespaceHeader({ ...namespace, end: true, crc: crc64(Buffer.concat(documents)) }));
    rest.splice(last, 1);
  }
  return Buffer.concat(parts);
}

/** Every namespace's documents as our reader hands them out. */
async function readBack(bytes: Uint8Array, chunk: number, limits = LIMITS): Promise<Map<string, Uint8Array>> {
  const pieces = new Map<string, Uint8Array[]>();
  const ended = new Map<string, Uint8Array>();
  for await (const event of readArchive(inChunks(bytes, chunk), limits)) {
    if (event.kind === 'prelude') continue;
    const name = nameOf(event.entry);
    if (event.kind === 'documents') pieces.set(name, [...(pieces.get(name) ?? []), ...event.pieces]);
    else ended.set(name, Buffer.concat(pieces.get(name) ?? []));
  }
  return ended;
}

/** What reading ends with: the error, undefined when there is none, or that it does not end. */
async function ending(bytes: Uint8Array): Promise<unknown> {
  const stop = new AbortController();
  const reading = readBack(bytes, 65_536).then(
    () => undefined,
    (error: unknown) => error,
  );
  const hanging = sleep(HANG_MS, 'it hangs', { signal: stop.signal }).catch(() => undefined);
  try {
    return await Promise.race([reading, hanging]);
  } finally {
    stop.abort();
  }
}

/** Reading ends with an error that names a namespace of the archive, or its prelude, and a byte of it. */
async function assertRefused(bytes: Uint8Array, names: ReadonlySet<string>, what: string): Promise<void> {
  const error = await ending(bytes);
  assert.ok(['ArchiveTruncated', 'ArchiveDamaged'].includes(errorCode(error)), `${what}: ${String(error)}`);
  const message = String(error);
  const [, place = '', at = ''] = /archive is (?:damaged|cut off) at (.*?), byte (\d+): /s.exec(message) ?? [];
  assert.ok(place === 'the prelude' || names.has(place), `${what}: ${message}`);
  assert.ok(Number(at) <= bytes.length, `${what}: ${message}`);
}

/** A time series has two names: its own in the prelude, and that of its buckets. */
function namesIn(bytes: Buffer): Set<string> {
  const { entries, namespaces } = readWholeArchive(bytes);
  return new Set([...entries, ...namespaces].map(({ name }) => name));
}

/** Where the body of an archive begins: behind the terminator of its prelude. */
function bodyOf(bytes: Buffer, boundaries: number[]): number {
  return boundaries.find((at) => at > 4 && bytes.readInt32LE(at - 4) === -1) ?? bytes.length;
}

async function assertEveryDamageFound(random: Random, bytes: Buffer, flipFrom: number): Promise<void> {
  const { boundaries, namespaces } = readWholeArchive(bytes);
  const names = namesIn(bytes);
  const cuts = boundaries.filter((at) => at < bytes.length);
  // a large archive has thousands of boundaries between documents, which are all alike
  const stride = Math.ceil(cuts.length / 300);
  const blocks = new Set(namespaces.flatMap((namespace) => namespace.blocks));
  for (const [index, at] of cuts.entries()) {
    if (index % stride !== 0 && !blocks.has(at)) continue;
    await assertRefused(bytes.subarray(0, at), names, `cut at the boundary ${at}`);
  }
  for (let turn = 0; turn < 200; turn += 1) {
    const at = random.below(bytes.length);
    await assertRefused(bytes.subarray(0, at), names, `cut at ${at}`);
  }
  const damaged = Buffer.from(bytes);
  for (let turn = 0; turn < 200; turn += 1) {
    const at = random.between(flipFrom, bytes.length - 1);
    const was = bytes[at] ?? 0;
    damaged[at] = was ^ random.between(1, 255);
    await assertRefused(damaged, names, `byte ${at} became ${damaged[at]}`);
    damaged[at] = was;
  }
}

test('what is written comes back, by our reader and by one that knows nothing of ours', () =>
  forSeeds(60, async (random) => {
    const contents = randomContents(random);
    const bytes = write(random, contents);
    const wanted = new Map(contents.map(({ namespace, documents }) => [nameOf(namespace), Buffer.concat(documents)]));

    const whole = readWholeArchive(bytes);
    assert.equal(
      whole.entries.map(({ name }) => name),
      contents.map(({ entry }) => nameOf(entry)),
    );
    assert.equal(whole.namespaces.map(({ name }) => name).sort(), [...wanted.keys()].sort());
    for (const { name, documents } of whole.namespaces)
      assert.is(Buffer.compare(Buffer.concat(documents), wanted.get(name) ?? Buffer.alloc(0)), 0, name);

    const limits = { batchBytes: random.between(1, 100_000), batchDocuments: random.between(1, 50) };
    const packed = random.chance(0.3) ? gzipSync(bytes) : bytes;
    const read = await readBack(packed, random.pick([7, 100, 4096, 1_000_000]), limits);
    assert.is(read.size, contents.length);
    for (const { entry, documents } of contents)
      assert.is(Buffer.compare(read.get(nameOf(entry)) ?? Buffer.alloc(1), Buffer.concat(documents)), 0, nameOf(entry));
  }));

test('any damage to an archive of ours is an error with its place', () =>
  forSeeds(4, async (random) => assertEveryDamageFound(random, write(random, randomContents(random)), 0)));

// the prelude has no checksum in theirs
test("any damage to the data of mongodump's archive is an error with its place", () =>
  forSeeds(1, async (random) => {
    const bytes = await fixtureBytes('catalogue.archive');
    await assertEveryDamageFound(random, bytes, bodyOf(bytes, readWholeArchive(bytes).boundaries));
  }));

test('any damage to a packed archive is an error with its place', () =>
  forSeeds(1, async (random) => {
    const bytes = await fixtureBytes('catalogue.archive');
    const names = namesIn(bytes);
    const packed = gzipSync(bytes);
    // the ten bytes before are gzip's own, of which some mean nothing
    for (let turn = 0; turn < 100; turn += 1) {
      await assertRefusedPacked(packed.subarray(0, random.between(10, packed.length - 1)), names, `turn ${turn}: cut`);
      const damaged = Buffer.from(packed);
      const at = random.between(10, packed.length - 1);
      damaged[at] = (damaged[at] ?? 0) ^ random.between(1, 255);
      await assertRefusedPacked(damaged, names, `byte ${at}`);
    }
  }));

/** The byte is one of the unpacked stream, so it may lie behind the packed one's end. */
async function assertRefusedPacked(bytes: Uint8Array, names: ReadonlySet<string>, what: string): Promise<void> {
  const error = await ending(bytes);
  assert.ok(['ArchiveTruncated', 'ArchiveDamaged'].includes(errorCode(error)), `${what}: ${String(error)}`);
  const [, place = ''] = /archive is (?:damaged|cut off) at (.*?), byte \d+: /s.exec(String(error)) ?? [];
  assert.ok(place === 'the prelude' || names.has(place), `${what}: ${String(error)}`);
}

test('a server that is dumped, emptied and loaded is what it was', () =>
  forSeeds(3, async (random) => {
    await wipe(client);
    const wanted = await fillAtRandom(random);
    const first = await dumped(client);
    const archive = readWholeArchive(first.bytes);
    for (const [name, documents] of wanted) {
      const found = archive.namespaces.find((namespace) => namespace.name === name);
      assert.is(Buffer.compare(Buffer.concat(found?.documents ?? []), Buffer.concat(documents)), 0, name);
    }
    const hashes = await hashOf([...wanted.keys()]);
    await wipe(client);
    const { failed } = await load(client, inChunks(first.bytes), { existing: 'refuse', usersAndRoles: true });
    assert.is(failed, 0);
    assert.equal(await hashOf([...wanted.keys()]), hashes);
    const second = await dumped(client);
    assert.equal(second.result.namespaces, first.result.namespaces);
    assert.is(
      Buffer.compare((await dumped(client)).bytes, second.bytes),
      0,
      'an unchanged server gives the same bytes',
    );
  }));

/** Makes collections, some of them empty, and returns the documents that went into each. */
async function fillAtRandom(random: Random): Promise<Map<string, Uint8Array[]>> {
  const wanted = new Map<string, Uint8Array[]>();
  const databases = new Set<string>();
  for (let left = random.between(2, 6); left > 0; left -= 1) {
    const db = random.databaseName();
    // a server takes no two names that differ in case alone
    if (databases.has(db.toLowerCase())) continue;
    databases.add(db.toLowerCase());
    for (let more = random.between(1, 3); more > 0; more -= 1) {
      const collection = random.collectionName();
      if (wanted.has(nameOf({ db, collection }))) continue;
      const capped = random.chance(0.2) ? { capped: true, size: 16 * 1024 * 1024 } : {};
      await client.db(db).createCollection(collection, capped);
      const documents = Array.from({ length: random.chance(0.3) ? 0 : random.between(1, 60) }, (_, id) =>
        random.document(id, random.chance(0.02) ? random.below(1_000_000) : random.below(500)),
      );
      if (documents.length > 0) await client.db(db).collection<Document>(collection).insertMany(documents);
      wanted.set(
        nameOf({ db, collection }),
        documents.map((document) => BSON.serialize(document)),
      );
    }
  }
  return wanted;
}

async function hashOf(names: string[]): Promise<unknown[]> {
  const databases = new Set(names.map((name) => name.slice(0, name.indexOf('.'))));
  const hashes: unknown[] = [];
  for (const name of [...databases].sort()) hashes.push((await client.db(name).command({ dbHash: 1 })).collections);
  return hashes;
}

test.run();
