import { Int32, type MongoClient } from 'mongodb';
import type { OrderedDocument } from '../bson/extended-json.ts';
import { mongoFailure } from '../errors.ts';
import { type Namespace, nameOf } from '../namespace.ts';
import { atLeast } from '../version.ts';
import type { Destination } from './target.ts';

/**
 * The indexes to build once the data is there: all but the _id index and that of a clustered collection, which come with it.
 */
export function secondaryIndexes({ metadata }: Destination): OrderedDocument[] {
  const collectionHasCollation = metadata.options.has('collation');
  return metadata.indexes
    .filter((index) => index.get('name') !== '_id_' && index.get('clustered') !== true)
    .map((index) => normalised(index, collectionHasCollation));
}

/** An index specification as createIndexes takes it. */
export function normalised(index: OrderedDocument, collectionHasCollation: boolean): OrderedDocument {
  const fields: OrderedDocument = new Map();
  for (const [name, value] of index) {
    // tools before 4.2 wrote the namespace into every index, and some of them the version as a decimal
    if (name === 'ns') continue;
    fields.set(name, name === 'v' ? new Int32(Number(String(value))) : value);
  }
  // an index without a collation is one of plain bytes, while createIndexes would give it that of the collection
  if (collectionHasCollation && !fields.has('collation')) fields.set('collation', { locale: 'simple' });
  return fields;
}

/** Builds indexes in one command, so that the collection is read once. */
export async function buildIndexes(
  client: MongoClient,
  namespace: Namespace,
  indexes: OrderedDocument[],
  serverVersion: string,
  signal?: AbortSignal,
): Promise<void> {
  if (indexes.length === 0) return;
  const command = {
    createIndexes: namespace.collection,
    indexes,
    ...(atLeast(serverVersion, 4, 2) ? { ignoreUnknownIndexOptions: true } : {}),
    writeConcern: { w: 'majority' },
  };
  try {
    await client.db(namespace.db).command(command, signal === undefined ? {} : { signal });
  } catch (error) {
    throw mongoFailure(error, `build the indexes of ${nameOf(namespace)}`, 'the role "restore"');
  }
}
