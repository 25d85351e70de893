// needs: cluster
// time-limit: 290s
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RestoreSession } from '../../src/api/generated/types.ts';
import { API_VERSION } from '../../src/api/group.ts';
import { BackupConfigurations, RestoreSessions } from '../../src/api/kinds.ts';
import { CronJobs, Jobs, type Pod, Pods } from '../../src/kube/builtin.ts';
import { until } from '../lab/process.ts';
import { OperatorLab } from './lab.ts';
import { samples } from './samples.ts';

const test = suite('operator: restores');

function condition(
  object: { status?: { conditions?: { type: string; status: string; reason: string; message: string }[] } } | undefined,
  type: string,
) {
  return object?.status?.conditions?.find((each) => each.type === type);
}

async function withBackup(lab: OperatorLab): Promise<ReturnType<typeof samples>> {
  const all = samples(lab.namespace);
  await lab.apply(all.s3Secret, all.password, all.binding, all.storage, all.policy, all.configuration);
  await lab.trigger('one');
  await lab.phase('one', 'Succeeded');
  return all;
}

async function podOf(lab: OperatorLab, component: string): Promise<Pod> {
  return await until(`a Pod of a ${component} Job`, async () => {
    const pods = await lab.client.listAll(Pods, {
      namespace: lab.namespace,
      labelSelector: `app.kubernetes.io/component=${component}`,
    });
    return pods.find(({ status }) => status?.phase === 'Pending');
  });
}

function named(restore: RestoreSession, name: string): RestoreSession {
  return { ...restore, metadata: { ...restore.metadata, name } };
}

test('a restore takes the newest good Snapshot, and backups of its target rest while it runs', async () => {
  await using lab = await OperatorLab.start();
  const { restore } = await withBackup(lab);
  lab.play = (component) => (component === 'restore' || component === 'backup' ? { stay: true } : undefined);
  await lab.apply(restore);
  const running = await lab.restorePhase('again', 'Running');
  assert.is(running.status?.snapshot, 'orders-one');
  assert.is(running.status?.totalComponents, 1);
  assert.equal(running.status?.pausedBackups, [`${lab.namespace}/orders`]);
  const cron = { namespace: lab.namespace, name: 'trigger-orders-daily' };
  await until(
    'the schedule to rest',
    async () => (await lab.client.get(CronJobs, cron))?.spec.suspend === true || undefined,
  );
  await lab.trigger('meanwhile');
  assert.is(condition(await lab.phase('meanwhile', 'Skipped'), 'Failed')?.reason, 'RestoreRunning');

  await lab.endPod(await podOf(lab, 'restore'), {});
  const ended = await lab.restorePhase('again', 'Succeeded');
  assert.is(condition(ended, 'Complete')?.status, 'True');
  assert.is(ended.status?.pausedBackups, undefined);
  await until(
    'the schedule to go on',
    async () => (await lab.client.get(CronJobs, cron))?.spec.suspend === false || undefined,
  );
  const configuration = await lab.client.get(BackupConfigurations, { namespace: lab.namespace, name: 'orders' });
  assert.is(configuration?.spec.paused, undefined, 'the spec is left as its owner wrote it');

  // Once ended it is never started again.
  await lab.client.delete(
    Jobs,
    { namespace: lab.namespace, name: 'restore-again' },
    { propagationPolicy: 'Background' },
  );
  await lab.client.patch(
    RestoreSessions,
    { namespace: lab.namespace, name: 'again' },
    { metadata: { annotations: { 'backstay.dev/reconcile': '1' } } },
    { type: 'merge' },
  );
  await until('the Job to be gone', async () =>
    (await lab.client.get(Jobs, { namespace: lab.namespace, name: 'restore-again' })) === undefined ? true : undefined,
  );
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.is(await lab.client.get(Jobs, { namespace: lab.namespace, name: 'restore-again' }), undefined);
});

test('a restore waits for a backup that reads its target, and no other backup comes in between', async () => {
  await using lab = await OperatorLab.start();
  const { restore } = await withBackup(lab);
  lab.play = (component) => (component === 'restore' || component === 'backup' ? { stay: true } : undefined);
  await lab.trigger('busy');
  await lab.phase('busy', 'Running');
  await lab.apply(restore);
  await until('the restore to say what it waits for', async () => {
    const found = await lab.client.get(RestoreSessions, { namespace: lab.namespace, name: 'again' });
    return condition(found, 'Reconciling')?.reason === 'BackupRunning' || undefined;
  });
  const pod = await podOf(lab, 'backup');
  await lab.writeSnapshots(lab.namespace, 'busy');
  await lab.trigger('next');
  assert.match(
    condition(await lab.phase('next', 'Skipped'), 'Failed')?.reason ?? '',
    /AnotherSessionRunning|RestoreRunning/,
  );
  await lab.endPod(pod, {});
  const running = await lab.restorePhase('again', 'Running');
  assert.is(running.status?.snapshot, 'orders-busy');
});

test('of two restores into one target the second waits for the first', async () => {
  await using lab = await OperatorLab.start();
  const { restore } = await withBackup(lab);
  lab.play = (component) => (component === 'restore' ? { stay: true } : undefined);
  await lab.apply(named(restore, 'first'));
  await lab.restorePhase('first', 'Running');
  await lab.apply(named(restore, 'second'));
  await until('the second to say what it waits for', async () => {
    const found = await lab.client.get(RestoreSessions, { namespace: lab.namespace, name: 'second' });
    return condition(found, 'Reconciling')?.reason === 'AnotherSessionRunning' || undefined;
  });
  await lab.endPod(await podOf(lab, 'restore'), {
    exitCode: 4,
    code: 'TargetNotEmpty',
    message: 'shop.orders has documents',
    remedy: 'set spec.guards.existingData',
    retryable: false,
  });
  const failed = await lab.restorePhase('first', 'Failed');
  assert.is(condition(failed, 'Failed')?.reason, 'TargetNotEmpty');
  assert.match(condition(failed, 'Failed')?.message ?? '', /set spec.guards.existingData/);
  await lab.restorePhase('second', 'Running');
});

test('a restore whose parts are missing waits, says for what, and ends at its deadline', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  const waiting = { ...all.restore, spec: { ...all.restore.spec, restoreTimeout: '6s' } };
  await lab.apply(waiting);
  const first = await until('the restore to say what it waits for', async () => {
    const found = await lab.client.get(RestoreSessions, { namespace: lab.namespace, name: 'again' });
    return condition(found, 'Reconciling')?.reason === 'TargetNotFound' ? found : undefined;
  });
  assert.is(first.status?.phase, 'Pending');
  assert.is(first.status?.observedGeneration, first.metadata.generation);
  await lab.apply(all.binding);
  const ended = await lab.restorePhase('again', 'Failed');
  assert.is(condition(ended, 'Failed')?.reason, 'DeadlineExceeded');
  assert.match(condition(ended, 'Failed')?.message ?? '', /RepositoryNotFound/);
  assert.is(condition(ended, 'Stalled')?.status, 'True');
});

test('a Snapshot that failed, or a component that is not in it, ends the restore at once', async () => {
  await using lab = await OperatorLab.start();
  const { restore } = await withBackup(lab);
  const source = restore.spec.dataSource;
  await lab.apply({
    ...named(restore, 'part'),
    spec: { ...restore.spec, dataSource: { ...source, components: ['shard-9'] } },
  } as RestoreSession);
  const part = await lab.restorePhase('part', 'Failed');
  assert.match(condition(part, 'Failed')?.message ?? '', /orders-one has no component shard-9; it has dump/);
  lab.play = (component) => (component === 'backup' ? { exitCode: 1, code: 'DumpFailed', message: 'no' } : undefined);
  await lab.trigger('bad');
  await lab.phase('bad', 'Failed');
  await lab.apply({
    ...named(restore, 'bad'),
    apiVersion: API_VERSION,
    spec: { ...restore.spec, dataSource: { ...source, snapshot: 'orders-bad' } },
  } as RestoreSession);
  assert.match(condition(await lab.restorePhase('bad', 'Failed'), 'Failed')?.message ?? '', /orders-bad failed/);
});

test.run();
