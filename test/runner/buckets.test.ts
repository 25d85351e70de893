// needs: cluster
// time-limit: 240s
import { spawnSync } from 'node:child_process';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tool } from '../../scripts/tools/tool.ts';
import { openRestic } from '../../src/restic/repository.ts';
import { type ReplicaSet, startReplicaSet } from '../lab/replica-set.ts';
import { type Ended, fill, openScene, PASSWORD, type RunningJob, type Scene } from './scene.ts';

/** All of it takes a minute: it runs when BACKSTAY_ROUNDS is set, and a sample of it always. */
const whole = process.env.BACKSTAY_ROUNDS !== undefined;
const MB = 1e6;

const test = suite('backups to a bucket that fails');
const slow: (name: string, body: () => Promise<void>) => void = whole ? test : () => {};

let scene: Scene;
let set: ReplicaSet;

test.before(async () => {
  [scene, set] = await Promise.all([openScene(), startReplicaSet({ members: 3 })]);
  await using client = await set.client();
  // more than what is on its way between the database and the bucket
  await fill(client, 'large', 40);
  await fill(client, 'small', 5);
  await set.settled();
  const hosts = set.members.map(({ address }) => address).join(',');
  await scene.binding('orders', { clientConfig: { url: `mongodb://${hosts}/?replicaSet=${set.name}` } });
  await scene.repository('main', 'main');
  await scene.configuration('orders', 'orders', ['main']);
  await scene.made('main');
});
test.after.each(() => scene.s3.faults.pass());
test.after(async () => {
  await set.stop();
  await scene[Symbol.asyncDispose]();
});

/** The repository is given up when it takes nothing for so long. */
const STALL = ['--stall-timeout', '3s'];

async function backUp(
  database: string,
  args: string[] = [],
  repository = 'main',
): Promise<{ job: RunningJob; session: string }> {
  const session = await scene.session('orders', [repository]);
  return { job: await scene.start(['backup', '--session', session, '--include', database, ...args]), session };
}

/** Nothing of a backup that failed is left, in the database, in the cluster or in the bucket. */
async function requireNothingLeft(
  { exitCode, result, output }: Ended,
  session: string,
  code: string,
  repository = 'main',
): Promise<void> {
  assert.is(result?.code, code, output);
  assert.is.not(exitCode, 0);
  assert.ok(result?.remedy, `${code} has no remedy`);
  for (const member of set.members) {
    await using client = await member.client();
    assert.is.not((await client.db('admin').command({ currentOp: 1 })).fsyncLock, true, `${member.address} is locked`);
  }
  assert.equal((await scene.backupSession(session)).status?.locks ?? [], []);
  const { spec, status } = await scene.snapshot(repository, session);
  assert.is(status?.manifestID, undefined);
  assert.is(status?.components?.[0]?.phase, 'Failed');
  scene.s3.faults.pass();
  const restic = await openRestic({
    backend: {
      location: join(
        scene.s3.bucketFolder(repository === 'main' ? 'backups' : repository),
        scene.namespace,
        repository,
      ),
      env: {},
      options: {},
      flags: [],
      files: [],
    },
    password: PASSWORD,
    folder: join(scene.ground.folder, 'keys'),
    binary: await tool('restic'),
  });
  assert.equal(await restic.snapshots({ tags: [`id:${spec.snapshotID}`] }), []);
}

const lockedSeconds = ({ lines }: Ended): number =>
  Number(lines.find(({ lockedSeconds: seconds }) => seconds !== undefined)?.lockedSeconds);
/** When a line was logged, in milliseconds. */
const timeOf = ({ lines }: Ended, message: string): number =>
  Date.parse(String(lines.find(({ msg }) => String(msg).includes(message))?.time));

test('a slow bucket keeps the member locked for as long as it is read, and not for the upload', async () => {
  scene.s3.faults.slow(MB);
  const { job, session } = await backUp('small');
  const ended = await job.ended;
  assert.is(ended.exitCode, 0, ended.output);
  const uploading = (timeOf(ended, 'Snapshot is whole') - timeOf(ended, 'unlocked after')) / 1000;
  assert.ok(lockedSeconds(ended) < uploading / 2, ended.output);
  assert.is((await scene.snapshot('main', session)).status?.components?.[0]?.phase, 'Succeeded');
});

test('a lock that a slow bucket makes too long ends at once, and the backup with it', async () => {
  scene.s3.faults.slow(MB);
  // it is noticed at the first look, a quarter of a second after the lock
  const { job, session } = await backUp('large', ['--max-lock-time', '100ms']);
  const ended = await job.ended;
  await requireNothingLeft(ended, session, 'LockExpired');
  // what is on its way to the bucket is not waited for
  assert.ok(lockedSeconds(ended) < 5, ended.output);
});

/** What becomes of the bucket in the middle of a backup; it is undone by what it returns. */
type Fault = () => Promise<() => Promise<void>>;

const denied: Fault = async () => {
  scene.s3.faults.deny(/^PUT \S+\/data\//);
  return async () => {};
};
const deleted: Fault = async () => {
  const bucket = scene.s3.bucketFolder('backups');
  await rename(bucket, `${bucket}-away`);
  return () => rename(`${bucket}-away`, bucket);
};
const refused: Fault = async () => {
  scene.s3.faults.refuse();
  return async () => {};
};

for (const [what, run, fault, code] of [
  ['answers 403', test, denied, 'BackendDenied'],
  ['is deleted', slow, deleted, 'BucketNotFound'],
  ['is not reached any more', slow, refused, 'BackendUnreachable'],
] as [string, typeof test, Fault, string][]) {
  run(`a bucket that ${what} in the middle fails the backup with ${code}, and nothing is left`, async () => {
    const { job, session } = await backUp('large', STALL);
    await job.said('member locked');
    const undo = await fault();
    const ended = await job.ended.finally(undo);
    await requireNothingLeft(ended, session, code);
  });
}

slow('a bucket that is full fails the backup with DiskFull, and nothing is left', async () => {
  await scene.s3.makeBucket('full');
  const folder = scene.s3.bucketFolder('full');
  assert.is(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=20m', 'tmpfs', folder]).status, 0);
  try {
    await scene.storage('full', scene.place({ bucket: 'full' }));
    await scene.repository('full', 'full');
    assert.is((await scene.run(['repository', '--name', 'full'])).exitCode, 0);
    const { job, session } = await backUp('large', STALL, 'full');
    await requireNothingLeft(await job.ended, session, 'DiskFull', 'full');
  } finally {
    spawnSync('umount', ['--lazy', folder]);
  }
});

test.run();
