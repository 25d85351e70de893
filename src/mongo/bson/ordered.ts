import {
  Binary,
  BSONRegExp,
  BSONSymbol,
  Code,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
} from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { BsonType, elements, textOf, viewOf } from './elements.ts';
import type { OrderedDocument } from './extended-json.ts';

/** Dates further away than this are no JavaScript dates. */
const MAX_DATE = 8_640_000_000_000_000n;

/**
 * A document that the bson package serialises to the same bytes again: keys in their order, numbers with their type.
 *
 * @throws BackstayError UnsupportedValue for the few values that it cannot write: undefined, DBPointer, dates beyond the year 275760
 */
export function toOrdered(document: Uint8Array): OrderedDocument {
  const map: OrderedDocument = new Map();
  for (const { type, name, value } of elements(document)) map.set(name, decodeValue(type, value));
  return map;
}

function decodeValue(type: number, value: Uint8Array): unknown {
  const view = viewOf(value);
  switch (type) {
    case BsonType.double:
      return new Double(view.getFloat64(0, true));
    case BsonType.string:
      return textOf(value);
    case BsonType.object:
      return toOrdered(value);
    case BsonType.array:
      return Array.from(elements(value), (item) => decodeValue(item.type, item.value));
    case BsonType.binary: {
      const subType = value[4] ?? 0;
      return new Binary(Buffer.from(value.subarray(subType === Binary.SUBTYPE_BYTE_ARRAY ? 9 : 5)), subType);
    }
    case BsonType.objectId:
      return new ObjectId(Uint8Array.from(value));
    case BsonType.bool:
      return value[0] === 1;
    case BsonType.date: {
      const date = view.getBigInt64(0, true);
      if (date > MAX_DATE || date < -MAX_DATE) throw unsupported('a date beyond the year 275760');
      return new Date(Number(date));
    }
    case BsonType.null:
      return null;
    case BsonType.regex: {
      const [pattern = '', options = ''] = Buffer.from(value).toString('utf8').split('\0');
      return new BSONRegExp(pattern, options);
    }
    case BsonType.code:
      return new Code(textOf(value));
    case BsonType.symbol:
      return new BSONSymbol(textOf(value));
    case BsonType.codeWithScope: {
      const length = view.getInt32(4, true);
      return new Code(textOf(value.subarray(4, 8 + length)), Object.fromEntries(toOrdered(value.subarray(8 + length))));
    }
    case BsonType.int32:
      return new Int32(view.getInt32(0, true));
    case BsonType.timestamp:
      return new Timestamp({ t: view.getUint32(4, true), i: view.getUint32(0, true) });
    case BsonType.int64:
      return Long.fromBigInt(view.getBigInt64(0, true));
    case BsonType.decimal128:
      return new Decimal128(Uint8Array.from(value));
    case BsonType.minKey:
      return new MinKey();
    case BsonType.maxKey:
      return new MaxKey();
    default:
      throw unsupported(`BSON type 0x${type.toString(16)}`);
  }
}

function unsupported(what: string): BackstayError {
  return new BackstayError('UnsupportedValue', `the oplog holds ${what}, which cannot be replayed`, {
    remedy: 'load without the oplog',
  });
}
