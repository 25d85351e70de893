/**
 * What a program does that has the driver's public functions alone: the measure where the Database Tools are not there.
 *
 * Usage: driver.ts read URI… | pipe URI | insert MEGABYTES URI
 */
import { MongoClient, ObjectId } from 'mongodb';
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

/** Documents that are in memory already, with a new _id: nothing is read, nothing is decoded, only written. */
async function insert(megabytes: number): Promise<void> {
  await using client = await new MongoClient(uri, { writeConcern: { w: 'majority' } }).connect();
  const pool = templates(INSERT);
  for (const [name, count] of collectionSizes(megabytes)) {
    await client.db(DATABASE).createCollection(name);
    let left = count;
    const worker = async (): Promise<void> => {
      while (left > 0) {
        const size = Math.min(INSERT, left);
        left -= size;
        const batch = pool.slice(0, size).map((document) => ({ ...document, _id: new ObjectId() }));
        await client.db(DATABASE).collection(name).insertMany(batch, { ordered: false });
      }
    };
    await Promise.all(Array.from({ length: WORKERS }, worker));
  }
}

if (verb === 'read') await Promise.all(args.map(read));
else if (verb === 'pipe') await pipe();
else if (verb === 'insert') await insert(Number(args[0]));
else throw new Error(`no such work: ${verb}`);
