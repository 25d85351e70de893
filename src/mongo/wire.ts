import { createRequire } from 'node:module';
import { type ClientSession, type Db, type Document, Long, Timestamp } from 'mongodb';
import { BackstayError } from '../api/errors.ts';
import { MAX_DOCUMENT_BYTES } from './archive/format.ts';
import { BsonType, elements, viewOf } from './bson/elements.ts';

/**
 * Documents to and from a server as the bytes that they are. Everything here that leans on the inside of the driver is in this file:
 * `raw` replies of commands, and the document sequences (OP_MSG section kind 1) of its wire protocol module, into which bytes that are
 * BSON already can be put. The public insert functions would decode and encode every document.
 */

/** Documents in a row, as the server sent them. */
export interface RawBatch {
  bytes: Uint8Array;
  documents: number;
  /** The cursor to go on with; zero at the end. */
  cursor: Long;
  /** The time that a snapshot read saw. */
  atClusterTime?: Timestamp;
}

export interface CommandOptions {
  session?: ClientSession;
  signal?: AbortSignal;
}

/**
 * Runs a command that answers with a cursor: find, getMore, listCollections, listIndexes.
 *
 * @returns its batch, with the documents moved together in place, so that the batch is one piece of an archive
 */
export async function rawBatch(db: Db, command: Document, options: CommandOptions = {}): Promise<RawBatch> {
  const reply = await db.command(command, { ...options, raw: true });
  const cursor: unknown = reply.cursor;
  if (!(cursor instanceof Uint8Array)) throw new BackstayError('DatabaseError', 'the server answered without a cursor');
  let id = Long.ZERO;
  let batch = new Uint8Array();
  let atClusterTime: Timestamp | undefined;
  for (const { type, name, value } of elements(cursor)) {
    if (name === 'id') id = Long.fromBigInt(viewOf(value).getBigInt64(0, true));
    else if (name === 'firstBatch' || name === 'nextBatch') batch = value as Uint8Array<ArrayBuffer>;
    else if (name === 'atClusterTime' && type === BsonType.timestamp) atClusterTime = timestampOf(value);
  }
  return { ...gather(batch), cursor: id, ...(atClusterTime === undefined ? {} : { atClusterTime }) };
}

function timestampOf(value: Uint8Array): Timestamp {
  const view = viewOf(value);
  return new Timestamp({ t: view.getUint32(4, true), i: view.getUint32(0, true) });
}

/**
 * Moves the documents of a BSON array together, over the type byte and the index that stand before each. The array is ours: a reply is
 * nobody else's.
 */
export function gather(array: Uint8Array): { bytes: Uint8Array; documents: number } {
  const view = viewOf(array);
  const end = array.length - 1;
  let read = 4;
  let written = 0;
  let documents = 0;
  // the index of an array's element is its number in decimal digits
  let digits = 1;
  let nextDigit = 10;
  while (read < end) {
    if (documents === nextDigit) {
      digits += 1;
      nextDigit *= 10;
    }
    read += 1 + digits + 1;
    const length = view.getInt32(read, true);
    if (length > MAX_DOCUMENT_BYTES) {
      throw new BackstayError('DocumentTooLarge', `a document of ${length} bytes does not fit into an archive`);
    }
    array.copyWithin(written, read, read + length);
    read += length;
    written += length;
    documents += 1;
  }
  return { bytes: array.subarray(0, written), documents };
}

/** The documents of a batch one by one. */
export function* documentsOf(bytes: Uint8Array): Generator<Uint8Array> {
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.length; ) {
    const length = view.getInt32(at, true);
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

/** All documents that a command's cursor leads to, for lists that fit into memory. */
export async function* rawDocuments(
  db: Db,
  command: Document,
  options: CommandOptions = {},
): AsyncGenerator<Uint8Array> {
  const session = options.session ?? db.client.startSession({ causalConsistency: false });
  try {
    let batch = await rawBatch(db, command, { ...options, session });
    for (;;) {
      yield* documentsOf(batch.bytes);
      if (batch.cursor.isZero()) return;
      // listCollections and listIndexes read from names that are no collections of their own
      const collection = String(
        command.find ?? (command.listCollections === undefined ? command.listIndexes : '$cmd.listCollections'),
      );
      batch = await rawBatch(db, { getMore: batch.cursor, collection }, { ...options, session });
    }
  } finally {
    if (options.session === undefined) await session.endSession();
  }
}

type MakeDocumentSequence = (field: string, documents: unknown[], serialized: Uint8Array[]) => unknown;

let makeDocumentSequence: MakeDocumentSequence | undefined;

/** The driver does not export it, and a driver without it must fail at once, not with an empty insert. */
function documentSequence(field: string, pieces: Uint8Array[]): unknown {
  if (makeDocumentSequence === undefined) {
    const commands: unknown = createRequire(import.meta.url)('mongodb/lib/cmap/commands.js');
    const found =
      typeof commands === 'object' && commands !== null ? Reflect.get(commands, 'makeDocumentSequence') : undefined;
    if (typeof found !== 'function')
      throw new BackstayError('InternalError', 'this version of the driver has no document sequences');
    makeDocumentSequence = found as MakeDocumentSequence;
  }
  return makeDocumentSequence(field, pieces, pieces);
}

/**
 * Sends an insert whose documents are given as bytes: the pieces, joined, are whole documents.
 *
 * @param fields other fields of the command, such as ordered or writeConcern
 * @returns the server's reply; documents that failed are in its writeErrors
 */
export async function insertRaw(
  db: Db,
  collection: string,
  pieces: Uint8Array[],
  fields: Document,
  options: CommandOptions = {},
): Promise<Document> {
  return db.command({ insert: collection, documents: documentSequence('documents', pieces), ...fields }, options);
}
