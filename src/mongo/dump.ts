import { setTimeout } from 'node:timers/promises';
import type { MongoClient, Timestamp } from 'mongodb';
import { BackstayError } from '../api/errors.ts';
import { Crc64 } from './archive/crc64.ts';
import {
  type CollectionEntry,
  dataNamespaceOf,
  encodeNamespaceHeader,
  encodePrelude,
  OWN_TOOL,
  SPECIAL_NAMESPACES,
  TERMINATOR,
} from './archive/format.ts';
import { readCatalog, readServerFacts, type ServerFacts } from './catalog.ts';
import { DocumentReader } from './dump/documents.ts';
import { endingError, throwIfAborted } from './errors.ts';
import { SizeEstimate } from './estimate.ts';
import { usedUp } from './garbage.ts';
import { type DatabaseHashes, readHashes } from './hashes.ts';
import { type Namespace, nameOf } from './namespace.ts';
import { type NamespaceSelection, selects } from './selection.ts';
import { hasViewlessTimeSeries } from './version.ts';

/** How long a snapshot read waits for the member to learn what the majority has; heartbeats come every 2 s. */
const MAJORITY_WAIT_MS = 10_000;

/**
 * What makes the collections fit together. lock: the caller holds the member's lock. snapshot: every read sees one cluster time.
 * none: nothing does.
 */
export type Consistency = 'lock' | 'snapshot' | 'none';

export interface DumpOptions {
  mode: Consistency;
  namespaces?: NamespaceSelection;
  /**
   * The time to read at, which a majority must have. Without it: in mode snapshot the newest such time, under a lock all that was applied
   * before.
   */
  atClusterTime?: Timestamp;
  /**
   * Called and awaited when everything has been read from the server and before the last of it is handed out: the place to verify and
   * release a lock. When it throws, the dump fails, and its reader has no complete archive.
   */
  onLastRead?: () => Promise<void>;
  /**
   * Record the server's digest of every collection, which reads all documents once more. Only under a lock, and when what is there is what
   * is read: elsewhere the digests would be those of another moment.
   */
  hashes?: boolean;
  signal?: AbortSignal;
  onProgress?: (progress: DumpProgress) => void;
}

export interface DumpProgress {
  namespace: string;
  /** Totals so far. */
  documents: number;
  bytes: number;
  collections: number;
  collectionsInAll: number;
  /** What the server's statistics say that it will be. Unknown at first, and bytes where the user may not ask. */
  bytesInAll?: number;
  documentsInAll?: number;
}

export interface DumpedNamespace {
  name: string;
  documents: number;
  bytes: number;
  /** CRC-64/XZ of the documents, 16 hexadecimal digits. */
  crc: string;
}

export interface DumpResult {
  /** Length of the archive. */
  bytes: number;
  documents: number;
  namespaces: DumpedNamespace[];
  /** The point in time that the dump shows; unknown for a standalone and in mode none. */
  cutTime?: Timestamp;
  /** Capped collections, which a server before 8.0 does not read at a given time: they were read as they were. */
  outsideSnapshot: readonly string[];
  /** When they were asked for and could be had. */
  hashes?: DatabaseHashes;
  /** Why there are none although they were asked for. */
  hashesMissing?: string;
  serverVersion: string;
}

/** The bytes of an archive. They can be read once; `result` settles when they have been, or when reading failed. */
export interface DumpStream extends AsyncIterable<Uint8Array> {
  readonly result: Promise<DumpResult>;
}

const TOOL_VERSION = `${OWN_TOOL}0.1.0`;
/** Smaller pieces than this are put together, so that a thousand empty collections are not two thousand writes. */
const SMALL = 64 * 1024;

/**
 * Dumps what one server holds as one archive, one namespace after the other, so that the same data is the same bytes.
 *
 * Documents come in natural order. It is the fast order, with no walk over an index, and it is the order of record ids, which stays the
 * same while a collection does not change. It differs between members of a set: who wants the best deduplication dumps the same member.
 *
 * @param client connected to exactly the server to read; in mode lock, with its connections made before the lock
 */
export function dump(client: MongoClient, options: DumpOptions): DumpStream {
  const { promise, resolve, reject } = Promise.withResolvers<DumpResult>();
  // who only reads the bytes learns of a failure there
  promise.catch(() => {});
  async function* bytes(): AsyncGenerator<Uint8Array> {
    const run = new Dump(client, options);
    let done = false;
    try {
      yield* together(run.archive());
      done = true;
      resolve(run.result());
    } catch (error) {
      done = true;
      const failure = endingError(error, 'dump the database', options.signal);
      reject(failure);
      throw failure;
    } finally {
      if (!done) reject(new BackstayError('Aborted', 'the dump was not read to its end'));
    }
  }
  const stream = bytes();
  return { result: promise, [Symbol.asyncIterator]: () => stream };
}

/** Joins small pieces that follow each other. */
async function* together(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces) {
    if (piece.length < SMALL) {
      waiting.push(piece);
      length += piece.length;
      if (length < SMALL) continue;
    }
    if (length > 0) yield Buffer.concat(waiting, length);
    waiting = [];
    length = 0;
    if (piece.length >= SMALL) yield piece;
  }
  if (length > 0) yield Buffer.concat(waiting, length);
}

class Dump {
  readonly #client: MongoClient;
  readonly #options: DumpOptions;
  readonly #namespaces: DumpedNamespace[] = [];
  #outsideSnapshot: readonly string[] = [];
  #facts: ServerFacts | undefined;
  #hashes: Pick<DumpResult, 'hashes' | 'hashesMissing'> = {};
  #cutTime: Timestamp | undefined;
  #bytes = 0;
  #documents = 0;
  #inAll = 0;
  #estimate: SizeEstimate | undefined;

  constructor(client: MongoClient, options: DumpOptions) {
    this.#client = client;
    this.#options = options;
  }

  result(): DumpResult {
    return {
      bytes: this.#bytes,
      documents: this.#documents,
      namespaces: this.#namespaces,
      outsideSnapshot: this.#outsideSnapshot,
      serverVersion: this.#facts?.version ?? '',
      ...this.#hashes,
      ...(this.#cutTime === undefined ? {} : { cutTime: this.#cutTime }),
    };
  }

  /** A member that has just joined does not know yet what the majority has: a snapshot read waits for that, for a bounded time. */
  async #readFacts(): Promise<ServerFacts> {
    const { mode, atClusterTime, signal } = this.#options;
    const giveUpAt = performance.now() + MAJORITY_WAIT_MS;
    for (;;) {
      const facts = await readServerFacts(this.#client);
      const isMember = facts.lastApplied !== undefined;
      const knows = facts.majorityCommitted !== undefined || atClusterTime !== undefined;
      if (mode !== 'snapshot' || !isMember || knows || performance.now() > giveUpAt) return facts;
      await setTimeout(100, undefined, signal === undefined ? {} : { signal });
    }
  }

  async *archive(): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#archive();
    } finally {
      await this.#estimate?.stop();
    }
  }

  async *#archive(): AsyncGenerator<Uint8Array> {
    const { mode, namespaces, onLastRead, onProgress, atClusterTime, signal } = this.#options;
    throwIfAborted(signal);
    const facts = await this.#readFacts();
    this.#facts = facts;
    this.#cutTime = cutTime(facts, this.#options);
    if (mode === 'snapshot' && this.#cutTime === undefined) {
      const why = facts.lastApplied === undefined ? 'a standalone server has no' : 'the member knows no majority for';
      throw new BackstayError('SnapshotUnsupported', `${why} snapshot reads`, {
        remedy: 'use consistency "lock" or "none"',
      });
    }
    const { configServer } = facts;
    const entries = await readCatalog(this.#client, selects(namespaces), { configServer, signal });
    this.#inAll = entries.length;
    if (this.#options.hashes === true) this.#hashes = await this.#readHashes(entries, facts);
    yield this.#count(
      encodePrelude({ concurrentCollections: 1, serverVersion: facts.version, toolVersion: TOOL_VERSION }, entries),
    );
    const { version: serverVersion } = facts;
    const viewless = hasViewlessTimeSeries(serverVersion);
    const collections = entries.filter(({ type }) => type !== 'view').map((entry) => dataNamespaceOf(entry, viewless));
    if (onProgress !== undefined) this.#estimate = new SizeEstimate(this.#client, collections);
    const reader = new DocumentReader(this.#client, {
      serverVersion,
      readAt: mode === 'snapshot' ? this.#cutTime : mode === 'lock' ? atClusterTime : undefined,
      onLastRead: async () => {
        // it has a connection that the caller may need: no other can be made to a locked server
        await this.#estimate?.stop();
        await onLastRead?.();
      },
      signal,
    });
    this.#outsideSnapshot = reader.outsideSnapshot;
    let open:
      | { entry: CollectionEntry; namespace: Namespace; crc: Crc64; documents: number; bytes: number }
      | undefined;
    for await (const { entry, batch, last } of reader.read(entries)) {
      if (open === undefined || open.entry !== entry) {
        const namespace = dataNamespaceOf(entry, viewless);
        open = { entry, namespace, crc: new Crc64(), documents: 0, bytes: 0 };
        yield this.#count(encodeNamespaceHeader({ ...namespace, end: false, crc: 0n }));
      }
      open.crc.update(batch.bytes);
      open.documents += batch.documents;
      open.bytes += batch.bytes.length;
      this.#documents += batch.documents;
      if (batch.bytes.length > 0) yield this.#count(batch.bytes);
      usedUp(batch.bytes.length);
      if (last) {
        yield this.#count(TERMINATOR);
        const crc = open.crc.value;
        yield this.#count(encodeNamespaceHeader({ ...open.namespace, end: true, crc }));
        const { documents, bytes } = open;
        this.#namespaces.push({ name: nameOf(entry), documents, bytes, crc: hexadecimal(crc) });
      }
      this.#report(entry);
    }
  }

  /** Users, roles and versions are left out: a restore never makes them equal. */
  async #readHashes(
    entries: readonly CollectionEntry[],
    { version }: ServerFacts,
  ): Promise<Pick<DumpResult, 'hashes' | 'hashesMissing'>> {
    const { mode, atClusterTime, signal } = this.#options;
    if (mode !== 'lock' || atClusterTime !== undefined) {
      return { hashesMissing: 'only under a lock are they those of the documents that are read' };
    }
    const viewless = hasViewlessTimeSeries(version);
    const collections = entries
      .filter((entry) => entry.type !== 'view' && !SPECIAL_NAMESPACES.includes(nameOf(entry)))
      .map((entry) => dataNamespaceOf(entry, viewless));
    const hashes = await readHashes(this.#client, collections, signal);
    return hashes === undefined
      ? { hashesMissing: 'the user may not run dbHash: grant it the role "readAnyDatabase"' }
      : { hashes };
  }

  #count(piece: Uint8Array): Uint8Array {
    this.#bytes += piece.length;
    return piece;
  }

  #report(entry: CollectionEntry): void {
    const { bytes, documents } = this.#estimate?.size ?? {};
    this.#options.onProgress?.({
      namespace: nameOf(entry),
      documents: this.#documents,
      bytes: this.#bytes,
      collections: this.#namespaces.length,
      collectionsInAll: this.#inAll,
      ...(bytes === undefined ? {} : { bytesInAll: Math.max(bytes, this.#bytes) }),
      ...(documents === undefined ? {} : { documentsInAll: Math.max(documents, this.#documents) }),
    });
  }
}

function hexadecimal(crc: bigint): string {
  return BigInt.asUintN(64, crc).toString(16).padStart(16, '0');
}

/** What the dump will show: under a lock, when no time is given, all that was applied before it. */
function cutTime(facts: ServerFacts, { mode, atClusterTime }: DumpOptions): Timestamp | undefined {
  if (mode === 'none') return undefined;
  return atClusterTime ?? (mode === 'lock' ? facts.lastApplied : facts.majorityCommitted);
}
