import type { MongoClient } from 'mongodb';
import { isUnauthorized, mongoFailure, throwIfAborted } from './errors.ts';
import type { Namespace } from './namespace.ts';

/** The server's digest (MD5, hexadecimal) of each collection's documents: by database, then by collection. */
export type DatabaseHashes = Readonly<Record<string, Readonly<Record<string, string>>>>;

/**
 * Asks the server for the digests of collections. It reads all their documents, and holds off writes to the database meanwhile.
 *
 * @returns undefined when the user may not ask (the roles "backup" and "restore" alone do not allow it)
 * @throws BackstayError DatabaseError
 */
export async function readHashes(
  client: MongoClient,
  collections: readonly Namespace[],
  signal?: AbortSignal,
): Promise<DatabaseHashes | undefined> {
  const hashes: Record<string, Record<string, string>> = {};
  for (const [name, those] of Map.groupBy(collections, ({ db }) => db)) {
    throwIfAborted(signal);
    try {
      const reply = await client.db(name).command(
        {
          dbHash: 1,
          collections: those.map(({ collection }) => collection),
        },
        signal === undefined ? {} : { signal },
      );
      hashes[name] = { ...reply.collections };
    } catch (error) {
      if (isUnauthorized(error)) return undefined;
      throw mongoFailure(error, `read the hashes of ${name}`);
    }
  }
  return hashes;
}
