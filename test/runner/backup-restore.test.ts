// needs: cluster
// time-limit: 360s
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tool } from '../../scripts/tools/tool.ts';
import { type Mongod, startMongod } from '../lab/mongod.ts';
import { startProcess, until } from '../lab/process.ts';
import { type ReplicaSet, startReplicaSet } from '../lab/replica-set.ts';
import { makeRepository } from '../lab/restic.ts';
import { accepts } from '../lab/socket.ts';
import { type Ended, fill, hashOf, openScene, PASSWORD, type Scene } from './scene.ts';

const test = suite('backup and restore');
/** Characters that would each break a connection string. */
const LOGIN = { username: 'back:up/user', password: 'p@ss:w/r%d#?&' };

let scene: Scene;
let set: ReplicaSet;
let target: Mongod;
let done: Ended;
let session: string;
/** Another one, of several archives. */
let inThree: string;

test.before(async () => {
  scene = await openScene();
  set = await startReplicaSet({ on: scene.ground, members: [{}, {}, { hidden: true, priority: 0 }], auth: true });
  target = await startMongod({ on: scene.ground });
  await using client = await set.client();
  await client.db('admin').command({
    createUser: LOGIN.username,
    pwd: LOGIN.password,
    roles: ['backup', 'clusterMonitor', 'hostManager'],
  });
  await fill(client, 'shop', 30);
  await set.settled();
  await scene.binding(
    'orders',
    {
      clientConfig: { url: `mongodb://${set.members.map(({ address }) => address).join(',')}/?replicaSet=rs0` },
      secretTransforms: [{ renameKey: { from: 'user', to: 'username' } }],
    },
    undefined,
  );
  await scene.secret('orders', { user: LOGIN.username, password: LOGIN.password });
  await scene.lab.kubectl([
    ...['patch', 'appbindings.backstay.dev', 'orders', '-n', scene.namespace],
    ...['--type=merge', '-p', '{"spec":{"secret":{"name":"orders"}}}'],
  ]);
  await scene.binding('empty', { clientConfig: { url: `mongodb://${target.address}` } });
  const volume = join(scene.ground.folder, 'volume');
  await mkdir(volume);
  await scene.storage('volume', { provider: 'local', local: { hostPath: { path: '/srv' }, mountPath: volume } });
  await scene.repository('bucket', 'main');
  await scene.repository('disk', 'volume', { path: 'shop/orders' });
  await scene.made('bucket');
  await makeRepository(join(volume, 'shop/orders'), PASSWORD);
  await scene.configuration('orders', 'orders', ['bucket', 'disk']);
  inThree = await scene.session('orders', ['bucket']);
});

test.after(async () => {
  await scene[Symbol.asyncDispose]();
});

test('a repository is made by the first Job and opened by the next', async () => {
  await scene.repository('fresh', 'main');
  const first = await scene.run(['repository', '--name', 'fresh']);
  assert.is(first.exitCode, 0, first.output);
  assert.is(first.result?.data.created, true);
  const second = await scene.run(['repository', '--name', 'fresh']);
  assert.equal(second.result?.data, { resticID: first.result?.data.resticID, created: false });
});

test('a locked hidden secondary is read once for a bucket and a volume', async () => {
  session = await scene.session('orders', ['bucket', 'disk']);
  const job = await scene.start(['backup', '--session', session]);
  await job.said('member locked');
  const commands: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (/^\d+$/.test(pid)) commands.push(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''));
  }
  done = await job.ended;
  assert.is(done.exitCode, 0, done.output);
  assert.is(done.result?.code, 'Succeeded');
  for (const secret of [LOGIN.password, PASSWORD, scene.s3.secretAccessKey]) {
    assert.not.ok(
      commands.some((command) => command.includes(secret)),
      'a secret is an argument',
    );
    assert.not.ok(done.output.includes(secret), 'a secret is in the log');
    assert.not.ok(JSON.stringify(done.result).includes(secret), 'a secret is in the result');
  }
  const { status } = await scene.backupSession(session);
  assert.is(status?.consistency, 'lock');
  assert.equal(status?.locks ?? [], []);
  assert.is(status?.phase, 'Running', 'the phase is the operator’s');
  for (const repository of ['bucket', 'disk']) {
    const snapshot = await scene.snapshot(repository, session);
    const [component] = snapshot.status?.components ?? [];
    assert.is(component?.phase, 'Succeeded');
    assert.is(component?.member, set.member(2).address);
    assert.match(component?.memberReason ?? '', /hidden/);
    assert.is(component?.consistency, 'lock');
    assert.match(component?.hash ?? '', /^[0-9a-f]{64}$/);
    assert.match(component?.cutTime ?? '', /^\d+\.\d+$/);
    assert.ok((component?.lockedSeconds ?? 0) > 0);
    assert.ok((component?.documents ?? 0) >= 30_000);
    assert.is(component?.documentsTotal, undefined, 'what was expected is of no use when it is done');
    assert.match(snapshot.status?.manifestID ?? '', /^[0-9a-f]{64}$/);
    assert.is(snapshot.status?.database?.replicaSet, 'rs0');
    assert.not.ok(JSON.stringify(snapshot).includes(LOGIN.password));
  }
  await using member = await set.member(2).client();
  const { fsyncLock } = await member.db('admin').command({ currentOp: 1 });
  assert.not.ok(fsyncLock);
});

test('the log tells the steps of the road', () => {
  const said = done.lines.map(({ msg }) => String(msg));
  const order = ['repositories opened', 'lock written down', 'member locked', 'unlocked after', 'dump finished'];
  const places = order.map((text) => said.findIndex((msg) => msg.startsWith(text)));
  assert.not.ok(places.includes(-1), said.join('\n'));
  assert.equal(
    places,
    [...places].sort((a, b) => a - b),
  );
  const finished = done.lines.find(({ msg }) => msg === 'dump finished');
  assert.ok(Number(finished?.bytes) > 30_000_000);
  assert.ok(Number(finished?.megabytesPerSecond) > 0);
});

test('a second run of a session that succeeded does nothing', async () => {
  const before = await scene.snapshot('bucket', session);
  const again = await scene.run(['backup', '--session', session]);
  assert.is(again.exitCode, 0, again.output);
  assert.not.ok(again.lines.some(({ msg }) => msg === 'member locked'));
  assert.is((await scene.snapshot('bucket', session)).status?.manifestID, before.status?.manifestID);
});

test('an unchanged database adds next to nothing', async () => {
  const next = await scene.session('orders', ['bucket', 'disk']);
  const { exitCode, output, result } = await scene.run(['backup', '--session', next]);
  assert.is(exitCode, 0, output);
  assert.ok(Number(result?.data.addedBytes) < 1_000_000, `${result?.data.addedBytes} bytes were added`);
});

test('a manifest that was written before the runner died makes the Snapshot whole', async () => {
  const { metadata } = await scene.snapshot('disk', session);
  await scene.lab.kubectl([
    ...['patch', 'snapshots.backstay.dev', metadata.name ?? '', '-n', scene.namespace, '--subresource=status'],
    ...['--type=json', '-p', '[{"op":"remove","path":"/status/manifestID"}]'],
  ]);
  const again = await scene.run(['backup', '--session', session]);
  assert.is(again.exitCode, 0, again.output);
  assert.ok(again.lines.some(({ msg }) => msg === 'found whole in the repository'));
  const { status } = await scene.snapshot('disk', session);
  assert.match(status?.manifestID ?? '', /^[0-9a-f]{64}$/);
  assert.is(status?.components?.[0]?.phase, 'Succeeded');
});

for (const repository of ['bucket', 'disk']) {
  test(`what is in the ${repository} comes back with the same dbHash`, async () => {
    const name = `from-${repository}`;
    const existingData = repository === 'bucket' ? 'Refuse' : 'Drop';
    await scene.restoreSession(
      name,
      { target: { name: 'empty' }, dataSource: { repository }, guards: { existingData } },
      (await scene.snapshot(repository, session)).metadata.name,
    );
    const { exitCode, output, result } = await scene.run(['restore', '--session', name, '--users-and-roles', 'false']);
    assert.is(exitCode, 0, output);
    await using from = await set.member(2).client();
    await using to = await target.client();
    assert.equal(await hashOf(to, 'shop'), await hashOf(from, 'shop'));
    assert.is(result?.data.failedDocuments, 0);
    const { status } = await scene.restored(name);
    assert.is(status?.components?.[0]?.phase, 'Succeeded');
    assert.is(status?.components?.[0]?.indexes, 1);
    assert.not.ok(output.includes(PASSWORD));
  });
}

test('a target that holds data is refused before the first write', async () => {
  await scene.restoreSession(
    'refused',
    { target: { name: 'empty' }, dataSource: { repository: 'bucket' } },
    (await scene.snapshot('bucket', session)).metadata.name,
  );
  await using client = await target.client();
  const before = await hashOf(client, 'shop');
  const { exitCode, result } = await scene.run(['restore', '--session', 'refused']);
  assert.is(exitCode, 3);
  assert.is(result?.code, 'TargetNotEmpty');
  assert.is(result?.retryable, false);
  assert.equal(await hashOf(client, 'shop'), before);
});

test('documents that exist already fail a merge, with their number', async () => {
  await using client = await target.client();
  await client
    .db('shop')
    .collection<{ _id: number }>('orders1')
    .deleteMany({ _id: { $lt: 1100 } });
  const left = await client.db('shop').collection('orders1').countDocuments();
  await scene.restoreSession(
    'merged',
    {
      target: { name: 'empty' },
      dataSource: { repository: 'bucket', namespaces: { include: ['shop.orders1'] } },
      guards: { existingData: 'Merge' },
    },
    (await scene.snapshot('bucket', session)).metadata.name,
  );
  const { exitCode, result } = await scene.run(['restore', '--session', 'merged']);
  assert.is(exitCode, 3);
  assert.is(result?.code, 'RestoreIncomplete');
  assert.is(result?.data.failedDocuments, left);
  assert.is((await scene.restored('merged')).status?.components?.[0]?.failedDocuments, left);
  assert.is(await client.db('shop').collection('orders1').countDocuments(), 10_000);
});

test('a Snapshot of another Repository, and a component that is not there, are refused', async () => {
  const snapshot = (await scene.snapshot('bucket', session)).metadata.name;
  await scene.restoreSession('other', { target: { name: 'empty' }, dataSource: { repository: 'disk' } }, snapshot);
  assert.is((await scene.run(['restore', '--session', 'other'])).result?.code, 'SnapshotInvalid');
  await scene.restoreSession(
    'component',
    { target: { name: 'empty' }, dataSource: { repository: 'bucket', components: ['shard-7'] } },
    snapshot,
  );
  assert.is((await scene.run(['restore', '--session', 'component'])).result?.code, 'ComponentNotFound');
});

test('a standalone is read without a lock, and the Snapshot says why', async () => {
  await scene.repository('single', 'main');
  await scene.made('single');
  await scene.configuration('single', 'empty', ['single']);
  const name = await scene.session('single', ['single']);
  const { exitCode, output } = await scene.run(['backup', '--session', name]);
  assert.is(exitCode, 0, output);
  const [component] = (await scene.snapshot('single', name)).status?.components ?? [];
  assert.is(component?.consistency, 'none');
  assert.match(component?.consistencyReason ?? '', /standalone/);
});

test('metrics reach the Pushgateway; without one the backup succeeds all the same', async () => {
  const port = await scene.ground.port();
  const host = scene.ground.address();
  const program = await tool('pushgateway');
  const gateway = startProcess(scene.ground, 'pushgateway', program, [`--web.listen-address=${host}:${port}`]);
  await until('the Pushgateway listens', () => accepts(host, port), { process: gateway });
  const first = await scene.session('single', ['single']);
  const url = `http://${host}:${port}`;
  const pushed = await scene.run(['backup', '--session', first], { BACKSTAY_PUSHGATEWAY_URL: url });
  assert.is(pushed.result?.data.metricsPushed, true, pushed.output);
  const text = await (await fetch(`${url}/metrics`)).text();
  const labels = `configuration="single",instance="",job="backstay",namespace="${scene.namespace}",session="daily"`;
  assert.ok(text.includes(`backstay_backup_success{${labels}} 1`), text);
  assert.match(text, /backstay_backup_last_success_timestamp_seconds\{.*\} 1\.\d+e\+09/);
  await gateway.end('SIGKILL');
  const second = await scene.session('single', ['single']);
  const unpushed = await scene.run(['backup', '--session', second], { BACKSTAY_PUSHGATEWAY_URL: url });
  assert.is(unpushed.exitCode, 0, unpushed.output);
  assert.is(unpushed.result?.data.metricsPushed, false);
  assert.match(String(unpushed.result?.data.message), /Pushgateway/);
});

test('a member is written as three archives at once, which come back as one', async () => {
  const { exitCode, output } = await scene.run(['backup', '--session', inThree, '--streams', '3']);
  assert.is(exitCode, 0, output);
  const { status } = await scene.snapshot('bucket', inThree);
  const [component, ...more] = status?.components ?? [];
  assert.equal(more, []);
  const { name, phase, consistency, archives = [] } = component ?? {};
  assert.equal([name, phase, consistency], ['dump', 'Succeeded', 'lock']);
  assert.equal([component?.file, component?.resticSnapshotID, component?.hash], [undefined, undefined, undefined]);
  assert.equal(
    archives.map(({ file }) => file),
    ['dump.archive', 'dump-2.archive', 'dump-3.archive'],
  );
  const sum = (of: 'bytes' | 'addedBytes'): number => archives.reduce((total, one) => total + (one[of] ?? 0), 0);
  assert.equal([component?.bytes, component?.addedBytes], [sum('bytes'), sum('addedBytes')]);
  assert.is(new Set(archives.map(({ resticSnapshotID, hash }) => `${resticSnapshotID} ${hash}`)).size, 3);

  const back = await restoredFrom(inThree, 'from-three');
  assert.is(back.exitCode, 0, back.output);
  await using from = await set.member(2).client();
  await using to = await target.client();
  assert.equal(await hashOf(to, 'shop'), await hashOf(from, 'shop'));
  const users = (client: typeof to): Promise<number> => client.db('admin').collection('system.users').countDocuments();
  assert.is(await users(to), await users(from));
  assert.equal(await to.db('shop').collection('orders0').indexInformation(), {
    _id_: [['_id', 1]],
    text_1: [['text', 1]],
  });
  assert.is((await to.db('shop').collection('short').find().toArray()).length, 3);
});

test('each of the archives is the same again while nothing changes, under a lock or at a cluster time', async () => {
  const archivesOf = async (name: string): Promise<unknown> =>
    (await scene.snapshot('bucket', name)).status?.components?.[0]?.archives?.map(({ file, hash }) => [file, hash]);
  const again = await scene.session('orders', ['bucket']);
  const { exitCode, output } = await scene.run([
    ...['backup', '--session', again, '--streams', '3'],
    ...['--consistency', 'snapshot'],
  ]);
  assert.is(exitCode, 0, output);
  assert.equal(await archivesOf(again), await archivesOf(inThree));
  const [component] = (await scene.snapshot('bucket', again)).status?.components ?? [];
  assert.is(component?.consistency, 'snapshot');
  assert.ok((component?.addedBytes ?? Number.NaN) < 20_000, `${component?.addedBytes} bytes were added`);
});

test('an archive that is missing is a refusal before the first write', async () => {
  await using to = await target.client();
  const before = await hashOf(to, 'shop');
  const { archives = [] } = (await scene.snapshot('bucket', inThree)).status?.components?.[0] ?? {};
  const repository = join(scene.s3.bucketFolder('backups'), scene.namespace, 'bucket');
  await rm(join(repository, 'snapshots', archives[1]?.resticSnapshotID ?? ''));
  const { result, output } = await restoredFrom(inThree, 'from-two');
  assert.is(result?.code, 'ResticSnapshotNotFound', output);
  assert.match(result?.message ?? '', /dump-2\.archive/);
  assert.equal(await hashOf(to, 'shop'), before);
});

/** Restores the Snapshot of a session in the bucket over what the target has, users and roles too. */
async function restoredFrom(of: string, name: string): Promise<Ended> {
  await scene.restoreSession(
    name,
    { target: { name: 'empty' }, dataSource: { repository: 'bucket' }, guards: { existingData: 'Drop' } },
    (await scene.snapshot('bucket', of)).metadata.name,
  );
  return scene.run(['restore', '--session', name]);
}

test('the data of a Snapshot is forgotten, the other Snapshots stay', async () => {
  const gone = await scene.snapshot('bucket', inThree);
  const { exitCode, output, result } = await scene.run(['forget', '--snapshot', gone.metadata.name ?? '']);
  assert.is(exitCode, 0, output);
  assert.is(result?.data.removed, 3, 'two archives that are left, and the manifest');
  const again = await scene.run(['forget', '--snapshot', gone.metadata.name ?? '']);
  assert.is(again.result?.data.removed, 0);
  assert.is((await restoredFrom(inThree, 'forgotten')).result?.code, 'SnapshotNotFound');
  const all = await scene.run(['forget', '--repository', 'bucket', '--all']);
  assert.is(all.exitCode, 0, all.output);
  assert.is(all.result?.data.removed, 8);
});

test.run();
