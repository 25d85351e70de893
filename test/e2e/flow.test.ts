// needs: own cluster
// time-limit: 600s
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Document, MongoClient } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MARKER_FOLDER } from '../../src/api/rules/places.ts';
import { createBackupUser, dbHash } from '../lab/demo/database.ts';
import { isReady } from '../lab/demo/follow.ts';
import { takeGround } from '../lab/ground.ts';
import { installBackstay } from '../lab/install.ts';
import { startKubernetes } from '../lab/kubernetes.ts';
import { startMongod } from '../lab/mongod.ts';
import { startReplicaSet } from '../lab/replica-set.ts';
import { letAllWrite, makeRepository } from '../lab/restic.ts';
import { startS3 } from '../lab/s3.ts';
import { POINTS } from './chaos/points.ts';
import { playRound } from './chaos/round.ts';
import { raiseScene, type Scene } from './chaos/scene.ts';
import { isOver, objectsIn } from './cluster.ts';
import { bindingOf, configurationOf, namespaceOf, restoreOf, secretOf, storageOf } from './policy.ts';

const PASSWORD = 'p@ss:w/rd%#';

const flow = suite('a backup in the cluster, from policy to restored database');

const ground = await takeGround();
const [cluster, set, single, s3] = await Promise.all([
  startKubernetes({ on: ground }),
  startReplicaSet({ on: ground, members: 3, auth: true, tls: true }),
  startMongod({ on: ground }),
  startS3({ on: ground }),
]);
await Promise.all([installBackstay(cluster), createBackupUser(set, PASSWORD)]);
const client = await set.client();
const direct = new MongoClient(single.uri());

let scene: Scene | undefined;

flow.after(async () => {
  await Promise.allSettled([client.close(), direct.close(), scene?.[Symbol.asyncDispose]()]);
  await ground.stop();
});

const SECURE = 'secure';
const secure = objectsIn(cluster, SECURE);

flow('a replica set with TLS and authentication is backed up to S3 and restored', async () => {
  const shop = client.db('shop');
  await shop
    .collection<Document>('items')
    .insertMany(Array.from({ length: 5000 }, (_, n) => ({ n, text: `item ${n}` })));
  await shop.collection('items').createIndex({ n: -1 });
  const before = await dbHash(shop);
  await cluster.apply([
    {
      ...namespaceOf(SECURE),
      metadata: { name: SECURE, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    },
    secretOf(SECURE, 's3', { AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey }),
    secretOf(SECURE, 'restic-password', { RESTIC_PASSWORD: 'secret' }),
    secretOf(SECURE, 'auth', { username: 'backstay', password: PASSWORD }),
    storageOf(SECURE, 's3', {
      provider: 's3',
      s3: { endpoint: s3.endpoint, bucket: 'backups', region: s3.region, secretName: 's3' },
    }),
    bindingOf(SECURE, 'orders', {
      clientConfig: {
        url: `mongodb://${set.members.map((member) => new URL(member.uri()).host).join(',')}/?replicaSet=${set.name}`,
        caBundle: (await readFile(set.tls?.authority.file ?? '')).toString('base64'),
      },
      secret: { name: 'auth' },
    }),
    configurationOf(SECURE, 'orders', 's3'),
  ]);
  await secure.when('BackupConfiguration', 'orders', isReady);
  await secure.trigger('orders', 'nightly', 'first');
  assert.is((await secure.ended('first')).status?.phase, 'Succeeded');
  const [snapshot] = await secure.list('Snapshot');
  const component = snapshot?.status?.components?.[0];
  assert.is(snapshot?.status?.phase, 'Succeeded');
  assert.is(component?.consistency, 'lock');
  const secondaries = (await set.secondaries()).map((member) => new URL(member.uri()).host);
  assert.ok(secondaries.includes(component?.member ?? ''), `${component?.member} is a secondary`);
  await shop.dropDatabase({ writeConcern: { w: 'majority' } });
  await cluster.apply([restoreOf(SECURE, 'back', 'orders')]);
  const restore = await secure.when('RestoreSession', 'back', ({ status }) => isOver(status?.phase), 90_000);
  assert.is(restore.status?.phase, 'Succeeded', JSON.stringify(restore.status?.conditions));
  assert.is(await dbHash(shop), before);
});

flow('a standalone is backed up to a volume and restored', async () => {
  const namespace = 'plain';
  const plain = objectsIn(cluster, namespace);
  await direct.connect();
  const notes = direct.db('notes');
  await notes.collection<Document>('notes').insertMany(Array.from({ length: 1000 }, (_, n) => ({ n })));
  const before = await dbHash(notes);
  const folder = await ground.subfolder('volume');
  // Made as by another installation, with keys that cost little: a storage and a repository that are there already are taken as they are.
  await makeRepository(join(folder, MARKER_FOLDER), 'backstay');
  await makeRepository(join(folder, namespace, 'notes'), 'secret');
  await letAllWrite(folder);
  await cluster.apply([
    namespaceOf(namespace),
    secretOf(namespace, 'restic-password', { RESTIC_PASSWORD: 'secret' }),
    storageOf(namespace, 'disk', { provider: 'local', local: { hostPath: { path: folder } } }),
    bindingOf(namespace, 'notes', { clientConfig: { url: single.uri() } }),
    configurationOf(namespace, 'notes', 'disk'),
  ]);
  await plain.when('BackupConfiguration', 'notes', isReady);
  await plain.trigger('notes', 'nightly', 'first');
  assert.is((await plain.ended('first')).status?.phase, 'Succeeded');
  await notes.dropDatabase();
  await cluster.apply([restoreOf(namespace, 'back', 'notes')]);
  const restore = await plain.when('RestoreSession', 'back', ({ status }) => isOver(status?.phase), 90_000);
  assert.is(restore.status?.phase, 'Succeeded', JSON.stringify(restore.status?.conditions));
  assert.is(await dbHash(notes), before);
});

// Three of the rounds of `npm run chaos`. The turn says how the runner is killed, and an odd one that the next session does not wait.
for (const { victim, message, component, turn } of [
  { victim: 'operator', message: 'member locked', component: 'configserver', turn: 2 },
  { victim: 'both', message: 'member locked', component: 'sh1', turn: 5 },
  { victim: 'mongod', message: 'member locked', component: 'sh0', turn: 0 },
] as const) {
  flow(`nothing is left behind, and the next session works, when after "${message}" ${victim} died`, async () => {
    scene ??= await raiseScene(ground, cluster);
    const point = POINTS.find((one) => one.message === message && one.component === component);
    assert.ok(point);
    const { killed, ended, problems } = await playRound(scene, victim, point, turn);
    assert.equal(problems, [], killed);
    assert.match(ended, victim === 'operator' ? /^Succeeded/ : /^Failed: \w+$/);
  });
}

flow.run();
