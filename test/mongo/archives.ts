import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { BSON, type Document, type MongoClient } from 'mongodb';
import * as assert from 'uvu/assert';
import { type DumpOptions, type DumpResult, dump, dumpStreams } from '../../src/mongo/dump.ts';

/** Archives that the real mongodump made, and what must come back from them. */
const FIXTURES = new URL('../../../shared/fixtures/', import.meta.url);

export function fixture(name: string): AsyncIterable<Uint8Array> {
  return createReadStream(new URL(name, FIXTURES));
}

export async function fixtureBytes(name: string): Promise<Buffer> {
  return readFile(new URL(name, FIXTURES));
}

export const DATABASES = ['big', 'catalogue', 'mïxed-db'];

export interface Expected {
  users: { _id: string; user: string; db: string; customData?: Document; roles: Document[] }[];
  roles: Document[];
  [database: string]: unknown;
}

interface ExpectedDatabase {
  dbHash: { md5: string; collections: Record<string, string> };
  collections: Record<string, { type: string; options: Document; count?: unknown; indexes?: Document[] }>;
}

export async function expected(): Promise<Expected> {
  return BSON.EJSON.parse((await fixtureBytes('expected.json')).toString(), { relaxed: false }) as Expected;
}

/** A database as expected.json describes it, asked from a server. */
export async function assertDatabase(
  client: MongoClient,
  name: string,
  wanted: unknown,
  except: string[] = [],
): Promise<void> {
  const { dbHash, collections } = wanted as ExpectedDatabase;
  const db = client.db(name);
  const hash = await db.command({ dbHash: 1 });
  const without = (hashes: Record<string, string>): [string, string][] =>
    Object.entries(hashes)
      .filter(([collection]) => !except.includes(collection))
      .sort();
  assert.equal(without(hash.collections), without(dbHash.collections), `dbHash of ${name}`);
  if (except.length === 0) assert.is(hash.md5, dbHash.md5);
  const listed = await db.command({ listCollections: 1 }, { promoteValues: false });
  const found = new Map<string, Document>(
    listed.cursor.firstBatch.map((collection: Document) => [collection.name, collection]),
  );
  assert.equal([...found.keys()].sort(), Object.keys(collections).sort());
  for (const [collection, { type, options, count, indexes }] of Object.entries(collections)) {
    assert.is(found.get(collection)?.type, type);
    assert.is(canonical(found.get(collection)?.options), canonical(options), `options of ${collection}`);
    // the server lets nobody count system.views who is logged in; its hash was compared
    if (count !== undefined && collection !== 'system.views')
      assert.is(await db.collection(collection).countDocuments(), Number(count), `count of ${collection}`);
    if (indexes === undefined) continue;
    const { cursor } = await db.command({ listIndexes: collection }, { promoteValues: false });
    assert.equal(byName(cursor.firstBatch), byName(indexes), `indexes of ${collection}`);
  }
}

/** One text for one document, numbers with their types; options of the server that say the same as int32 and int64 count as equal. */
function canonical(document: unknown): string {
  return BSON.EJSON.stringify(document ?? {}, { relaxed: false }).replaceAll('$numberLong', '$numberInt');
}

function byName(indexes: Document[]): string[] {
  return indexes.map(canonical).sort();
}

/** A whole dump in memory. */
export async function dumped(
  client: MongoClient,
  options: Partial<DumpOptions> = {},
): Promise<{ bytes: Buffer; result: DumpResult }> {
  const stream = dump(client, { mode: 'none', ...options });
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(Uint8Array.from(piece));
  return { bytes: Buffer.concat(pieces), result: await stream.result };
}

/** A whole dump as several archives in memory. */
export async function dumpedInto(
  archives: number,
  client: MongoClient,
  options: Partial<DumpOptions> = {},
): Promise<{ archives: Buffer[]; result: DumpResult }> {
  const streams = dumpStreams(client, { mode: 'none', ...options }, archives);
  const read = async (stream: AsyncIterable<Uint8Array>): Promise<Buffer> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of stream) pieces.push(Uint8Array.from(piece));
    return Buffer.concat(pieces);
  };
  return { archives: await Promise.all(streams.archives.map(read)), result: await streams.result };
}

/** Bytes in chunks, like a pipe's. */
export async function* inChunks(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Drops everything that a test made: all databases but the server's own, and all users and roles. */
export async function wipe(client: MongoClient): Promise<void> {
  const { databases } = await client.db('admin').admin().listDatabases({ nameOnly: true });
  for (const { name } of databases) {
    if (name === 'local' || name === 'config') continue;
    if (name !== 'admin') await client.db(name).dropDatabase();
    await client.db(name).command({ dropAllUsersFromDatabase: 1 });
    await client.db(name).command({ dropAllRolesFromDatabase: 1 });
  }
  await client.db('catalogue').command({ dropAllUsersFromDatabase: 1 });
}
