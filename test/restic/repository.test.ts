// time-limit: 240s
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tool } from '../../scripts/tools/tool.ts';
import { BackstayError } from '../../src/api/errors.ts';
import type { BackupStorage } from '../../src/api/generated/types.ts';
import { resticBackend } from '../../src/restic/backends.ts';
import { openRestic, type ResticRepository } from '../../src/restic/repository.ts';
import { type Ground, takeGround } from '../lab/ground.ts';
import { until } from '../lab/process.ts';
import { makeRepository } from '../lab/restic.ts';
import { type S3, startS3 } from '../lab/s3.ts';

const test = suite('restic repository');
const MIB = 1024 * 1024;
const PASSWORD = 'correct horse battery';

let ground: Ground;
let s3: S3;
let folders = 0;

test.before(async () => {
  ground = await takeGround();
  s3 = await startS3({ on: ground });
});

test.after(async () => {
  await ground.stop();
});

interface Where {
  endpoint?: string;
  bucket?: string;
  region?: string;
  secretKey?: string;
  keyID?: string;
  password?: string;
  patienceMs?: number;
}

async function bucket(path: string, where: Where = {}): Promise<ResticRepository> {
  const storage: BackupStorage = {
    apiVersion: 'backstay.dev/v1alpha1',
    kind: 'BackupStorage',
    metadata: { namespace: 'shop', name: 's3' },
    spec: {
      storage: {
        provider: 's3',
        s3: {
          endpoint: where.endpoint ?? s3.endpoint,
          bucket: where.bucket ?? 'backups',
          secretName: 'keys',
          ...(where.region === undefined ? {} : { region: where.region }),
        },
      },
    },
  };
  const secret = {
    AWS_ACCESS_KEY_ID: where.keyID ?? s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: where.secretKey ?? s3.secretAccessKey,
  };
  return openRestic({
    backend: resticBackend(storage, secret, path),
    password: where.password ?? PASSWORD,
    folder: join(ground.folder, `keys-${folders++}`),
    binary: await tool('restic'),
    env: ground.environment(),
    ...(where.patienceMs === undefined ? {} : { patienceMs: where.patienceMs }),
  });
}

async function volume(path: string, password = PASSWORD): Promise<ResticRepository> {
  return openRestic({
    backend: { location: path, env: {}, options: {}, flags: [], files: [] },
    password,
    folder: join(ground.folder, `keys-${folders++}`),
    binary: await tool('restic'),
    env: ground.environment(),
  });
}

/** Repositories that are there already, with a key that costs restic no time. */
async function madeBucket(path: string): Promise<ResticRepository> {
  await makeRepository(join(s3.bucketFolder('backups'), path), PASSWORD);
  return bucket(path);
}

async function madeVolume(path: string): Promise<ResticRepository> {
  await makeRepository(path, PASSWORD);
  return volume(path);
}

function* data(mebibytes: number): Generator<Uint8Array> {
  for (let count = 0; count < mebibytes; count++) yield randomBytes(MIB);
}

async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function failureOf(promise: Promise<unknown>): Promise<BackstayError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, BackstayError);
  return error as BackstayError;
}

const stream = { filename: 'dump.archive', host: 'shop/orders', tags: ['backstay', 'component:dump'] };

test('what was backed up to a bucket comes back byte for byte', async () => {
  const repository = await bucket('round-trip');
  assert.is((await failureOf(repository.id())).code, 'RepositoryNotFound');
  const { id, created } = await repository.init();
  assert.is(created, true);
  assert.equal(await (await bucket('round-trip')).init(), { id, created: false }, 'what one has made another finds');

  const chunks = [...data(20)];
  const summary = await repository.backup(chunks, stream);
  assert.is(summary.bytesProcessed, 20 * MIB);
  assert.ok(summary.bytesAdded >= 20 * MIB);
  const back = await read(repository.dump(summary.snapshotID, 'dump.archive'));
  assert.ok(back.equals(Buffer.concat(chunks)));

  const [snapshot] = await repository.snapshots({ tags: ['component:dump'] });
  assert.is(snapshot?.id, summary.snapshotID);
  assert.is(snapshot?.hostname, 'shop/orders');
  assert.equal(snapshot?.paths, ['/dump.archive']);
  assert.equal(await repository.snapshots({ tags: ['component:other'] }), []);

  const again = await repository.backup(chunks, stream);
  assert.ok(again.bytesAdded < 10_000, `${again.bytesAdded} bytes were added for unchanged data`);
  await repository.check();
});

test('a stream of tiny pieces is whole, and one without a byte is refused', async () => {
  const repository = await madeVolume(join(ground.folder, 'tiny-pieces'));
  assert.is((await failureOf(repository.backup([], stream))).code, 'UploadFailed');
  const pieces = Array.from({ length: 3000 }, (_, index) => Buffer.from(`${index},`));
  const backup = await repository.startBackup(stream);
  for (const piece of pieces) await backup.write(piece);
  const many = await backup.complete();
  assert.is(backup.processed, backup.bytes, 'restic said how far it is');
  assert.ok((await read(repository.dump(many.snapshotID, 'dump.archive'))).equals(Buffer.concat(pieces)));
});

test('a stream that fails half-way leaves no snapshot', async () => {
  const repository = await madeVolume(join(ground.folder, 'half-way'));
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield* data(12);
    throw new BackstayError('DumpFailed', 'the server went away');
  }
  assert.is((await failureOf(repository.backup(failing(), stream))).code, 'DumpFailed');
  assert.equal(await repository.snapshots(), []);
  await repository.forget([], { prune: true });
});

test('an aborted signal ends restic without a snapshot, and the reason comes back', async () => {
  const repository = await madeVolume(join(ground.folder, 'aborted'));
  const controller = new AbortController();
  const backup = await repository.startBackup({ ...stream, signal: controller.signal });
  await backup.write(randomBytes(MIB));
  const reason = new BackstayError('Terminated', 'asked to stop');
  controller.abort(reason);
  assert.is(await failureOf(backup.complete()), reason);
  assert.equal(await repository.snapshots(), []);
});

test('a writer that is killed in the middle leaves no snapshot', async () => {
  const path = join(ground.folder, 'killed');
  const repository = await madeVolume(path);
  const program = new URL('./endless-backup.ts', import.meta.url).pathname;
  const writer = spawn(process.execPath, [program], {
    env: ground.environment({ RESTIC: await tool('restic'), REPOSITORY: path, PASSWORD, KEYS: join(path, '..', 'k') }),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.match(String((await once(writer.stdout, 'data'))[0]), /written/);
  const gates = () => spawnSync('pgrep', ['-P', String(writer.pid)], { encoding: 'utf8' }).stdout.trim();
  const restic = gates();
  assert.not.equal(restic, '');
  writer.kill('SIGKILL');
  await until('restic noticed', async () =>
    stat(`/proc/${restic}`).then(
      () => false,
      () => true,
    ),
  );
  assert.equal(await repository.snapshots(), []);
});

test('the password and the keys are in no argument of a process', async () => {
  const repository = await madeBucket('arguments');
  const backup = await repository.startBackup(stream);
  await backup.write(randomBytes(MIB));
  const commands: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (/^\d+$/.test(pid)) commands.push(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''));
  }
  assert.ok(commands.some((command) => command.includes('--stdin-from-command')));
  for (const secret of [PASSWORD, s3.secretAccessKey, s3.accessKeyId]) {
    assert.not.ok(commands.some((command) => command.includes(secret)));
  }
  await backup.abort();
});

test('snapshots are forgotten by their identity, unknown ones count as forgotten', async () => {
  const repository = await madeBucket('forget');
  const ids: string[] = [];
  for (let count = 0; count < 3; count++) ids.push((await repository.backup(data(4), stream)).snapshotID);
  const before = await repository.size();
  const { removed } = await repository.forget([[ids[0] ?? ''], [ids[1] ?? '', 'f'.repeat(64)]], { prune: true });
  assert.is(removed, 2);
  assert.equal(
    (await repository.snapshots()).map(({ id }) => id),
    [ids[2]],
  );
  assert.ok((await repository.size()) < before / 2);
});

test('pruning while another process writes is refused as locked, and the writer is not disturbed', async () => {
  const repository = await madeVolume(join(ground.folder, 'locked'));
  const backup = await repository.startBackup(stream);
  await backup.write(randomBytes(MIB));
  assert.is((await failureOf(repository.forget([], { prune: true }))).code, 'RepositoryLocked');
  const { bytesProcessed } = await backup.complete();
  assert.is(bytesProcessed, MIB);
});

test('each way of failing has its own code', async () => {
  await madeBucket('codes');
  assert.is((await failureOf((await bucket('codes', { password: 'wrong' })).id())).code, 'WrongPassword');
  assert.is((await failureOf((await bucket('codes', { bucket: 'absent' })).init())).code, 'BucketNotFound');
  const elsewhere = await bucket('codes', { bucket: 'absent', region: s3.region });
  assert.is((await failureOf(elsewhere.init())).code, 'BucketNotFound');
  assert.is((await failureOf((await bucket('codes', { secretKey: 'wrong-key' })).id())).code, 'BackendDenied');
  assert.is((await failureOf((await bucket('codes', { keyID: 'nobody-here' })).init())).code, 'BackendDenied');
  assert.is(
    (await failureOf((await bucket('codes', { endpoint: s3.endpoint.replace('http', 'https') })).id())).code,
    'TLSFailed',
  );
  const unreachable = await failureOf(
    (await bucket('codes', { endpoint: 'http://127.0.0.1:9', patienceMs: 2000 })).id(),
  );
  assert.is(unreachable.code, 'BackendUnreachable');
  assert.match(unreachable.message, /connection refused/);
  const folders = await readdir(join(s3.bucketFolder('backups'), '..'));
  assert.not.ok(folders.includes('absent'), 'the missing bucket was made');
});

test('a right that is missing in the storage is told, when it is the right to write or to delete as well', async () => {
  const repository = await madeBucket('rights');
  for (const method of ['GET', 'PUT', 'DELETE']) {
    s3.faults.deny(new RegExp(`^${method} `));
    const failure = await failureOf(repository.id({ locking: true }));
    s3.faults.pass();
    assert.is(failure.code, 'BackendDenied', `${method}: ${failure.message}`);
  }
  s3.faults.deny(/^PUT /);
  assert.is((await failureOf(repository.startBackup(stream))).code, 'BackendDenied');
  s3.faults.pass();
  assert.match(await repository.id({ locking: true }), /^[0-9a-f]{64}$/);
});

test('a message about a wrong key does not show it', async () => {
  const failure = await failureOf((await bucket('shown', { secretKey: 'very-secret-key', keyID: 'the-key-id' })).id());
  assert.not.match(`${failure.message} ${failure.remedy}`, /very-secret-key|the-key-id/);
  assert.ok(failure.remedy);
});

test('a full disk fails the backup with DiskFull', async () => {
  const mount = join(ground.folder, 'small-disk');
  await mkdir(mount);
  assert.is(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', mount]).status, 0);
  try {
    const repository = await madeVolume(join(mount, 'r'));
    assert.is((await failureOf(repository.backup(data(24), stream))).code, 'DiskFull');
  } finally {
    spawnSync('umount', [mount]);
  }
});

test('a file that is not in the snapshot fails the read', async () => {
  const repository = await madeVolume(join(ground.folder, 'no-file'));
  const { snapshotID } = await repository.backup(data(1), stream);
  assert.match((await failureOf(read(repository.dump(snapshotID, 'other.archive')))).message, /other\.archive/);
  assert.is((await failureOf(read(repository.dump('f'.repeat(64), 'x')))).code, 'ResticSnapshotNotFound');
});

test('reading that is ended early, or not at all, ends restic and leaves no lock', async () => {
  const folder = join(ground.folder, 'early');
  const locks = (): Promise<string[]> => readdir(join(folder, 'locks'));
  const repository = await madeVolume(folder);
  const { snapshotID } = await repository.backup(data(30), stream);
  for await (const chunk of repository.dump(snapshotID, 'dump.archive')) {
    assert.ok(chunk.length > 0);
    assert.is((await locks()).length, 1);
    break;
  }
  assert.equal(await locks(), []);
  const [first, second] = ['dump.archive', 'dump.archive'].map((file) => repository.dump(snapshotID, file));
  await Promise.all([first?.next(), second?.next()]);
  assert.is((await locks()).length, 2);
  await repository.close();
  assert.equal(await locks(), []);
});

test('certificates and keys are private files, and closing removes them', async () => {
  const folder = join(ground.folder, 'private');
  const repository = await openRestic({
    backend: {
      location: '/nowhere',
      env: {},
      options: {},
      flags: [],
      files: [{ variable: 'RESTIC_CACERT', name: 'ca.pem', content: 'PEM' }],
    },
    password: PASSWORD,
    folder,
  });
  assert.is((await stat(join(folder, 'ca.pem'))).mode & 0o777, 0o600);
  await repository.close();
  assert.is(await stat(folder).catch(() => undefined), undefined);
});

test('an executable that is missing is named', async () => {
  const repository = await openRestic({
    backend: { location: '/nowhere', env: {}, options: {}, flags: [], files: [] },
    password: PASSWORD,
    folder: join(ground.folder, 'no-binary'),
    binary: '/no/such/restic',
  });
  assert.is((await failureOf(repository.id())).code, 'ResticMissing');
  assert.is((await failureOf(repository.backup([], stream))).code, 'ResticMissing');
});

test.run();
