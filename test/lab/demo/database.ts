import { Binary, type Db, type MongoClient } from 'mongodb';
import type { ReplicaSet } from '../replica-set.ts';

const ORDERS = 120_000;
const BATCH = 5_000;

/** Fills the shop's database with orders and customers, their indexes and a view; deterministic, about 40 MB. */
export async function fillShop(client: MongoClient): Promise<number> {
  const shop = client.db('shop');
  const orders = shop.collection<{ _id: number }>('orders');
  for (let first = 0; first < ORDERS; first += BATCH) {
    await orders.insertMany(
      Array.from({ length: BATCH }, (_, index) => order(first + index)),
      { ordered: false },
    );
  }
  await orders.createIndexes([
    { key: { customer: 1, placedAt: -1 } },
    { key: { reference: 1 }, unique: true },
    { key: { status: 1 }, partialFilterExpression: { status: 'open' } },
  ]);
  await shop.collection<{ _id: number }>('customers').insertMany(
    Array.from({ length: 2_000 }, (_, index) => ({
      _id: index,
      name: `Customer ${index}`,
      city: ['Hamburg', 'Lyon', 'Porto'][index % 3],
    })),
  );
  await shop.createCollection('openOrders', { viewOn: 'orders', pipeline: [{ $match: { status: 'open' } }] });
  return ORDERS + 2_000;
}

function order(number: number): { _id: number } & Record<string, unknown> {
  // A stream of bytes that does not compress to nothing, the same in every run.
  let state = (number * 2_654_435_761) >>> 0;
  const noise = Buffer.alloc(160);
  for (let at = 0; at < noise.length; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    noise.writeUInt32LE(state, at);
  }
  return {
    _id: number,
    reference: `R-${String(number).padStart(8, '0')}`,
    customer: number % 2_000,
    placedAt: new Date(1_760_000_000_000 + number * 60_000),
    status: number % 7 === 0 ? 'open' : 'shipped',
    lines: [{ sku: `SKU-${number % 900}`, quantity: 1 + (number % 5), price: (number % 10_000) / 100 }],
    signature: new Binary(noise),
  };
}

/** The hash of all collections of a database, as the server computes it. */
export async function dbHash(database: Db): Promise<string> {
  const { md5 } = await database.command({ dbHash: 1 });
  return String(md5);
}

/** The user that backs up: what a backup needs, and nothing else of the server's administration. */
export async function createBackupUser(set: ReplicaSet, password: string): Promise<void> {
  const client = await set.client();
  try {
    const admin = client.db('admin');
    await admin.command({
      createRole: 'backstay',
      privileges: [{ resource: { cluster: true }, actions: ['fsync', 'unlock', 'inprog'] }],
      roles: ['backup', 'restore', 'clusterMonitor'],
    });
    await admin.command({ createUser: 'backstay', pwd: password, roles: ['backstay'] });
  } finally {
    await client.close();
  }
}
