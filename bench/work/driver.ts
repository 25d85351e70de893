/**
 * What a program does that has the driver's public functions alone: the measure where the Database Tools are not there.
 *
 * Usage: driver.ts read URI… | pipe URI | insert (MEGABYTES | stdin) URI
 */
import { BSON, MongoClient, ObjectId } from 'mongodb';
import { collectionSizes, DATABASE, templates } from '../data.ts';

/** As many documents as mongorestore puts into an insert. */
const INSERT = 1000;
const WORKERS = 4;

const [verb, ...args] = process.argv.slice(2);
const uri = args.at(-1) ?? '';

/** Every document of the database, undecoded, which is the fastest that a cursor has. */
async function* documents(client: MongoClient): AsyncGenerator<Uint8Array> {
  for (const { name } of await client.db(DATABASE).listCollections({}, { nameOnly: true }).toArray()) {
    const cursor = client
      .db(DATABASE)
      .collection(name)
      .find({}, { raw: true, batchSize: 10_000, hint: { $natural: 1 } });
    for await (const document of cursor) yield document as unknown as Uint8Array;
  }
}

async function read(server: string): Promise<void> {
  await using client = await new MongoClient(server).connect();
  for await (const _ of documents(client));
}

/** To standard output, a megabyte at a time. */
async function pipe(): Promise<void> {
  await using client = await new MongoClient(uri).connect();
  let waiting: Uint8Array[] = [];
  let length = 0;
  const flush = (): Promise<void> => {
    const chunk = Buffer.concat(waiting);
    waiting = [];
    length = 0;
    return new Promise((resolve, reject) => {
      process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
  };
  for await (const document of documents(client)) {
    waiting.push(document);
    length += document.length;
    if (length >= 1024 * 1024) await flush();
  }
  await flush();
}

/** Documents that are in memory already, with a new _id: nothing is decoded, only written. Returns when all of a collection are there. */
async function insert(client: MongoClient, name: string, next: () => Promise<number>): Promise<void> {
  const pool = templates(INSERT);
  await client.db(DATABASE).createCollection(name);
  const worker = async (): Promise<void> => {
    for (let size = await next(); size > 0; size = await next()) {
      const batch = pool.slice(0, size).map((document) => ({ ...document, _id: new ObjectId() }));
      await client.db(DATABASE).collection(name).insertMany(batch, { ordered: false });
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
}

async function insertAll(megabytes: number): Promise<void> {
  await using client = await new MongoClient(uri, { writeConcern: { w: 'majority' } }).connect();
  for (const [name, count] of collectionSizes(megabytes)) {
    let left = count;
    await insert(client, name, async () => {
      const size = Math.min(INSERT, left);
      left -= size;
      return size;
    });
  }
}

/** As many bytes as come on standard input, which are not looked at. */
async function insertAsRead(): Promise<void> {
  await using client = await new MongoClient(uri, { writeConcern: { w: 'majority' } }).connect();
  const size = BSON.calculateObjectSize(templates(INSERT)) / INSERT;
  const chunks: AsyncIterator<Uint8Array> = process.stdin[Symbol.asyncIterator]();
  let read = 0;
  let reading: Promise<unknown> = Promise.resolve();
  const more = async (): Promise<void> => {
    while (read < INSERT * size) {
      const { done, value } = await chunks.next();
      if (done === true) return;
      read += value.length;
    }
  };
  await insert(client, 'orders', async () => {
    // one worker after the other takes its documents out of the pipe
    const turn = reading.then(more);
    reading = turn;
    await turn;
    const documents = Math.min(INSERT, Math.floor(read / size));
    read -= documents * size;
    return documents;
  });
}

if (verb === 'read') await Promise.all(args.map(read));
else if (verb === 'pipe') await pipe();
else if (verb === 'insert') await (args[0] === 'stdin' ? insertAsRead() : insertAll(Number(args[0])));
else throw new Error(`no such work: ${verb}`);
