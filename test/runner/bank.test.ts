// needs: cluster
// time-limit: 900s
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ACCOUNTS, type Bank, openBank } from '../lab/bank.ts';
import { type ShardedCluster, startShardedCluster } from '../lab/sharded-cluster.ts';
import { openScene, type Scene } from './scene.ts';

const test = suite('a bank of several shards');

/** Of the whole promise, 20; a few of them on every run of the tests. The balancer is on in the odd ones and off in the even ones. */
const ROUNDS = Number(process.env.BACKSTAY_ROUNDS ?? 2);
const CLIENTS = 8;
const NAMES = ['sh0', 'sh1', 'sh2'];

let scene: Scene;
let source: ShardedCluster;
let target: ShardedCluster;
let bank: Bank;

test.before(async () => {
  scene = await openScene();
  const on = scene.ground;
  const hidden = { hidden: true, votes: 0 } as const;
  [source, target] = await Promise.all([
    startShardedCluster({
      on,
      config: [{}, hidden],
      shards: [{ name: 'sh0', members: [{}, hidden] }, { name: 'sh1', members: 3 }, { name: 'sh2' }],
    }),
    startShardedCluster({ on, shards: NAMES.map((name) => ({ name })) }),
  ]);
  bank = await openBank(source);
  for (const [name, { config }] of [
    ['bank', source],
    ['second', target],
  ] as const) {
    await scene.binding(name, { clientConfig: { url: `mongodb://${config.member(0).address}/` } });
  }
  await scene.repository('bank', 'main');
  await scene.made('bank');
  assert.is((await scene.run(['repository', '--name', 'bank'])).exitCode, 0);
  await scene.configuration('bank', 'bank', ['bank']);
});

test.after(async () => {
  await bank?.stop();
  await Promise.all([source?.stop(), target?.stop()]);
  await scene[Symbol.asyncDispose]();
});

const modeOf = async (cluster: ShardedCluster): Promise<string> =>
  (await cluster.configCommand({ _configsvrBalancerStatus: 1 })).mode;

/** Number of accounts in a cluster that stands still, and what they hold together. */
async function balances(cluster: ShardedCluster): Promise<[accounts: number, sum: number]> {
  const [db = '', collection = ''] = ACCOUNTS.split('.');
  const sums = await Promise.all(
    cluster.shards.map(async (shard) => {
      await using client = await shard.client();
      const accounts = await client.db(db).collection<{ balance: number }>(collection).find().toArray();
      return { count: accounts.length, sum: accounts.reduce((total, { balance }) => total + balance, 0) };
    }),
  );
  return [sums.reduce((total, { count }) => total + count, 0), sums.reduce((total, { sum }) => total + sum, 0)];
}

for (let round = 1; round <= ROUNDS; round += 1) {
  const mode = round % 2 === 1 ? 'full' : 'off';
  test(`round ${round}: the sum is exact in another cluster, and the balancer is ${mode} as before`, async () => {
    await source.configCommand({ [mode === 'full' ? '_configsvrBalancerStart' : '_configsvrBalancerStop']: 1 });
    const before = bank.transfers;
    bank.start(CLIENTS);
    const session = await scene.session('bank', ['bank']);
    const backup = await scene.run(['backup', '--session', session]);
    const during = bank.transfers - before;
    await bank.stop();
    assert.is(backup.exitCode, 0, backup.output);
    assert.ok(during > 0, 'money moved during the backup');
    assert.is(await modeOf(source), mode);

    const snapshot = (await scene.snapshot('bank', session)).metadata.name ?? '';
    const restore = `restore-${round}`;
    const spec = { target: { name: 'second' }, dataSource: { repository: 'bank' } } as const;
    await scene.restoreSession(restore, { ...spec, guards: { existingData: 'Drop' } }, snapshot);
    const { exitCode, output } = await scene.run(['restore', '--session', restore, '--users-and-roles', 'false']);
    assert.is(exitCode, 0, output);
    assert.equal(await balances(target), [300, bank.total]);
    console.log(`round ${round}: ${during} transfers during the backup, balancer ${mode}`);
  });
}

test.run();
