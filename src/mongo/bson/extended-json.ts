import {
  Binary,
  BSONRegExp,
  BSONSymbol,
  Code,
  DBRef,
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
import { type Json, parseJson } from './json.ts';

/**
 * Extended JSON 2.0 between BSON bytes and text, for the metadata of collections. The EJSON of the bson package goes through JavaScript
 * objects, which reorders keys that look like numbers, and reads the query {$regex, $options} as a regular expression value; both would
 * restore other indexes and validators than were dumped.
 * Source: github.com/mongodb/specifications, source/extended-json/extended-json.md
 */

/** A document's bytes as canonical Extended JSON, keys in their own order, no white space. */
export function toExtendedJson(document: Uint8Array): string {
  const parts: string[] = [];
  for (const { type, name, value } of elements(document))
    parts.push(`${JSON.stringify(name)}:${valueText(type, value)}`);
  return `{${parts.join(',')}}`;
}

function arrayText(array: Uint8Array): string {
  return `[${Array.from(elements(array), ({ type, value }) => valueText(type, value)).join(',')}]`;
}

const wrap = (key: string, value: unknown): string => JSON.stringify({ [key]: value });

function valueText(type: number, value: Uint8Array): string {
  const view = viewOf(value);
  switch (type) {
    case BsonType.double:
      return wrap('$numberDouble', doubleText(view.getFloat64(0, true)));
    case BsonType.string:
      return JSON.stringify(textOf(value));
    case BsonType.object:
      return toExtendedJson(value);
    case BsonType.array:
      return arrayText(value);
    case BsonType.binary:
      return binaryText(value);
    case BsonType.undefined:
      return wrap('$undefined', true);
    case BsonType.objectId:
      return wrap('$oid', Buffer.from(value).toString('hex'));
    case BsonType.bool:
      return value[0] === 1 ? 'true' : 'false';
    case BsonType.date:
      return wrap('$date', { $numberLong: view.getBigInt64(0, true).toString() });
    case BsonType.null:
      return 'null';
    case BsonType.regex: {
      const [pattern = '', options = ''] = Buffer.from(value).toString('utf8').split('\0');
      return wrap('$regularExpression', { pattern, options });
    }
    case BsonType.dbPointer: {
      const length = view.getInt32(0, true);
      const id = Buffer.from(value.subarray(4 + length)).toString('hex');
      return wrap('$dbPointer', { $ref: textOf(value.subarray(0, 4 + length)), $id: { $oid: id } });
    }
    case BsonType.code:
      return wrap('$code', textOf(value));
    case BsonType.symbol:
      return wrap('$symbol', textOf(value));
    case BsonType.codeWithScope: {
      const length = view.getInt32(4, true);
      const code = JSON.stringify(textOf(value.subarray(4, 8 + length)));
      return `{"$code":${code},"$scope":${toExtendedJson(value.subarray(8 + length))}}`;
    }
    case BsonType.int32:
      return wrap('$numberInt', view.getInt32(0, true).toString());
    case BsonType.timestamp:
      return wrap('$timestamp', { t: view.getUint32(4, true), i: view.getUint32(0, true) });
    case BsonType.int64:
      return wrap('$numberLong', view.getBigInt64(0, true).toString());
    case BsonType.decimal128:
      return wrap('$numberDecimal', new Decimal128(Buffer.from(value)).toString());
    case BsonType.minKey:
      return wrap('$minKey', 1);
    case BsonType.maxKey:
      return wrap('$maxKey', 1);
    default:
      throw new BackstayError('DatabaseError', `BSON type 0x${type.toString(16)} is not known`);
  }
}

function doubleText(value: number): string {
  if (Object.is(value, -0)) return '-0.0';
  if (!Number.isFinite(value)) return String(value);
  return Number.isInteger(value) && Math.abs(value) < 1e21 ? `${value}.0` : String(value);
}

function binaryText(value: Uint8Array): string {
  const subType = value[4] ?? 0;
  // the old binary subtype 2 repeats the length inside its bytes
  const bytes = Buffer.from(value.subarray(subType === Binary.SUBTYPE_BYTE_ARRAY ? 9 : 5));
  return wrap('$binary', { base64: bytes.toString('base64'), subType: subType.toString(16).padStart(2, '0') });
}

/** A document whose keys keep their order. The bson package serialises a Map as a document. */
export type OrderedDocument = Map<string, unknown>;

/**
 * A document from Extended JSON, canonical or relaxed. Numbers without a wrapper, as tools before 4.2 wrote them, become what the bson
 * package makes of a JavaScript number: int32 when whole and small enough, double otherwise.
 */
export function fromExtendedJson(text: string): OrderedDocument {
  const value = decode(parseJson(text));
  if (!(value instanceof Map)) throw new SyntaxError('expected a document');
  return value;
}

function decode(value: Json): unknown {
  if (Array.isArray(value)) return value.map(decode);
  if (!(value instanceof Map)) return value;
  const first = value.keys().next().value;
  if (first?.startsWith('$') === true) {
    const special = decodeWrapper(value);
    if (special !== undefined) return special.value;
  }
  return new Map(Array.from(value, ([key, item]) => [key, decode(item)]));
}

const text = (value: Json | undefined): string | undefined => (typeof value === 'string' ? value : undefined);
const part = (value: Json | undefined, key: string): Json | undefined =>
  value instanceof Map ? value.get(key) : undefined;

/**
 * The value of {"$oid": …} and its like, or undefined when the map is an ordinary document, such as {"$gt": 5}: only the exact shape of
 * a wrapper counts.
 */
function decodeWrapper(map: Map<string, Json>): { value: unknown } | undefined {
  if (map.size === 2 && map.has('$code') && map.has('$scope')) {
    return {
      value: new Code(text(map.get('$code')) ?? '', decode(map.get('$scope') ?? new Map()) as Record<string, unknown>),
    };
  }
  if (map.size === 2 && typeof map.get('$binary') === 'string' && typeof map.get('$type') === 'string') {
    // legacy: {"$binary": <base64>, "$type": <hex>}
    return { value: binary(text(map.get('$binary')) ?? '', text(map.get('$type')) ?? '0') };
  }
  if (map.size !== 1) return undefined;
  const [[key, value] = ['', null]] = map;
  const string = text(value);
  switch (key) {
    case '$oid':
      return string === undefined ? undefined : { value: new ObjectId(string) };
    case '$numberInt':
      return string === undefined ? undefined : { value: new Int32(Number(string)) };
    case '$numberLong':
      return string === undefined ? undefined : { value: Long.fromString(string) };
    case '$numberDouble':
      return string === undefined ? undefined : { value: new Double(Number(string)) };
    case '$numberDecimal':
      return string === undefined ? undefined : { value: Decimal128.fromString(string) };
    case '$symbol':
      return string === undefined ? undefined : { value: new BSONSymbol(string) };
    case '$code':
      return string === undefined ? undefined : { value: new Code(string) };
    case '$binary': {
      const base64 = text(part(value, 'base64'));
      const subType = text(part(value, 'subType'));
      return base64 === undefined || subType === undefined ? undefined : { value: binary(base64, subType) };
    }
    case '$date': {
      const long = text(part(value, '$numberLong'));
      if (long !== undefined) return { value: new Date(Number(long)) };
      return typeof value === 'string' || typeof value === 'number' ? { value: new Date(value) } : undefined;
    }
    case '$timestamp': {
      const t = part(value, 't');
      const i = part(value, 'i');
      return typeof t === 'number' && typeof i === 'number' ? { value: new Timestamp({ t, i }) } : undefined;
    }
    case '$regularExpression': {
      const pattern = text(part(value, 'pattern'));
      return pattern === undefined ? undefined : { value: new BSONRegExp(pattern, text(part(value, 'options')) ?? '') };
    }
    case '$dbPointer': {
      const id = text(part(part(value, '$id'), '$oid'));
      return id === undefined ? undefined : { value: new DBRef(text(part(value, '$ref')) ?? '', new ObjectId(id)) };
    }
    case '$minKey':
      return { value: new MinKey() };
    case '$maxKey':
      return { value: new MaxKey() };
    case '$undefined':
      return { value: null };
    default:
      return undefined;
  }
}

function binary(base64: string, subType: string): Binary {
  return new Binary(Buffer.from(base64, 'base64'), Number.parseInt(subType, 16));
}
