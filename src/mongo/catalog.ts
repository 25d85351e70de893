import { type Db, type Document, Int32, type MongoClient, Timestamp } from 'mongodb';
import { type CollectionEntry, type CollectionType, SPECIAL_NAMESPACES } from './archive/format.ts';
import { BsonType, element, embedded, stringField } from './bson/elements.ts';
import { toExtendedJson } from './bson/extended-json.ts';
import { mongoFailure } from './errors.ts';
import { compareNamespaces, type Namespace, nameOf } from './namespace.ts';
import { rawDocuments } from './wire.ts';

/** Databases of the server itself. What config holds of a replica set or of a shard is made anew by every server. */
const OWN_DATABASES = new Set(['local', 'config']);

/** What a config server's database config holds of the cluster; the rest is about its servers' work. It is mongodump's list. */
const CLUSTER_COLLECTIONS = new Set(['chunks', 'collections', 'databases', 'settings', 'shards', 'tags', 'version']);

/** What a server says of itself. */
export interface ServerFacts {
  version: string;
  /** Limits of a message and an insert. */
  maxMessageBytes: number;
  maxWriteBatch: number;
  /** Last operation that was applied on this member; none on a standalone. */
  lastApplied: Timestamp | undefined;
  /** Newest operation that a majority has. */
  majorityCommitted: Timestamp | undefined;
  setName: string | undefined;
  mongos: boolean;
  /** It is a member of a sharded cluster's config server. */
  configServer: boolean;
}

/** Reads hello and buildInfo, which need no privilege. */
export async function readServerFacts(client: MongoClient): Promise<ServerFacts> {
  try {
    const admin = client.db('admin');
    const [hello, build] = [await admin.command({ hello: 1 }), await admin.command({ buildInfo: 1 })];
    return {
      version: String(build.version),
      maxMessageBytes: Number(hello.maxMessageSizeBytes ?? 48_000_000),
      maxWriteBatch: Number(hello.maxWriteBatchSize ?? 100_000),
      lastApplied: timestampOf(hello.lastWrite?.opTime?.ts),
      majorityCommitted: timestampOf(hello.lastWrite?.majorityOpTime?.ts),
      setName: typeof hello.setName === 'string' ? hello.setName : undefined,
      mongos: hello.msg === 'isdbgrid',
      configServer: hello.configsvr !== undefined,
    };
  } catch (error) {
    throw mongoFailure(error, 'ask the server who it is');
  }
}

function timestampOf(value: unknown): Timestamp | undefined {
  return value instanceof Timestamp ? value : undefined;
}

/** A collection as listCollections shows it. */
export interface ListedCollection extends Namespace {
  type: CollectionType;
  /** The options' bytes; undefined when it has none. */
  options: Uint8Array | undefined;
  uuid: string | undefined;
}

/** The collections of one database, in the order of the server, system collections included. */
export async function listCollections(db: Db, signal?: AbortSignal): Promise<ListedCollection[]> {
  const listed: ListedCollection[] = [];
  const command = { listCollections: 1, cursor: { batchSize: new Int32(10_000) } };
  try {
    for await (const document of rawDocuments(db, command, signal === undefined ? {} : { signal })) {
      const type = stringField(document, 'type') ?? 'collection';
      const options = embedded(document, 'options');
      const info = embedded(document, 'info');
      const uuid = info === undefined ? undefined : element(info, 'uuid');
      listed.push({
        db: db.databaseName,
        collection: stringField(document, 'name') ?? '',
        type: type === 'view' || type === 'timeseries' ? type : 'collection',
        options: options === undefined || options.length <= 5 ? undefined : Uint8Array.from(options),
        // a binary value is length, subtype, bytes
        uuid: uuid?.type === BsonType.binary ? Buffer.from(uuid.value.subarray(5)).toString('hex') : undefined,
      });
    }
  } catch (error) {
    throw mongoFailure(error, `list the collections of ${db.databaseName}`, 'the role "backup"');
  }
  return listed;
}

/** A dump takes this collection: data of people, users and roles, and the versions that mongorestore asks for. */
export function isDumped({ db, collection }: Namespace): boolean {
  if (OWN_DATABASES.has(db) || collection.includes('$')) return false;
  if (!collection.startsWith('system.')) return true;
  return collection === 'system.js' || SPECIAL_NAMESPACES.includes(`${db}.${collection}`);
}

/**
 * Everything on the server that a dump takes and the selection lets pass, with its metadata: users, roles and versions first, the rest
 * in the order of names. Of a config server also what the cluster is made of, which no selection leaves out: the shards' documents mean
 * nothing without it.
 */
export async function readCatalog(
  client: MongoClient,
  selected: (namespace: Namespace) => boolean,
  options: { configServer?: boolean; signal?: AbortSignal | undefined } = {},
): Promise<CollectionEntry[]> {
  const { configServer = false, signal } = options;
  const found: ListedCollection[] = [];
  if (configServer) {
    const listed = await listCollections(client.db('config'), signal);
    found.push(...listed.filter(({ collection }) => CLUSTER_COLLECTIONS.has(collection)));
  }
  for (const name of await databaseNames(client)) {
    if (OWN_DATABASES.has(name)) continue;
    const listed = await listCollections(client.db(name), signal);
    found.push(...listed.filter((collection) => isDumped(collection) && selected(collection)));
  }
  found.sort((a, b) => rank(a) - rank(b) || compareNamespaces(a, b));
  const entries: CollectionEntry[] = [];
  for (const collection of found) entries.push(await describe(client, collection, signal));
  return entries;
}

function rank(namespace: Namespace): number {
  const index = SPECIAL_NAMESPACES.indexOf(nameOf(namespace));
  return index === -1 ? SPECIAL_NAMESPACES.length : index;
}

/** Names of all databases on the server. */
export async function databaseNames(client: MongoClient): Promise<string[]> {
  try {
    const reply: Document = await client.db('admin').command({ listDatabases: 1, nameOnly: true });
    return (reply.databases as { name: string }[]).map(({ name }) => name).sort();
  } catch (error) {
    throw mongoFailure(error, 'list the databases', 'the role "backup"');
  }
}

async function describe(client: MongoClient, listed: ListedCollection, signal?: AbortSignal): Promise<CollectionEntry> {
  const { db, collection, type } = listed;
  const indexes: string[] = [];
  if (type !== 'view') {
    const command = { listIndexes: collection, cursor: { batchSize: new Int32(1000) } };
    try {
      for await (const index of rawDocuments(client.db(db), command, signal === undefined ? {} : { signal })) {
        indexes.push(toExtendedJson(index));
      }
    } catch (error) {
      throw mongoFailure(error, `list the indexes of ${nameOf(listed)}`, 'the role "backup"');
    }
  }
  const parts = [
    ...(listed.options === undefined ? [] : [`"options":${toExtendedJson(listed.options)}`]),
    `"indexes":[${indexes.join(',')}]`,
    ...(listed.uuid === undefined ? [] : [`"uuid":"${listed.uuid}"`]),
    `"collectionName":${JSON.stringify(collection)}`,
    `"type":"${type}"`,
  ];
  return { db, collection, type, metadata: `{${parts.join(',')}}` };
}
