/**
 * CRC-64/XZ, the checksum that the archive format keeps per namespace: reflected polynomial 0xC96C5795D7870F42, initial value and final
 * xor all ones, check value of "123456789" 0x995DC9BBDF1939FA (the ECMA table of Go's hash/crc64).
 *
 * The inner loop is WebAssembly, since JavaScript has no fast 64-bit integer: it takes 16 bytes a turn with one table per byte
 * ("slicing by 16"). The module is small enough to be assembled here, so there is no binary to trust.
 */

const POLYNOMIAL = 0xc96c5795d7870f42n;
const TABLES = 16;
const TABLE_BYTES = 256 * 8;
/** Input is copied behind the tables in pieces that stay in the processor's second-level cache. */
const INPUT_OFFSET = TABLES * TABLE_BYTES;
const INPUT_BYTES = 256 * 1024;

const I32 = 0x7f;
const I64 = 0x7e;
const BLOCK = [0x02, 0x40];
const LOOP = [0x03, 0x40];
const END = 0x0b;
const I32_GE_U = 0x4f;
const I32_EQZ = 0x45;
const I32_ADD = 0x6a;
const I32_AND = 0x71;
const I64_XOR = 0x85;
const I64_SHL = 0x86;
const I64_SHR_U = 0x88;
const I32_WRAP_I64 = 0xa7;
const I64_LOAD8_U = 0x31;

const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const i32 = (value: number): number[] => [0x41, ...signedLeb(value)];
const i64 = (value: number): number[] => [0x42, ...signedLeb(value)];
const branch = (depth: number): number[] => [0x0c, depth];
const branchIf = (depth: number): number[] => [0x0d, depth];
const loadI64 = (offset: number): number[] => [0x29, 3, ...unsignedLeb(offset)];

function unsignedLeb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const byte = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? byte : byte | 0x80);
  } while (rest !== 0);
  return bytes;
}

function signedLeb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0)) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

const section = (id: number, content: number[]): number[] => [id, ...unsignedLeb(content.length), ...content];

/** `update(crc: i64, pointer: i32, length: i32) -> i64` over one memory that holds the tables and the input. */
function assemble(): Uint8Array<ArrayBuffer> {
  const CRC = 0;
  const POINTER = 1;
  const LENGTH = 2;
  const LOW = 3;
  const HIGH = 4;
  // table[k][byte j of word]: a byte's index is scaled to its entry by shifting three places less than its position
  const lookUp = (word: number, byte: number, table: number): number[] => [
    ...get(word),
    ...(byte === 0 ? [...i64(3), I64_SHL] : [...i64(8 * byte - 3), I64_SHR_U]),
    I32_WRAP_I64,
    ...i32(0x7f8),
    I32_AND,
    ...loadI64(table * TABLE_BYTES),
  ];
  // exclusive or of all, as a tree: one after the other would make each wait for the one before
  const combine = (values: number[][]): number[] =>
    values.length === 1
      ? (values[0] ?? [])
      : [...combine(values.slice(0, values.length / 2)), ...combine(values.slice(values.length / 2)), I64_XOR];
  const bytesOf = (word: number, table: number): number[] =>
    combine(Array.from({ length: 8 }, (_, byte) => lookUp(word, byte, table - byte)));
  // the upper word does not depend on the sum so far, so it comes first
  const sixteen = [...bytesOf(HIGH, 7), ...bytesOf(LOW, 15), I64_XOR];
  const advance = (bytes: number): number[] => [
    ...[...get(POINTER), ...i32(bytes), I32_ADD, ...set(POINTER)],
    ...[...get(LENGTH), ...i32(-bytes), I32_ADD, ...set(LENGTH)],
  ];
  const body = [
    ...[1, 2, I64], // one group of two i64 locals
    ...[...BLOCK, ...LOOP],
    ...[...get(LENGTH), ...i32(16), I32_GE_U, I32_EQZ, ...branchIf(1)],
    ...[...get(POINTER), ...loadI64(0), ...get(CRC), I64_XOR, ...set(LOW)],
    ...[...get(POINTER), ...loadI64(8), ...set(HIGH)],
    ...[...sixteen, ...set(CRC)],
    ...[...advance(16), ...branch(0), END, END],
    ...[...BLOCK, ...LOOP],
    ...[...get(LENGTH), I32_EQZ, ...branchIf(1)],
    ...[...get(POINTER), I64_LOAD8_U, 0, 0, ...get(CRC), I64_XOR, ...set(LOW)],
    ...[...lookUp(LOW, 0, 0), ...get(CRC), ...i64(8), I64_SHR_U, I64_XOR, ...set(CRC)],
    ...[...advance(1), ...branch(0), END, END],
    ...[...get(CRC), END],
  ];
  const name = (text: string): number[] => [text.length, ...Buffer.from(text)];
  const pages = Math.ceil((INPUT_OFFSET + INPUT_BYTES) / 65536);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, 3, I64, I32, I32, 1, I64]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, ...unsignedLeb(pages)]),
    ...section(7, [2, ...name('memory'), 2, 0, ...name('update'), 0, 0]),
    ...section(10, [1, ...unsignedLeb(body.length), ...body]),
  ]);
}

/** table[0] is the classic byte table; table[k] is table[k-1] moved on by one zero byte. */
function fillTables(memory: ArrayBuffer): void {
  const words = new BigUint64Array(memory, 0, TABLES * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ POLYNOMIAL : crc >> 1n;
    words[byte] = crc;
  }
  for (let table = 1; table < TABLES; table += 1) {
    for (let byte = 0; byte < 256; byte += 1) {
      const previous = words[(table - 1) * 256 + byte] ?? 0n;
      words[table * 256 + byte] = (previous >> 8n) ^ (words[Number(previous & 0xffn)] ?? 0n);
    }
  }
}

interface Kernel {
  update(crc: bigint, pointer: number, length: number): bigint;
  input: Uint8Array;
}

/** The part of the engine's WebAssembly that is used here; the types of Node do not have it. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  Instance: new (module: object) => { exports: Record<string, unknown> };
};

/** One instance serves every checksum of the process: `update` runs to its end before anything else can. */
function instantiate(): Kernel {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(assemble()));
  const memory = exports.memory as { buffer: ArrayBuffer };
  fillTables(memory.buffer);
  return {
    update: exports.update as Kernel['update'],
    input: new Uint8Array(memory.buffer, INPUT_OFFSET, INPUT_BYTES),
  };
}

let kernel: Kernel | undefined;

/** A running CRC-64/XZ. Bytes may come in pieces of any size. */
export class Crc64 {
  #state = -1n;

  update(bytes: Uint8Array): void {
    kernel ??= instantiate();
    for (let start = 0; start < bytes.length; start += INPUT_BYTES) {
      const piece = bytes.length <= INPUT_BYTES ? bytes : bytes.subarray(start, start + INPUT_BYTES);
      kernel.input.set(piece);
      this.#state = kernel.update(this.#state, INPUT_OFFSET, piece.length);
    }
  }

  /** The checksum of everything so far, as the signed 64-bit integer that the archive stores. */
  get value(): bigint {
    return BigInt.asIntN(64, ~this.#state);
  }
}

/** The checksum of some bytes, signed. The checksum of nothing is 0. */
export function crc64(bytes: Uint8Array): bigint {
  const crc = new Crc64();
  crc.update(bytes);
  return crc.value;
}
