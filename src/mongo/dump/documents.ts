import { type ClientSession, Int32, Long, type MongoClient, type Timestamp } from 'mongodb';
import { type CollectionEntry, dataNamespaceOf } from '../archive/format.ts';
import { decodeMetadata } from '../archive/metadata.ts';
import { mongoFailure, throwIfAborted } from '../errors.ts';
import { type Namespace, nameOf } from '../namespace.ts';
import { atLeast, hasViewlessTimeSeries } from '../version.ts';
import { type RawBatch, rawBatch } from '../wire.ts';

const REFRESH_MS = 5 * 60_000;
/**
 * About as many bytes a reply should have. The 16 MiB that it can have were no faster, and one reply is in memory about four times: as
 * pieces from the socket, whole, waiting and being written.
 */
const REPLY_BYTES = 4 * 1024 * 1024;
/** With more readers than this at work their replies are smaller, so that all of them take no more memory. */
const FULL_REPLIES = 2;
/** How many documents are asked for while their size is not known. */
const FIRST_DOCUMENTS = 1000;

/** How the documents are read; see DumpOptions. */
export interface Reading {
  serverVersion: string;
  /** The cluster time to read at; undefined for what is there. */
  readAt: Timestamp | undefined;
  /** How many readers are at work at the same time. */
  readers: number;
  onLastRead: () => Promise<void>;
  signal: AbortSignal | undefined;
}

/** A batch of an entry's documents; `last` when no other follows. */
export interface EntryBatch {
  entry: CollectionEntry;
  batch: RawBatch;
  last: boolean;
}

/** Reads the documents of one collection after the other in one session, so that all cursors are on one server. */
export class DocumentReader {
  readonly #client: MongoClient;
  readonly #reading: Reading;
  /** Capped collections that were not read at the time of the snapshot. */
  readonly outsideSnapshot: string[] = [];

  constructor(client: MongoClient, reading: Reading) {
    this.#client = client;
    this.#reading = reading;
  }

  /**
   * The documents of all entries. While one batch is written the next one is on its way, be it of the same collection or the first of
   * the next: the server and the writer work at the same time, and one batch waits.
   */
  async *read(entries: CollectionEntry[]): AsyncGenerator<EntryBatch> {
    const session = this.#client.startSession({ causalConsistency: false });
    let ahead: { entry: CollectionEntry; batch: Promise<RawBatch> } | undefined;
    const fetch = (entry: CollectionEntry, batch: Promise<RawBatch>): void => {
      batch.catch(() => {}); // it is awaited below, perhaps after it has failed
      ahead = { entry, batch };
    };
    const rest = entries.values();
    const fetchNext = (): void => {
      const { value: entry } = rest.next();
      ahead = undefined;
      if (entry !== undefined) fetch(entry, this.#find(entry, session));
    };
    const keepAlive = setInterval(() => this.#refresh(session), REFRESH_MS).unref();
    try {
      fetchNext();
      if (ahead === undefined) await this.#reading.onLastRead();
      while (ahead !== undefined) {
        const { entry, batch: promise } = ahead;
        const batch = await promise.catch((error: unknown) => {
          throw mongoFailure(error, `read ${nameOf(entry)}`, 'the role "backup"');
        });
        throwIfAborted(this.#reading.signal);
        const last = batch.cursor.isZero();
        if (last) fetchNext();
        else fetch(entry, this.#getMore(entry, batch, session));
        if (ahead === undefined) await this.#reading.onLastRead();
        yield { entry, batch, last };
      }
    } finally {
      clearInterval(keepAlive);
      await this.#close(ahead, session);
    }
  }

  /** The server ends a session that is silent for half an hour, and its cursors with it: so long may a backend keep us waiting. */
  #refresh(session: ClientSession): void {
    if (session.id === undefined) return;
    this.#client
      .db('admin')
      .command({ refreshSessions: [session.id] })
      .catch(() => {});
  }

  /** A cursor that is left open would stay on the server for ever, since it has no time limit. */
  async #close(
    ahead: { entry: CollectionEntry; batch: Promise<RawBatch> } | undefined,
    session: ClientSession,
  ): Promise<void> {
    const batch = await ahead?.batch.catch(() => undefined);
    if (ahead !== undefined && batch !== undefined && !batch.cursor.isZero()) {
      const { db, collection } = this.#dataNamespace(ahead.entry);
      await this.#client
        .db(db)
        .command({ killCursors: collection, cursors: [batch.cursor] }, { session })
        .catch(() => {});
    }
    await session.endSession().catch(() => {});
  }

  #dataNamespace(entry: CollectionEntry): Namespace {
    return dataNamespaceOf(entry, hasViewlessTimeSeries(this.#reading.serverVersion));
  }

  async #find(entry: CollectionEntry, session: ClientSession): Promise<RawBatch> {
    if (entry.type === 'view') return { bytes: new Uint8Array(), documents: 0, cursor: Long.ZERO };
    const { db, collection } = this.#dataNamespace(entry);
    const viewless = entry.type === 'timeseries' && collection === entry.collection;
    return rawBatch(
      this.#client.db(db),
      {
        find: collection,
        hint: { $natural: 1 },
        batchSize: new Int32(FIRST_DOCUMENTS),
        // a slow backend may keep a cursor waiting for longer than ten minutes
        noCursorTimeout: true,
        readConcern: this.#readConcern(entry),
        ...(viewless ? { rawData: true } : {}),
      },
      this.#commandOptions(session),
    );
  }

  #getMore(entry: CollectionEntry, last: RawBatch, session: ClientSession): Promise<RawBatch> {
    const { db, collection } = this.#dataNamespace(entry);
    const command = {
      getMore: last.cursor,
      collection,
      batchSize: new Int32(nextBatchSize(last, this.#reading.readers)),
    };
    return rawBatch(this.#client.db(db), command, this.#commandOptions(session));
  }

  #commandOptions(session: ClientSession): { session: ClientSession; signal?: AbortSignal } {
    const { signal } = this.#reading;
    return signal === undefined ? { session } : { session, signal };
  }

  /**
   * Local even under a lock, when no time is given: reads of what a majority has, or after a time, can wait for ever on a locked member
   * (SERVER-126254). A time that the member knew a majority to have before the lock is read without waiting.
   */
  #readConcern(entry: CollectionEntry): { level: string; atClusterTime?: Timestamp } {
    const { readAt, serverVersion } = this.#reading;
    if (readAt === undefined) return { level: 'local' };
    if (decodeMetadata(entry).options.get('capped') === true && !atLeast(serverVersion, 8, 0)) {
      this.outsideSnapshot.push(nameOf(entry));
      return { level: 'local' };
    }
    return { level: 'snapshot', atClusterTime: readAt };
  }
}

/** How many documents make a reply of the wanted size, if they are as large as those before. */
export function nextBatchSize({ bytes, documents }: Pick<RawBatch, 'bytes' | 'documents'>, readers = 1): number {
  const wanted = REPLY_BYTES * Math.min(1, FULL_REPLIES / readers);
  const average = documents === 0 ? wanted / FIRST_DOCUMENTS : bytes.length / documents;
  return Math.max(1, Math.floor(wanted / average));
}
