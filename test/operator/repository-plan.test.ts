import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupStorage, Repository, Snapshot } from '../../src/api/generated/types.ts';
import { planRepository, type RepositoryWorld } from '../../src/operator/repository/plan.ts';
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
  snapshotObject,
  storageObject,
} from './plans.ts';

const test = suite('plan of a Repository');
const unopened: Repository = { ...repositoryObject(), status: {} };
const repositoryWorld = (change: Partial<RepositoryWorld> = {}): RepositoryWorld => ({
  repository: unopened,
  causes: [],
  storage: { usable: true, storage: storageObject() },
  secret: { state: 'present', version: '1' },
  jobs: [],
  wipeJobs: [],
  pods: [],
  snapshots: [],
  elsewhere: { roles: [], bindings: [] },
  settings: SETTINGS,
  now: NOW,
  ...change,
});

test('a Repository waits for its storage without a Job', () => {
  const plan = planRepository(
    repositoryWorld({
      storage: { usable: false, storage: undefined, reason: 'StorageNotFound', message: 'create it' },
    }),
  );
  assert.equal([plan.create, conditionOf(plan.status, 'Ready')?.reason], [undefined, 'StorageNotFound']);
});

test('then it is opened, and again after the storage was lost and found', () => {
  const first = planRepository(repositoryWorld());
  assert.equal(named(first.create), ['Job/repository-orders-1']);
  const job = jobOf(unopened, 'repository', 'Complete', first.create?.[0]?.object.metadata.annotations ?? {});
  const done = repositoryWorld({ jobs: [job], pods: [podOf(job, { data: { resticID: 'r', created: true } })] });
  const opened = planRepository(done);
  assert.equal(
    [opened.status?.phase, opened.status?.resticID, opened.create, conditionOf(opened.status, 'Ready')?.reason],
    ['Ready', 'r', undefined, 'Created'],
  );
  const [was] = ready();
  assert.ok(was);
  const found: BackupStorage = { ...storageObject(), status: { conditions: [{ ...was, lastTransitionTime: ago(1) }] } };
  assert.is(planRepository({ ...done, storage: { usable: true, storage: found } }).create?.length, 1);
});

test('one that is paused is left alone', () => {
  const plan = planRepository(
    repositoryWorld({ repository: { ...unopened, spec: { ...unopened.spec, paused: true } } }),
  );
  assert.equal([plan.create, conditionOf(plan.status, 'Reconciling')?.reason], [undefined, 'Paused']);
});

test('good Snapshots are counted, the newest five of all are named', () => {
  const snapshots: Snapshot[] = [1, 2, 3, 4, 5, 6].map((n) =>
    snapshotObject(`s${n}`, {
      phase: n === 6 ? 'Running' : 'Succeeded',
      snapshotTime: ago(100 - n),
      addedBytes: 10,
      bytes: 100,
    }),
  );
  const { status } = planRepository(repositoryWorld({ snapshots }));
  assert.equal([status?.snapshotCount, status?.bytes, status?.lastBackupTime], [5, 50, ago(95)]);
  assert.equal(
    status?.recentSnapshots?.map(({ name, bytes }) => [name, bytes]),
    [
      ['s6', undefined],
      ['s5', 100],
      ['s4', 100],
      ['s3', 100],
      ['s2', 100],
    ],
  );
});

test('the finalizer is there only where something outside waits', () => {
  assert.is(planRepository(repositoryWorld()).hold, undefined);
  assert.is(
    planRepository(
      repositoryWorld({ repository: { ...unopened, spec: { ...unopened.spec, deletionPolicy: 'WipeOut' } } }),
    ).hold,
    true,
  );
  const elsewhere: BackupStorage = {
    ...storageObject(),
    metadata: { ...storageObject().metadata, namespace: 'vault' },
  };
  assert.is(planRepository(repositoryWorld({ storage: { usable: true, storage: elsewhere } })).hold, true);
});

test('its data are wiped out before it goes, unless they cannot be reached any more', () => {
  const going = {
    ...unopened,
    metadata: { ...unopened.metadata, deletionTimestamp: ago(1) },
    spec: { ...unopened.spec, deletionPolicy: 'WipeOut' as const },
  };
  const first = planRepository(repositoryWorld({ repository: going }));
  assert.equal([named(first.create), first.letGo], [['Job/forget-all-orders-1'], undefined]);
  const job = (end: 'Complete' | 'Failed') =>
    jobOf(going, 'forget', end, first.create?.[0]?.object.metadata.annotations ?? {});
  const failed = planRepository(
    repositoryWorld({
      repository: going,
      wipeJobs: [job('Failed')],
      pods: [podOf(job('Failed'), { exitCode: 1, code: 'BackendDenied', message: 'x' })],
    }),
  );
  assert.equal(
    [failed.letGo, conditionOf(failed.status, 'Ready')?.reason, failed.requeueAfterMs],
    [undefined, 'BackendDenied', 9000],
  );
  assert.is(planRepository(repositoryWorld({ repository: going, wipeJobs: [job('Complete')] })).letGo, true);
  const lost = planRepository(
    repositoryWorld({
      repository: going,
      storage: { usable: false, storage: undefined, reason: 'StorageNotFound', message: 'gone' },
    }),
  );
  assert.equal([lost.letGo, lost.events?.[0]?.reason], [true, 'NotWipedOut']);
});
test.run();
