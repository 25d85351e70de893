import {
  Binary,
  Code,
  Decimal128,
  type Document,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
  UUID,
} from 'mongodb';

/**
 * A source of random things that gives the same ones for the same seed. A failing property test prints its seed; BACKSTAY_SEED in the
 * environment repeats it.
 */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Uniform in 0 ≤ x < 2³² (mulberry32). */
  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** An integer from 0 up to, and without, `end`. */
  below(end: number): number {
    return Math.floor((this.#next() / 2 ** 32) * end);
  }

  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  chance(probability: number): boolean {
    return this.#next() < probability * 2 ** 32;
  }

  pick<T>(list: readonly [T, ...T[]]): T {
    return list[this.below(list.length)] ?? list[0];
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at += 1) bytes[at] = this.#next() >>> 24;
    return bytes;
  }

  /** Text of up to `most` characters of any plane, without NUL and without halves of surrogate pairs. */
  text(most: number): string {
    const ranges = [
      [0x20, 0x7e],
      [0x20, 0x7e],
      [0x01, 0x1f],
      [0xa0, 0x24f],
      [0x4e00, 0x4fff],
      [0x1f300, 0x1f5ff],
    ] as const;
    let text = '';
    for (let left = this.between(0, most); left > 0; left -= 1) {
      const [first, last] = this.pick(ranges);
      text += String.fromCodePoint(this.between(first, last));
    }
    return text;
  }

  /** A name that MongoDB takes for a collection: any text but "$" inside, "system." before, and a dot at an end. */
  collectionName(): string {
    const name = this.text(this.chance(0.1) ? 60 : 12).replaceAll('$', '_');
    return /^$|^system\.|^\.|\.$|^oplog$/.test(name) ? `c${name}c` : name;
  }

  /** A name that MongoDB takes for a database of people. */
  databaseName(): string {
    return `d${this.text(8).replaceAll(/[/\\. "$]/g, '-')}`;
  }

  document(id: unknown, fill: number): Document {
    const document: Document = { _id: id };
    for (let fields = this.below(8); fields > 0; fields -= 1) {
      const name = this.text(6);
      // an object has names that are numbers before _id, and the server turns them round
      if (name !== '_id' && !/^\d+$/.test(name)) document[name] = this.value(3);
    }
    if (fill > 0) document['the rest'] = this.bytes(fill);
    return document;
  }

  /** A value of any type of BSON that is still in use. */
  value(depth: number): unknown {
    const scalars: readonly [() => unknown, ...(() => unknown)[]] = [
      () => new Double(this.pick([0, -0, 1, Number.NaN, Number.POSITIVE_INFINITY, 5e-324, this.#next() / 3])),
      () => new Int32(this.#next() | 0),
      () => new Long(this.#next() | 0, this.#next() | 0),
      () => Decimal128.fromString(`${this.#next()}.${this.below(1000)}E${this.between(-40, 40)}`),
      () => this.text(20),
      () => new Binary(this.bytes(this.below(40)), this.pick([0, 5, 0x80])),
      () => new UUID(this.bytes(16)),
      () => new ObjectId(this.bytes(12)),
      () => this.chance(0.5),
      () => null,
      () => new Date(this.#next() * 1000 - 1e12),
      () => new RegExp(this.pick(['^a', '', 'b+c']), this.pick(['', 'i', 'im'])),
      () => new Code(this.text(5)),
      () => new Code(this.text(5), { x: this.#next() }),
      () => new Timestamp({ t: this.#next(), i: this.#next() }),
      () => new MinKey(),
      () => new MaxKey(),
    ];
    if (depth === 0 || this.chance(0.8)) return this.pick(scalars)();
    const values = Array.from({ length: this.below(5) }, () => this.value(depth - 1));
    return this.chance(0.5) ? values : Object.fromEntries(values.map((value) => [this.text(5), value]));
  }
}

/** Runs a property with several seeds; the error of one that fails names it. */
export async function forSeeds(
  count: number,
  property: (random: Random, seed: number) => Promise<void>,
): Promise<void> {
  const { BACKSTAY_SEED: given } = process.env;
  const first = given === undefined ? Date.now() >>> 0 : Number(given);
  for (let seed = first; seed < first + (given === undefined ? count : 1); seed += 1) {
    try {
      await property(new Random(seed), seed);
    } catch (error) {
      console.error(`failed with BACKSTAY_SEED=${seed}`);
      throw error;
    }
  }
}
