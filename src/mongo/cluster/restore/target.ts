import { type Binary, BSON, type Document, type MongoClient, Timestamp } from 'mongodb';
import { BackstayError } from '../../../api/errors.ts';
import type { OrderedDocument } from '../../bson/extended-json.ts';
import { listCollections } from '../../catalog.ts';
import { isUnauthorized, mongoFailure } from '../../errors.ts';
import { type Namespace, nameOf } from '../../namespace.ts';
import { insertRaw } from '../../wire.ts';
import type { Primary } from '../quiet.ts';
import { hex, type Routing } from './routing.ts';

const WRITE_CONCERN = { w: 'majority' } as const;
const BATCH = 1000;

/** What the target's config server has already of what will be written. */
export interface PresentRouting {
  /** The primary shard of each database. */
  databases: ReadonlyMap<string, string>;
  /** Sharded collections by name. */
  collections: ReadonlyMap<string, Document>;
  /** Zones that belong to a shard. */
  zones: ReadonlySet<string>;
}

export async function readPresent(config: MongoClient): Promise<PresentRouting> {
  try {
    const db = config.db('config');
    const [databases, collections, shards] = await Promise.all(
      ['databases', 'collections', 'shards'].map((name) =>
        db.collection<{ _id: string } & Document>(name).find().toArray(),
      ),
    );
    return {
      databases: new Map(databases?.map(({ _id, primary }) => [_id, String(primary)])),
      collections: new Map(collections?.map((document) => [document._id, document])),
      zones: new Set(shards?.flatMap(({ tags }) => (Array.isArray(tags) ? tags.map(String) : []))),
    };
  } catch (error) {
    throw mongoFailure(error, "read the target's config server", 'the role "clusterMonitor"');
  }
}

/**
 * A time that is later than everything that happened in the target until now, and that it reaches with its next write. The config server
 * has heard of the times of all shards.
 */
export async function nextClusterTime(config: MongoClient): Promise<Timestamp> {
  const reply = await config.db('admin').command({ hello: 1 });
  const time: unknown = reply.$clusterTime?.clusterTime ?? reply.lastWrite?.opTime?.ts;
  if (time instanceof Timestamp) return new Timestamp({ t: time.t, i: time.i + 1 });
  throw new BackstayError('DatabaseError', "the target's config server has no cluster time");
}

/**
 * What has the name of a restored collection on shards that do not get it from the dump, or in the routing. It is refused, or dropped.
 *
 * @param own names that each shard's own part of the dump takes care of, by shard
 * @returns those on shards
 */
export async function findStrays(
  shards: readonly Primary[],
  names: ReadonlySet<string>,
  own: ReadonlyMap<string, ReadonlySet<string>>,
): Promise<{ shard: Primary; namespace: Namespace }[]> {
  const databases = new Set([...names].map((name) => name.slice(0, name.indexOf('.'))));
  const strays: { shard: Primary; namespace: Namespace }[] = [];
  for (const shard of shards) {
    for (const db of databases) {
      for (const listed of await listCollections(shard.client.db(db))) {
        const name = nameOf(listed);
        if (names.has(name) && !own.get(shard.name)?.has(name)) strays.push({ shard, namespace: listed });
      }
    }
  }
  return strays;
}

/** Takes the former collections of these names out of the routing, so that nothing points to what is dropped. */
export async function removeRouting(config: MongoClient, former: readonly Document[]): Promise<void> {
  const db = config.db('config');
  try {
    for (const { _id, uuid } of former) {
      for (const [collection, filter] of [
        ['collections', { _id }],
        ['chunks', { uuid }],
        ['tags', { ns: _id }],
      ] as const) {
        await db.collection<Document>(collection).deleteMany(filter, { writeConcern: WRITE_CONCERN });
      }
    }
  } catch (error) {
    const privilege = 'the action remove on config.collections, config.chunks and config.tags';
    throw mongoFailure(error, 'take the former collections out of the routing', privilege);
  }
}

export async function dropStrays(strays: readonly { shard: Primary; namespace: Namespace }[]): Promise<void> {
  for (const { shard, namespace } of strays) {
    try {
      await shard.client.db(namespace.db).command({ drop: namespace.collection, writeConcern: WRITE_CONCERN });
    } catch (error) {
      throw mongoFailure(error, `drop ${nameOf(namespace)} on shard ${shard.name}`, 'the role "restore"');
    }
  }
}

/** Writes the routing, the collections' entries last: one without its chunks must never be seen. */
export async function writeRouting(config: MongoClient, routing: Routing, signal?: AbortSignal): Promise<void> {
  const db = config.db('config');
  for (const name of ['databases', 'chunks', 'tags', 'collections'] as const) {
    const documents = routing[name].map((document: OrderedDocument) => BSON.serialize(document));
    for (let start = 0; start < documents.length; start += BATCH) {
      const batch = documents.slice(start, start + BATCH);
      const fields = { ordered: true, writeConcern: WRITE_CONCERN };
      try {
        const reply = await insertRaw(db, name, batch, fields, signal === undefined ? {} : { signal });
        const problem = reply.writeErrors?.[0]?.errmsg ?? reply.writeConcernError?.errmsg;
        if (problem !== undefined) throw new BackstayError('LoadFailed', `config.${name}: ${problem}`);
      } catch (error) {
        throw mongoFailure(error, `write config.${name}`, 'the role "restore"');
      }
    }
  }
}

/**
 * Compares what was written: every chunk is there, and on each shard a sharded collection has the identity that the config server says.
 *
 * @throws BackstayError RoutingMismatch
 */
export async function verifyRouting(
  config: MongoClient,
  shards: readonly Primary[],
  { uuids, chunks }: Routing,
): Promise<void> {
  const mismatch = (what: string): BackstayError =>
    new BackstayError('RoutingMismatch', what, {
      remedy: 'see that nothing else changes the target, and restore again',
    });
  const expected = Map.groupBy(chunks, (chunk) => hex(chunk.get('uuid')));
  for (const [name, uuid] of uuids) {
    const found = await config.db('config').collection('chunks').countDocuments({ uuid });
    const wanted = expected.get(hex(uuid))?.length ?? 0;
    if (found !== wanted) throw mismatch(`${name} has ${found} chunks after the restore, not ${wanted}`);
  }
  const databases = new Set([...uuids.keys()].map((name) => name.slice(0, name.indexOf('.'))));
  for (const { name: shard, client } of shards) {
    for (const db of databases) {
      for (const listed of await listCollections(client.db(db))) {
        const uuid: Binary | undefined = uuids.get(nameOf(listed));
        if (uuid === undefined || listed.uuid === hex(uuid)) continue;
        throw mismatch(`${nameOf(listed)} on shard ${shard} has another identity than the config server says`);
      }
    }
  }
}

/**
 * Tells every shard to read the routing anew, which it would do by itself at the first request through a mongos.
 *
 * @returns a notice when the user may not
 */
export async function refreshShards(
  shards: readonly Primary[],
  names: Iterable<string>,
  databases: Iterable<string>,
): Promise<string | undefined> {
  try {
    for (const { client } of shards) {
      for (const name of databases) await client.db('admin').command({ _flushDatabaseCacheUpdates: name });
      for (const name of names) await client.db('admin').command({ _flushRoutingTableCacheUpdates: name });
    }
    return undefined;
  } catch (error) {
    if (isUnauthorized(error))
      return 'the shards read the new routing at the first request: the user may not tell them to';
    throw mongoFailure(error, 'let the shards read the routing');
  }
}

/** A mongos forgets what it knew of the cluster. */
export async function flushRouter(router: MongoClient): Promise<string | undefined> {
  try {
    await router.db('admin').command({ flushRouterConfig: 1 });
    return undefined;
  } catch (error) {
    if (isUnauthorized(error)) return 'run flushRouterConfig on every mongos: the user may not';
    throw mongoFailure(error, 'let the mongos read the routing');
  }
}
