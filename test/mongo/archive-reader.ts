/**
 * A reader of the archive format for tests alone, written from the format's description and sharing no code with src: it keeps the whole
 * archive in memory, and knows the rules that mongorestore insists on.
 */

/** A namespace as it lies in an archive. */
export interface ArchivedNamespace {
  name: string;
  documents: Buffer[];
  crc: bigint;
  /** Offsets at which a block of it begins. */
  blocks: number[];
}

export interface Archive {
  header: Record<string, unknown>;
  entries: { name: string; metadata: string; type: string }[];
  namespaces: ArchivedNamespace[];
  /** Offset of every header, document and terminator. */
  boundaries: number[];
  /** Most namespaces that were open at once. */
  concurrent: number;
}

const MAGIC = 0x8199e26d;

export function readWholeArchive(bytes: Buffer): Archive {
  if (bytes.readUInt32LE(0) !== MAGIC) throw new Error('no magic');
  let at = 4;
  const boundaries = [0, 4];
  const block = (): Buffer[] => {
    const documents: Buffer[] = [];
    for (;;) {
      const length = bytes.readInt32LE(at);
      if (length === -1) {
        at += 4;
        boundaries.push(at);
        return documents;
      }
      if (length < 5 || at + length > bytes.length) throw new Error(`length ${length} at ${at}`);
      if (bytes[at + length - 1] !== 0) throw new Error(`no zero at the end of the document at ${at}`);
      documents.push(bytes.subarray(at, at + length));
      at += length;
      boundaries.push(at);
    }
  };
  const [head, ...listed] = block().map(fieldsOf);
  if (head === undefined) throw new Error('no header');
  const entries = listed.map(({ db, collection, metadata, type }) => ({
    name: `${db}.${collection}`,
    metadata: String(metadata),
    type: String(type),
  }));
  const open = new Map<string, ArchivedNamespace>();
  const namespaces: ArchivedNamespace[] = [];
  let concurrent = 0;
  while (at < bytes.length) {
    const start = at;
    const [headerBytes, ...documents] = block();
    if (headerBytes === undefined) throw new Error('a block without a header');
    const header = fieldsOf(headerBytes);
    if (Object.keys(header).join() !== 'db,collection,EOF,CRC') throw new Error(`fields ${Object.keys(header).join()}`);
    const name = `${header.db}.${header.collection}`;
    if (header.EOF === false) {
      if (header.CRC !== 0n) throw new Error('a checksum in a data block');
      const namespace = open.get(name) ?? { name, documents: [], crc: 0n, blocks: [] };
      namespace.documents.push(...documents);
      namespace.blocks.push(start);
      open.set(name, namespace);
      concurrent = Math.max(concurrent, open.size);
      continue;
    }
    const namespace = open.get(name);
    if (namespace === undefined || documents.length > 0) throw new Error(`the end of ${name} is out of place`);
    open.delete(name);
    namespace.crc = header.CRC as bigint;
    if (checksum(Buffer.concat(namespace.documents)) !== namespace.crc) throw new Error(`checksum of ${name}`);
    namespaces.push(namespace);
  }
  if (open.size > 0) throw new Error('a namespace has no end');
  return { header: head, entries, namespaces, boundaries, concurrent };
}

/** The fields of the few types that headers have. */
function fieldsOf(document: Buffer): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  let at = 4;
  while (document[at] !== 0) {
    const type = document[at];
    const end = document.indexOf(0, at + 1);
    const name = document.toString('utf8', at + 1, end);
    at = end + 1;
    if (type === 0x02) {
      const length = document.readInt32LE(at);
      fields[name] = document.toString('utf8', at + 4, at + 3 + length);
      at += 4 + length;
    } else if (type === 0x08) {
      fields[name] = document[at] === 1;
      at += 1;
    } else if (type === 0x10) {
      fields[name] = document.readInt32LE(at);
      at += 4;
    } else if (type === 0x12) {
      fields[name] = document.readBigInt64LE(at);
      at += 8;
    } else throw new Error(`type ${type} in a header`);
  }
  return fields;
}

/** One table per half of the 64 bits: BigInt arithmetic for every byte would take minutes. */
const [HIGH, LOW] = [new Uint32Array(256), new Uint32Array(256)];
for (let byte = 0; byte < 256; byte += 1) {
  let crc = BigInt(byte);
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1n ? (crc >> 1n) ^ 0xc96c5795d7870f42n : crc >> 1n;
  HIGH[byte] = Number(crc >> 32n);
  LOW[byte] = Number(crc & 0xffffffffn);
}

/** CRC-64/XZ, one byte at a time. */
function checksum(bytes: Buffer): bigint {
  let [high, low] = [0xffffffff, 0xffffffff];
  for (const byte of bytes) {
    const index = (low ^ byte) & 0xff;
    low = ((low >>> 8) | (high << 24)) ^ (LOW[index] ?? 0);
    high = (high >>> 8) ^ (HIGH[index] ?? 0);
  }
  return BigInt.asIntN(64, (BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0));
}
