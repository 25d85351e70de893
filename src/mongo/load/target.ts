import { type Binary, BSON, type Db, Int32, type MongoClient } from 'mongodb';
import type { CollectionEntry } from '../archive/format.ts';
import { type CollectionMetadata, decodeMetadata } from '../archive/metadata.ts';
import { type OrderedDocument, toExtendedJson } from '../bson/extended-json.ts';
import { type ListedCollection, listCollections } from '../catalog.ts';
import { isUnauthorized, mongoFailure } from '../errors.ts';
import { bucketsOf, type Namespace, nameOf } from '../namespace.ts';
import type { Existing } from './result.ts';

/** One collection or view on its way to the target. */
export interface Destination {
  entry: CollectionEntry;
  /** Its name on the target. */
  namespace: Namespace;
  metadata: CollectionMetadata;
}

/** What the target holds already, by name. */
export type TargetCatalog = Map<string, ListedCollection>;

/** Lists what the target has in the databases that will be written to. */
export async function readTarget(
  client: MongoClient,
  destinations: Destination[],
  signal?: AbortSignal,
): Promise<TargetCatalog> {
  const catalog: TargetCatalog = new Map();
  for (const db of new Set(destinations.map(({ namespace }) => namespace.db))) {
    for (const listed of await listCollections(client.db(db), signal)) catalog.set(nameOf(listed), listed);
  }
  return catalog;
}

/** Whether the target has the same kind of collection with the same options. */
export function sameOptions(existing: ListedCollection, { entry, metadata }: Destination): boolean {
  if (existing.type !== entry.type) return false;
  const [wanted, found] = [
    optionsText(metadata.options),
    existing.options === undefined ? '{}' : toExtendedJson(existing.options),
  ];
  return wanted === found;
}

function optionsText(options: OrderedDocument): string {
  return toExtendedJson(BSON.serialize(options));
}

/** Options that a dump carries and a create command does not take. */
const NOT_FOR_CREATE = new Set(['autoIndexId', 'recordIdsReplicated', 'uuid']);

const WRITE_CONCERN = { w: 'majority' } as const;

/**
 * Makes the collection or view, as the mode says.
 *
 * @param existing what the target has under that name
 * @param uuid the identity that it must have
 */
export async function prepareCollection(
  client: MongoClient,
  destination: Destination,
  existing: ListedCollection | undefined,
  mode: Existing,
  uuid?: Binary,
): Promise<void> {
  const { namespace } = destination;
  const db = client.db(namespace.db);
  // where data is refused it is empty, and is made again when it must have another identity
  if (existing !== undefined && mode !== 'drop' && uuid === undefined) return;
  try {
    if (existing !== undefined) {
      // the server does not drop a system collection
      if (namespace.collection.startsWith('system.')) {
        await db.collection(namespace.collection).deleteMany({});
        return;
      }
      await db.command({ drop: namespace.collection, writeConcern: WRITE_CONCERN });
    }
    await createCollection(db, destination, uuid);
  } catch (error) {
    throw mongoFailure(error, `create ${nameOf(namespace)}`, 'the role "restore"');
  }
}

/** Only applyOps makes a collection with a given identity; the role "restore" may do so (actions forceUUID and useUUID). */
async function createCollection(db: Db, destination: Destination, uuid: Binary | undefined): Promise<void> {
  const options = Array.from(destination.metadata.options).filter(([name]) => !NOT_FOR_CREATE.has(name));
  const idIndex = idIndexOf(destination);
  const command = {
    create: destination.namespace.collection,
    ...Object.fromEntries(options),
    ...(idIndex === undefined ? {} : { idIndex }),
  };
  if (uuid === undefined) {
    await db.command({ ...command, writeConcern: WRITE_CONCERN });
    return;
  }
  // without the _id index's version and definition, it would not be made
  const versioned = idIndex === undefined ? {} : { idIndex: new Map([['v', new Int32(2)], ...idIndex]) };
  const operation = { op: 'c', ns: `${db.databaseName}.$cmd`, ui: uuid, o: { ...command, ...versioned } };
  await db.admin().command({ applyOps: [operation], writeConcern: WRITE_CONCERN });
}

/** The _id index as it was, with its collation. Views, time series and clustered collections have none. */
function idIndexOf({ entry, metadata }: Destination): OrderedDocument | undefined {
  if (entry.type !== 'collection' || metadata.options.has('clusteredIndex')) return undefined;
  const index = metadata.indexes.find((candidate) => candidate.get('name') === '_id_');
  if (index === undefined) return undefined;
  return new Map(Array.from(index).filter(([field]) => field === 'key' || field === 'name' || field === 'collation'));
}

/** Documents in the collection by its metadata; undefined when the user may not count. */
export async function countDocuments(
  client: MongoClient,
  destination: Destination,
  viewless: boolean,
): Promise<number | undefined> {
  const { db, collection } = destination.namespace;
  const series = destination.entry.type === 'timeseries';
  try {
    const name = series && !viewless ? bucketsOf(collection) : collection;
    const reply = await client.db(db).command({ count: name, ...(series && viewless ? { rawData: true } : {}) });
    return Number(reply.n);
  } catch (error) {
    // the role "restore" alone writes without reading; every insert's reply was counted
    if (isUnauthorized(error)) return undefined;
    throw mongoFailure(error, `count ${nameOf(destination.namespace)}`);
  }
}

/** Says where an entry goes. A view follows when the collection that it shows goes to the same database under another name. */
export function destinationOf(entry: CollectionEntry, rename: (namespace: Namespace) => Namespace): Destination {
  const namespace = rename(entry);
  const metadata = decodeMetadata(entry);
  const source = metadata.options.get('viewOn');
  if (typeof source === 'string') {
    const renamed = rename({ db: entry.db, collection: source });
    if (renamed.db === namespace.db) metadata.options.set('viewOn', renamed.collection);
  }
  return { entry, namespace, metadata };
}
