import { BSON, Int32, Long } from 'mongodb';
import { elements } from '../bson/elements.ts';
import { BUCKETS_PREFIX, bucketsOf, type Namespace, nameOf } from '../namespace.ts';
import { crc64 } from './crc64.ts';

/**
 * mongodump's archive format 0.1, which mongorestore reads as well:
 *
 *     archive = magic, prelude block, { data block | end block }
 *     block   = header document, { document }, terminator
 *
 * The prelude's header is an ArchiveHeader and its documents are CollectionEntry; every other block's header is a NamespaceHeader. An end
 * block has no documents: it says that the namespace is complete and what its checksum is.
 * Source: github.com/mongodb/mongo-tools, common/archive
 */
export const MAGIC = Uint8Array.of(0x6d, 0xe2, 0x99, 0x81);
/** Stands where the length of another document would: -1 is no length. */
export const TERMINATOR = Uint8Array.of(0xff, 0xff, 0xff, 0xff);
export const FORMAT_VERSION = '0.1';
/** Archives whose tool version begins like this carry a checksum of their prelude. */
export const OWN_TOOL = 'backstay-';
/** A document of more bytes than this cannot be read back from an archive. */
export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

/** The oplog's place in an archive: it is the last namespace. */
export const OPLOG: Namespace = { db: '', collection: 'oplog' };

/** Namespaces that mongorestore wants complete before the first ordinary one begins, in this order. */
export const SPECIAL_NAMESPACES = ['admin.system.users', 'admin.system.roles', 'admin.system.version'];

export function isOplog({ db, collection }: Namespace): boolean {
  return db === OPLOG.db && collection === OPLOG.collection;
}

export interface ArchiveHeader {
  /** How many namespaces may be open at once. */
  concurrentCollections: number;
  /** Version of the server that was dumped, "6.0.5". */
  serverVersion: string;
  toolVersion: string;
  /** It is one of several that together are one dump: its number, from 1, and how many there are. */
  part?: { number: number; of: number };
  /** The archive carries a checksum of its prelude, and it was right. */
  checked: boolean;
}

export type CollectionType = 'collection' | 'view' | 'timeseries';

/** What the prelude says of one collection. */
export interface CollectionEntry extends Namespace {
  type: CollectionType;
  /** Options and indexes as Extended JSON; empty for the oplog. */
  metadata: string;
}

export interface NamespaceHeader extends Namespace {
  /** True for an end block. */
  end: boolean;
  /** Checksum of the namespace's documents in an end block, 0 elsewhere. */
  crc: bigint;
}

/** A block's header says something that the format does not allow. */
export class FormatError extends Error {}

/**
 * The prelude: magic, header, entries, terminator. Readers ignore fields of the header that they do not know, so ours carries a checksum
 * of the prelude, which the format leaves unprotected, and says of which dump it is a part.
 */
export function encodePrelude(header: Omit<ArchiveHeader, 'checked'>, entries: CollectionEntry[]): Uint8Array {
  const documents = entries.map((entry) =>
    BSON.serialize({
      db: entry.db,
      collection: entry.collection,
      metadata: entry.metadata,
      size: new Int32(0),
      type: isOplog(entry) ? '' : entry.type,
    }),
  );
  const head = BSON.serialize({
    concurrent_collections: new Int32(header.concurrentCollections),
    version: FORMAT_VERSION,
    server_version: header.serverVersion,
    tool_version: header.toolVersion,
    ...(header.part === undefined ? {} : { part: new Int32(header.part.number), parts: new Int32(header.part.of) }),
    prelude_crc: Long.ZERO,
  });
  writeChecksum(head, crc64(Buffer.concat([head, ...documents])));
  return Buffer.concat([MAGIC, head, ...documents, TERMINATOR]);
}

/** The checksum is the last field of the header: eight bytes before the closing zero. */
function writeChecksum(head: Uint8Array, crc: bigint): void {
  new DataView(head.buffer, head.byteOffset).setBigInt64(head.length - 9, crc, true);
}

/** A namespace header and, for an end block, its terminator. */
export function encodeNamespaceHeader(header: NamespaceHeader): Uint8Array {
  const document = headerDocument(header);
  return header.end ? Buffer.concat([document, TERMINATOR]) : document;
}

function headerDocument({ db, collection, end, crc }: NamespaceHeader): Uint8Array {
  return BSON.serialize({ db, collection, EOF: end, CRC: Long.fromBigInt(crc) });
}

/** Reads the prelude's documents. @throws FormatError */
export function decodePrelude(
  head: Uint8Array,
  documents: Uint8Array[],
): { header: ArchiveHeader; entries: CollectionEntry[] } {
  const fields = decodeFields(head);
  const { concurrent_collections: concurrent, version, server_version: server, tool_version: tool } = fields;
  if (typeof version !== 'string') throw new FormatError('the header has no format version');
  if (version !== FORMAT_VERSION) throw new FormatError(`format version ${JSON.stringify(version)} is not known`);
  let checked = false;
  if (fields.prelude_crc instanceof Long) {
    const zeroed = Uint8Array.from(head);
    writeChecksum(zeroed, 0n);
    if (crc64(Buffer.concat([zeroed, ...documents])) !== fields.prelude_crc.toBigInt()) {
      throw new FormatError('the checksum of the prelude does not match');
    }
    checked = true;
  } else if (typeof tool === 'string' && tool.startsWith(OWN_TOOL)) {
    throw new FormatError('the checksum of the prelude is missing');
  }
  return {
    header: {
      concurrentCollections: typeof concurrent === 'number' ? concurrent : 1,
      serverVersion: typeof server === 'string' ? server : '',
      toolVersion: typeof tool === 'string' ? tool : '',
      checked,
      ...partOf(fields),
    },
    entries: documents.map(decodeEntry),
  };
}

function partOf({ part: number, parts: of }: Record<string, unknown>): Pick<ArchiveHeader, 'part'> {
  if (number === undefined && of === undefined) return {};
  if (typeof number === 'number' && typeof of === 'number' && number >= 1 && number <= of)
    return { part: { number, of } };
  throw new FormatError('the header does not say which part of a dump it is');
}

function decodeEntry(document: Uint8Array): CollectionEntry {
  const { db, collection, metadata = '', type = '' } = decodeFields(document);
  if (typeof db !== 'string' || typeof collection !== 'string' || collection === '' || typeof metadata !== 'string') {
    throw new FormatError('an entry of the prelude has no database, collection or metadata');
  }
  // archives of tools before 5.0 have no type: a view is known by its metadata there
  const known = type === 'view' || type === 'timeseries' || type === 'collection' ? type : undefined;
  return { db, collection, metadata, type: known ?? (/"viewOn"\s*:/.test(metadata) ? 'view' : 'collection') };
}

/** Reads a namespace header as strictly as mongorestore does: exactly these fields, exactly these types. @throws FormatError */
export function decodeNamespaceHeader(document: Uint8Array): NamespaceHeader {
  const { db, collection, EOF, CRC, ...unknown } = decodeFields(document);
  const others = Object.keys(unknown);
  if (others.length > 0) throw new FormatError(`the block's header has an unknown field ${JSON.stringify(others[0])}`);
  if (typeof db !== 'string' || typeof collection !== 'string' || collection === '') {
    throw new FormatError("the block's header names no collection");
  }
  if (typeof EOF !== 'boolean' || !(CRC instanceof Long)) throw new FormatError("the block's header has no EOF or CRC");
  if (!EOF && !CRC.isZero()) throw new FormatError('a data block carries a checksum');
  const header: NamespaceHeader = { db, collection, end: EOF, crc: CRC.toBigInt() };
  // no checksum covers a header, and the decoder takes a symbol for a string
  if (Buffer.compare(document, headerDocument(header)) !== 0) {
    throw new FormatError("the block's header is not written as the format has it");
  }
  return header;
}

function decodeFields(document: Uint8Array): Record<string, unknown> {
  try {
    // a name that comes twice would hide the first
    const names = Array.from(elements(document), ({ name }) => name);
    if (new Set(names).size !== names.length) throw new Error('a field is there twice');
    return BSON.deserialize(document, { promoteLongs: false }) as Record<string, unknown>;
  } catch (cause) {
    throw new FormatError("the block's header is not a document", { cause });
  }
}

/**
 * The prelude's entry for a block's namespace: that of X for the raw buckets of time series X, which have no entry of their own.
 */
export function entryOf(
  entries: ReadonlyMap<string, CollectionEntry>,
  namespace: Namespace,
): CollectionEntry | undefined {
  const entry = entries.get(nameOf(namespace));
  if (entry !== undefined || !namespace.collection.startsWith(BUCKETS_PREFIX)) return entry;
  const series = entries.get(nameOf({ ...namespace, collection: namespace.collection.slice(BUCKETS_PREFIX.length) }));
  return series?.type === 'timeseries' ? series : undefined;
}

/** The namespace under which an entry's documents are written: 8.3 did away with the buckets' own collection. */
export function dataNamespaceOf(entry: CollectionEntry, viewlessTimeSeries: boolean): Namespace {
  const { db, collection } = entry;
  return entry.type === 'timeseries' && !viewlessTimeSeries
    ? { db, collection: bucketsOf(collection) }
    : { db, collection };
}
