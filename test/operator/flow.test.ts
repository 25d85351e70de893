// needs: cluster
// time-limit: 400s
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupConfiguration } from '../../src/api/generated/types.ts';
import {
  BackupConfigurations,
  BackupSessions,
  BackupStorages,
  KINDS,
  Repositories,
  Snapshots,
} from '../../src/api/kinds.ts';
import { CronJobs, Jobs, Pods, RoleBindings, Roles, ServiceAccounts } from '../../src/kube/builtin.ts';
import type { KubeObject, ResourceType } from '../../src/kube/resource.ts';
import { until } from '../lab/process.ts';
import { OperatorLab } from './lab.ts';
import { samples } from './samples.ts';

const test = suite('operator: backups');

async function ready(lab: OperatorLab, name = 'orders'): Promise<BackupConfiguration> {
  return await until(
    `BackupConfiguration ${name} to be Ready`,
    async () => {
      const configuration = await lab.client.get(BackupConfigurations, { namespace: lab.namespace, name });
      return configuration?.status?.phase === 'Ready' ? configuration : undefined;
    },
    { timeoutMs: 20_000 },
  );
}

function condition(
  object: { status?: { conditions?: { type: string; status: string; reason: string; message: string }[] } } | undefined,
  type: string,
) {
  return object?.status?.conditions?.find((each) => each.type === type);
}

async function everything(lab: OperatorLab): Promise<Map<string, string>> {
  const types: ResourceType[] = [
    ...Object.values(KINDS).filter(({ namespaced }) => namespaced),
    Jobs,
    CronJobs,
    Pods,
    Roles,
    RoleBindings,
    ServiceAccounts,
  ];
  const versions = new Map<string, string>();
  for (const type of types) {
    for (const { metadata } of await lab.client.listAll<KubeObject>(type, { namespace: lab.namespace })) {
      versions.set(`${type.kind}/${metadata.name}`, metadata.resourceVersion ?? '');
    }
  }
  return versions;
}

test('objects may come in any order, and a settled cluster is left alone', async () => {
  await using lab = await OperatorLab.start();
  const { configuration, policy, storage, password, binding, s3Secret } = samples(lab.namespace);
  for (const object of [configuration, policy, storage, password, binding, s3Secret]) {
    await lab.apply(object);
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  const { status, metadata } = await ready(lab);
  assert.is(status?.observedGeneration, metadata.generation);
  assert.is(status?.targetFound, true);
  assert.is(status?.sessions?.[0]?.cronJob, 'trigger-orders-daily');
  const cron = await lab.client.get(CronJobs, { namespace: lab.namespace, name: 'trigger-orders-daily' });
  assert.is(cron?.spec.schedule, '0 3 * * *');
  assert.is(cron?.spec.startingDeadlineSeconds, 86_400);

  await lab.trigger('one');
  const session = await lab.phase('one', 'Succeeded');
  assert.equal(session.status?.snapshots, [
    { name: 'orders-one', repository: 'orders', phase: 'Succeeded', bytes: 1000, addedBytes: 100 },
  ]);
  assert.is(condition(session, 'Complete')?.status, 'True');
  await until('the counts to arrive', async () => {
    const repository = await lab.client.get(Repositories, { namespace: lab.namespace, name: 'orders' });
    const found = await lab.client.get(BackupStorages, { namespace: lab.namespace, name: 's3' });
    return repository?.status?.snapshotCount === 1 && found?.status?.totalBytes === 100 ? true : undefined;
  });
  let before = await everything(lab);
  await until('everything to rest for two seconds', async () => {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const after = await everything(lab);
    const same = JSON.stringify([...after]) === JSON.stringify([...before]);
    before = after;
    return same ? true : undefined;
  });
  // A new operator finds nothing to do either.
  await lab.stopOperator();
  await lab.startOperator();
  await new Promise((resolve) => setTimeout(resolve, 4000));
  assert.equal([...(await everything(lab))], [...before]);
});

test('generated objects that somebody deletes or changes come back, and a session that goes takes its CronJob along', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  const { configuration } = all;
  const [daily] = configuration.spec.sessions;
  if (daily === undefined) throw new Error('the sample has a session');
  const hourly = { ...daily, name: 'hourly', scheduler: { schedule: '0 * * * *' } };
  await lab.apply(all.s3Secret, all.password, all.binding, all.storage, all.policy, {
    ...configuration,
    spec: { ...configuration.spec, sessions: [daily, hourly] },
  } as BackupConfiguration);
  await ready(lab);
  const { namespace } = lab;
  const generated: [ResourceType, string][] = [
    [CronJobs, 'trigger-orders-daily'],
    [Repositories, 'orders'],
    [ServiceAccounts, 'backup-orders'],
    [Roles, 'backup-orders'],
    [RoleBindings, 'trigger-orders'],
    [Roles, 'storage-s3'],
  ];
  for (const [type, name] of generated) {
    const uid = (await lab.client.get(type, { namespace, name }))?.metadata.uid;
    await lab.client.delete(type, { namespace, name });
    await until(`${type.kind} ${name} to come back`, async () => {
      const found = await lab.client.get(type, { namespace, name });
      return found !== undefined && found.metadata.uid !== uid ? true : undefined;
    });
  }
  await lab.client.patch(
    CronJobs,
    { namespace, name: 'trigger-orders-hourly' },
    { spec: { schedule: '1 1 1 1 *' } },
    { type: 'merge', fieldManager: 'somebody' },
  );
  await until(
    'the schedule to be mended',
    async () =>
      (await lab.client.get(CronJobs, { namespace, name: 'trigger-orders-hourly' }))?.spec.schedule === '0 * * * *' ||
      undefined,
  );

  await lab.apply(configuration);
  await until(
    'the CronJob of the removed session to go',
    async () =>
      (await lab.client.get(CronJobs, { namespace, name: 'trigger-orders-hourly' })) === undefined || undefined,
  );
});

test("somebody else's CronJob of the same name is neither changed nor adopted, and the configuration says so", async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  const { namespace } = lab;
  const template = { spec: { restartPolicy: 'Never' as const, containers: [{ name: 'c', image: 'busybox' }] } };
  const foreign = await lab.client.create(CronJobs, {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { namespace, name: 'trigger-orders-daily' },
    spec: { schedule: '5 5 * * *', suspend: true, jobTemplate: { spec: { template } } },
  });
  await lab.apply(all.s3Secret, all.password, all.binding, all.storage, all.policy, all.configuration);
  const refused = await until('the refusal to be shown', async () => {
    const found = await lab.client.get(BackupConfigurations, { namespace, name: 'orders' });
    return condition(found, 'Ready')?.reason === 'NameTaken' ? found : undefined;
  });
  assert.match(
    condition(refused, 'Ready')?.message ?? '',
    /trigger-orders-daily exists and is not Backstay's; rename or delete it/,
  );
  const after = await lab.client.get(CronJobs, { namespace, name: 'trigger-orders-daily' });
  assert.is(after?.metadata.resourceVersion, foreign.metadata.resourceVersion);
});

test('a missing Secret is named with what to do, and its creation is noticed', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  await lab.apply(all.storage);
  const ref = { namespace: lab.namespace, name: 's3' };
  const broken = await until('the storage to be judged', async () => {
    const storage = await lab.client.get(BackupStorages, ref);
    return condition(storage, 'Ready')?.status === 'False' ? storage : undefined;
  });
  assert.is(condition(broken, 'Ready')?.reason, 'SecretNotFound');
  assert.match(
    condition(broken, 'Ready')?.message ?? '',
    /Secret .*\/s3 does not exist; create it with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/,
  );
  assert.is((await lab.client.listAll(Jobs, { namespace: lab.namespace })).length, 0);
  await lab.apply({ ...all.s3Secret, data: { AWS_ACCESS_KEY_ID: 'YQ==' } } as KubeObject);
  await lab.client.patch(
    BackupStorages,
    ref,
    { metadata: { annotations: { 'backstay.dev/reconcile': '1' } } },
    { type: 'merge' },
  );
  await until(
    'the missing key to be named',
    async () =>
      condition(await lab.client.get(BackupStorages, ref), 'Ready')?.reason === 'SecretKeyMissing' || undefined,
  );
  await lab.apply(all.s3Secret);
  const mended = await until('the storage to recover by itself', async () => {
    const storage = await lab.client.get(BackupStorages, ref);
    return storage?.status?.phase === 'Ready' ? storage : undefined;
  });
  assert.is(mended.status?.storageID, 'storage-1');
});

test('a storage that cannot be reached is tried again until it can', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  let tries = 0;
  lab.play = (component) =>
    component === 'storage' && ++tries < 2
      ? { exitCode: 1, code: 'BackendUnreachable', message: 'no route to 127.0.0.1', remedy: 'check the endpoint' }
      : undefined;
  await lab.apply(all.s3Secret, all.storage);
  const ref = { namespace: lab.namespace, name: 's3' };
  await until(
    'the failure to be shown',
    async () =>
      condition(await lab.client.get(BackupStorages, ref), 'Ready')?.reason === 'BackendUnreachable' || undefined,
  );
  await until(
    'the storage to recover',
    async () => (await lab.client.get(BackupStorages, ref))?.status?.phase === 'Ready' || undefined,
    { timeoutMs: 30_000 },
  );
  assert.is(tries, 2);
  assert.is(
    (await lab.client.listAll(Jobs, { namespace: lab.namespace })).length,
    1,
    'the Job of the failed try is removed',
  );
});

test('an operator that is stopped in the middle of a session goes on with it when it is back', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  await lab.apply(all.s3Secret, all.password, all.binding, all.storage, all.policy, all.configuration);
  await ready(lab);
  lab.play = (component) => (component === 'backup' ? { stay: true } : undefined);
  await lab.trigger('long');
  await lab.phase('long', 'Running');
  await lab.stopOperator();
  const [pod] = await lab.client.listAll(Pods, {
    namespace: lab.namespace,
    labelSelector: 'app.kubernetes.io/component=backup',
  });
  assert.ok(pod);
  await lab.writeSnapshots(lab.namespace, 'long');
  await lab.endPod(pod, {});
  await lab.startOperator();
  await lab.phase('long', 'Succeeded');
  const jobs = await lab.client.listAll(Jobs, {
    namespace: lab.namespace,
    labelSelector: 'app.kubernetes.io/component=backup',
  });
  assert.is(jobs.length, 1, 'nothing is started twice');
});

test('a run always ends: its Job deleted, out of memory, past its deadline, without a manifest', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  await lab.apply(all.s3Secret, all.password, all.binding, all.storage, all.policy, all.configuration);
  await ready(lab);
  const { namespace } = lab;

  lab.play = (component) => (component === 'backup' ? { stay: true } : undefined);
  await lab.trigger('deleted');
  await lab.phase('deleted', 'Running');
  await lab.client.delete(Jobs, { namespace, name: 'backup-deleted' }, { propagationPolicy: 'Background' });
  assert.is(condition(await lab.phase('deleted', 'Failed'), 'Failed')?.reason, 'JobDisappeared');

  await lab.trigger('late', 'daily', 'orders', { backupTimeout: '7s' });
  const late = await lab.phase('late', 'Failed');
  assert.is(condition(late, 'Failed')?.reason, 'DeadlineExceeded');
  assert.ok((late.status?.durationSeconds ?? 0) <= 8);

  lab.play = (component) => (component === 'backup' ? { exitCode: 137, reason: 'OOMKilled' } : undefined);
  await lab.trigger('large');
  const large = await lab.phase('large', 'Failed');
  assert.is(condition(large, 'Failed')?.reason, 'RunnerKilled');
  assert.match(condition(large, 'Failed')?.message ?? '', /OOMKilled.*raise resources.limits.memory/);
  assert.is(condition(large, 'Stalled')?.status, 'True', 'whoever waits for it need not wait longer');

  lab.play = (component) => (component === 'backup' ? {} : undefined);
  await lab.trigger('hollow');
  assert.is(condition(await lab.phase('hollow', 'Failed'), 'Failed')?.reason, 'SnapshotIncomplete');
  const snapshot = await lab.client.get(Snapshots, { namespace, name: 'orders-hollow' });
  assert.is(snapshot?.status?.phase, 'Failed');
  await until('the configuration to tell of the failure and stay Ready', async () => {
    const configuration = await lab.client.get(BackupConfigurations, { namespace, name: 'orders' });
    return condition(configuration, 'LastBackupSucceeded')?.status === 'False' &&
      configuration?.status?.phase === 'Ready'
      ? true
      : undefined;
  });
});

test('of two sessions at once one runs and the other says why it did not', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  await lab.apply(all.s3Secret, all.password, all.binding, all.storage, all.policy, all.configuration);
  await ready(lab);
  lab.play = (component) => (component === 'backup' ? { stay: true } : undefined);
  await Promise.all(['a', 'b', 'c'].map((name) => lab.trigger(name)));
  const phases = await until('all to be decided', async () => {
    const sessions = await Promise.all(['a', 'b', 'c'].map((name) => lab.session(name)));
    const found = sessions.map((session) => session?.status?.phase ?? 'Pending');
    return found.includes('Pending') ? undefined : found.sort();
  });
  assert.equal(phases, ['Running', 'Skipped', 'Skipped']);
  const skipped = (await lab.client.listAll(BackupSessions, { namespace: lab.namespace })).find(
    ({ status }) => status?.phase === 'Skipped',
  );
  assert.is(condition(skipped, 'Failed')?.reason, 'AnotherSessionRunning');
});

test('a failed session is tried again as often as its configuration says', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  const [daily] = all.configuration.spec.sessions;
  if (daily === undefined) throw new Error('the sample has a session');
  daily.retryConfig = { maxRetry: 2, delay: '1s' };
  await lab.apply(all.s3Secret, all.password, all.binding, all.storage, all.policy, all.configuration);
  await ready(lab);
  let runs = 0;
  lab.play = (component) =>
    component === 'backup' && ++runs < 3 ? { exitCode: 1, code: 'DumpFailed', message: 'no' } : undefined;
  await lab.trigger('try');
  await lab.phase('try-retry-1', 'Failed');
  await lab.phase('try-retry-0', 'Succeeded');
  assert.is((await lab.session('try'))?.status?.retried, true);
  runs = -10;
  lab.play = (component) =>
    component === 'backup' ? { exitCode: 3, code: 'WrongPassword', message: 'no', retryable: false } : undefined;
  await lab.trigger('hopeless');
  const hopeless = await lab.phase('hopeless', 'Failed');
  assert.is(hopeless.status?.nextRetry, undefined, 'what a retry cannot mend is not tried again');
});

test('a session of a configuration that cannot back up fails with the reason, and a paused one is skipped', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  await lab.apply(all.s3Secret, all.password, all.storage, all.policy, {
    ...all.configuration,
    spec: { ...all.configuration.spec, paused: true },
  } as BackupConfiguration);
  await until(
    'the schedule to rest',
    async () =>
      (await lab.client.get(CronJobs, { namespace: lab.namespace, name: 'trigger-orders-daily' }))?.spec.suspend ===
        true || undefined,
  );
  await lab.trigger('paused');
  assert.is(condition(await lab.phase('paused', 'Skipped'), 'Failed')?.reason, 'Paused');
  await lab.apply(all.configuration);
  await lab.trigger('early');
  const waiting = await until('the session to say what it waits for', async () => {
    const session = await lab.session('early');
    return condition(session, 'Reconciling')?.reason === 'ConfigurationNotReady' ? session : undefined;
  });
  assert.match(
    condition(waiting, 'Reconciling')?.message ?? '',
    /TargetNotFound: AppBinding .*\/orders of backstay.dev does not exist/,
  );
  await lab.apply(all.binding);
  await lab.phase('early', 'Succeeded');
});

test('invalid objects are not acted upon although no webhook was there', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  const [daily] = all.configuration.spec.sessions;
  if (daily === undefined) throw new Error('the sample has a session');
  daily.scheduler.schedule = '0 25 * * *';
  await lab.apply(all.configuration);
  const invalid = await until('the configuration to be judged', async () => {
    const found = await lab.client.get(BackupConfigurations, { namespace: lab.namespace, name: 'orders' });
    return found?.status?.phase === 'Invalid' ? found : undefined;
  });
  assert.is(condition(invalid, 'Stalled')?.status, 'True');
  assert.match(condition(invalid, 'Ready')?.message ?? '', /spec.sessions\[0\].scheduler.schedule: .*hour/);
  assert.is((await lab.client.listAll(CronJobs, { namespace: lab.namespace })).length, 0);
});

test.run();
