// needs: cluster
// time-limit: 380s
import { spawnSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tool } from '../../scripts/tools/tool.ts';
import { openRestic, type ResticRepository, type ResticSnapshot } from '../../src/restic/repository.ts';
import { workerOf } from '../lab/family.ts';
import { until } from '../lab/process.ts';
import { type ReplicaSet, startReplicaSet } from '../lab/replica-set.ts';
import { makeRepository } from '../lab/restic.ts';
import { fill, openScene, PASSWORD, type Scene } from './scene.ts';

const test = suite('failures of backups');

let scene: Scene;
let set: ReplicaSet;
let volume: string;
let disk: string;

test.before(async () => {
  scene = await openScene();
  // an oplog that the data fills holds a few seconds only, and a member is not locked then
  set = await startReplicaSet({ on: scene.ground, members: 3, auth: true, mongod: { oplogSize: 256 } });
  await using client = await set.client();
  await fill(client, 'shop', 45);
  await set.settled();
  const hosts = set.members.map(({ address }) => address).join(',');
  await scene.binding('orders', { clientConfig: { url: `mongodb://${hosts}/?replicaSet=rs0` } }, set.credentials);
  volume = await scene.ground.subfolder('volume');
  disk = await scene.ground.subfolder('small-disk');
  assert.is(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=20m', 'tmpfs', disk]).status, 0);
  await scene.storage('volume', { provider: 'local', local: { hostPath: { path: '/srv' }, mountPath: volume } });
  await scene.storage('small', { provider: 'local', local: { hostPath: { path: '/srv' }, mountPath: disk } });
  await scene.repository('volume', 'volume');
  await scene.repository('small', 'small');
  await scene.configuration('orders', 'orders', ['volume']);
  await makeRepository(join(volume, 'volume'), PASSWORD);
  await makeRepository(join(disk, 'small'), PASSWORD);
});

test.after(async () => {
  spawnSync('umount', ['--lazy', disk]);
  await scene[Symbol.asyncDispose]();
});

async function open(path: string): Promise<ResticRepository> {
  return openRestic({
    backend: { location: path, env: {}, options: {}, flags: [], files: [] },
    password: PASSWORD,
    folder: join(scene.ground.folder, 'keys'),
    binary: await tool('restic'),
  });
}

async function resticSnapshots(session: string): Promise<ResticSnapshot[]> {
  const { spec } = await scene.snapshot('volume', session);
  return (await open(join(volume, 'volume'))).snapshots({ tags: [`id:${spec.snapshotID}`] });
}

/** host:port of the members that are locked. */
async function lockedMembers(): Promise<string[]> {
  const locked: string[] = [];
  for (const member of set.members) {
    await using client = await member.client();
    const { fsyncLock } = await client.db('admin').command({ currentOp: 1 });
    if (fsyncLock === true) locked.push(member.address);
  }
  return locked;
}

test('of two repositories the one whose disk is full fails, the other is whole', async () => {
  const session = await scene.session('orders', ['volume', 'small']);
  const { exitCode, result, output } = await scene.run(['backup', '--session', session]);
  assert.is(exitCode, 1, output);
  assert.is(result?.code, 'DiskFull');
  assert.match(result?.message ?? '', /^1 of 2 Snapshots failed, small-/);
  assert.equal(await lockedMembers(), []);
  const [failed] = (await scene.snapshot('small', session)).status?.components ?? [];
  assert.is(failed?.phase, 'Failed');
  assert.match(failed?.error ?? '', /no space left/);
  assert.is((await scene.snapshot('small', session)).status?.manifestID, undefined);
  const whole = await scene.snapshot('volume', session);
  assert.is(whole.status?.components?.[0]?.phase, 'Succeeded');
  assert.is((await resticSnapshots(session)).length, 2);
});

test('a runner that is killed in the middle leaves no snapshot, and its lock is written down, released and forgotten', async () => {
  const session = await scene.session('orders', ['volume']);
  const job = await scene.start(['backup', '--session', session]);
  await job.said('member locked');
  job.kill();
  assert.is((await job.ended).signal, 'SIGKILL');
  const [record] = (await scene.backupSession(session)).status?.locks ?? [];
  assert.ok(record, 'no lock was written down');
  assert.equal(await lockedMembers(), [record.member]);
  assert.match(record.processID ?? '', /^[0-9a-f]{24}$/);
  assert.ok(record.afterOperation !== undefined);
  assert.match(record.holder ?? '', /^pod-/);

  const released = await scene.run(['release', '--session', session]);
  assert.is(released.exitCode, 0, released.output);
  assert.equal(released.result?.data, { released: [record.member], failed: [] });
  assert.equal(await lockedMembers(), []);
  assert.equal((await scene.backupSession(session)).status?.locks ?? [], []);
  assert.is((await scene.backupSession(session)).status?.consistency, 'lock');
  await until('restic noticed', async () => (await writers(session)).length === 0);
  assert.equal(await resticSnapshots(session), []);
  assert.is((await scene.snapshot('volume', session)).status?.manifestID, undefined);

  const again = await scene.run(['backup', '--session', session]);
  assert.is(again.exitCode, 0, again.output);
  assert.is((await resticSnapshots(session)).length, 2);
});

/** The restic processes that make the Snapshot of a session, with their arguments. */
async function writers(session: string): Promise<{ pid: number; command: string }[]> {
  const { spec } = await scene.snapshot('volume', session);
  const found: { pid: number; command: string }[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.includes(spec.snapshotID)) found.push({ pid: Number(pid), command });
  }
  return found;
}

test('the watchdog of a runner that is killed releases its lock at once, and says what happened', async () => {
  const session = await scene.session('orders', ['volume']);
  const job = await scene.start(['backup', '--session', session]);
  const { member } = await job.said('member locked');
  process.kill(workerOf(job.child), 'SIGKILL');
  const { exitCode, result, output } = await job.ended;
  assert.is(exitCode, 1, output);
  assert.is(result?.code, 'RunnerKilled');
  assert.match(result?.message ?? '', new RegExp(`killed by SIGKILL; ${member} was given back`));
  assert.equal(result?.data, { released: [member], left: [] });
  assert.equal(await lockedMembers(), []);
  // The record is for the operator, whose Job finds that nothing is left to do.
  assert.is((await scene.backupSession(session)).status?.locks?.length, 1);
  const released = await scene.run(['release', '--session', session]);
  assert.is(released.exitCode, 0, released.output);
  assert.equal((await scene.backupSession(session)).status?.locks ?? [], []);
  assert.equal(await resticSnapshots(session), []);
});

test('a second run of a session that was killed releases the lock by itself', async () => {
  const session = await scene.session('orders', ['volume']);
  const job = await scene.start(['backup', '--session', session]);
  await job.said('member locked');
  job.kill();
  await job.ended;
  const again = await scene.run(['backup', '--session', session]);
  assert.is(again.exitCode, 0, again.output);
  assert.ok(again.lines.some(({ outcome }) => outcome === 'released'));
  assert.equal(await lockedMembers(), []);
});

test('a lock of somebody else is neither taken over nor released', async () => {
  const [secondary, other] = await set.secondaries();
  assert.ok(secondary && other);
  await using first = await secondary.client();
  await using second = await other.client();
  for (const client of [first, second]) await client.db('admin').command({ fsync: 1, lock: true });
  try {
    const session = await scene.session('orders', ['volume']);
    // a lock that nobody asks about: with both locked no write gets through
    const { exitCode, result, output } = await scene.run([
      'backup',
      '--session',
      session,
      '--on-majority-stall',
      'proceed',
    ]);
    assert.is(exitCode, 4, output);
    assert.is(result?.code, 'LockRefused');
    assert.is((await lockedMembers()).length, 2);
    assert.equal((await scene.backupSession(session)).status?.locks ?? [], []);
    assert.equal(await resticSnapshots(session), []);
  } finally {
    for (const client of [first, second]) await client.db('admin').command({ fsyncUnlock: 1 });
  }
  await set.settled();
});

test('a runner that is asked to end unlocks before it does', async () => {
  const session = await scene.session('orders', ['volume']);
  const job = await scene.start(['backup', '--session', session, '--streams', '3']);
  await job.said('member locked');
  job.child.kill('SIGTERM');
  const { exitCode, result, lines, output } = await job.ended;
  assert.is(exitCode, 1, output);
  assert.is(result?.code, 'Terminated');
  assert.ok(lines.some(({ msg }) => String(msg).startsWith('unlocked after')));
  assert.equal(await lockedMembers(), []);
  assert.equal((await scene.backupSession(session)).status?.locks ?? [], []);
  assert.equal(await resticSnapshots(session), []);
  assert.is((await scene.snapshot('volume', session)).status?.components?.[0]?.phase, 'Failed');
});

test('a lock that somebody takes away in the middle fails the backup, and there is no snapshot', async () => {
  const session = await scene.session('orders', ['volume']);
  const job = await scene.start(['backup', '--session', session, '--streams', '3']);
  const { member } = await job.said('member locked');
  const locked = set.members.find(({ address }) => address === member);
  assert.ok(locked);
  await using client = await locked.client();
  await client.db('admin').command({ fsyncUnlock: 1 });
  const { exitCode, result, output } = await job.ended;
  assert.is(exitCode, 1, output);
  assert.is(result?.code, 'LockLost');
  assert.equal(await resticSnapshots(session), []);
  assert.equal(await lockedMembers(), []);
});

for (const consistency of ['lock', 'snapshot']) {
  test(`of three archives (${consistency}) one whose restic is killed ends all, and there is no snapshot`, async () => {
    const session = await scene.session('orders', ['volume']);
    const args = ['backup', '--session', session, '--streams', '3', '--consistency', consistency];
    const job = await scene.start(args);
    await job.said('repositories opened');
    const second = (await writers(session)).filter(({ command }) => command.includes('/dump-2.archive'));
    assert.is(second.length, 1);
    process.kill(second[0]?.pid ?? 0, 'SIGKILL');
    const { exitCode, result, lines, output } = await job.ended;
    assert.is(exitCode, 1, output);
    assert.is(result?.code, 'ResticKilled', output);
    const locks = lines.filter(({ msg }) => String(msg).startsWith('unlocked after')).length;
    assert.is(locks, consistency === 'lock' ? 1 : 0);
    assert.equal(await lockedMembers(), []);
    assert.equal(await writers(session), []);
    assert.equal(await resticSnapshots(session), []);
    const { status } = await scene.snapshot('volume', session);
    assert.equal([status?.manifestID, status?.components?.[0]?.phase], [undefined, 'Failed']);
  });
}

test('a member that is killed while three archives are read fails them all', async () => {
  const session = await scene.session('orders', ['volume']);
  const job = await scene.start(['backup', '--session', session, '--streams', '3']);
  const { member } = await job.said('member locked');
  const killed = set.members.find(({ address }) => address === member);
  await killed?.kill();
  // it is asked for its lock until it answers
  await killed?.start();
  const { exitCode, result, output } = await job.ended;
  assert.is(exitCode, 1, output);
  assert.match(result?.code ?? '', /^(?:DumpFailed|LockLost)$/);
  assert.equal((await scene.backupSession(session)).status?.locks ?? [], []);
  assert.equal(await resticSnapshots(session), []);
  assert.is((await scene.snapshot('volume', session)).status?.manifestID, undefined);
  await set.settled();
});

test('a storage is reached and keeps its identity', async () => {
  const first = await scene.run(['storage', '--name', 'main']);
  assert.is(first.exitCode, 0, first.output);
  assert.match(String(first.result?.data.storageID), /^[0-9a-f]{64}$/);
  const second = await scene.run(['storage', '--name', 'main']);
  assert.equal(second.result?.data, first.result?.data);
});

test('each thing that can be wrong with a storage has its own code, and a way out', async () => {
  await scene.secret('wrong', { AWS_ACCESS_KEY_ID: scene.s3.accessKeyId, AWS_SECRET_ACCESS_KEY: 'not-the-secret-key' });
  await scene.secret('half', { AWS_ACCESS_KEY_ID: scene.s3.accessKeyId });
  const cases: [name: string, changes: Parameters<Scene['place']>[0], code: string, exitCode: number][] = [
    ['no-bucket', { bucket: 'absent' }, 'BucketNotFound', 3],
    ['wrong-key', { secretName: 'wrong' }, 'BackendDenied', 3],
    ['half-secret', { secretName: 'half' }, 'SecretKeyMissing', 3],
    ['no-secret', { secretName: 'absent' }, 'SecretNotFound', 1],
    ['wrong-scheme', { endpoint: scene.s3.endpoint.replace('http', 'https') }, 'TLSFailed', 3],
  ];
  for (const [name, changes, code, exitCode] of cases) {
    await scene.storage(name, scene.place(changes));
    const ended = await scene.run(['storage', '--name', name]);
    assert.is(ended.result?.code, code, ended.output);
    assert.is(ended.exitCode, exitCode);
    assert.ok(ended.result?.remedy, `${code} has no remedy`);
    assert.not.match(ended.output, /not-the-secret-key/);
  }
});

test('a repository with another password, and one that is gone, are told apart', async () => {
  await scene.secret('other', { RESTIC_PASSWORD: 'another password' });
  await scene.repository('misread', 'volume', { path: 'volume', secret: 'other' });
  const wrong = await scene.run(['repository', '--name', 'misread']);
  assert.is(wrong.result?.code, 'WrongPassword', wrong.output);
  assert.is(wrong.exitCode, 3);
  await scene.repository('gone', 'volume', { path: 'gone' });
  await scene.lab.kubectl([
    ...['patch', 'repositories.backstay.dev', 'gone', '-n', scene.namespace, '--subresource=status'],
    ...['--type=merge', '-p', '{"status":{"resticID":"0123"}}'],
  ]);
  const gone = await scene.run(['repository', '--name', 'gone']);
  assert.is(gone.result?.code, 'RepositoryNotFound');
  assert.not.ok((await readdir(volume)).includes('gone'), 'a new repository hides the loss');
});

test('a database that refuses the login, or is not there, is told apart', async () => {
  const primary = await set.primary();
  const url = `mongodb://${primary.address}`;
  await scene.binding('stranger', { clientConfig: { url } }, { username: 'root', password: 'not the password' });
  await scene.binding('nobody', { clientConfig: { url: 'mongodb://127.0.0.1:9' } });
  for (const [name, code] of [
    ['stranger', 'AuthenticationFailed'],
    ['nobody', 'DatabaseUnreachable'],
    ['absent', 'TargetNotFound'],
  ] as const) {
    await scene.configuration(`of-${name}`, name, ['volume']);
    const session = await scene.session(`of-${name}`, ['volume']);
    const { result, output } = await scene.run(['backup', '--session', session]);
    assert.is(result?.code, code, output);
    assert.not.match(output, /not the password/);
  }
});

test.run();
