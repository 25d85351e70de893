// time-limit: 300s
import { BSON, type Document, type MongoClient } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import { chooseMember } from '../../src/mongo/choose.ts';
import { type BalancerRecord, readBalancer, restoreBalancer, stopBalancer } from '../../src/mongo/cluster/balancer.ts';
import {
  type ClusterReadingOptions,
  openClusterReading,
  type PartLock,
  type PartPlan,
} from '../../src/mongo/cluster/session.ts';
import { type ClusterPart, type ClusterTopology, readCluster } from '../../src/mongo/cluster/topology.ts';
import { type Consistency, dump } from '../../src/mongo/dump.ts';
import { lockMember } from '../../src/mongo/lock.ts';
import { ACCOUNTS, openBank } from '../lab/bank.ts';
import { takeGround } from '../lab/ground.ts';
import { startShardedCluster } from '../lab/sharded-cluster.ts';
import { readWholeArchive } from './archive-reader.ts';

const test = suite('cluster');

/** Of the whole promise, 20; a few of them on every run of the tests. */
const ROUNDS = Number(process.env.BACKSTAY_ROUNDS ?? 3);

const ground = await takeGround();
const lab = await startShardedCluster({
  on: ground,
  config: [{}, { hidden: true, votes: 0 }],
  shards: [{ name: 'sh0', members: [{}, { hidden: true, votes: 0 }] }, { name: 'sh1', members: 3 }, { name: 'sh2' }],
  mongod: { parameters: { enableTestCommands: 1 } },
});
const bank = await openBank(lab);
const endpoint = { uri: `mongodb://${lab.config.member(0).address}/` };
const config = await lab.config.client();
// The balancer's settings are read as a majority has them.
const settings = config
  .db('config')
  .collection<{ _id: string } & Document>('settings', { writeConcern: { w: 'majority' } });

test.before.each(async () => {
  await settings.deleteMany({});
  steps.length = 0;
});
test.after(async () => {
  await bank.stop();
  await config.close();
  await lab.stop();
  await ground.stop();
});

const failure = async (promise: Promise<unknown>): Promise<BackstayError> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, BackstayError);
  return error as BackstayError;
};

const cluster = (): Promise<ClusterTopology> => readCluster(endpoint);

/** Lets a command of the config server fail some times. */
async function failConfig(command: string, times: number, errorCode: number): Promise<void> {
  const data = { failCommands: [command], errorCode };
  await config.db('admin').command({ configureFailPoint: 'failCommand', mode: { times }, data });
}

/** What happened, in order. */
const steps: string[] = [];

/** As the runner decides it. */
function planOf(part: ClusterPart, wanted: Consistency): PartPlan {
  const { member, lock } = chooseMember(part.topology);
  return { part, member: member.host, mode: wanted === 'lock' && lock.stallsMajority ? 'snapshot' : wanted };
}

async function lockPart({ part, member }: PartPlan): Promise<PartLock> {
  const lock = await lockMember(part.endpoint, {
    member,
    onIntent: async () => void steps.push(`intend ${part.name}`),
  });
  steps.push(`locked ${part.name}`);
  return {
    client: lock.client,
    verify: () => lock.verify(),
    async release() {
      await lock.release();
      steps.push(`unlocked ${part.name}`);
    },
  };
}

function optionsOf(all: ClusterTopology, more: Partial<ClusterReadingOptions> = {}): ClusterReadingOptions {
  return {
    configServer: planOf(all.configServer, 'lock'),
    shards: all.shards.map((shard) => planOf(shard, 'lock')),
    lock: lockPart,
    balancer: {
      timeoutMS: 20_000,
      onIntent: async () => void steps.push('intend balancer'),
      onStopped: async () => void steps.push('balancer stopped'),
      onRestored: async () => void steps.push('balancer restored'),
    },
    cutTimeoutMS: 20_000,
    ...more,
  };
}

/** Backs the cluster up into memory; gives the archive of each component. */
async function backUp(options: ClusterReadingOptions, all: ClusterTopology): Promise<Map<string, Buffer>> {
  const reading = await openClusterReading(all, options);
  try {
    const archives = await Promise.all(
      reading.parts.map(async ({ plan, client, atClusterTime, onLastRead }): Promise<[string, Buffer]> => {
        const time = atClusterTime === undefined ? {} : { atClusterTime };
        const chunks: Uint8Array[] = [];
        for await (const chunk of dump(client, { mode: plan.mode, ...time, onLastRead })) chunks.push(chunk);
        return [plan.part.name, Buffer.concat(chunks)];
      }),
    );
    return new Map(archives);
  } finally {
    await reading.close();
  }
}

function documentsOf(archive: Buffer | undefined, namespace: string): Document[] {
  const found = readWholeArchive(archive ?? Buffer.alloc(0)).namespaces.find(({ name }) => name === namespace);
  return (found?.documents ?? []).map((bytes) => BSON.deserialize(bytes));
}

const isLocked = async (client: MongoClient): Promise<boolean> =>
  (await client.db('admin').command({ currentOp: 1, $ownOps: true })).fsyncLock === true;

/** Names of the members that are locked. */
async function locked(): Promise<string[]> {
  const found: string[] = [];
  for (const set of [lab.config, ...lab.shards]) {
    for (const member of set.members) {
      await using client = await member.client();
      if (await isLocked(client)) found.push(member.name);
    }
  }
  return found;
}

test('a cluster is read from any member of its config server', async () => {
  const { address } = lab.config.member(1);
  const all = await readCluster({ uri: `mongodb://${address}/?directConnection=true` });
  assert.is(all.router.kind, 'configServer');
  assert.match(all.clusterId, /^[0-9a-f]{24}$/);
  assert.equal(
    [all.configServer, ...all.shards].map(({ name, topology }) => [name, topology.members.length]),
    [
      ['configserver', 2],
      ['sh0', 2],
      ['sh1', 3],
      ['sh2', 1],
    ],
  );
});

test('what is written down counts more than what the cluster says, and must be its shards', async () => {
  const at = (name: string): string => lab.shard(name).seeds;
  const read = (replicaSets: Record<string, string>): Promise<ClusterTopology> =>
    readCluster({ ...endpoint, cluster: { replicaSets } });
  const hidden = `sh0/${lab.shard('sh0').member(1).address},${lab.shard('sh0').member(0).address}`;
  const all = await readCluster({
    ...endpoint,
    cluster: { configServer: lab.config.seeds, replicaSets: { 'host-0': hidden } },
  });
  assert.match(all.shards[0]?.endpoint.uri ?? '', lab.shard('sh0').member(1).address);

  const unknown = await failure(read({ sh9: 'rs9/127.0.0.1:1' }));
  assert.is(unknown.code, 'ClusterIncomplete');
  assert.match(unknown.message, 'sh9');
  assert.match(unknown.remedy ?? '', 'sh0, sh1, sh2');
  const swapped = await failure(read({ sh0: at('sh1'), sh1: at('sh0') }));
  assert.is(swapped.code, 'ClusterIncomplete');
  assert.match(swapped.message, /replica set sh1 is shard sh1 .* and not shard sh0/);
  const nowhere = { ...endpoint, cluster: { replicaSets: { sh1: 'sh1/127.0.0.1:1' } } };
  const gone = await failure(readCluster(nowhere, { timeoutMS: 1000 }));
  assert.is(gone.code, 'DatabaseUnreachable');
  assert.match(gone.message, 'shard sh1');
  const shard = await failure(readCluster({ uri: `mongodb://${lab.shard('sh1').member(0).address}/` }));
  assert.is(shard.code, 'UnsupportedTopology');
});

test('a balancer that was on is on again, with every setting as it was', async () => {
  const window = { activeWindow: { start: '23:00', stop: '6:00' }, _secondaryThrottle: true };
  const given = [
    { _id: 'autosplit', enabled: false },
    { _id: 'balancer', mode: 'full', stopped: false, ...window },
    { _id: 'chunksize', value: 64 },
  ];
  await settings.insertMany(given);
  const records: BalancerRecord[] = [];
  const record = await stopBalancer((await cluster()).router, (await cluster()).clusterId, {
    timeoutMS: 20_000,
    onIntent: async (intent) => {
      assert.is((await readBalancer(config, 'configServer')).mode, 'full');
      records.push(intent);
    },
    onRestored: async () => {},
  });
  assert.equal(records, [record]);
  assert.equal(await readBalancer(config, 'configServer'), { mode: 'off', inRound: false });
  assert.equal((await settings.findOne({ _id: 'balancer' }))?.activeWindow, window.activeWindow);
  if (record === undefined) return;
  const elsewhere = { ...record, clusterId: '0'.repeat(24) };
  assert.is(await restoreBalancer((await cluster()).router, elsewhere), 'otherCluster');
  assert.is((await readBalancer(config, 'configServer')).mode, 'off');
  assert.is(await restoreBalancer((await cluster()).router, record), 'restored');
  assert.equal(await settings.find().sort({ _id: 1 }).toArray(), given);
  assert.is(await restoreBalancer((await cluster()).router, record), 'wasOn');
  assert.equal(await settings.find().sort({ _id: 1 }).toArray(), given);
});

test('a balancer that was off stays off, and nothing is written', async () => {
  const given = [{ _id: 'balancer', mode: 'off', stopped: true, activeWindow: { start: '1:00', stop: '2:00' } }];
  await settings.insertMany(given);
  await backUp(optionsOf(await cluster()), await cluster());
  assert.equal(
    steps.filter((step) => /balancer/.test(step)),
    [],
  );
  assert.equal(await settings.find().toArray(), given);
});

test('a balancer that does not stop in time is as it was', async () => {
  await failConfig('_configsvrBalancerStop', 1, 50);
  const error = await failure(openClusterReading(await cluster(), optionsOf(await cluster())));
  assert.is(error.code, 'BalancerBusy');
  assert.equal(steps, ['intend balancer', 'balancer restored']);
  assert.is((await readBalancer(config, 'configServer')).mode, 'full');
});

test('starting the balancer again is tried over an election', async () => {
  const reading = await openClusterReading(await cluster(), optionsOf(await cluster()));
  await failConfig('_configsvrBalancerStart', 3, 189);
  await reading.close();
  assert.is(steps.at(-1), 'balancer restored');
  assert.is((await readBalancer(config, 'configServer')).mode, 'full');
});

test('the order is: balancer, config server, shards, and back', async () => {
  await backUp(optionsOf(await cluster()), await cluster());
  const before = (first: string, second: string): void => {
    assert.ok(steps.includes(first) && steps.includes(second), `${first} and ${second} in ${steps.join(', ')}`);
    assert.ok(steps.indexOf(first) < steps.indexOf(second), `${first} before ${second}: ${steps.join(', ')}`);
  };
  assert.equal(steps.slice(0, 4), [
    'intend balancer',
    'balancer stopped',
    'intend configserver',
    'locked configserver',
  ]);
  assert.equal(steps.slice(-2), ['unlocked configserver', 'balancer restored']);
  for (const shard of ['sh0', 'sh1']) {
    before('locked configserver', `intend ${shard}`);
    before(`locked ${shard}`, `unlocked ${shard}`);
    before(`unlocked ${shard}`, 'unlocked configserver');
  }
  // a primary without a secondary is read at the same time, without a lock
  assert.not.ok(steps.includes('locked sh2'));
  assert.equal(await locked(), []);
});

test('a config server is dumped with what the cluster is made of, a shard without its own copy', async () => {
  const archives = await backUp(optionsOf(await cluster()), await cluster());
  const names = (part: string): string[] =>
    readWholeArchive(archives.get(part) ?? Buffer.alloc(0)).namespaces.map(({ name }) => name);
  const routing = ['chunks', 'collections', 'databases', 'settings', 'shards', 'tags', 'version'];
  assert.equal(names('configserver'), ['admin.system.version', ...routing.map((name) => `config.${name}`)]);
  for (const shard of ['sh0', 'sh1', 'sh2']) assert.equal(names(shard), ['admin.system.version', ACCOUNTS]);
  const chunks = documentsOf(archives.get('configserver'), 'config.chunks');
  assert.equal(chunks.length, 6);
});

for (const wanted of ['snapshot', 'none'] as const) {
  test(`consistency ${wanted} locks nothing, and stops the balancer`, async () => {
    const all = await cluster();
    const archives = await backUp(
      optionsOf(all, {
        configServer: planOf(all.configServer, wanted),
        shards: all.shards.map((shard) => planOf(shard, wanted)),
      }),
      all,
    );
    assert.equal(steps, ['intend balancer', 'balancer stopped', 'balancer restored']);
    assert.is([...archives.values()].flatMap((archive) => documentsOf(archive, ACCOUNTS)).length, 300);
  });
}

test('when one shard cannot be locked, the others are unlocked and the balancer is as it was', async () => {
  const all = await cluster();
  const lock = async (plan: PartPlan): Promise<PartLock> => {
    if (plan.part.name !== 'sh1') return lockPart(plan);
    throw new BackstayError('LockRefused', 'sh1 is locked by somebody else already');
  };
  const error = await failure(openClusterReading(all, optionsOf(all, { lock })));
  assert.is(error.code, 'LockRefused');
  assert.ok(steps.includes('locked configserver'));
  assert.is(steps.at(-1), 'balancer restored');
  assert.equal(await locked(), []);
  assert.is((await readBalancer(config, 'configServer')).mode, 'full');
});

test('a member that somebody else has locked is refused before anything is stopped', async () => {
  const all = await cluster();
  await using other = await lab.shard('sh0').member(1).client();
  await other.db('admin').command({ fsync: 1, lock: true });
  try {
    const error = await failure(openClusterReading(all, optionsOf(all)));
    assert.is(error.code, 'LockRefused');
    assert.equal(steps, []);
    assert.ok(await isLocked(other));
  } finally {
    await other.db('admin').command({ fsyncUnlock: 1 });
  }
});

test('a member that restarts while others are being locked is found before anything is read', async () => {
  const all = await cluster();
  const sh0 = lab.shard('sh0');
  const lock = async (plan: PartPlan): Promise<PartLock> => {
    const held = await lockPart(plan);
    if (plan.part.name === 'sh0') {
      await sh0.member(1).kill();
      await sh0.member(1).start();
    }
    return held;
  };
  const error = await failure(openClusterReading(all, optionsOf(all, { lock })));
  assert.is(error.code, 'LockLost');
  assert.match(error.message, `${sh0.member(1).address} was restarted`);
  await sh0.settled();
  assert.is(steps.filter((step) => step === 'locked sh0').length, 1);
  assert.is(steps.at(-1), 'balancer restored');
  assert.equal(await locked(), []);
});

test('a run that is stopped in the middle leaves nothing behind', async () => {
  const all = await cluster();
  const stop = new AbortController();
  const lock = async (plan: PartPlan): Promise<PartLock> => {
    const held = await lockPart(plan);
    stop.abort(new BackstayError('Terminated', 'asked to end'));
    return held;
  };
  const error = await failure(openClusterReading(all, optionsOf(all, { lock, signal: stop.signal })));
  assert.is(error.code, 'Terminated');
  assert.is(steps.at(-1), 'balancer restored');
  assert.equal(await locked(), []);
});

test('a dump that fails unlocks the rest, and a lock that was lost is told', async () => {
  const all = await cluster();
  const reading = await openClusterReading(all, optionsOf(all));
  const [, part] = reading.parts;
  await part?.client.db('admin').command({ fsyncUnlock: 1 });
  const error = await failure(part?.onLastRead() ?? Promise.resolve());
  assert.is(error.code, 'LockLost');
  await reading.close();
  assert.is(steps.at(-1), 'balancer restored');
  assert.equal(await locked(), []);
});

test('a chunk that is being moved is waited for, and then the backup refused', async () => {
  const migrations = config.db('config').collection<{ _id: string } & Document>('migrations');
  await migrations.insertOne({ _id: 'by hand', ns: ACCOUNTS });
  try {
    const error = await failure(openClusterReading(await cluster(), optionsOf(await cluster(), { cutTimeoutMS: 500 })));
    assert.is(error.code, 'ClusterBusy');
    assert.match(error.message, `a chunk of ${ACCOUNTS} is being moved`);
    assert.equal(steps, ['intend balancer', 'balancer stopped', 'balancer restored']);
  } finally {
    await migrations.deleteOne({ _id: 'by hand' });
  }
});

test('a command on several shards that does not end is named', async () => {
  await using client = await lab.shard('sh0').client();
  const hang = (mode: string): Promise<Document> =>
    client.db('admin').command({ configureFailPoint: 'hangBeforeRunningCoordinatorInstance', mode });
  await hang('alwaysOn');
  const creation = lab.createCollection('bank.hanging', { shardKey: { _id: 'hashed' } });
  try {
    const error = await failure(openClusterReading(await cluster(), optionsOf(await cluster(), { cutTimeoutMS: 500 })));
    assert.is(error.code, 'ClusterBusy');
    assert.match(error.message, 'CreateCollection of bank.hanging');
  } finally {
    await hang('off');
    await creation;
    await client.db('bank').command({ drop: 'hanging' });
  }
});

test('a collection that is made between the choice of the time and the locks costs a new cut', async () => {
  const all = await cluster();
  await using client = await lab.shard('sh0').client();
  let made = 0;
  const lock = async (plan: PartPlan): Promise<PartLock> => {
    made += 1;
    if (made === 1) await client.db('bank').createCollection('new', { writeConcern: { w: 'majority' } });
    return lockPart(plan);
  };
  const events: string[] = [];
  const archives = await backUp(optionsOf(all, { lock, onEvent: (message) => void events.push(message) }), all);
  assert.is(events.filter((event) => event === 'time of the cut chosen').length, 2);
  assert.is(steps.filter((step) => step === 'locked configserver').length, 2);
  assert.equal(documentsOf(archives.get('sh0'), 'bank.new'), []);
  await client.db('bank').command({ drop: 'new' });
});

test('a transaction that is prepared and never decided is no hang but a refusal, and nobody is locked', async () => {
  const undecided = await bank.prepare();
  try {
    const started = performance.now();
    const error = await failure(
      openClusterReading(await cluster(), optionsOf(await cluster(), { cutTimeoutMS: 1500 })),
    );
    assert.is(error.code, 'CutTimeout');
    assert.match(error.message, 'is not decided');
    assert.ok(performance.now() - started < 15_000);
    assert.equal(steps, ['intend balancer', 'balancer stopped', 'balancer restored']);
  } finally {
    await undecided.abort();
  }
  await backUp(optionsOf(await cluster()), await cluster());
});

test(`money moves while backups are made, and none is lost or made in ${ROUNDS} of ${ROUNDS}`, async () => {
  const all = await cluster();
  bank.start(8);
  for (let round = 1; round <= ROUNDS; round += 1) {
    const before = bank.transfers;
    const archives = await backUp(optionsOf(all), all);
    const accounts = [...archives.values()].flatMap((archive) => documentsOf(archive, ACCOUNTS));
    const sum = accounts.reduce((total, { balance }) => total + balance, 0);
    assert.equal([accounts.length, sum], [300, bank.total], `round ${round}`);
    assert.ok(bank.transfers > before, 'money moved during the backup');
  }
  await bank.stop();
});

test.run();
