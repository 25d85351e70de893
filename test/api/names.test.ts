import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { componentLabels, labelValue, targetLabels, withoutTracking } from '../../src/api/labels.ts';
import * as names from '../../src/api/names.ts';

const test = suite('names and labels');
const long = 'a'.repeat(253);

test('names say what they are for', () => {
  assert.is(names.triggerCronJobName('orders', 'nightly'), 'trigger-orders-nightly');
  assert.is(
    names.backupSessionName('orders', 'nightly', new Date('2026-11-23T03:00:00.900Z')),
    'orders-nightly-1795402800',
  );
  assert.is(names.snapshotName('orders', 'orders-nightly-1'), 'orders-orders-nightly-1');
  assert.is(names.releaseJobName('orders-nightly-1', 2), 'release-orders-nightly-1-2');
  assert.is(names.storageServiceAccountName('s3'), 'storage-s3');
});

for (const [what, name, length] of [
  ['a CronJob, which appends eleven characters', names.triggerCronJobName(long, 'nightly'), 52],
  ['a BackupSession', names.backupSessionName(long, 'nightly', new Date(0)), 63],
  ['a Snapshot', names.snapshotName(long, 'x'), 63],
  ['a backup Job', names.backupJobName(long), 63],
  ['a restore Job', names.restoreJobName(long), 63],
  ['a storage Job', names.storageJobName(long, 1), 63],
  ['a repository Job', names.repositoryJobName(long, 1), 63],
  ['a forget Job', names.forgetJobName(long), 63],
  ['a release Job', names.releaseJobName(long, 1), 63],
  ['a service account', names.triggerServiceAccountName(long), 63],
] as const) {
  test(`the name of ${what} fits and is legal, however long its parts are`, () => {
    assert.is(name.length, length);
    assert.match(name, /^[a-z0-9]([-a-z0-9]*[a-z0-9])?-[0-9a-f]{8}$/);
  });
}

test('a name of exactly the longest length stays as it is', () => {
  assert.is(names.shortName('a'.repeat(63)), 'a'.repeat(63));
  assert.is(names.shortName('a'.repeat(64)).length, 63);
});

test('two long names with the same beginning stay two names', () => {
  assert.is.not(names.snapshotName(long, 'x'), names.snapshotName(long, 'y'));
});

test('a name is not cut behind a hyphen or a dot', () => {
  assert.match(names.shortName(`${'a'.repeat(53)}.${'b'.repeat(20)}`), /^a{53}-[0-9a-f]{8}$/);
});

test('one scheduled time names one BackupSession', () => {
  const name = (time: string) => names.backupSessionName('orders', 'nightly', new Date(time));
  assert.is(name('2026-11-23T03:00:00.000Z'), name('2026-11-23T03:00:00.999Z'));
  assert.is.not(name('2026-11-23T03:00:00Z'), name('2026-11-23T03:00:01Z'));
});

test('values of labels are at most 63 characters', () => {
  assert.is(labelValue(long).length, 63);
  for (const value of Object.values(targetLabels({ kind: 'AppBinding', namespace: 'shop', name: long }))) {
    assert.match(value, /^([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$/);
  }
});

test('generated objects say whose they are and what they do', () => {
  assert.equal(componentLabels('backup'), {
    'app.kubernetes.io/managed-by': 'backstay',
    'app.kubernetes.io/component': 'backup',
  });
});

test('what GitOps tools, Helm and kubectl track by is not copied, and everything else is', () => {
  const copied = { team: 'shop', 'example.com/argocd': 'x', 'notargocd.argoproj.io.example.com/a': 'x' };
  assert.equal(
    withoutTracking({
      ...copied,
      'argocd.argoproj.io/tracking-id': 'x',
      'argocd.argoproj.io/instance': 'x',
      'kustomize.toolkit.fluxcd.io/name': 'x',
      'helm.toolkit.fluxcd.io/name': 'x',
      'meta.helm.sh/release-name': 'x',
      'helm.sh/chart': 'x',
      'app.kubernetes.io/instance': 'x',
      'app.kubernetes.io/managed-by': 'Helm',
      'kubectl.kubernetes.io/last-applied-configuration': '{}',
    }),
    copied,
  );
  assert.equal(withoutTracking(undefined), {});
});

test.run();
