import type { MongoClient } from 'mongodb';
import type { Namespace } from './namespace.ts';

/** A server that is busy need not answer: it is no more than an estimate. */
const LONGEST_MS = 5000;

/** What collections come to, as the server's statistics have it. */
export interface Size {
  /** Unknown to a user who may not ask for statistics, who may count all the same. */
  bytes?: number;
  documents: number;
}

/** A collection's documents, and their size in bytes. */
export interface Statistics {
  count: number;
  size: number;
}

/** Asks for the server's statistics of a collection, which costs no reading of it. */
export async function readStatistics(client: MongoClient, { db, collection }: Namespace): Promise<Statistics> {
  const [statistics] = await client
    .db(db)
    .collection(collection)
    .aggregate([{ $collStats: { storageStats: {} } }], { maxTimeMS: LONGEST_MS })
    .toArray();
  return { count: Number(statistics?.storageStats?.count ?? 0), size: Number(statistics?.storageStats?.size ?? 0) };
}

/**
 * Asks for the size of collections, one after the other and beside other work, so that nothing waits for it. A collection that is gone
 * counts nothing, and an estimate that fails leaves none.
 */
export class SizeEstimate {
  readonly #client: MongoClient;
  readonly #done: Promise<void>;
  #stopped = false;
  #size: Size | undefined;

  constructor(client: MongoClient, collections: readonly Namespace[]) {
    this.#client = client;
    this.#done = this.#run(collections).catch(() => {});
  }

  /** Undefined until every collection was asked for. */
  get size(): Size | undefined {
    return this.#size;
  }

  /** Resolves when no more command is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(collections: readonly Namespace[]): Promise<void> {
    let documents = 0;
    let bytes: number | undefined = 0;
    for (const { db, collection } of collections) {
      if (this.#stopped) return;
      const statistics: Statistics | undefined =
        bytes === undefined ? undefined : await readStatistics(this.#client, { db, collection }).catch(() => undefined);
      bytes = statistics === undefined ? undefined : (bytes ?? 0) + statistics.size;
      documents += statistics?.count ?? (await this.#count(db, collection));
    }
    this.#size = { documents, ...(bytes === undefined ? {} : { bytes }) };
  }

  #count(db: string, collection: string): Promise<number> {
    return this.#client.db(db).collection(collection).estimatedDocumentCount({ maxTimeMS: LONGEST_MS });
  }
}
