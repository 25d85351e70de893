import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Crc64, crc64 } from '../../src/mongo/archive/crc64.ts';

const test = suite('CRC-64/XZ');
const unsigned = (value: bigint): string => BigInt.asUintN(64, value).toString(16).toUpperCase().padStart(16, '0');

test('the check value of the algorithm comes out', () => {
  assert.is(unsigned(crc64(Buffer.from('123456789'))), '995DC9BBDF1939FA');
});

test('the checksum of nothing is 0', () => {
  assert.is(crc64(new Uint8Array()), 0n);
  assert.is(new Crc64().value, 0n);
});

test('documents of a real archive have the checksums that mongodump stored', () => {
  const bar = '23000000075f69640058ffb124b721bc6c3234333c02666f6f00040000006261720000';
  assert.is(unsigned(crc64(Buffer.from(bar, 'hex'))), '9369F0F35BEC50D9');
  const version = Buffer.concat([
    Buffer.from('3b000000025f6964001c000000', 'hex'),
    Buffer.from('featureCompatibilityVersion\0'),
    Buffer.from('0276657273696f6e0004000000', 'hex'),
    Buffer.from('3.4\0\0'),
  ]);
  assert.is(version.length, 59);
  assert.is(unsigned(crc64(version)), 'F685812FD02A263E');
});

test('pieces of any length give the checksum of the whole', () => {
  const bytes = Buffer.from(Array.from({ length: 700_000 }, (_, index) => (index * 31 + (index >> 7)) & 0xff));
  const whole = crc64(bytes);
  for (const length of [1, 15, 16, 17, 4096, 262_143, 262_145]) {
    const crc = new Crc64();
    // single bytes are tried on the beginning alone
    const end = length === 1 ? 5000 : bytes.length;
    for (let at = 0; at < end; at += length) crc.update(bytes.subarray(at, Math.min(end, at + length)));
    assert.is(crc.value, length === 1 ? crc64(bytes.subarray(0, end)) : whole, `pieces of ${length}`);
  }
});

test('two checksums at the same time do not mix', () => {
  const [a, b] = [new Crc64(), new Crc64()];
  a.update(Buffer.from('1234'));
  b.update(Buffer.from('abc'));
  a.update(Buffer.from('56789'));
  assert.is(unsigned(a.value), '995DC9BBDF1939FA');
  assert.is(b.value, crc64(Buffer.from('abc')));
});

test.run();
