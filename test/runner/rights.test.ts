// needs: cluster
// time-limit: 300s
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AppBindings, BackupConfigurations, BackupStorages, Repositories } from '../../src/api/kinds.ts';
import type { Component } from '../../src/api/labels.ts';
import { resolveTarget } from '../../src/api/references.ts';
import type { KubeObject, ResourceType } from '../../src/kube/resource.ts';
import {
  backupGrants,
  repositoryJobGrants,
  restoreGrants,
  storageJobGrants,
  triggerGrants,
} from '../../src/operator/access/grants.ts';
import { type Grant, planAccess } from '../../src/operator/access/plan.ts';
import { type Mongod, startMongod } from '../lab/mongod.ts';
import { type ReplicaSet, startReplicaSet } from '../lab/replica-set.ts';
import { fill, hashOf, openScene, type Scene } from './scene.ts';

const test = suite('the rights of Jobs');

let scene: Scene;
let set: ReplicaSet;
let target: Mongod;
let session: string;

test.before(async () => {
  scene = await openScene();
  set = await startReplicaSet({ on: scene.ground, members: 1, auth: true, tls: { clientCertificateRequired: true } });
  target = await startMongod({ on: scene.ground });
  const { tls } = set;
  assert.ok(tls);
  const alice = await tls.authority.client('alice');
  const roles = ['backup', 'clusterMonitor', 'hostManager'].map((role) => ({ role, db: 'admin' }));
  await set.createCertificateUser(alice, roles);
  await using client = await set.client();
  await fill(client, 'shop', 3);
  await scene.secret('alice', { 'tls.crt': alice.certificate, 'tls.key': alice.key });
  await scene.binding('orders', {
    clientConfig: {
      url: `mongodb://${set.member(0).address}/?replicaSet=rs0`,
      caBundle: Buffer.from(tls.authority.certificate).toString('base64'),
    },
    tlsSecret: { name: 'alice' },
  });
  await scene.binding('empty', { clientConfig: { url: `mongodb://${target.address}` } });
  await scene.repository('bucket', 'main');
  await scene.made('bucket');
  await scene.configuration('orders', 'orders', ['bucket']);
});

test.after(async () => {
  await scene[Symbol.asyncDispose]();
});

async function read<T extends KubeObject>(type: ResourceType<T>, name: string): Promise<T> {
  const object = await scene.client.get(type, { namespace: scene.namespace, name });
  assert.ok(object, `there is no ${type.kind} ${name}`);
  return object as T;
}

/** A kubeconfig for a service account with exactly the grants. */
async function accountWith(component: Component, owner: KubeObject, grants: Grant[]): Promise<Record<string, string>> {
  const { namespace, lab } = scene;
  const { apiVersion, kind, metadata } = owner;
  const reference = { apiVersion, kind, name: metadata.name ?? '', uid: metadata.uid ?? '' };
  const access = planAccess({ name: `${component}-job`, namespace, component, owner: reference, grants });
  await lab.apply([access.serviceAccount, ...access.roles, ...access.bindings]);
  const token = await lab.tokenFor(namespace, `${component}-job`);
  const path = join(scene.ground.folder, `kubeconfig-${component}`);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'lab', cluster: { server: lab.server, 'certificate-authority': lab.caFile } }],
    users: [{ name: 'job', user: { token } }],
    contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'job' } }],
    'current-context': 'lab',
  };
  await writeFile(path, JSON.stringify(config), { mode: 0o600 });
  return { KUBECONFIG: path };
}

test('a storage and a repository are looked after with what the operator grants', async () => {
  const storage = await read(BackupStorages, 'main');
  const ofStorage = await accountWith('storage', storage, storageJobGrants(storage));
  const reached = await scene.run(['storage', '--name', 'main'], ofStorage);
  assert.is(reached.exitCode, 0, reached.output);
  const repository = await read(Repositories, 'bucket');
  const ofRepository = await accountWith('repository', repository, repositoryJobGrants(repository, storage, true));
  const made = await scene.run(['repository', '--name', 'bucket'], ofRepository);
  assert.is(made.exitCode, 0, made.output);
});

test('a session is triggered with what the operator grants', async () => {
  const configuration = await read(BackupConfigurations, 'orders');
  const account = await accountWith('trigger', configuration, triggerGrants(scene.namespace, 'orders'));
  const { exitCode, output } = await scene.run(['trigger', '--configuration', 'orders', '--session', 'daily'], account);
  assert.is(exitCode, 0, output);
});

test('a backup over TLS by the holder of a certificate needs no more than the operator grants', async () => {
  const configuration = await read(BackupConfigurations, 'orders');
  const [repository, storage] = [await read(Repositories, 'bucket'), await read(BackupStorages, 'main')];
  const binding = await read(AppBindings, 'orders');
  const finding = {
    target: resolveTarget(configuration.spec.target, scene.namespace),
    found: true,
    missing: '',
    secrets: [binding.spec.tlsSecret?.name ?? ''],
  };
  const grants = backupGrants({
    namespace: scene.namespace,
    configuration: 'orders',
    target: finding,
    repositories: [{ repository, storage }],
  });
  const account = await accountWith('backup', configuration, grants);
  session = await scene.session('orders', ['bucket']);
  const { exitCode, output } = await scene.run(['backup', '--session', session], account);
  assert.is(exitCode, 0, output);
  const [component] = (await scene.snapshot('bucket', session)).status?.components ?? [];
  assert.is(component?.consistency, 'snapshot', 'the only member of a set is not locked');
  assert.match(component?.consistencyReason ?? '', /not locked/);
  const released = await scene.run(['release', '--session', session], account);
  assert.is(released.exitCode, 0, released.output);
});

test('a restore needs no more than the operator grants', async () => {
  const [repository, storage] = [await read(Repositories, 'bucket'), await read(BackupStorages, 'main')];
  const snapshot = (await scene.snapshot('bucket', session)).metadata.name;
  await scene.restoreSession('drill', { target: { name: 'empty' }, dataSource: { repository: 'bucket' } }, snapshot);
  const grants = restoreGrants({
    namespace: scene.namespace,
    restoreSession: 'drill',
    target: {
      target: resolveTarget({ name: 'empty' }, scene.namespace),
      found: true,
      missing: '',
      secrets: [],
    },
    repository,
    storage,
  });
  const account = await accountWith('restore', await scene.restored('drill'), grants);
  const { exitCode, output } = await scene.run(['restore', '--session', 'drill'], account);
  assert.is(exitCode, 0, output);
  await using from = await set.client();
  await using to = await target.client();
  assert.equal(await hashOf(to, 'shop'), await hashOf(from, 'shop'));
});

test('the data of a Snapshot is forgotten with what the operator grants', async () => {
  const [repository, storage] = [await read(Repositories, 'bucket'), await read(BackupStorages, 'main')];
  const account = await accountWith('forget', repository, repositoryJobGrants(repository, storage, true));
  const snapshot = (await scene.snapshot('bucket', session)).metadata.name ?? '';
  const { exitCode, result, output } = await scene.run(['forget', '--snapshot', snapshot], account);
  assert.is(exitCode, 0, output);
  assert.is(result?.data.removed, 2);
});

test.run();
