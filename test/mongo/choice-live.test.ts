// time-limit: 120s
import { setTimeout as sleep } from 'node:timers/promises';
import type { Document, MongoClient, Timestamp } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError, errorCode } from '../../src/api/errors.ts';
import type { MongoEndpoint } from '../../src/mongo/connection.ts';
import { dump } from '../../src/mongo/dump.ts';
import { watchLock } from '../../src/mongo/lock/watch.ts';
import { openReading, type Reading, type ReadingOptions } from '../../src/mongo/reading.ts';
import { takeGround } from '../lab/ground.ts';
import { type Mongod, startMongod } from '../lab/mongod.ts';
import { until } from '../lab/process.ts';
import { startReplicaSet } from '../lab/replica-set.ts';

/** The whole table takes most of a minute: it runs when BACKSTAY_ROUNDS is set, and a sample of it always. */
const whole = process.env.BACKSTAY_ROUNDS !== undefined;

/** Longest that a write may wait for a majority because of a backup, in milliseconds: the engine's promise. */
const PROMISE_MS = 2000;

const test = suite('choice, locks and the majority of a live set');

const slow: (name: string, body: () => Promise<void>) => void = whole ? test : () => {};

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
    await until('writes of a majority get through', async () => this.acknowledged >= enough);
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

/** Asks once, since each request makes a member begin anew, and again only when the member has chosen another source for itself. */
async function syncFrom(member: Mongod, source: Mongod): Promise<void> {
  const syncs = async (): Promise<boolean> =>
    (await states()).some(({ host, source: own }) => host === member.address && own === source.address);
  if (await syncs()) return;
  let asked = 0;
  await until(`${member.address} syncs from ${source.address}`, async () => {
    if (performance.now() - asked > 3000) {
      await admin(member, { replSetSyncFrom: source.address });
      asked = performance.now();
    }
    return syncs();
  });
}

/** Changes the settings of one member. */
async function configure(member: Mongod | undefined, changes: Document): Promise<void> {
  await reconfigure(
    normal.members.map((settings: Document) =>
      settings.host === member?.address ? { ...settings, ...changes } : settings,
    ),
  );
}

async function reconfigure(members: Document[]): Promise<void> {
  const { config } = await client.db('admin').command({ replSetGetConfig: 1 });
  await client.db('admin').command({ replSetReconfig: { ...config, members, version: config.version + 1 } });
}

const isLocked = async (member: Mongod): Promise<boolean> =>
  (await admin(member, { currentOp: 1, $ownOps: true })).fsyncLock === true;

type Options = Omit<Partial<ReadingOptions>, 'onIntent'>;
const open = (options: Options = {}): Promise<Reading> =>
  openReading(endpoint, { onIntent: async () => {}, ...options });

/** Reads all of it. @returns the number of documents */
async function read({ client: reader, mode, lock, signal }: Reading, atClusterTime?: Timestamp): Promise<number> {
  const stream = dump(reader, {
    mode,
    ...(atClusterTime === undefined ? {} : { atClusterTime }),
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
  await until('writes get through beforehand', async () => writer.acknowledged > acknowledged);
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

/** Locks although it does harm, and sees that it does: what the choice avoids is real. */
async function showHarm(options: Options): Promise<void> {
  const reading = await open({ ...options, onMajorityStall: 'proceed' });
  assert.equal([reading.mode, reading.lock?.member], ['lock', b.address]);
  assert.match(reading.notice ?? '', /^locked all the same: /);
  const { acknowledged } = writer;
  writer.begin();
  try {
    await sleep(PROMISE_MS + 500);
    assert.ok(writer.acknowledged <= acknowledged + 1, 'the lock did no harm');
    assert.ok((await read(reading)) >= 500);
  } finally {
    await reading.close();
  }
  await writer.proceeds();
  assert.ok(writer.longest > PROMISE_MS);
}

slow('a member that another one syncs from holds up writes when it is locked all the same', async () => {
  await syncFrom(c, b);
  await showHarm({ policy: { members: [b.address] } });
});

slow('nobody begins to sync from a member that is locked', async () => {
  const reading = await open();
  assert.is(reading.lock?.member, b.address);
  await writer.proceeds();
  // asked for by hand it is tried, and left again since it has nothing new
  await admin(c, { replSetSyncFrom: b.address }).catch(() => {});
  await writer.proceeds();
  assert.is(reading.signal.aborted, false);
  await reading.close();
  assert.ok(writer.longest < PROMISE_MS, `a write of a majority waited for ${Math.round(writer.longest)} ms`);
});

slow(
  'a member that is asked for beforehand counts, and one that nobody syncs from any more is locked again',
  async () => {
    assert.equal(await backUp({ policy: { members: [c.address, b.address] } }), {
      ...{ member: c.address, mode: 'lock', notice: '' },
    });
  },
);

/** What a row of the table does to the set. It is undone by what it returns. */
type Setting = () => Promise<() => Promise<void>>;

const configured =
  (member: Mongod, changes: Document): Setting =>
  async () => {
    await configure(member, changes);
    return () => configure(undefined, {});
  };
const failing =
  (member: Mongod, failPoint: string): Setting =>
  async () => {
    await admin(member, { configureFailPoint: failPoint, mode: 'alwaysOn' });
    await seen(member, 'behind', ({ lag }) => lag >= 3);
    return async () => {
      await admin(member, { configureFailPoint: failPoint, mode: 'off' });
    };
  };
const recovering: Setting = async () => {
  await admin(c, { replSetMaintenance: 1 });
  await seen(c, 'recovering', ({ state }) => state === 'RECOVERING');
  return async () => {
    await admin(c, { replSetMaintenance: 0 });
    await seen(c, 'well', ({ state }) => state === 'SECONDARY');
  };
};
const down: Setting = async () => {
  await c.kill();
  await seen(c, 'down', ({ healthy }) => !healthy);
  return async () => {
    await c.start();
    await seen(c, 'well', ({ state }) => state === 'SECONDARY');
  };
};

for (const [what, setting, options, member, mode, notice] of [
  ['is hidden', configured(c, { hidden: true, priority: 0 }), {}, c, 'lock', /^$/],
  ['has the tag', configured(c, { tags: { use: 'backup' } }), { policy: { tags: { use: 'backup' } } }, c, 'lock', /^$/],
  [
    'is delayed',
    configured(c, { hidden: true, priority: 0, secondaryDelaySecs: 3600 }),
    {},
    ...[b, 'snapshot', /is delayed by 3600 s/],
  ],
  ['recovers', recovering, {}, b, 'snapshot', /is in state RECOVERING/],
  ['is down', down, {}, b, 'snapshot', /does not answer/],
  // it is behind already, and the majority can do without it
  ['lags', failing(c, 'stopReplProducer'), {}, c, 'lock', /^$/],
  [
    'lags more than allowed',
    failing(c, 'stopReplProducer'),
    { policy: { maxLagSeconds: 1 } },
    // one that stands still may name any source
    ...[b, 'snapshot', /is \d+ s behind|gets its data from/],
  ],
] as [string, Setting, Options, Mongod, string, RegExp][]) {
  slow(
    `of three members of which the last ${what}, ${member === b ? 'the other' : 'this'} is read, mode ${mode}`,
    async () => {
      const undo = await setting();
      try {
        const done = await backUp(options);
        assert.equal([done.member, done.mode], [member.address, mode]);
        assert.match(done.notice, notice);
      } finally {
        await undo();
      }
    },
  );
}

slow('a set in which no member is fit is refused', async () => {
  const error = await open({ policy: { tags: { use: 'nothing' }, maxLagSeconds: 60 } }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.is(errorCode(error), 'NoMember');
});

/** Why a reading that began well ended. */
async function brokenOff(reading: Reading): Promise<string | undefined> {
  await until('the lock is given up', async () => reading.signal.aborted, { timeoutMs: 15_000, everyMs: 10 });
  const error = await read(reading).catch((reason: unknown) => reason);
  assert.is(await isLocked(b), false);
  await reading.close();
  return errorCode(error);
}

test('a lock is given up when another member stops in the middle, and writes go on within two seconds', async () => {
  const reading = await open();
  await writer.proceeds();
  await c.kill('SIGSTOP');
  try {
    assert.is(await brokenOff(reading), 'MajorityStalled');
    await writer.proceeds();
  } finally {
    await c.kill('SIGCONT');
  }
  assert.ok(writer.longest < PROMISE_MS, `a write of a majority waited for ${Math.round(writer.longest)} ms`);
});

slow('a lock ends when its time is over', async () => {
  assert.is(await brokenOff(await open({ maxLockSeconds: 0.3 })), 'LockExpired');
});

for (const consistency of ['lock', 'snapshot'] as const) {
  const run = consistency === 'lock' ? test : slow;
  run(`a primary that steps down in the middle does not disturb a reading in mode ${consistency}`, async () => {
    const reading = await open({ consistency });
    assert.is(reading.mode, consistency);
    await writer.proceeds();
    await admin(a, { replSetStepDown: 5, secondaryCatchUpPeriodSecs: 2 });
    await writer.proceeds();
    assert.ok((await read(reading)) >= 500);
    await reading.close();
    assert.is(await isLocked(b), false);
    assert.ok(writer.longest < PROMISE_MS, `a write of a majority waited for ${Math.round(writer.longest)} ms`);
    await admin(a, { replSetFreeze: 0 });
  });
}

slow('a primary that steps down while it is read itself goes on being read', async () => {
  const reading = await open({ consistency: 'snapshot', policy: { members: [a.address] } });
  await admin(a, { replSetStepDown: 5, secondaryCatchUpPeriodSecs: 2 });
  await writer.proceeds();
  assert.ok((await read(reading)) >= 500);
  await reading.close();
  await admin(a, { replSetFreeze: 0 });
});

slow('when the primary is lost the lock is given up, so that the member can vote for another', async () => {
  const reading = await open();
  await writer.proceeds();
  await a.kill();
  try {
    assert.is(await brokenOff(reading), 'PrimaryLost');
    await writer.proceeds();
  } finally {
    await a.start();
  }
});

slow('a snapshot that the server keeps no longer has a reason of its own, and a remedy', async () => {
  const parameter = 'minSnapshotHistoryWindowInSeconds';
  const { lastWrite } = await admin(b, { hello: 1 });
  const reading = await open({ consistency: 'snapshot' });
  await admin(b, { setParameter: 1, [parameter]: 0 });
  try {
    await until('the history is gone', async () => {
      const error = await read(reading, lastWrite.majorityOpTime.ts).catch((reason: unknown) => reason);
      if (!(error instanceof BackstayError)) return false;
      assert.is(error.code, 'SnapshotTooOld');
      assert.match(error.remedy ?? '', /minSnapshotHistoryWindowInSeconds/);
      return true;
    });
  } finally {
    await admin(b, { setParameter: 1, [parameter]: 300 });
    await reading.close();
  }
});

slow('a lock ends before the oplog loses what the member needs to catch up', async () => {
  await using small = await startReplicaSet({
    on: ground,
    name: 'small',
    mongod: { oplogSize: 1, args: ['--syncdelay', '1'] },
  });
  await using writing = await small.client();
  const { lastWrite } = await writing.db('admin').command({ hello: 1 });
  const reasons: string[] = [];
  const lock = { member: 'a.member:1', lastApplied: lastWrite.opTime.ts };
  const bounds = { maxSeconds: 60, guardsMajority: true };
  const onBreach = async ({ code }: BackstayError): Promise<void> => void reasons.push(code);
  const watch = watchLock(lock, { endpoint: { uri: small.uri }, ...bounds, onBreach });
  await until('the lock is given up', async () => {
    await writing
      .db('app')
      .collection<Document>('writes')
      .insertOne({ text: 'x'.repeat(100_000) });
    return reasons.length > 0;
  });
  watch.stop();
  assert.equal(reasons, ['OplogTooShort']);
});

slow('a primary, a secondary and an arbiter are read in a snapshot, locked only on demand, or refused', async () => {
  const arbiter = await startMongod({ on: ground, replSet: set.name });
  const writeConcern = { w: 'majority' };
  await client.db('admin').command({ setDefaultRWConcern: 1, defaultWriteConcern: writeConcern });
  const withoutLast = normal.members.filter(({ host }: Document) => host !== c.address);
  await reconfigure(withoutLast);
  await reconfigure([...withoutLast, { _id: 9, host: arbiter.address, arbiterOnly: true, priority: 0 }]);
  await seen(arbiter, 'as an arbiter', ({ state }) => state === 'ARBITER');
  const done = await backUp();
  assert.equal([done.member, done.mode], [b.address, 'snapshot']);
  assert.match(done.notice, /^not locked: writes of a majority need 2 members with data, and only 1 would be left/);
  assert.is(errorCode(await open({ onMajorityStall: 'refuse' }).catch((error: unknown) => error)), 'LockRefused');

  await showHarm({});
});

test.run();
