import { BSON, type MongoClient, ObjectId } from 'mongodb';
import { insertRaw } from '../src/mongo/wire.ts';

/** A megabyte of data is so many documents: a gigabyte is a million of them. */
const DOCUMENTS_PER_MEGABYTE = 1000;
const SHARES = { orders: 0.8, customers: 0.15, events: 0.05 };
const BATCH = 4000;
/** Templates are used again and again with another _id; this many are more than a chunk of restic. */
const TEMPLATES = 8000;

export const DATABASE = 'shop';

const NOTE =
  'Ring twice, wait a little, and leave it with the neighbours on the ground floor if nobody comes to the door, but never in the rain.';

/** One document of 1000 bytes, more or less, half of which compresses well. */
function template(index: number, random: () => number): Record<string, unknown> {
  const lines = Array.from({ length: 4 }, (_, line) => ({
    sku: `sku-${Math.floor(random() * 90_000) + 10_000}`,
    quantity: line + 1,
    price: Math.floor(random() * 10_000) / 100,
  }));
  const noise = Buffer.from(Array.from({ length: 330 }, () => Math.floor(random() * 256)));
  return {
    _id: new ObjectId('0'.repeat(24)),
    number: index,
    customer: `customer-${Math.floor(random() * 100_000)}`,
    at: new Date(1.7e12 + index * 1000),
    paid: index % 3 === 0,
    lines,
    address: { street: 'Long Street', house: index % 200, city: 'Springfield', country: 'Nowhere', note: NOTE },
    token: noise.toString('base64'),
  };
}

/** The same numbers in every run (mulberry32). */
function generator(): () => number {
  let state = 42;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Documents that a program of the driver would have in its hands, without an _id. */
export function templates(count: number): Record<string, unknown>[] {
  const random = generator();
  return Array.from({ length: count }, (_, index) => template(index, random));
}

/** How many documents each collection has when all together have so many megabytes. */
export function collectionSizes(megabytes: number): [string, number][] {
  return Object.entries(SHARES).map(([name, share]) => [
    name,
    Math.max(1, Math.round(megabytes * share * DOCUMENTS_PER_MEGABYTE)),
  ]);
}

/** Fills a server. The documents are the same in every run, each with an _id of its own. */
export async function fill(client: MongoClient, megabytes: number): Promise<void> {
  const pool = templates(TEMPLATES).map((document) => Buffer.from(BSON.serialize(document)));
  let serial = 0;
  for (const [name, documents] of collectionSizes(megabytes)) {
    await client.db(DATABASE).createCollection(name);
    for (let done = 0; done < documents; done += BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, documents - done) }, () => numbered(pool, serial++));
      await insertRaw(client.db(DATABASE), name, [Buffer.concat(batch)], { ordered: true });
    }
  }
}

function numbered(pool: Buffer[], serial: number): Buffer {
  const document = Buffer.from(pool[serial % pool.length] ?? []);
  // length, type, "_id", zero: twelve bytes of identity begin at 9
  document.writeUInt32BE(0x65000000 + Math.floor(serial / 1000), 9);
  document.writeUInt32BE(serial, 17);
  return document;
}
