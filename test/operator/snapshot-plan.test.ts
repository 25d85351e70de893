import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Snapshot } from '../../src/api/generated/types.ts';
import { busyWith, planSnapshot, type SnapshotWorld } from '../../src/operator/snapshot/plan.ts';
import {
  ago,
  conditionOf,
  jobOf,
  NOW,
  repositoryObject,
  SETTINGS,
  sessionObject,
  snapshotObject,
  storageObject,
  WHOLE,
} from './plans.ts';

const test = suite('plan of a Snapshot');
const going = (name = 'a', status: Snapshot['status'] = { ...WHOLE, phase: 'Succeeded' }): Snapshot => {
  const snapshot = snapshotObject(name, status, { deletionPolicy: 'WipeOut' });
  return {
    ...snapshot,
    metadata: { ...snapshot.metadata, deletionTimestamp: ago(5), finalizers: ['backstay.dev/cleanup'] },
  };
};
const snapshotWorld = (change: Partial<SnapshotWorld> = {}): SnapshotWorld => ({
  snapshot: going(),
  repository: repositoryObject(),
  storage: { usable: true, storage: storageObject() },
  session: sessionObject(),
  jobs: [],
  pods: [],
  busy: undefined,
  settings: SETTINGS,
  now: NOW,
  ...change,
});

test('data that are to go hold their Snapshot, others do not', () => {
  assert.is(
    planSnapshot(snapshotWorld({ snapshot: snapshotObject('a', WHOLE, { deletionPolicy: 'WipeOut' }) })).hold,
    true,
  );
  assert.is(planSnapshot(snapshotWorld({ snapshot: snapshotObject('a', WHOLE) })).letGo, true);
});

test('the data are forgotten by a Job with the rights of the Repository', () => {
  const [job] = planSnapshot(snapshotWorld()).create ?? [];
  assert.is(job?.object.metadata.name, 'forget-a');
  assert.match(
    JSON.stringify(job?.object),
    /"serviceAccountName":"repository-orders".*"forget","--namespace","shop","--snapshot","a"/,
  );
});

const LET_GO: [string, Partial<SnapshotWorld>][] = [
  ['its Repository is gone', { repository: undefined }],
  [
    'its Repository goes too',
    { repository: { ...repositoryObject(), metadata: { ...repositoryObject().metadata, deletionTimestamp: ago(1) } } },
  ],
  ['its run failed before the first component', { snapshot: going('a', { phase: 'Failed' }) }],
  [
    'its data are gone',
    {
      jobs: [
        jobOf(going(), 'forget', 'Complete', {
          'backstay.dev/attempt': '1',
          'backstay.dev/fingerprint': going().metadata.uid ?? '',
        }),
      ],
    },
  ],
];
for (const [why, change] of LET_GO) {
  test(`a Snapshot goes when ${why}`, () => {
    assert.is(planSnapshot(snapshotWorld(change)).letGo, true);
  });
}

test('it waits while the repository is busy or cannot be reached, and says so', () => {
  const busy = planSnapshot(snapshotWorld({ busy: 'BackupSession run' }));
  assert.equal(
    [busy.create, busy.letGo, conditionOf(busy.status, 'Forgotten')?.reason],
    [undefined, undefined, 'Waiting'],
  );
  const lost = planSnapshot(
    snapshotWorld({ storage: { usable: false, storage: storageObject(), reason: 'StorageNotReady', message: 'x' } }),
  );
  assert.equal(
    [lost.create, conditionOf(lost.status, 'Forgotten')?.reason, lost.events?.length],
    [undefined, 'StorageNotReady', 1],
  );
});

test('one Snapshot of a repository is forgotten at a time, and none while a backup writes', () => {
  const a = going('a');
  const b = going('b');
  const nobody = { snapshots: [a, b], sessions: [], forgetJobs: [] };
  assert.is(busyWith(a, nobody), undefined);
  assert.is(busyWith(b, nobody), 'the removal of Snapshot a');
  assert.is(
    busyWith(a, { ...nobody, sessions: [sessionObject({ phase: 'Pending' })] }),
    'BackupSession run',
    'a backup that waits goes first',
  );
  assert.is(busyWith(a, { ...nobody, sessions: [sessionObject({ phase: 'Failed' })] }), undefined);
  assert.is(busyWith(a, { ...nobody, forgetJobs: [jobOf(b, 'forget')] }), 'Job forget-b');
  const stuck = {
    ...a,
    status: {
      conditions: [
        {
          type: 'Forgotten',
          status: 'False' as const,
          reason: 'BackendDenied',
          message: '',
          lastTransitionTime: ago(1),
        },
      ],
    },
  };
  assert.is(busyWith(b, { ...nobody, snapshots: [stuck, b] }), undefined, 'one that fails lets the others pass');
});

test('a Snapshot whose run was deleted before its end is failed', () => {
  assert.is(
    planSnapshot(snapshotWorld({ snapshot: snapshotObject('a', { phase: 'Running' }), session: undefined })).status
      ?.phase,
    'Failed',
  );
  assert.is(
    planSnapshot(snapshotWorld({ snapshot: snapshotObject('a', { ...WHOLE, phase: 'Succeeded' }), session: undefined }))
      .status,
    undefined,
  );
});
test.run();
