import type { Document, MongoClient } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { isUnauthorized, mongoFailure } from '../errors.ts';
import { type DatabaseHashes, readHashes } from '../hashes.ts';
import { bucketsOf, type Namespace, nameOf } from '../namespace.ts';
import type { LoadedNamespace } from './result.ts';
import { countDocuments, type Destination } from './target.ts';

/** A collection whose documents have all been sent, and what must be there now. */
export interface Finished {
  destination: Destination;
  /** Documents before and restored ones together. */
  expected: number;
  /** It was there before, with documents of its own. */
  merged: boolean;
  result: LoadedNamespace;
}

/**
 * Compares what the server counts with what must be there.
 *
 * @returns a notice, where fewer are right or nothing could be counted
 * @throws BackstayError RestoreIncomplete
 */
export async function verifyCount(
  client: MongoClient,
  { destination, expected, result }: Finished,
  viewless: boolean,
): Promise<string | undefined> {
  const name = nameOf(destination.namespace);
  const counted = await countDocuments(client, destination, viewless);
  if (counted === undefined) return `${name} was not counted: the user may not`;
  result.counted = counted;
  if (counted === expected) return undefined;
  if (counted < expected) {
    if (expires(destination)) return undefined;
    if (isCapped(destination) && (await isFull(client, destination.namespace))) {
      return `${name} is full: the server removed its ${expected - counted} oldest documents`;
    }
  }
  throw new BackstayError('RestoreIncomplete', `${name} has ${counted} documents after the load, not ${expected}`, {
    remedy: 'see that nothing else writes to the target, and load again',
  });
}

/** The server itself removes documents of these after a time. */
function expires({ metadata }: Destination): boolean {
  return (
    metadata.options.has('expireAfterSeconds') || metadata.indexes.some((index) => index.has('expireAfterSeconds'))
  );
}

function isCapped({ metadata }: Destination): boolean {
  return metadata.options.get('capped') === true;
}

/** Whether a capped collection has no room for one document more. */
async function isFull(client: MongoClient, { db, collection }: Namespace): Promise<boolean> {
  let stats: Document;
  try {
    stats = await client.db(db).command({ collStats: collection });
  } catch (error) {
    if (isUnauthorized(error)) return true;
    throw mongoFailure(error, `see how full ${db}.${collection} is`);
  }
  const { count, max, size, avgObjSize = 0, maxSize } = stats;
  return (max > 0 && count >= max) || size + 2 * avgObjSize >= maxSize;
}

/**
 * Compares the digests of whole collections with those that the dump recorded. Views have none, and what expires has others.
 *
 * @returns a notice when they cannot be compared
 * @throws BackstayError HashMismatch with the names
 */
export async function verifyHashes(
  client: MongoClient,
  finished: readonly Finished[],
  recorded: DatabaseHashes,
  viewless: boolean,
  signal?: AbortSignal,
): Promise<{ compared: number; notice?: string }> {
  const comparable = finished.flatMap(({ destination, merged, expected, result }) => {
    const { entry, namespace } = destination;
    const inBuckets = entry.type === 'timeseries' && !viewless;
    const place = (collection: string): string => (inBuckets ? bucketsOf(collection) : collection);
    const wanted = recorded[entry.db]?.[place(entry.collection)];
    if (wanted === undefined || merged || expires(destination)) return [];
    // a full capped collection is known to have lost documents
    if (result.counted !== undefined && result.counted !== expected) return [];
    return [{ wanted, at: { db: namespace.db, collection: place(namespace.collection) } }];
  });
  if (comparable.length === 0) return { compared: 0 };
  const places = comparable.map(({ at }) => at);
  const found = await readHashes(client, places, signal);
  if (found === undefined) return { compared: 0, notice: 'the hashes were not compared: the user may not run dbHash' };
  const wrong = comparable.filter(({ at, wanted }) => found[at.db]?.[at.collection] !== wanted);
  if (wrong.length === 0) return { compared: comparable.length };
  const names = wrong.slice(0, 10).map(({ at }) => nameOf(at));
  const more = wrong.length > 10 ? ` and ${wrong.length - 10} more` : '';
  throw new BackstayError('HashMismatch', `the hash of ${names.join(', ')}${more} is not the one of the dump`, {
    remedy: 'see that nothing else writes to the target, and load again',
  });
}
