import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { MongoClient, MongoServerError } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tool } from '../scripts/tools/tool.ts';
import { startGitServer } from './lab/git.ts';
import { takeGround } from './lab/ground.ts';
import { startMongod } from './lab/mongod.ts';
import { startPushgateway } from './lab/pushgateway.ts';
import { startReplicaSet } from './lab/replica-set.ts';
import { startS3 } from './lab/s3.ts';

const execute = promisify(execFile);
const test = suite('lab parts');

test('a replica set with authentication and TLS admits its root user and nobody else', async () => {
  await using ground = await takeGround();
  await using set = await startReplicaSet({
    on: ground,
    members: [{}, { hidden: true, tags: { role: 'backup' } }],
    auth: true,
    tls: true,
  });
  await using client = await set.client();
  const { config } = await client.db('admin').command({ replSetGetConfig: 1 });
  assert.is(config.members[1].hidden, true);
  assert.equal(config.members[1].tags, { role: 'backup' });

  await using stranger = await set.member(0).client({ credentials: null });
  const refused = await stranger
    .db('shop')
    .command({ find: 'orders' })
    .catch((error: unknown) => error);
  assert.instance(refused, MongoServerError);

  const plain = new MongoClient(`mongodb://${set.member(0).address}/?directConnection=true`, {
    serverSelectionTimeoutMS: 500,
  });
  const unencrypted = await plain.connect().catch((error: unknown) => error);
  await plain.close();
  assert.instance(unencrypted, Error);
});

test('the holder of a client certificate logs in by it', async () => {
  await using ground = await takeGround();
  await using set = await startReplicaSet({ on: ground, auth: true, tls: { clientCertificateRequired: true } }).catch(
    (error: unknown) => error as never,
  );
  const tls = set.tls;
  assert.ok(tls);
  const alice = await tls.authority.client('alice');
  await set.createCertificateUser(alice, [{ role: 'backup', db: 'admin' }]);
  const uri = set.member(0).uri({ credentials: null, clientCertificateFile: alice.file });
  await using client = await new MongoClient(uri, { authMechanism: 'MONGODB-X509', authSource: '$external' }).connect();
  const { authInfo } = await client.db('admin').command({ connectionStatus: 1 });
  assert.equal(authInfo.authenticatedUsers, [{ user: alice.subject, db: '$external' }]);
});

test('a server keeps its data over a kill and a start', async () => {
  await using ground = await takeGround();
  await using mongod = await startMongod({ on: ground });
  {
    await using client = await mongod.client();
    await client
      .db('shop')
      .collection('orders')
      .insertOne({ item: 'lamp' }, { writeConcern: { w: 1, journal: true } });
  }
  await mongod.kill('SIGKILL');
  await mongod.start();
  await using client = await mongod.client();
  assert.is(await client.db('shop').collection('orders').countDocuments(), 1);
});

test('restic keeps a repository in the S3 service, and says so when the service is gone', async () => {
  await using ground = await takeGround();
  await using s3 = await startS3({ on: ground, buckets: ['one', 'two'] });
  const restic = await tool('restic');
  const env = {
    ...process.env,
    ...s3.env,
    RESTIC_PASSWORD: 'correct horse',
    RESTIC_REPOSITORY: s3.repository('shop/dumps', 'two'),
  };
  await execute(restic, ['init', '--no-cache'], { env });
  assert.ok((await readdir(join(s3.bucketFolder('two'), 'shop', 'dumps'))).includes('config'));

  s3.faults.refuse();
  const failed = await execute(
    restic,
    ['snapshots', '--no-cache', '--stuck-request-timeout', '5s', '--retry-lock', '0s'],
    {
      env,
      timeout: 3000,
    },
  ).catch((error: unknown) => error);
  assert.instance(failed, Error);
  s3.faults.pass();
  const { stdout } = await execute(restic, ['snapshots', '--no-cache', '--json'], { env });
  assert.equal(JSON.parse(stdout), []);
});

test('a commit is pushed over HTTP by whoever knows the password, and by nobody else', async () => {
  await using ground = await takeGround();
  await using server = await startGitServer({ on: ground, credentials: { username: 'ada', password: 'pa ss' } });
  const repository = await server.makeRepository('policies');
  const commit = await repository.commit(
    { 'shop/backup.yaml': 'kind: BackupConfiguration\n' },
    { message: 'Back up the shop' },
  );
  await repository.commit({ 'shop/backup.yaml': null, README: 'x'.repeat(2 << 20) }, { branch: 'next' });
  const { stdout } = await execute('git', ['--git-dir', repository.folder, 'log', '--format=%H %s', 'main']);
  assert.is(stdout.trim(), `${commit} Back up the shop`);
  const env = { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' };
  const refused = await execute('git', ['ls-remote', repository.url], { env }).catch((error: unknown) => error);
  assert.instance(refused, Error);
});

test('what is pushed to the Pushgateway is what it shows', async () => {
  await using ground = await takeGround();
  await using gateway = await startPushgateway({ on: ground });
  await fetch(`${gateway.url}/metrics/job/backup`, { method: 'PUT', body: 'lab_bytes 42\n' });
  assert.match(await gateway.metrics(), /lab_bytes\{instance="",job="backup"\} 42/);
});

test.run();
