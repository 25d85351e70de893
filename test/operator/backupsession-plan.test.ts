import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupSession } from '../../src/api/generated/types.ts';
import type { Job } from '../../src/kube/builtin.ts';
import { planBackupSession } from '../../src/operator/backupsession/plan.ts';
import type { SessionWorld } from '../../src/operator/backupsession/world.ts';
import {
  ago,
  around,
  conditionOf,
  configurationObject,
  jobOf,
  named,
  podOf,
  ready,
  repositoryObject,
  sessionObject,
  sessionWorld,
  snapshotObject,
  WHOLE,
} from './plans.ts';

const test = suite('plan of a BackupSession');

const RUNNING: BackupSession['status'] = {
  phase: 'Running',
  job: 'backup-run',
  startTime: ago(30),
  backupDeadline: ago(-3600),
  totalSnapshots: 1,
};

function running(
  end: 'Complete' | 'Failed' | undefined,
  result?: Parameters<typeof podOf>[1],
  change: Partial<SessionWorld> = {},
): SessionWorld {
  const session = change.session ?? sessionObject(RUNNING);
  const job = jobOf(session, 'backup', end);
  return sessionWorld({
    session,
    job,
    pods: [podOf(job, end === undefined ? undefined : (result ?? {}))],
    snapshots: [snapshotObject('orders-run', WHOLE)],
    ...change,
  });
}

const test_ = (
  name: string,
  world: SessionWorld,
  expected: { phase: string; reason?: string; says?: RegExp },
): void => {
  test(name, () => {
    const { status } = planBackupSession(world);
    assert.is(status?.phase, expected.phase);
    const shown = conditionOf(
      status,
      expected.phase === 'Pending' ? 'Reconciling' : expected.phase === 'Succeeded' ? 'Complete' : 'Failed',
    );
    if (expected.reason !== undefined) assert.is(shown?.reason, expected.reason);
    if (expected.says !== undefined) assert.match(shown?.message ?? '', expected.says);
  });
};

test('a session starts with a Snapshot for each repository before its Job', () => {
  const plan = planBackupSession(sessionWorld());
  assert.equal(named(plan.create), ['Snapshot/orders-run', 'Job/backup-run']);
  assert.is(plan.hold, true);
  assert.is(plan.status?.phase, 'Running');
  assert.is(plan.status?.totalSnapshots, 1);
  assert.is(plan.status?.backupDeadline, ago(-24 * 3600), 'without a timeout the deadline is a day away');
  const job = plan.create?.[1]?.object as Job;
  assert.equal(
    job.spec.template.spec.containers[0]?.args,
    ['job', 'backup', '--session=run', '--consistency=lock'],
    'an option without a value is left out',
  );
  assert.is(job.spec.activeDeadlineSeconds, 24 * 3600 - 5);
});

test('a pass that is made twice wants the same objects', () => {
  assert.equal(
    planBackupSession(sessionWorld()).create?.map(({ object }) => object),
    planBackupSession(sessionWorld()).create?.map(({ object }) => object),
  );
});

test('the timeout is that of the session, else that of its configuration', () => {
  const configuration = configurationObject(({ spec }) => {
    const [daily] = spec.sessions;
    if (daily !== undefined) daily.backupTimeout = '2h';
  });
  const world = sessionWorld({ around: around({ configuration }) });
  assert.is(planBackupSession(world).status?.backupDeadline, ago(-7200));
  assert.is(
    planBackupSession({ ...world, session: sessionObject({}, { backupTimeout: '10m' }) }).status?.backupDeadline,
    ago(-600),
  );
});

const young = sessionObject();
const old: BackupSession = { ...young, metadata: { ...young.metadata, creationTimestamp: ago(121) } };
const unready = around({
  repositories: new Map([['orders', repositoryObject(ready('False', 'WrongPassword', 'no'))]]),
});

test_(
  'a session of a paused configuration is skipped',
  sessionWorld({
    around: around({
      configuration: configurationObject(({ spec }) => {
        spec.paused = true;
      }),
    }),
  }),
  { phase: 'Skipped', reason: 'Paused' },
);
test_(
  'a session is skipped while another one runs',
  sessionWorld({ rival: { kind: 'BackupSession', name: 'shop/other' } }),
  { phase: 'Skipped', reason: 'AnotherSessionRunning', says: /shop\/other/ },
);
test_(
  'a session is skipped while its target is restored',
  sessionWorld({ rival: { kind: 'RestoreSession', name: 'shop/r' } }),
  { phase: 'Skipped', reason: 'RestoreRunning' },
);
test_(
  'a session waits until the locks that another one left are released',
  sessionWorld({ unreleased: { session: 'shop/other', held: ['db-1:27017'] } }),
  { phase: 'Pending', reason: 'LocksHeld', says: /shop\/other.*db-1:27017/ },
);
test_(
  'but not for ever: a member that cannot be released cannot be read either',
  sessionWorld({ session: old, unreleased: { session: 'shop/other', held: ['db-1:27017'] } }),
  { phase: 'Running' },
);
test_(
  'it waits for a balancer however long that takes',
  sessionWorld({ session: old, unreleased: { session: 'shop/other', held: ['balancer'] } }),
  { phase: 'Pending', reason: 'LocksHeld', says: /balancer/ },
);
test_('a session waits a moment for its configuration', sessionWorld({ around: undefined }), {
  phase: 'Pending',
  reason: 'ConfigurationNotFound',
});
test_('and then fails', sessionWorld({ session: old, around: undefined }), {
  phase: 'Failed',
  reason: 'ConfigurationNotFound',
});
test_(
  'a session that the configuration does not have fails',
  sessionWorld({ session: { ...old, spec: { ...old.spec, session: 'x' } } }),
  { phase: 'Failed', reason: 'SessionNotFound' },
);
test_('a session waits for its repository', sessionWorld({ around: unready }), {
  phase: 'Pending',
  reason: 'ConfigurationNotReady',
  says: /WrongPassword/,
});
test_('a policy that cannot back up does not do so silently', sessionWorld({ session: old, around: unready }), {
  phase: 'Failed',
  reason: 'ConfigurationNotReady',
  says: /Repository orders cannot be used: WrongPassword: no/,
});
test_('a session of an invalid configuration fails', sessionWorld({ invalid: 'spec.x: no' }), {
  phase: 'Failed',
  reason: 'ConfigurationNotReady',
  says: /spec.x: no/,
});
test_(
  'a session waits while old data is removed from its repository',
  sessionWorld({ session: old, forgetting: ['forget-a'] }),
  { phase: 'Pending', reason: 'RepositoryBusy', says: /forget-a/ },
);
test_(
  'a session that waited past its deadline fails',
  sessionWorld({
    session: sessionObject({ phase: 'Pending', startTime: ago(100), backupDeadline: ago(0) }),
    forgetting: ['forget-a'],
  }),
  { phase: 'Failed', reason: 'DeadlineExceeded' },
);

test_('a run whose Snapshots are whole succeeds', running('Complete'), { phase: 'Succeeded' });
test_(
  'also when the runner failed after it',
  running('Failed', { exitCode: 1, code: 'UnlockFailed', message: 'db-1' }),
  { phase: 'Succeeded' },
);
test_(
  'a run without a manifest fails although its Job succeeded',
  running(
    'Complete',
    {},
    { snapshots: [snapshotObject('orders-run', { components: [{ name: 'dump', phase: 'Succeeded' }] })] },
  ),
  { phase: 'Failed', reason: 'SnapshotIncomplete', says: /orders-run has no manifest/ },
);
test_(
  'a run with a failed component fails with its error',
  running(
    'Complete',
    {},
    {
      snapshots: [
        snapshotObject('orders-run', {
          components: [{ name: 'sh0', phase: 'Failed', error: 'cursor lost' }],
          manifestID: 'm',
        }),
      ],
    },
  ),
  { phase: 'Failed', reason: 'SnapshotFailed', says: /component sh0: cursor lost/ },
);
test_('a run whose Snapshot was deleted fails', running('Complete', {}, { snapshots: [] }), {
  phase: 'Failed',
  reason: 'SnapshotIncomplete',
  says: /1 of 1 Snapshots are gone/,
});
test_(
  'a run fails with what its runner said',
  running(
    'Failed',
    { exitCode: 1, code: 'DumpFailed', message: 'cursor lost' },
    { snapshots: [snapshotObject('orders-run')] },
  ),
  { phase: 'Failed', reason: 'DumpFailed', says: /cursor lost/ },
);
test_('a run whose Job is gone fails', sessionWorld({ session: sessionObject(RUNNING) }), {
  phase: 'Failed',
  reason: 'JobDisappeared',
});
test_(
  'a run past its deadline fails',
  running(undefined, undefined, { session: sessionObject({ ...RUNNING, backupDeadline: ago(0) }), snapshots: [] }),
  { phase: 'Failed', reason: 'DeadlineExceeded' },
);
test_(
  'a pass that died after it stopped the late Job still tells the deadline',
  sessionWorld({ session: sessionObject({ ...RUNNING, backupDeadline: ago(1) }) }),
  { phase: 'Failed', reason: 'DeadlineExceeded' },
);

test('a late Job is stopped', () => {
  const plan = planBackupSession(
    running(undefined, undefined, { session: sessionObject({ ...RUNNING, backupDeadline: ago(0) }) }),
  );
  assert.equal(named(plan.remove), ['Job/backup-run']);
});

test('what is left unfinished when the Job is over becomes Failed, with the reason', () => {
  const plan = planBackupSession(
    running(
      'Failed',
      { exitCode: 1, code: 'DumpFailed', message: 'cursor lost' },
      {
        snapshots: [snapshotObject('a', WHOLE), snapshotObject('b', { phase: 'Running' })],
        session: sessionObject({ ...RUNNING, totalSnapshots: 2 }),
      },
    ),
  );
  assert.is(plan.status?.phase, 'Failed');
  const phases = plan.related?.map(({ object, status }) => [
    object.metadata.name,
    (status as { phase?: string }).phase,
    conditionOf(status, 'Ready')?.reason,
  ]);
  assert.equal(phases, [
    ['a', 'Succeeded', 'Succeeded'],
    ['b', 'Failed', 'DumpFailed'],
  ]);
});

test('a Pod that does not start is told at once, in a condition and one Event', () => {
  const world = running(undefined);
  const stuck = world.pods.map((pod) => ({
    ...pod,
    status: {
      phase: 'Pending' as const,
      conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes' }],
    },
  }));
  const plan = planBackupSession({ ...world, pods: stuck });
  assert.is(plan.status?.phase, 'Running');
  assert.is(conditionOf(plan.status, 'RunnerStarted')?.reason, 'Unschedulable');
  assert.equal(plan.events, [{ type: 'Warning', reason: 'Unschedulable', message: '0/3 nodes' }]);
  const again = planBackupSession({
    ...world,
    pods: stuck,
    session: sessionObject({ ...RUNNING, conditions: plan.status?.conditions ?? [] }),
  });
  assert.equal(again.events, []);
});

test('a failed push of metrics is a condition, never a failure', () => {
  const plan = planBackupSession(running('Complete', { data: { metricsPushed: false } }));
  assert.is(plan.status?.phase, 'Succeeded');
  assert.is(conditionOf(plan.status, 'MetricsPushed')?.status, 'False');
});

test('a failure is tried again after its delay, if it may help', () => {
  const failing = (retryable: boolean, retryLeft: number) =>
    planBackupSession(
      running(
        'Failed',
        { exitCode: 1, code: 'DumpFailed', message: 'x', retryable },
        { snapshots: [], session: sessionObject(RUNNING, { retryLeft }) },
      ),
    ).status?.nextRetry;
  assert.is(failing(true, 1), ago(-60));
  assert.is(failing(true, 0), undefined);
  assert.is(failing(false, 1), undefined);
});

const FAILED: BackupSession['status'] = {
  phase: 'Failed',
  startTime: ago(90),
  completionTime: ago(60),
  conditions: [
    { type: 'RetentionApplied', status: 'True', reason: 'Applied', message: '', lastTransitionTime: ago(60) },
  ],
};

test('the retry is made when its time has come, with one try less, and once', () => {
  const session = sessionObject({ ...FAILED, nextRetry: ago(0) }, { retryLeft: 2, backupTimeout: '1h' });
  const plan = planBackupSession(sessionWorld({ session }));
  const [retry] = plan.create ?? [];
  assert.ok(retry);
  assert.is(retry.object.metadata.name, 'run-retry-1');
  assert.equal((retry.object as BackupSession).spec, {
    invoker: { name: 'orders' },
    session: 'daily',
    retryLeft: 1,
    backupTimeout: '1h',
  });
  assert.is(plan.status?.retried, true);
  assert.equal(
    planBackupSession(sessionWorld({ session: sessionObject({ ...FAILED, nextRetry: ago(0), retried: true }) })).create,
    [],
  );
  assert.is(
    planBackupSession(sessionWorld({ session: sessionObject({ ...FAILED, nextRetry: ago(-30) }) })).requeueAfterMs,
    30_000,
  );
  const paused = around({
    configuration: configurationObject(({ spec }) => {
      spec.paused = true;
    }),
  });
  assert.equal(planBackupSession(sessionWorld({ session, around: paused })).create, []);
});

test('locks of a dead runner are released, those of one that may live are left to it', () => {
  const session = sessionObject({ ...FAILED, locks: [{ member: 'db-1:27017', state: 'Held', requestedAt: ago(80) }] });
  const job = jobOf(session, 'backup', 'Failed');
  const dead = planBackupSession(
    sessionWorld({ session, job, pods: [podOf(job, { exitCode: 137, reason: 'OOMKilled' })] }),
  );
  assert.equal(named(dead.create), ['Job/release-run-1']);
  assert.is(conditionOf(dead.status, 'LocksReleased')?.status, 'False');
  assert.is(dead.letGo, false);
  const alive = planBackupSession(sessionWorld({ session, job, pods: [podOf(job)] }));
  assert.equal(alive.create, []);
  assert.ok(alive.requeueAfterMs !== undefined, 'a Pod on a lost node never says that it is gone');
  const [going] = [podOf(job)].map((pod) => ({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: ago(31) } }));
  assert.ok(going);
  assert.equal(named(planBackupSession(sessionWorld({ session, job, pods: [going] })).create), ['Job/release-run-1']);
});

test('a balancer that a dead runner stopped is started again like a lock is released', () => {
  const session = sessionObject({
    ...FAILED,
    balancer: { former: 'full', state: 'Stopped', requestedAt: ago(80) },
  });
  const plan = planBackupSession(sessionWorld({ session }));
  assert.equal(named(plan.create), ['Job/release-run-1']);
  const condition = conditionOf(plan.status, 'LocksReleased');
  assert.is(condition?.message, 'the runner is gone and the balancer may still be stopped');
  assert.is(plan.letGo, false);
  const asked = plan.create?.[0]?.object as Job;
  const job = {
    ...jobOf(session, 'release', 'Complete'),
    metadata: { ...jobOf(session, 'release').metadata, annotations: asked.metadata.annotations ?? {} },
  };
  const pods = [podOf(job, { exitCode: 0, code: 'Succeeded', data: { released: ['balancer'] } })];
  const after = planBackupSession(sessionWorld({ session, releaseJobs: [job], pods }));
  assert.equal(
    after.patches?.map(({ body }) => body),
    [{ status: { locks: [], balancer: null } }],
  );
});

test('what a release Job has released is struck out, also when it failed half-way', () => {
  const session = sessionObject({
    ...FAILED,
    locks: ['a:1', 'b:1'].map((member) => ({ member, state: 'Held' as const, requestedAt: ago(80) })),
  });
  const asked = planBackupSession(sessionWorld({ session })).create?.[0]?.object as Job;
  const job = {
    ...jobOf(session, 'release', 'Failed'),
    metadata: { ...jobOf(session, 'release').metadata, annotations: asked.metadata.annotations ?? {} },
  };
  const plan = planBackupSession(
    sessionWorld({
      session,
      releaseJobs: [job],
      pods: [podOf(job, { exitCode: 1, code: 'UnlockFailed', message: 'b', data: { released: ['a:1'] } })],
    }),
  );
  assert.equal(
    plan.patches?.map(({ body, status }) => [
      JSON.stringify(body).includes('b:1'),
      JSON.stringify(body).includes('a:1'),
      status,
    ]),
    [[true, false, true]],
  );
  assert.is(conditionOf(plan.status, 'LocksReleased')?.reason, 'UnlockFailed');
});

test('retention counts the Snapshots of the session in each repository, and marks what goes before it goes', () => {
  const session = sessionObject({ phase: 'Succeeded', startTime: ago(90), completionTime: ago(60) });
  const made = (name: string, seconds: number, spec: object = {}) =>
    snapshotObject(
      name,
      { ...WHOLE, phase: 'Succeeded', snapshotTime: ago(seconds) },
      { backupSession: name, ...spec },
    );
  const snapshots = [
    made('s1', 400),
    made('s2', 300),
    made('s3', 200),
    snapshotObject('run', { ...WHOLE, phase: 'Succeeded', snapshotTime: ago(90) }),
    made('other', 500, { session: 'weekly' }),
    snapshotObject('open', { phase: 'Running' }),
  ];
  const plan = planBackupSession(sessionWorld({ session, snapshotsOf: () => snapshots }));
  assert.equal(named(plan.remove), ['Snapshot/s1', 'Snapshot/s2']);
  assert.equal(plan.status?.retention, [{ repository: 'orders', phase: 'Applied', kept: 2, removed: 2 }]);
  for (const { body } of plan.patches ?? []) {
    assert.match(JSON.stringify(body), /backstay.dev\/cleanup.*WipeOut/);
  }
  // After a failure good Snapshots stay as they are.
  const failed = planBackupSession(
    sessionWorld({
      session: sessionObject({ ...session.status, phase: 'Failed' }),
      snapshotsOf: () => snapshots.filter(({ metadata }) => metadata.name !== 'run'),
    }),
  );
  assert.equal(named(failed.remove), []);
});

test('a missing RetentionPolicy is a condition, never a failed session', () => {
  const session = sessionObject({ phase: 'Succeeded', startTime: ago(90), completionTime: ago(60) });
  const plan = planBackupSession(sessionWorld({ session, around: around({ findPolicy: () => undefined }) }));
  assert.is(plan.status?.phase, 'Succeeded');
  assert.is(conditionOf(plan.status, 'RetentionApplied')?.status, 'False');
  assert.is(plan.status?.retention?.[0]?.phase, 'Failed');
});

test('of each outcome the newest sessions stay, and any that holds a lock or is to be tried again', () => {
  const session = sessionObject(FAILED);
  const ended = (name: string, seconds: number, status: object = {}) => ({
    ...sessionObject({ ...FAILED, ...status }, {}, name),
    metadata: { ...sessionObject({}, {}, name).metadata, creationTimestamp: ago(seconds) },
  });
  const siblings = [
    session,
    ended('f1', 100),
    ended('f2', 200),
    ended('f3', 300),
    ended('f4', 400, { nextRetry: ago(-10) }),
    ended('f5', 500, { locks: [{ member: 'a:1', state: 'Held', requestedAt: ago(1) }] }),
    ended('s1', 600, { phase: 'Succeeded' }),
  ];
  assert.equal(named(planBackupSession(sessionWorld({ session, siblings })).remove), ['BackupSession/f3']);
});

test('a settled session wants nothing', () => {
  const plan = planBackupSession(sessionWorld({ session: sessionObject(FAILED) }));
  assert.equal([plan.create, plan.patches, plan.remove, plan.events], [[], [], [], []]);
  assert.is(plan.requeueAfterMs, undefined);
  assert.equal(plan.status, FAILED);
});

test('a deleted session takes its Job along, waits for the Pod, and leaves when nothing is locked', () => {
  const session = { ...sessionObject(RUNNING), metadata: { ...sessionObject().metadata, deletionTimestamp: ago(1) } };
  const job = jobOf(session, 'backup');
  const first = planBackupSession(sessionWorld({ session, job, pods: [podOf(job)] }));
  assert.equal(named(first.remove), ['Job/backup-run']);
  assert.is(first.letGo, undefined);
  assert.is(planBackupSession(sessionWorld({ session })).letGo, true);
  const locked = {
    ...session,
    status: { ...session.status, locks: [{ member: 'a:1', state: 'Held' as const, requestedAt: ago(9) }] },
  };
  assert.equal(named(planBackupSession(sessionWorld({ session: locked })).create), ['Job/release-run-1']);
  const doomed = planBackupSession(sessionWorld({ session: locked, namespaceTerminating: true }));
  assert.is(doomed.letGo, true);
  assert.match(doomed.events?.[0]?.message ?? '', /fsyncUnlock\(\) on a:1/);
});

test.run();
