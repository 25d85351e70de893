import {
  Binary,
  BSON,
  BSONRegExp,
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
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fromExtendedJson, toExtendedJson } from '../../src/mongo/bson/extended-json.ts';
import { toOrdered } from '../../src/mongo/bson/ordered.ts';

const test = suite('Extended JSON');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A document with every type that the bson package can write. */
function everyType(): Uint8Array {
  return BSON.serialize({
    double: new Double(5),
    negativeZero: new Double(-0),
    tiny: new Double(5e-324),
    huge: new Double(1.7e308),
    nan: new Double(Number.NaN),
    infinity: new Double(Number.NEGATIVE_INFINITY),
    string: 'quote " backslash \\ line\n zero \u0000 häß 日本 \ud83d\ude00',
    document: { nested: { deep: [] } },
    array: [new Int32(1), [new Int32(2)], {}, 'x,y:{}[]'],
    binary: new Binary(Buffer.from([0, 1, 255]), 0),
    oldBinary: new Binary(Buffer.from('old'), 2),
    uuid: new Binary(Buffer.alloc(16, 7), 4),
    objectId: new ObjectId('58ffb124b721bc6c3234333c'),
    yes: true,
    no: false,
    date: new Date(1_700_000_000_123),
    before: new Date(-1),
    null: null,
    regex: new BSONRegExp('^a/b"', 'ix'),
    code: new Code('return 1'),
    scoped: new Code('return x', { x: new Int32(1) }),
    int: new Int32(-7),
    timestamp: new Timestamp({ t: 4_000_000_000, i: 4_000_000_001 }),
    long: Long.fromString('-9223372036854775808'),
    decimal: Decimal128.fromString('1.10E+5'),
    min: new MinKey(),
    max: new MaxKey(),
    '': 'empty key',
    __proto__x: 1,
  });
}

test('every type survives to text and back, byte for byte', () => {
  const bytes = everyType();
  assert.is(hex(BSON.serialize(fromExtendedJson(toExtendedJson(bytes)))), hex(bytes));
});

test('every type survives an ordered document, byte for byte', () => {
  const bytes = everyType();
  assert.is(hex(BSON.serialize(toOrdered(bytes))), hex(bytes));
});

test('keys that look like numbers keep their place', () => {
  const bytes = BSON.serialize(
    new Map([
      ['b', 1],
      ['2', 1],
      ['1', 1],
    ]),
  );
  const text = toExtendedJson(bytes);
  assert.is(text, '{"b":{"$numberInt":"1"},"2":{"$numberInt":"1"},"1":{"$numberInt":"1"}}');
  assert.is(hex(BSON.serialize(fromExtendedJson(text))), hex(bytes));
  assert.is(hex(BSON.serialize(toOrdered(bytes))), hex(bytes));
});

test('a query operator is not taken for a value', () => {
  const query = { name: { $regex: '^a', $options: 'i' }, at: { $type: 'date' }, n: { $gt: new Int32(5) } };
  const bytes = BSON.serialize(query);
  assert.is(hex(BSON.serialize(fromExtendedJson(toExtendedJson(bytes)))), hex(bytes));
});

test('bare numbers of old tools are read', () => {
  const index = fromExtendedJson('{"v":2,"key":{"_id":1},"weight":1.5,"big":5000000000,"ns":"test.bar"}');
  const decoded = BSON.deserialize(BSON.serialize(index), { promoteValues: false });
  assert.instance(decoded.v, Int32);
  assert.instance(decoded.weight, Double);
  assert.is(Number(decoded.big), 5_000_000_000);
});

test('relaxed dates and legacy binaries are read', () => {
  const document = fromExtendedJson('{"d":{"$date":"2020-01-01T00:00:00Z"},"b":{"$binary":"AAE=","$type":"00"}}');
  assert.is((document.get('d') as Date).toISOString(), '2020-01-01T00:00:00.000Z');
  assert.is(hex((document.get('b') as Binary).buffer), '0001');
});

test('text that is no JSON document is refused', () => {
  for (const text of [
    '',
    '{',
    '[]',
    '1',
    '{"a":}',
    '{"a":1,}',
    '{"a" 1}',
    `${'{"a":'.repeat(400)}1${'}'.repeat(400)}`,
  ]) {
    assert.throws(
      () => fromExtendedJson(text),
      (error: unknown) => error instanceof SyntaxError,
      text.slice(0, 20),
    );
  }
});

test('a value that cannot be written again is named', () => {
  const undefinedValue = Buffer.from('080000000661000000'.slice(0, 16), 'hex');
  assert.throws(() => toOrdered(undefinedValue), /0x6/);
  const farDate = Buffer.from('10000000096400ffffffffffffff7f00', 'hex');
  assert.throws(() => toOrdered(farDate), /275760/);
});

test.run();
