import { BSON } from 'mongodb';

/** Type numbers of BSON elements (bsonspec.org). */
export const BsonType = {
  double: 0x01,
  string: 0x02,
  object: 0x03,
  array: 0x04,
  binary: 0x05,
  undefined: 0x06,
  objectId: 0x07,
  bool: 0x08,
  date: 0x09,
  null: 0x0a,
  regex: 0x0b,
  dbPointer: 0x0c,
  code: 0x0d,
  symbol: 0x0e,
  codeWithScope: 0x0f,
  int32: 0x10,
  timestamp: 0x11,
  int64: 0x12,
  decimal128: 0x13,
  minKey: 0xff,
  maxKey: 0x7f,
} as const;

/** One element of a document: its value's bytes are a view into the document. */
export interface BsonElement {
  type: number;
  name: string;
  value: Uint8Array;
}

/**
 * The elements of a document in the order of its bytes. A JavaScript object would move keys that look like numbers to the front, which
 * turns an index on {b, 2} into one on {2, b}.
 */
export function* elements(document: Uint8Array): Generator<BsonElement> {
  for (const [type, nameOffset, nameLength, offset, length] of BSON.onDemand.parseToElements(document)) {
    yield {
      type,
      name: Buffer.from(document.buffer, document.byteOffset + nameOffset, nameLength).toString('utf8'),
      value: document.subarray(offset, offset + length),
    };
  }
}

/** The first element of that name. */
export function element(document: Uint8Array, name: string): BsonElement | undefined {
  for (const candidate of elements(document)) if (candidate.name === name) return candidate;
  return undefined;
}

/** An embedded document's bytes, undefined when there is none of that name. */
export function embedded(document: Uint8Array, name: string): Uint8Array | undefined {
  const found = element(document, name);
  return found?.type === BsonType.object || found?.type === BsonType.array ? found.value : undefined;
}

/** A string field, undefined when there is none of that name. */
export function stringField(document: Uint8Array, name: string): string | undefined {
  const found = element(document, name);
  if (found?.type !== BsonType.string) return undefined;
  return textOf(found.value);
}

/** The text of a string value (length, bytes, zero). */
export function textOf(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset + 4, value.length - 5).toString('utf8');
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
