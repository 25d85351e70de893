import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RestoreSession } from '../../src/api/generated/types.ts';
import { chooseSnapshot } from '../../src/operator/restoresession/choice.ts';
import { planRestoreSession } from '../../src/operator/restoresession/plan.ts';
import type { RestoreWorld } from '../../src/operator/restoresession/world.ts';
import {
  ADDON,
  ago,
  around,
  conditionOf,
  FUNCTION,
  jobOf,
  NOW,
  named,
  podOf,
  repositoryObject,
  SETTINGS,
  snapshotObject,
  storageObject,
  stored,
  WHOLE,
} from './plans.ts';
import { samples } from './samples.ts';

const test = suite('plan of a RestoreSession');
const restore: RestoreSession = stored(samples('shop').restore);
const restoreWorld = (change: Partial<RestoreWorld> = {}): RestoreWorld => ({
  restore,
  causes: [],
  target: around().target,
  repository: repositoryObject(),
  storage: { usable: true, storage: storageObject() },
  secret: { state: 'unneeded' },
  snapshots: [snapshotObject('s', { ...WHOLE, phase: 'Succeeded', snapshotTime: ago(9) })],
  findAddon: () => ADDON,
  findFunction: () => FUNCTION,
  namespaceLabels: {},
  rival: undefined,
  unreleased: undefined,
  configurations: ['shop/orders'],
  job: undefined,
  pods: [],
  elsewhere: { roles: [], bindings: [] },
  settings: SETTINGS,
  now: NOW,
  ...change,
});
const at_ = (change: Partial<RestoreWorld>): [string | undefined, string | undefined] => {
  const { status } = planRestoreSession(restoreWorld(change));
  return [status?.phase, conditionOf(status, status?.phase === 'Pending' ? 'Reconciling' : 'Failed')?.reason];
};
const begun = {
  ...restore,
  status: { phase: 'Running' as const, job: 'restore-again', startTime: ago(60), restoreDeadline: ago(-60) },
};

test('a restore starts with its rights before its Job', () => {
  const plan = planRestoreSession(restoreWorld());
  assert.equal(
    [named(plan.create), plan.status?.phase, plan.status?.snapshot, plan.status?.pausedBackups],
    [['Job/restore-again'], 'Running', 's', ['shop/orders']],
  );
  assert.equal(named(plan.apply), ['ServiceAccount/restore-again', 'Role/restore-again', 'RoleBinding/restore-again']);
  assert.is(plan.hold, false);
});

const RESTORES: [string, Partial<RestoreWorld>, string, string][] = [
  [
    'without its target waits',
    { target: { ...around().target, found: false, missing: 'x' } },
    'Pending',
    'TargetNotFound',
  ],
  ['without its Repository waits', { repository: undefined, storage: undefined }, 'Pending', 'RepositoryNotFound'],
  ['without a Snapshot waits', { snapshots: [] }, 'Pending', 'SnapshotNotFound'],
  [
    'whose storage is not ready waits',
    { storage: { usable: false, storage: storageObject(), reason: 'StorageNotReady', message: 'x' } },
    'Pending',
    'StorageNotReady',
  ],
  ['waits for a backup', { rival: { kind: 'BackupSession', name: 'shop/b' } }, 'Pending', 'BackupRunning'],
  [
    'waits for another restore',
    { rival: { kind: 'RestoreSession', name: 'shop/r' } },
    'Pending',
    'AnotherSessionRunning',
  ],
  [
    'waits until a balancer is put back that a backup stopped',
    { unreleased: { session: 'shop/b', held: ['db-1:27017', 'balancer'] } },
    'Pending',
    'LocksHeld',
  ],
  ['without its Addon waits', { findAddon: () => undefined }, 'Pending', 'AddonNotFound'],
  [
    'from a Repository that may not be read waits',
    {
      repository: { ...repositoryObject(), metadata: { ...repositoryObject().metadata, namespace: 'vault' } },
      restore: { ...restore, spec: { ...restore.spec, dataSource: { namespace: 'vault', repository: 'orders' } } },
    },
    'Pending',
    'NotAllowed',
  ],
  [
    'with a mistake is Invalid',
    { causes: [{ field: 'spec.x', reason: 'FieldValueInvalid', message: 'no' }] },
    'Invalid',
    'Invalid',
  ],
  [
    'that waited too long fails',
    { restore: { ...restore, status: { restoreDeadline: ago(0), startTime: ago(60) } }, snapshots: [] },
    'Failed',
    'DeadlineExceeded',
  ],
  ['whose Job is gone fails', { restore: begun }, 'Failed', 'JobDisappeared'],
  [
    'whose runner failed fails with its reason',
    {
      restore: begun,
      job: jobOf(restore, 'restore', 'Failed'),
      pods: [podOf(jobOf(restore, 'restore'), { exitCode: 4, code: 'TargetNotEmpty', message: 'x' })],
    },
    'Failed',
    'TargetNotEmpty',
  ],
];
for (const [name, change, phase, reason] of RESTORES) {
  test(`a restore ${name}`, () => {
    assert.equal(at_(change), [phase, reason]);
  });
}

test('a restore that has ended is never started again', () => {
  const plan = planRestoreSession(
    restoreWorld({ restore: { ...begun, status: { ...begun.status, phase: 'Failed' } } }),
  );
  assert.equal([plan.create, plan.status, plan.letGo], [undefined, undefined, true]);
});

test('the newest good Snapshot is meant by latest', () => {
  const snapshots = [
    snapshotObject('old', { ...WHOLE, phase: 'Succeeded', snapshotTime: ago(90) }),
    snapshotObject('new', { ...WHOLE, phase: 'Succeeded', snapshotTime: ago(9) }),
    snapshotObject('bad', { phase: 'Failed', snapshotTime: ago(1) }),
  ];
  const choice = chooseSnapshot(restore, snapshots);
  assert.is(choice.state === 'found' && choice.snapshot.metadata.name, 'new');
});
test.run();
