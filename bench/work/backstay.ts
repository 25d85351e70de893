/**
 * Backstay's part in the benchmark, each run in a process of its own: what the runner does, without Kubernetes.
 *
 * Usage: backstay.ts dump URI… | file FILE URI | backup URI | load FILE URI | restore URI
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MongoClient } from 'mongodb';
import { dump } from '../../src/mongo/dump.ts';
import { load } from '../../src/mongo/load.ts';
import { repository, STREAM } from './repository.ts';

// the runner has them loaded as well, which is part of its memory
await Promise.all([
  import('../../src/runner/job.ts'),
  import('../../src/runner/backup.ts'),
  import('../../src/runner/restore.ts'),
]);

const [verb, ...args] = process.argv.slice(2);
const uri = args.at(-1) ?? '';

async function dumpToNothing(server: string): Promise<void> {
  await using client = await new MongoClient(server).connect();
  const stream = dump(client, { mode: 'none' });
  for await (const _ of stream);
  await stream.result;
}

async function dumpToFile(file: string): Promise<void> {
  await using client = await new MongoClient(uri).connect();
  await pipeline(Readable.from(dump(client, { mode: 'none' }), { objectMode: false }), createWriteStream(file));
}

async function backup(): Promise<void> {
  await using client = await new MongoClient(uri).connect();
  const restic = await repository();
  const stream = await restic.startBackup(STREAM);
  const hash = createHash('sha256');
  for await (const chunk of dump(client, { mode: 'none' })) {
    hash.update(chunk);
    await stream.write(chunk);
  }
  hash.digest('hex');
  const { bytesProcessed, bytesAdded } = await stream.complete();
  await restic.close();
  console.log(JSON.stringify({ bytesProcessed, bytesAdded }));
}

async function loadFrom(input: AsyncIterable<Uint8Array>): Promise<void> {
  await using client = await new MongoClient(uri).connect();
  await load(client, input, { existing: 'refuse', usersAndRoles: false });
}

async function restore(): Promise<void> {
  const restic = await repository();
  await loadFrom(restic.dump('latest', STREAM.filename));
  await restic.close();
}

if (verb === 'dump') await Promise.all(args.map(dumpToNothing));
else if (verb === 'file') await dumpToFile(args[0] ?? '');
else if (verb === 'backup') await backup();
else if (verb === 'load') await loadFrom(createReadStream(args[0] ?? '', { highWaterMark: 1024 * 1024 }));
else if (verb === 'restore') await restore();
else throw new Error(`no such work: ${verb}`);
