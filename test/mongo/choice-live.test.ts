// time-limit: 120s
import type { Document, MongoClient } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCode } from '../../src/api/errors.ts';
import type { MongoEndpoint } from '../../src/mongo/connection.ts';
import { dump } from '../../src/mongo/dump.ts';
import { openReading, type Reading, type ReadingOptions } from '../../src/mongo/reading.ts';
import { takeGround } from '../lab/ground.ts';
import { type Mongod, startMongod } from '../lab/mongod.ts';
import { until } from '../lab/process.ts';
import { startReplicaSet } from '../lab/replica-set.ts';

/** Longest that a write may wait for a majority because of a backup, in milliseconds: the engine's promise. */
const PROMISE_MS = 2000;

const test = suite('choice, locks and the majority of a live set');

const ground = await takeGround();
const set = await startReplicaSet({
  on: ground,
  members: [{ priority: 2 }, {}, {}],
  mongod: { parameters: { enableTestCommands: true } },
  settings: { catchUpTimeoutMillis: 1000 },
});
const a = set.member(0);
// in the order in which they are preferred
const [b, c] = [set.member(1), set.member(2)].sort((one, other) => one.address.localeCompare(other.address, 'en')) as [
  Mongod,
  Mongod,
];
const endpoint: MongoEndpoint = { uri: set.uri };
const client = await set.client();
const normal: Document = (await client.db('admin').command({ replSetGetConfig: 1 })).config;

/** Writes one document after the other as an application does, and notes how long a majority takes to have each. */
class Writer {
  longest = 0;
  acknowledged = 0;
  #since = performance.now();
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(writing: MongoClient) {
    this.#done = this.#write(writing);
  }

  begin(): void {
    this.longest = 0;
    this.#since = performance.now();
  }

  /** Resolves when writes that began from now on have got through. */
  async proceeds(): Promise<void> {
    const enough = this.acknowledged + 3;
    await until('writes of a majority get through', () => this.acknowledged >= enough);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #write(writing: MongoClient): Promise<void> {
    const writes = writing.db('app').collection('writes');
    while (!this.#stopped) {
      const began = performance.now();
      // an election fails the write that it meets, which is none of a backup's doing
      await writes.insertOne({}, { writeConcern: { w: 'majority' } }).then(
        () => {
          this.acknowledged += 1;
          this.longest = Math.max(this.longest, performance.now() - Math.max(began, this.#since));
        },
        () => {},
      );
    }
  }
}

await client
  .db('shop')
  .collection('orders')
  .insertMany(
    Array.from({ length: 500 }, (_, n) => ({ n, text: 'x'.repeat(1000) })),
    { writeConcern: { w: 3 } },
  );
const writing = await set.client();
const writer = new Writer(writing);

test.before.each(async () => {
  await calm();
  writer.begin();
});
test.after(async () => {
  await writer.stop();
  await Promise.all([client.close(), writing.close()]);
  await set.stop();
  await ground[Symbol.asyncDispose]();
});

/** The set as it was at the start: the first member is the primary, all others are near, and sync from it. */
async function calm(): Promise<void> {
  await until('the first member is the primary', async () => (await set.primary()) === a);
  for (const secondary of [b, c]) await syncFrom(secondary, a);
  await until('every member is near', async () => (await states()).every(({ lag, healthy }) => healthy && lag <= 1));
}

async function states(): Promise<{ host: string; state: string; lag: number; healthy: boolean; source: string }[]> {
  const { members } = await client.db('admin').command({ replSetGetStatus: 1 });
  const newest = Math.max(...members.map((member: Document) => Number(member.optime?.ts?.t ?? 0)));
  return members.map((member: Document) => ({
    host: member.name,
    state: member.stateStr,
    lag: member.stateStr === 'ARBITER' ? 0 : newest - Number(member.optime?.ts?.t ?? 0),
    healthy: member.health === 1,
    source: member.syncSourceHost,
  }));
}

async function seen(host: Mongod, what: string, as: (state: Awaited<ReturnType<typeof states>>[number]) => boolean) {
  await until(`${host.address} is seen ${what}`, async () =>
    (await states()).some((state) => state.host === host.address && as(state)),
  );
}

async function admin(member: Mongod, command: Document): Promise<Document> {
  await using direct = await member.client();
  return await direct.db('admin').command(command);
}

async function syncFrom(member: Mongod, source: Mongod): Promise<void> {
  if ((await states()).some(({ host, source: own }) => host === member.address && own === source.address)) return;
  await until(`${member.address} syncs from ${source.address}`, async () => {
    await admin(member, { replSetSyncFrom: source.address }).catch(() => {});
    return (await states()).some(({ host, source: own }) => host === member.address && own === source.address);
  });
}

/** Changes the settings of one member. */
async function configure(member: Mongod | undefined, changes: Document): Promise<void> {
  const { config } = await client.db('admin').command({ replSetGetConfig: 1 });
  const members = normal.members.map((settings: Document) =>
    settings.host === member?.address ? { ...settings, ...changes } : settings,
  );
  await client.db('admin').command({ replSetReconfig: { ...config, members, version: config.version + 1 } });
}

const isLocked = async (member: Mongod): Promise<boolean> =>
  (await admin(member, { currentOp: 1, $ownOps: true })).fsyncLock === true;

type Options = Omit<Partial<ReadingOptions>, 'onIntent'>;
const open = (options: Options = {}): Promise<Reading> =>
  openReading(endpoint, { onIntent: async () => {}, ...options });

/** Reads all of it. @returns the number of documents */
async function read({ client: reader, mode, lock, signal }: Reading): Promise<number> {
  const stream = dump(reader, {
    mode,
    namespaces: { include: ['shop'] },
    signal,
    async onLastRead() {
      await lock?.verify();
      await lock?.release();
    },
  });
  for await (const _ of stream);
  return (await stream.result).documents;
}

/** What a backup does in the state that the set is in, while writes go on. */
async function backUp(options?: Options): Promise<{ member: string; mode: string; notice: string }> {
  const { acknowledged } = writer;
  await until('writes get through beforehand', () => writer.acknowledged > acknowledged);
  writer.begin();
  const reading = await open(options);
  try {
    await writer.proceeds();
    assert.ok((await read(reading)) >= 500);
  } finally {
    await reading.close();
  }
  assert.ok(writer.longest < PROMISE_MS, `a write of a majority waited for ${Math.round(writer.longest)} ms`);
  const { member, mode, notice = '' } = reading;
  return { member, mode, notice };
}

test('of three members the first secondary is locked', async () => {
  assert.equal(await backUp(), { member: b.address, mode: 'lock', notice: '' });
});

test('a member that another one syncs from is passed over', async () => {
  await syncFrom(c, b);
  assert.equal(await backUp(), { member: c.address, mode: 'lock', notice: '' });
});

test('a member that another one syncs from is not locked when it is asked for', async () => {
  await syncFrom(c, b);
  const { member, mode, notice } = await backUp({ policy: { members: [b.address] } });
  assert.equal([member, mode], [b.address, 'snapshot']);
  assert.match(notice, new RegExp(`${c.address} gets its data from ${b.address}`));
});

test('nobody begins to sync from a member that is locked', async () => {
  const reading = await open();
  assert.is(reading.lock?.member, b.address);
  await writer.proceeds();
  // asked for by hand it is tried, and left again since it has nothing new
  await admin(c, { replSetSyncFrom: b.address }).catch(() => {});
  await writer.proceeds();
  await reading.close();
  assert.ok(writer.longest < PROMISE_MS, `a write of a majority waited for ${Math.round(writer.longest)} ms`);
});

test.run();
