import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupConfiguration, BackupStorage, Condition, Repository } from '../../src/api/generated/types.ts';
import type { CronJob } from '../../src/kube/builtin.ts';
import { type ConfigurationWorld, planBackupConfiguration } from '../../src/operator/backupconfiguration/plan.ts';
import { nextScheduleTime, startingDeadlineSeconds } from '../../src/operator/backupconfiguration/schedule.ts';
import {
  ADDON,
  ago,
  around,
  conditionOf,
  configurationObject,
  NOW,
  named,
  ready,
  repositoryObject,
  SETTINGS,
  sessionObject,
  storageObject,
} from './plans.ts';

const test = suite('plan of a BackupConfiguration');
const configurationWorld = (change: Partial<ConfigurationWorld> = {}): ConfigurationWorld => ({
  ...around(change.configuration === undefined ? {} : { configuration: change.configuration }),
  causes: [],
  cronJobs: [],
  sessions: [],
  restores: [],
  elsewhere: { roles: [], bindings: [] },
  settings: SETTINGS,
  now: NOW,
  ...change,
});
const cronOf = (world: ConfigurationWorld): CronJob =>
  planBackupConfiguration(world).apply?.find(({ object }) => object.kind === 'CronJob')?.object as CronJob;

test('a configuration makes accounts with their rights, Repositories, and a CronJob for each session', () => {
  const plan = planBackupConfiguration(configurationWorld());
  assert.equal(named(plan.apply), [
    'ServiceAccount/trigger-orders',
    'Role/trigger-orders',
    'RoleBinding/trigger-orders',
    'ServiceAccount/backup-orders',
    'Role/backup-orders',
    'RoleBinding/backup-orders',
    'Repository/orders',
    'CronJob/trigger-orders-daily',
  ]);
  assert.is(plan.status?.phase, 'Ready');
  assert.is(plan.requeueAfterMs, 15 * 3_600_000 + 1000, 'looked at again when the next time has passed');
});

test('a runner may read exactly the objects that its configuration names', () => {
  const role = planBackupConfiguration(configurationWorld()).apply?.find(
    ({ object }) => object.kind === 'Role' && object.metadata.name === 'backup-orders',
  )?.object as { rules?: object[] };
  const named_ = (role.rules ?? []).map((rule) => {
    const { resources, resourceNames, verbs } = rule as {
      resources: string[];
      resourceNames?: string[];
      verbs: string[];
    };
    return `${verbs.join(',')} ${resources} ${resourceNames ?? '*'}`;
  });
  assert.equal(named_.sort(), [
    'create,patch events *',
    'get appbindings orders',
    'get backupconfigurations orders',
    'get backupsessions *',
    'get backupstorages s3',
    'get repositories orders',
    'get secrets orders-auth,password,s3',
    'get snapshots *',
    'get,patch backupsessions/status *',
    'get,patch snapshots/status *',
  ]);
});

test('schedules rest while it is paused, suspended or its target is restored, and only then', () => {
  const paused = configurationObject(({ spec }) => {
    spec.paused = true;
  });
  const suspended = configurationObject(({ spec }) => {
    const [daily] = spec.sessions;
    if (daily !== undefined) daily.scheduler.suspend = true;
  });
  assert.is(cronOf(configurationWorld()).spec.suspend, false);
  assert.is(cronOf(configurationWorld({ configuration: paused })).spec.suspend, true);
  assert.is(cronOf(configurationWorld({ configuration: suspended })).spec.suspend, true);
  assert.is(cronOf(configurationWorld({ restores: ['shop/r'] })).spec.suspend, true);
  assert.is(
    cronOf(configurationWorld({ repositories: new Map() })).spec.suspend,
    false,
    'one that is not ready fails aloud',
  );
  assert.is(
    conditionOf(planBackupConfiguration(configurationWorld({ restores: ['shop/r'] })).status, 'SchedulesResting')
      ?.reason,
    'RestoreRunning',
  );
});

const PROBLEMS: [string, Partial<ConfigurationWorld>, string][] = [
  [
    'its target',
    { target: { ...around().target, found: false, missing: 'AppBinding shop/orders does not exist' } },
    'TargetNotFound',
  ],
  ['its storage', { findStorage: () => undefined }, 'StorageNotFound'],
  ['a storage that works', { findStorage: () => storageObject(ready('False', 'BackendDenied')) }, 'StorageNotReady'],
  ['its RetentionPolicy', { findPolicy: () => undefined }, 'RetentionPolicyNotFound'],
  ['its Addon', { findAddon: () => undefined }, 'AddonNotFound'],
  ['the task', { findAddon: () => ({ ...ADDON, spec: {} }) }, 'TaskNotFound'],
  ['the Function', { findFunction: () => undefined }, 'FunctionNotFound'],
  [
    'parameters that the task has',
    {
      configuration: configurationObject(({ spec }) => {
        const [task] = spec.sessions[0]?.addon.tasks ?? [];
        if (task !== undefined) task.params = { consistency: 'perhaps' };
      }),
    },
    'ParameterInvalid',
  ],
  ['its Repository', { repositories: new Map() }, 'RepositoryNotReady'],
  [
    'a Repository that is of its own target',
    {
      repositories: new Map([
        [
          'orders',
          {
            ...repositoryObject(),
            spec: { ...repositoryObject().spec, appRef: { kind: 'AppBinding', namespace: 'shop', name: 'customers' } },
          },
        ],
      ]),
    },
    'NotAllowed',
  ],
  ['a default storage, when it names none', { backends: [] }, 'StorageNotFound'],
];
for (const [what, change, reason] of PROBLEMS) {
  test(`a configuration without ${what} is not Ready, and says so`, () => {
    const plan = planBackupConfiguration(configurationWorld(change));
    assert.equal(
      [plan.status?.phase, conditionOf(plan.status, 'Ready')?.reason, conditionOf(plan.status, 'Stalled')?.status],
      ['NotReady', reason, 'False'],
    );
    assert.ok((conditionOf(plan.status, 'Ready')?.message.length ?? 0) > 10);
  });
}

test("a Repository of somebody else's is not touched, nor may its Secret be read", () => {
  const foreign = {
    ...repositoryObject(),
    spec: { ...repositoryObject().spec, path: 'elsewhere', encryptionSecret: { namespace: 'shop', name: 'theirs' } },
  };
  const plan = planBackupConfiguration(configurationWorld({ repositories: new Map([['orders', foreign]]) }));
  assert.not.ok(named(plan.apply).includes('Repository/orders'));
  assert.not.match(JSON.stringify(plan.apply), /theirs/);
  assert.match(plan.status?.repositories?.[0]?.message ?? '', /path \(spec.path\) and password/);
});

test('a retained Repository has no owner and serves the configuration that is made anew', () => {
  const made = (change?: (configuration: BackupConfiguration) => void) =>
    planBackupConfiguration(configurationWorld({ configuration: configurationObject(change) })).apply?.find(
      ({ object }) => object.kind === 'Repository',
    )?.object;
  assert.is(made()?.metadata.ownerReferences, undefined);
  const owned = made(({ spec }) => {
    const [repository] = spec.sessions[0]?.repositories ?? [];
    if (repository !== undefined) repository.deletionPolicy = 'Delete';
  });
  assert.is(owned?.metadata.ownerReferences?.[0]?.kind, 'BackupConfiguration');
});

test('CronJobs of sessions that are gone go too; those of others stay', () => {
  const configuration = configurationObject();
  const cron = (name: string, uid: string): CronJob => ({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: {
      namespace: 'shop',
      name,
      ownerReferences: [{ apiVersion: 'x', kind: 'BackupConfiguration', name: 'orders', uid, controller: true }],
    },
    spec: { schedule: '', jobTemplate: { spec: { template: { spec: { containers: [] } } } } },
  });
  const cronJobs = [
    cron('trigger-orders-daily', configuration.metadata.uid ?? ''),
    cron('trigger-orders-old', configuration.metadata.uid ?? ''),
    cron('trigger-orders-foreign', 'u2'),
  ];
  assert.equal(named(planBackupConfiguration(configurationWorld({ configuration, cronJobs })).remove), [
    'CronJob/trigger-orders-old',
  ]);
});

test('a failed run leaves the configuration Ready and is told beside it', () => {
  const failed = sessionObject({
    phase: 'Failed',
    nextRetry: ago(-60),
    conditions: [{ type: 'Failed', status: 'True', reason: 'DumpFailed', message: 'x', lastTransitionTime: ago(1) }],
  });
  const { status } = planBackupConfiguration(configurationWorld({ sessions: [failed] }));
  assert.equal([status?.phase, conditionOf(status, 'LastBackupSucceeded')?.reason], ['Ready', 'DumpFailed']);
  assert.equal(status?.retry, [{ session: 'daily', after: 'run', time: ago(-60) }]);
  assert.equal([status?.sessions?.[0]?.lastSession, status?.sessions?.[0]?.lastPhase], ['run', 'Failed']);
});

test('it is deleted after its sessions', () => {
  const going = {
    ...configurationObject(),
    metadata: { ...configurationObject().metadata, deletionTimestamp: ago(1) },
  };
  const first = planBackupConfiguration(configurationWorld({ configuration: going, sessions: [sessionObject()] }));
  assert.equal([named(first.remove), first.letGo], [['BackupSession/run'], undefined]);
  assert.is(planBackupConfiguration(configurationWorld({ configuration: going })).letGo, true);
});

const DEADLINES: [string, number][] = [
  ['* * * * *', 60],
  ['*/5 * * * *', 300],
  ['0 * * * *', 3600],
  ['0 3 * * *', 86_400],
  ['0 3 * * 0', 86_400],
  ['0 0,1 * * *', 3600],
  ['@every 6h', 21_600],
  ['@every 10s', 60],
];
for (const [schedule, seconds] of DEADLINES) {
  test(`a run of "${schedule}" may start ${seconds} s late, so that no 100 runs are ever missed`, () => {
    assert.is(startingDeadlineSeconds({ schedule }, NOW), seconds);
  });
}
test('unless the scheduler says how late', () => {
  assert.is(startingDeadlineSeconds({ schedule: '@daily', startingDeadlineSeconds: 7 }, NOW), 7);
});
test('the next time is that of the zone, and @every counts from the last run', () => {
  assert.is(
    nextScheduleTime({ schedule: '0 3 * * *', timeZone: 'Asia/Tokyo' }, undefined, NOW)?.toISOString(),
    '2026-03-15T18:00:00.000Z',
  );
  const cron = { metadata: { creationTimestamp: ago(86_400) }, status: { lastScheduleTime: ago(4 * 3600) } } as CronJob;
  assert.is(nextScheduleTime({ schedule: '@every 6h' }, cron, NOW)?.toISOString(), '2026-03-15T14:00:00.000Z');
});

test('no right is handed out to what another namespace has not agreed to', () => {
  const places = (world: ConfigurationWorld): (string | undefined)[] =>
    (planBackupConfiguration(world).apply ?? [])
      .filter(({ object }) => object.kind === 'Role')
      .map(({ object }) => object.metadata.namespace);
  const vault: BackupStorage = { ...storageObject(), metadata: { ...storageObject().metadata, namespace: 'vault' } };
  const open: BackupStorage = {
    ...vault,
    spec: { ...vault.spec, usagePolicy: { allowedNamespaces: { from: 'All' } } },
  };
  const inVault = (status: Condition[], secret: string): Map<string, Repository> => {
    const { spec, ...rest } = repositoryObject(status);
    const encryptionSecret = { namespace: secret, name: 'password' };
    return new Map([
      ['orders', { ...rest, spec: { ...spec, encryptionSecret, storageRef: { namespace: 'vault', name: 's3' } } }],
    ]);
  };
  const configuration = (secret: string): BackupConfiguration =>
    configurationObject(({ spec }) => {
      spec.backends = [{ name: 's3', storageRef: { namespace: 'vault', name: 's3' } }];
      const [repository] = spec.sessions[0]?.repositories ?? [];
      if (repository !== undefined) repository.encryptionSecret = { namespace: secret, name: 'password' };
    });
  const world = (storage: BackupStorage, status: Condition[], secret: string): ConfigurationWorld =>
    configurationWorld({
      configuration: configuration(secret),
      findStorage: () => storage,
      repositories: inVault(status, secret),
    });
  assert.equal(places(world(vault, ready(), 'shop')), ['shop', 'shop']);
  assert.equal(places(world(open, ready(), 'shop')), ['shop', 'shop', 'vault']);
  // A Secret elsewhere counts as agreed to once the Repository, whose controller asks, is Ready.
  assert.equal(places(world(vault, ready('False', 'NotAllowed'), 'safe')), ['shop', 'shop']);
  assert.equal(places(world(vault, ready(), 'safe')), ['shop', 'safe', 'shop']);
});

test.run();
