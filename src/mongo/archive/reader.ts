import { BackstayError, describeError } from '../../api/errors.ts';
import { throwIfAborted } from '../errors.ts';
import { type Namespace, nameOf } from '../namespace.ts';
import { Crc64 } from './crc64.ts';
import {
  type ArchiveHeader,
  type CollectionEntry,
  decodeNamespaceHeader,
  decodePrelude,
  entryOf,
  FormatError,
  MAGIC,
} from './format.ts';
import { lengthProblem, NO_ZERO, readInt32, wholeDocuments } from './run.ts';
import { ByteSource, gunzipIfNeeded } from './source.ts';

/** What an archive says, in the order in which it says it. */
export type ArchiveEvent =
  | { kind: 'prelude'; header: ArchiveHeader; entries: CollectionEntry[] }
  | ({ kind: 'documents'; entry: CollectionEntry } & DocumentBatch)
  | { kind: 'end'; entry: CollectionEntry; documents: number; bytes: number; crc: bigint };

/** Whole documents in a row. The pieces are views into the input: joined they are the documents, but a piece may end inside one. */
export interface DocumentBatch {
  pieces: Uint8Array[];
  bytes: number;
  documents: number;
}

export interface ReadOptions {
  /** Most bytes of a batch; a batch of one document may be larger. */
  batchBytes: number;
  batchDocuments: number;
  signal?: AbortSignal;
}

/** What is known of a namespace while its blocks arrive. */
interface OpenNamespace {
  entry: CollectionEntry;
  crc: Crc64;
  documents: number;
  bytes: number;
  ended: boolean;
}

/**
 * Reads an archive, packed with gzip or not, without decoding its documents. Memory stays at one batch and one chunk of input.
 *
 * @throws BackstayError ArchiveTruncated or ArchiveDamaged with namespace and offset, in bytes of the unpacked stream
 */
export async function* readArchive(
  input: AsyncIterable<Uint8Array>,
  options: ReadOptions,
): AsyncGenerator<ArchiveEvent> {
  const reader = new ArchiveReader(new ByteSource(gunzipIfNeeded(input, options.signal)), options);
  try {
    yield* reader.events();
  } catch (error) {
    throw reader.explain(error);
  } finally {
    await reader.close();
  }
}

class ArchiveReader {
  readonly #source: ByteSource;
  readonly #options: ReadOptions;
  readonly #entries = new Map<string, CollectionEntry>();
  readonly #open = new Map<CollectionEntry, OpenNamespace>();
  #place = 'the prelude';

  constructor(source: ByteSource, options: ReadOptions) {
    this.#source = source;
    this.#options = options;
  }

  async *events(): AsyncGenerator<ArchiveEvent> {
    yield await this.#prelude();
    while (await this.#more()) {
      const document = await this.#document();
      if (document === undefined) throw new FormatError('a block has no header');
      const header = decodeNamespaceHeader(document);
      const namespace = this.#openFor(header);
      this.#place = nameOf(header);
      if (header.end) yield await this.#end(namespace, header.crc);
      else yield* this.#batches(namespace);
    }
    const missing = Array.from(this.#entries.values()).find((entry) => this.#open.get(entry)?.ended !== true);
    if (missing !== undefined) {
      this.#place = nameOf(missing);
      throw this.#truncated('the archive ends before the namespace is complete');
    }
  }

  async close(): Promise<void> {
    await this.#source.close();
  }

  /** The place belongs in the message whatever went wrong. */
  explain(error: unknown): unknown {
    if (error instanceof BackstayError) return error;
    if (error instanceof FormatError) return this.#damaged(error.message, error);
    // zlib's own words for a packed stream that is cut or damaged
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'Z_BUF_ERROR') return this.#truncated('the packed stream ends too early', error);
    if (typeof code === 'string' && code.startsWith('Z_')) return this.#damaged(describeError(error), error);
    return error;
  }

  #where(): string {
    return `${this.#place}, byte ${this.#source.position}`;
  }

  #damaged(what: string, cause?: unknown): BackstayError {
    return new BackstayError('ArchiveDamaged', `the archive is damaged at ${this.#where()}: ${what}`, {
      remedy: 'restore from another snapshot, or check the repository',
      cause,
    });
  }

  #truncated(what: string, cause?: unknown): BackstayError {
    return new BackstayError('ArchiveTruncated', `the archive is cut off at ${this.#where()}: ${what}`, {
      remedy: 'restore from another snapshot, or check the repository',
      cause,
    });
  }

  async #prelude(): Promise<ArchiveEvent> {
    if (!(await this.#source.fill(4))) throw this.#truncated('there is no archive');
    if (Buffer.compare(this.#source.chunk.subarray(0, 4), MAGIC) !== 0)
      throw new FormatError('this is not a mongodump archive');
    this.#source.advance(4);
    const head = await this.#document();
    if (head === undefined) throw new FormatError('the prelude has no header');
    const documents: Uint8Array[] = [];
    for (;;) {
      const document = await this.#document();
      if (document === undefined) break;
      documents.push(Uint8Array.from(document));
    }
    const { header, entries } = decodePrelude(head, documents);
    for (const entry of entries) {
      if (this.#entries.has(nameOf(entry))) throw new FormatError(`${nameOf(entry)} is in the prelude twice`);
      this.#entries.set(nameOf(entry), entry);
    }
    return { kind: 'prelude', header, entries };
  }

  #openFor(header: Namespace): OpenNamespace {
    const entry = entryOf(this.#entries, header);
    if (entry === undefined) throw new FormatError(`${nameOf(header)} is not in the prelude`);
    const known = this.#open.get(entry);
    if (known?.ended === true) throw new FormatError(`${nameOf(header)} goes on after its end`);
    const namespace = known ?? { entry, crc: new Crc64(), documents: 0, bytes: 0, ended: false };
    this.#open.set(entry, namespace);
    return namespace;
  }

  async #end(namespace: OpenNamespace, crc: bigint): Promise<ArchiveEvent> {
    if ((await this.#document()) !== undefined) throw new FormatError('an end block has documents');
    if (namespace.crc.value !== crc) throw new FormatError('the checksum of the documents does not match');
    namespace.ended = true;
    const { entry, documents, bytes } = namespace;
    return { kind: 'end', entry, documents, bytes, crc };
  }

  /** True when another block follows, false at the end of the stream. */
  async #more(): Promise<boolean> {
    throwIfAborted(this.#options.signal);
    return this.#source.fill(1);
  }

  /** Length of the next document, undefined when a terminator was there, which is passed. */
  async #length(): Promise<number | undefined> {
    if (!(await this.#source.fill(4))) throw this.#truncated('a length or terminator is missing');
    const length = readInt32(this.#source.chunk, 0);
    if (length === -1) {
      this.#source.advance(4);
      return undefined;
    }
    const problem = lengthProblem(length);
    if (problem !== undefined) throw new FormatError(problem);
    return length;
  }

  /** One document in one piece, for headers and metadata. It is valid until the next read. */
  async #document(): Promise<Uint8Array | undefined> {
    const length = await this.#length();
    if (length === undefined) return undefined;
    if (!(await this.#source.fill(length))) throw this.#truncated('a document is not complete');
    const document = this.#source.chunk.subarray(0, length);
    if (document[length - 1] !== 0) throw new FormatError(NO_ZERO);
    this.#source.advance(length);
    return document;
  }

  /** The documents of a data block. What is in the chunk is walked without a copy or an await per document. */
  async *#batches(namespace: OpenNamespace): AsyncGenerator<ArchiveEvent> {
    const source = this.#source;
    const { batchBytes, batchDocuments, signal } = this.#options;
    let batch: DocumentBatch = { pieces: [], bytes: 0, documents: 0 };
    const take = (bytes: number): void => {
      if (bytes === 0) return;
      const piece = source.chunk.subarray(0, bytes);
      namespace.crc.update(piece);
      batch.pieces.push(piece);
      batch.bytes += bytes;
      source.advance(bytes);
    };
    const hand = (): ArchiveEvent => {
      const event: ArchiveEvent = { kind: 'documents', entry: namespace.entry, ...batch };
      namespace.documents += batch.documents;
      namespace.bytes += batch.bytes;
      batch = { pieces: [], bytes: 0, documents: 0 };
      return event;
    };

    for (;;) {
      throwIfAborted(signal);
      const run = wholeDocuments(
        source.chunk,
        batchBytes - batch.bytes,
        batchDocuments - batch.documents,
        batch.documents === 0,
      );
      take(run.bytes);
      batch.documents += run.documents;
      switch (run.stop) {
        case 'terminator':
          source.advance(4);
          if (batch.documents > 0) yield hand();
          return;
        case 'full':
          yield hand();
          break;
        case 'length':
          if (!(await source.fill(4))) throw this.#truncated('a length or terminator is missing');
          break;
        case 'partial':
          await this.#partialDocument(run.length, take);
          batch.documents += 1;
          break;
        default:
          throw new FormatError(run.stop.problem);
      }
    }
  }

  /** A document that goes on in the next chunks. */
  async #partialDocument(length: number, take: (bytes: number) => void): Promise<void> {
    let missing = length;
    while (missing > 0) {
      if (!(await this.#source.fill(1))) throw this.#truncated('a document is not complete');
      const { chunk } = this.#source;
      const part = Math.min(missing, chunk.length);
      if (part === missing && chunk[part - 1] !== 0) throw new FormatError(NO_ZERO);
      take(part);
      missing -= part;
    }
  }
}
