import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupStorage, Repository } from '../../src/api/generated/types.ts';
import { planBackupStorage, type StorageWorld } from '../../src/operator/backupstorage/plan.ts';
import { judgeStorage } from '../../src/operator/storages.ts';
import {
  ago,
  conditionOf,
  jobOf,
  NOW,
  named,
  podOf,
  ready,
  repositoryObject,
  SETTINGS,
  storageObject,
  stored,
} from './plans.ts';
import { samples } from './samples.ts';

const test = suite('plan of a BackupStorage');
const unchecked: BackupStorage = stored(samples('shop').storage);
const storageWorld = (change: Partial<StorageWorld> = {}): StorageWorld => ({
  storage: unchecked,
  causes: [],
  secret: { state: 'present', version: '1' },
  jobs: [],
  pods: [],
  repositories: [],
  settings: SETTINGS,
  now: NOW,
  ...change,
});

/** The world after the Job that the plan wants has ended so. */
function storageAfter(result: Parameters<typeof podOf>[1], change: Partial<StorageWorld> = {}): StorageWorld {
  const asked = planBackupStorage(storageWorld(change)).create?.[0]?.object;
  const job = jobOf(
    unchecked,
    'storage',
    (result?.exitCode ?? 0) === 0 ? 'Complete' : 'Failed',
    asked?.metadata.annotations ?? {},
  );
  return storageWorld({ ...change, jobs: [job], pods: [podOf(job, result)] });
}

test('a storage is Reconciling from the first look on, while a Job reaches it', () => {
  const plan = planBackupStorage(storageWorld());
  assert.equal(named(plan.create), ['Job/storage-s3-1']);
  assert.equal(
    [
      conditionOf(plan.status, 'Ready')?.status,
      conditionOf(plan.status, 'Reconciling')?.status,
      plan.status?.observedGeneration,
    ],
    ['Unknown', 'True', 1],
  );
  assert.is(plan.hold, undefined, 'nothing outside the cluster waits for its deletion');
});

test('a storage that was reached is Ready, with its identity, and looked at again in half an hour', () => {
  const plan = planBackupStorage(storageAfter({ data: { storageID: 's-1' } }));
  assert.equal([plan.status?.phase, plan.status?.storageID, plan.status?.lastCheckTime], ['Ready', 's-1', ago(1)]);
  assert.is(plan.requeueAfterMs, 1_799_000);
  assert.equal(
    plan.events?.map(({ type }) => type),
    ['Normal'],
  );
});

test('the reason of a failure is that of the runner', () => {
  const plan = planBackupStorage(
    storageAfter({ exitCode: 1, code: 'BucketNotFound', message: 'bucket x does not exist' }),
  );
  assert.equal([plan.status?.phase, conditionOf(plan.status, 'Ready')?.reason], ['NotReady', 'BucketNotFound']);
  assert.is(plan.requeueAfterMs, 9000);
});

test('a missing Secret needs no Job to be found out', () => {
  const plan = planBackupStorage(
    storageWorld({ secret: { state: 'missing', reason: 'SecretNotFound', message: 'create it' } }),
  );
  assert.is(plan.create, undefined);
  assert.is(conditionOf(plan.status, 'Ready')?.reason, 'SecretNotFound');
  assert.is(plan.requeueAfterMs, 10_000);
  const long = { ...unchecked, status: { conditions: ready('False', 'SecretNotFound') } };
  assert.is(
    planBackupStorage(
      storageWorld({ storage: long, secret: { state: 'missing', reason: 'SecretNotFound', message: '' } }),
    ).requeueAfterMs,
    300_000,
  );
});

test('what was known stays known while it is looked at again', () => {
  const known = { ...unchecked, status: { conditions: ready('True', 'Reached'), phase: 'Ready' as const } };
  const plan = planBackupStorage(storageWorld({ storage: known }));
  assert.equal([plan.status?.phase, plan.create?.length, plan.events], ['Ready', 1, []]);
});

test('a changed spec, Secret or annotation is looked at, at once', () => {
  const done = storageAfter({ data: {} });
  assert.is(planBackupStorage(done).create, undefined);
  assert.is(planBackupStorage({ ...done, secret: { state: 'present', version: '2' } }).create?.length, 1);
  const asked = { ...unchecked, metadata: { ...unchecked.metadata, annotations: { 'backstay.dev/reconcile': 'x' } } };
  assert.is(planBackupStorage({ ...done, storage: asked }).create?.length, 1);
});

test('the repositories are listed by name with what they hold', () => {
  const repositories: Repository[] = ['b', 'a'].map((name) => ({
    ...repositoryObject(),
    metadata: { namespace: 'shop', name },
    status: { bytes: 5 },
  }));
  const { status } = planBackupStorage(storageWorld({ repositories }));
  assert.is(status?.totalBytes, 10);
  assert.equal(
    status?.repositories?.map(({ name }) => name),
    ['a', 'b'],
  );
});

test('an invalid storage is Stalled and left alone', () => {
  const plan = planBackupStorage(
    storageWorld({ causes: [{ field: 'spec.storage', reason: 'FieldValueInvalid', message: 'no' }] }),
  );
  assert.equal([conditionOf(plan.status, 'Stalled')?.status, plan.create, plan.apply], ['True', undefined, undefined]);
});

test('a storage is used as its policy says', () => {
  const reference = { namespace: 'shop', name: 's3' };
  const open = (from: 'All' | 'Selector'): BackupStorage => ({
    ...storageObject(),
    spec: {
      ...unchecked.spec,
      usagePolicy: {
        allowedNamespaces: { from, ...(from === 'Selector' ? { selector: { matchLabels: { a: 'b' } } } : {}) },
      },
    },
  });
  const reason = (...args: Parameters<typeof judgeStorage>): string => {
    const finding = judgeStorage(...args);
    return finding.usable ? 'usable' : finding.reason;
  };
  assert.is(reason(reference, 'shop', storageObject(), {}), 'usable');
  assert.is(reason(reference, 'other', storageObject(), {}), 'NotAllowed');
  assert.is(reason(reference, 'other', open('All'), undefined), 'usable');
  assert.is(reason(reference, 'other', open('Selector'), { a: 'b' }), 'usable');
  assert.is(reason(reference, 'other', open('Selector'), { a: 'c' }), 'NotAllowed');
  assert.is(reason(reference, 'other', open('Selector'), undefined), 'NotAllowed');
  assert.is(reason(reference, 'shop', undefined, {}), 'StorageNotFound');
  assert.is(reason(reference, 'shop', storageObject(ready('False', 'BackendDenied')), {}), 'StorageNotReady');
});
test.run();
