// needs: cluster
// time-limit: 420s
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupSession } from '../../src/api/generated/types.ts';
import { API_VERSION } from '../../src/api/group.ts';
import { BackupConfigurations, BackupSessions, Repositories, Snapshots } from '../../src/api/kinds.ts';
import { type Job, Jobs, Namespaces, RoleBindings, Roles } from '../../src/kube/builtin.ts';
import { until } from '../lab/process.ts';
import { now, OperatorLab } from './lab.ts';
import { samples, secret } from './samples.ts';

const test = suite('operator: endings');

async function started(
  lab: OperatorLab,
  change: (all: ReturnType<typeof samples>) => void = () => {},
): Promise<ReturnType<typeof samples>> {
  const all = samples(lab.namespace);
  change(all);
  await lab.apply(all.s3Secret, all.password, all.binding, all.storage, all.policy, all.configuration);
  await until(
    'the configuration to be Ready',
    async () =>
      (await lab.client.get(BackupConfigurations, { namespace: lab.namespace, name: 'orders' }))?.status?.phase ===
        'Ready' || undefined,
    { timeoutMs: 20_000 },
  );
  return all;
}

/** What a runner that was killed leaves behind. */
async function leaveLock(lab: OperatorLab, session: string, member: string): Promise<void> {
  const status: BackupSession['status'] = { locks: [{ member, state: 'Held', requestedAt: now(), processID: '1' }] };
  const object = {
    apiVersion: API_VERSION,
    kind: 'BackupSession' as const,
    metadata: { namespace: lab.namespace, name: session },
    status,
  };
  await lab.client.applyStatus(BackupSessions, object, { fieldManager: 'backstay-runner', force: true });
}

function condition(
  object: { status?: { conditions?: { type: string; status: string; reason: string; message: string }[] } } | undefined,
  type: string,
) {
  return object?.status?.conditions?.find((each) => each.type === type);
}

const jobsOf = (lab: OperatorLab, component: string): Promise<Job[]> =>
  lab.client.listAll(Jobs, { namespace: lab.namespace, labelSelector: `app.kubernetes.io/component=${component}` });

test('the locks of a dead runner are released, again and again until it works, while the session has long failed', async () => {
  await using lab = await OperatorLab.start();
  await started(lab);
  let releases = 0;
  lab.play = async (component, job) => {
    if (component === 'backup') {
      await leaveLock(lab, job.metadata.ownerReferences?.[0]?.name ?? '', 'db-1:27017');
      return { exitCode: 137, reason: 'OOMKilled' };
    }
    if (component !== 'release') return undefined;
    return ++releases === 1
      ? { exitCode: 1, code: 'UnlockFailed', message: 'db-1 does not answer' }
      : { data: { released: ['db-1:27017'], failed: [] } };
  };
  await lab.trigger('killed');
  await lab.phase('killed', 'Failed');
  const held = await until('the failed release to be shown', async () => {
    const session = await lab.session('killed');
    return condition(session, 'LocksReleased')?.reason === 'UnlockFailed' ? session : undefined;
  });
  assert.match(
    condition(held, 'LocksReleased')?.message ?? '',
    /db-1:27017 may still be locked; .*db-1 does not answer/,
  );
  assert.is(held.status?.phase, 'Failed');
  const freed = await until(
    'the lock to be released',
    async () => {
      const session = await lab.session('killed');
      return condition(session, 'LocksReleased')?.status === 'True' ? session : undefined;
    },
    { timeoutMs: 30_000 },
  );
  assert.equal(freed.status?.locks ?? [], []);
  assert.is(releases, 2);
});

test('a session that is deleted while it holds a lock goes only when the lock is released', async () => {
  await using lab = await OperatorLab.start();
  await started(lab);
  let running = Promise.withResolvers<void>();
  let released = false;
  lab.play = async (component, job) => {
    if (component === 'release') {
      released = true;
      return { data: { released: ['db-1:27017'] } };
    }
    if (component !== 'backup') return undefined;
    await leaveLock(lab, job.metadata.ownerReferences?.[0]?.name ?? '', 'db-1:27017');
    running.resolve();
    return { stay: true };
  };
  await lab.trigger('gone');
  await running.promise;
  await lab.client.delete(BackupSessions, { namespace: lab.namespace, name: 'gone' });
  await until('the session to go', async () => ((await lab.session('gone')) === undefined ? true : undefined), {
    timeoutMs: 30_000,
  });
  assert.ok(released);
  const snapshot = await until('its Snapshot to be failed', async () => {
    const found = await lab.client.get(Snapshots, { namespace: lab.namespace, name: 'orders-gone' });
    return found?.status?.phase === 'Failed' ? found : undefined;
  });
  assert.is(condition(snapshot, 'Ready')?.reason, 'SessionDisappeared');
  running = Promise.withResolvers();
});

test('retention removes what its policy does not keep, one after the other and not while a backup runs', async () => {
  await using lab = await OperatorLab.start();
  await started(lab);
  let forgetting = 0;
  let most = 0;
  const forgotten: string[] = [];
  lab.play = async (component, job) => {
    if (component !== 'forget') return undefined;
    most = Math.max(most, ++forgetting);
    const running = await jobsOf(lab, 'backup');
    assert.ok(
      running.every(({ status }) => (status?.active ?? 0) === 0),
      'no backup runs',
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    forgetting--;
    forgotten.push(job.metadata.ownerReferences?.[0]?.name ?? '');
    return { data: { removed: 1 } };
  };
  for (const name of ['s1', 's2', 's3', 's4']) {
    await lab.trigger(name);
    await lab.phase(name, 'Succeeded');
    // Snapshots are told apart by the second in which they began.
    await new Promise((resolve) => setTimeout(resolve, 1100));
  }
  await until(
    'two Snapshots to be left',
    async () => {
      const names = (await lab.client.listAll(Snapshots, { namespace: lab.namespace }))
        .map(({ metadata }) => metadata.name)
        .sort();
      return JSON.stringify(names) === '["orders-s3","orders-s4"]' || undefined;
    },
    { timeoutMs: 40_000 },
  );
  assert.equal(forgotten, ['orders-s1', 'orders-s2']);
  assert.is(most, 1);
  const last = await lab.session('s4');
  assert.is(last?.status?.retention?.[0]?.phase, 'Applied');
  await until('the history limit to be kept', async () => {
    const ended = await lab.client.listAll(BackupSessions, { namespace: lab.namespace });
    return ended.length === 3 || undefined;
  });
});

test('data that cannot be removed keep their Snapshot, with the reason; without the Repository it goes', async () => {
  await using lab = await OperatorLab.start();
  await started(lab);
  lab.play = (component) =>
    component === 'forget' ? { exitCode: 1, code: 'BackendUnreachable', message: 'no route' } : undefined;
  await lab.trigger('one');
  await lab.phase('one', 'Succeeded');
  const ref = { namespace: lab.namespace, name: 'orders-one' };
  await lab.client.patch(Snapshots, ref, { spec: { deletionPolicy: 'WipeOut' } }, { type: 'merge' });
  await until(
    'the finalizer to be there',
    async () =>
      (await lab.client.get(Snapshots, ref))?.metadata.finalizers?.includes('backstay.dev/cleanup') || undefined,
  );
  await lab.client.delete(Snapshots, ref);
  await until(
    'the reason to be shown',
    async () =>
      condition(await lab.client.get(Snapshots, ref), 'Forgotten')?.reason === 'BackendUnreachable' || undefined,
  );
  await lab.client.delete(BackupConfigurations, { namespace: lab.namespace, name: 'orders' });
  await until('the configuration to go', async () =>
    (await lab.client.get(BackupConfigurations, { namespace: lab.namespace, name: 'orders' })) === undefined
      ? true
      : undefined,
  );
  assert.ok(
    await lab.client.get(Repositories, { namespace: lab.namespace, name: 'orders' }),
    'a Repository is retained unless told otherwise',
  );
  await lab.client.delete(Repositories, { namespace: lab.namespace, name: 'orders' });
  await until('the Snapshot to go', async () =>
    (await lab.client.get(Snapshots, ref)) === undefined ? true : undefined,
  );
});

test('a Repository that is to be wiped out goes after its data', async () => {
  await using lab = await OperatorLab.start();
  const wiped: string[][] = [];
  lab.play = (component, job) => {
    if (component === 'forget') wiped.push(job.spec.template.spec.containers[0]?.args ?? []);
    return undefined;
  };
  await started(lab, ({ configuration }) => {
    const [repository] = configuration.spec.sessions[0]?.repositories ?? [];
    if (repository !== undefined) repository.deletionPolicy = 'WipeOut';
  });
  await lab.trigger('one');
  await lab.phase('one', 'Succeeded');
  await lab.client.delete(BackupConfigurations, { namespace: lab.namespace, name: 'orders' });
  await until(
    'the Repository to go',
    async () =>
      (await lab.client.get(Repositories, { namespace: lab.namespace, name: 'orders' })) === undefined
        ? true
        : undefined,
    { timeoutMs: 30_000 },
  );
  assert.equal(wiped, [['job', 'forget', '--namespace', lab.namespace, '--repository', 'orders', '--all']]);
});

test('a namespace goes in the middle of a run', async () => {
  await using lab = await OperatorLab.start();
  await started(lab);
  const running = Promise.withResolvers<void>();
  lab.play = async (component, job) => {
    if (component !== 'backup') return undefined;
    await leaveLock(lab, job.metadata.ownerReferences?.[0]?.name ?? '', 'db-1:27017');
    running.resolve();
    return { stay: true };
  };
  await lab.trigger('one');
  await running.promise;
  await lab.client.delete(Namespaces, { name: lab.namespace });
  await until(
    'the namespace to be gone',
    async () => ((await lab.client.get(Namespaces, { name: lab.namespace })) === undefined ? true : undefined),
    { timeoutMs: 60_000 },
  );
});

test('a storage of another namespace is used when its policy allows it, with rights that go when they are no longer needed', async () => {
  await using lab = await OperatorLab.start({ namespaces: 2 });
  const [here, there = ''] = lab.namespaces;
  const all = samples(lab.namespace);
  const other = samples(there);
  const [backend] = all.configuration.spec.backends ?? [];
  if (backend !== undefined) backend.storageRef = { namespace: there, name: 's3' };
  await lab.apply(
    all.password,
    all.binding,
    all.policy,
    all.configuration,
    secret(there, 's3', { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' }),
    other.storage,
  );
  const ref = { namespace: here, name: 'orders' };
  const refused = await until('the refusal to be shown', async () => {
    const found = await lab.client.get(BackupConfigurations, ref);
    return condition(found, 'Ready')?.reason === 'NotAllowed' ? found : undefined;
  });
  assert.match(condition(refused, 'Ready')?.message ?? '', /may not be used from namespace/);
  other.storage.spec.usagePolicy = { allowedNamespaces: { from: 'All' } };
  await lab.apply(other.storage);
  await until(
    'the configuration to be Ready',
    async () => (await lab.client.get(BackupConfigurations, ref))?.status?.phase === 'Ready' || undefined,
    { timeoutMs: 20_000 },
  );
  const selector = 'backstay.dev/owner-uid';
  const roles = await lab.client.listAll(Roles, { namespace: there, labelSelector: selector });
  const role = roles.find(({ metadata }) => metadata.name?.startsWith('backup-orders'));
  assert.equal(role?.rules, [
    { apiGroups: ['backstay.dev'], resources: ['backupstorages'], verbs: ['get'], resourceNames: ['s3'] },
    { apiGroups: [''], resources: ['secrets'], verbs: ['get'], resourceNames: ['s3'] },
  ]);
  await lab.client.delete(BackupConfigurations, ref);
  await lab.client.delete(Repositories, ref);
  await until('no right to be left there', async () => {
    const left = [
      ...(await lab.client.listAll(Roles, { namespace: there, labelSelector: selector })),
      ...(await lab.client.listAll(RoleBindings, { namespace: there, labelSelector: selector })),
    ];
    return left.length === 0 || undefined;
  });
});

test.run();
