import type { MongoClient } from 'mongodb';
import { BackstayError } from '../api/errors.ts';
import { type CollectionEntry, dataNamespaceOf, OWN_TOOL } from './archive/format.ts';
import { ArchiveWriter } from './dump/archive.ts';
import { type Contents, readContents } from './dump/contents.ts';
import { DocumentReader } from './dump/documents.ts';
import type { DumpOptions, DumpResult, DumpStream, DumpStreams } from './dump/result.ts';
import { endingError } from './errors.ts';
import { SizeEstimate } from './estimate.ts';
import { nameOf } from './namespace.ts';
import { hasViewlessTimeSeries } from './version.ts';

export type {
  Consistency,
  DumpedNamespace,
  DumpOptions,
  DumpProgress,
  DumpResult,
  DumpStream,
  DumpStreams,
} from './dump/result.ts';

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
  const { archives, result } = dumpStreams(client, options, 1);
  const [archive] = archives;
  if (archive === undefined) throw new Error('a dump has an archive');
  return { result, [Symbol.asyncIterator]: () => archive[Symbol.asyncIterator]() };
}

/**
 * Dumps what one server holds as several archives, each with whole collections, see `partition`. They are read at the same moment: under
 * one lock, or at one cluster time. Each is an archive of its own, which says how many there are; the failure of one ends all of them.
 *
 * @param client see `dump`; in mode lock with as many connections as `connectionsFor` says
 */
export function dumpStreams(client: MongoClient, options: DumpOptions, archives: number): DumpStreams {
  const { promise, resolve, reject } = Promise.withResolvers<DumpResult>();
  // who only reads the bytes learns of a failure there
  promise.catch(() => {});
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const run = new Dump(client, { ...options, signal }, archives);
  let missing = archives;
  async function* bytes(index: number): AsyncGenerator<Uint8Array> {
    let done = false;
    const fail = (failure: unknown): void => {
      done = true;
      reject(failure);
      stop.abort(failure);
    };
    try {
      yield* together(run.archive(index));
      done = true;
      missing -= 1;
      if (missing === 0) resolve(run.result());
    } catch (error) {
      const failure = endingError(error, 'dump the database', signal);
      fail(failure);
      throw failure;
    } finally {
      if (!done) fail(new BackstayError('Aborted', 'the dump was not read to its end'));
    }
  }
  const streams = Array.from({ length: archives }, (_, index) => bytes(index));
  return { result: promise, archives: streams };
}

/** How many connections a dump needs: one for each archive, and one for what is asked beside. A locked server may take no other. */
export function connectionsFor(archives: number): number {
  return archives + 1;
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

/** What the archives of one dump have in common. */
class Dump {
  readonly #client: MongoClient;
  readonly #options: DumpOptions;
  readonly #writers: readonly ArchiveWriter[];
  readonly #readers: DocumentReader[] = [];
  #opening: Promise<Contents> | undefined;
  #contents: Contents | undefined;
  #estimate: SizeEstimate | undefined;
  /** Archives that are being written, and those for which something is still to be read. */
  #unwritten: number;
  #unread: number;

  constructor(client: MongoClient, options: DumpOptions, archives: number) {
    this.#client = client;
    this.#options = options;
    this.#writers = Array.from({ length: archives }, () => new ArchiveWriter());
    this.#unwritten = archives;
    this.#unread = archives;
  }

  result(): DumpResult {
    const { facts, cutTime, hashes } = this.#contents ?? {};
    return {
      ...this.#sums(),
      namespaces: this.#writers.flatMap(({ namespaces }) => namespaces),
      outsideSnapshot: this.#readers.flatMap(({ outsideSnapshot }) => outsideSnapshot),
      serverVersion: facts?.version ?? '',
      ...hashes,
      ...(cutTime === undefined ? {} : { cutTime }),
    };
  }

  async *archive(index: number): AsyncGenerator<Uint8Array> {
    let whole = false;
    try {
      this.#opening ??= this.#open();
      yield* this.#archive(index, await this.#opening);
      whole = true;
    } finally {
      this.#unwritten -= 1;
      if (!whole || this.#unwritten === 0) await this.#estimate?.stop();
    }
  }

  async #open(): Promise<Contents> {
    const contents = await readContents(this.#client, this.#options, this.#writers.length);
    this.#contents = contents;
    if (this.#options.onProgress !== undefined) {
      const viewless = hasViewlessTimeSeries(contents.facts.version);
      const collections = contents.archives.flat().filter(({ type }) => type !== 'view');
      this.#estimate = new SizeEstimate(
        this.#client,
        collections.map((entry) => dataNamespaceOf(entry, viewless)),
      );
    }
    return contents;
  }

  async *#archive(index: number, { facts, cutTime, archives }: Contents): AsyncGenerator<Uint8Array> {
    const { mode, atClusterTime, signal } = this.#options;
    const [entries, writer] = [archives[index], this.#writers[index]];
    if (entries === undefined || writer === undefined) throw new Error(`there is no archive ${index}`);
    const reader = new DocumentReader(this.#client, {
      serverVersion: facts.version,
      readAt: mode === 'snapshot' ? cutTime : mode === 'lock' ? atClusterTime : undefined,
      readers: archives.length,
      onLastRead: () => this.#wasRead(),
      signal,
    });
    this.#readers.push(reader);
    const part = archives.length === 1 ? {} : { part: { number: index + 1, of: archives.length } };
    const header = { concurrentCollections: 1, serverVersion: facts.version, toolVersion: TOOL_VERSION, ...part };
    yield* writer.write(header, entries, reader.read(entries), (entry) => this.#report(entry));
  }

  async #wasRead(): Promise<void> {
    this.#unread -= 1;
    if (this.#unread > 0) return;
    // it has a connection that the caller may need: no other can be made to a locked server
    await this.#estimate?.stop();
    await this.#options.onLastRead?.();
  }

  #sums(): { documents: number; bytes: number } {
    const sum = { documents: 0, bytes: 0 };
    for (const { documents, bytes } of this.#writers) {
      sum.documents += documents;
      sum.bytes += bytes;
    }
    return sum;
  }

  #report(entry: CollectionEntry): void {
    const { bytes: bytesInAll, documents: documentsInAll } = this.#estimate?.size ?? {};
    const { bytes, documents } = this.#sums();
    this.#options.onProgress?.({
      namespace: nameOf(entry),
      documents,
      bytes,
      collections: this.#writers.reduce((sum, { namespaces }) => sum + namespaces.length, 0),
      collectionsInAll: this.#contents?.archives.flat().length ?? 0,
      ...(bytesInAll === undefined ? {} : { bytesInAll: Math.max(bytesInAll, bytes) }),
      ...(documentsInAll === undefined ? {} : { documentsInAll: Math.max(documentsInAll, documents) }),
    });
  }
}
