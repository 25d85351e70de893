/** Worlds for the tests of pure plans: everything is there and well unless a test says otherwise. */

import type {
  Addon,
  BackstayFunction,
  BackupConfiguration,
  BackupSession,
  BackupStorage,
  Condition,
  Repository,
  RetentionPolicy,
  Snapshot,
} from '../../src/api/generated/types.ts';
import { API_VERSION } from '../../src/api/group.ts';
import type { Job, Pod } from '../../src/kube/builtin.ts';
import type { KubeObject } from '../../src/kube/resource.ts';
import type { Surroundings } from '../../src/operator/backupconfiguration/problems.ts';
import type { SessionWorld } from '../../src/operator/backupsession/world.ts';
import type { StatusFields } from '../../src/operator/reconcile/plan.ts';
import { samples } from './samples.ts';

export const NOW = new Date('2026-03-15T12:00:00Z');
export const SETTINGS = { image: 'backstay:test' };

/** RFC 3339 of so many seconds before NOW. */
export function ago(seconds: number): string {
  return `${new Date(NOW.getTime() - seconds * 1000).toISOString().slice(0, 19)}Z`;
}

/** An object as the server hands it out. */
export function stored<T extends KubeObject>(object: T, metadata: Partial<T['metadata']> = {}): T {
  const { kind, metadata: given } = object;
  return {
    ...object,
    metadata: { uid: `uid-${kind}-${given.name}`, generation: 1, creationTimestamp: ago(60), ...given, ...metadata },
  };
}

export function ready(status: 'True' | 'False' = 'True', reason = 'Ok', message = ''): Condition[] {
  return [{ type: 'Ready', status, reason, message, lastTransitionTime: ago(600), observedGeneration: 1 }];
}

export const ADDON: Addon = {
  apiVersion: API_VERSION,
  kind: 'Addon',
  metadata: { name: 'mongodb' },
  spec: {
    backupTasks: [
      {
        name: 'logical-backup',
        function: 'mongodb-backup',
        parameters: [{ name: 'consistency', default: 'lock', enum: ['lock', 'none'] }, { name: 'members' }],
      },
    ],
    restoreTasks: [{ name: 'logical-backup-restore', function: 'mongodb-restore' }],
  },
};

/** `--session=${backupSession:=}`, written so that it is no mistaken template string. */
function optional(text: string): string {
  const [option, variable] = text.split('=');
  return `--${option}=$\{${variable}:=}`;
}

export const FUNCTION: BackstayFunction = {
  apiVersion: API_VERSION,
  kind: 'Function',
  metadata: { name: 'mongodb-backup' },
  spec: {
    args: ['job', 'backup', ...['session=backupSession', 'consistency=consistency', 'members=members'].map(optional)],
  },
};

export function storageObject(status: Condition[] = ready()): BackupStorage {
  return stored({ ...samples('shop').storage, status: { conditions: status } });
}

export function repositoryObject(status: Condition[] = ready()): Repository {
  return stored({
    apiVersion: API_VERSION,
    kind: 'Repository',
    metadata: { namespace: 'shop', name: 'orders', labels: { 'backstay.dev/configuration': 'orders' } },
    spec: {
      appRef: { apiGroup: 'backstay.dev', kind: 'AppBinding', namespace: 'shop', name: 'orders' },
      storageRef: { namespace: 'shop', name: 's3' },
      path: 'orders',
      encryptionSecret: { namespace: 'shop', name: 'password' },
      deletionPolicy: 'Delete',
    },
    status: { conditions: status },
  });
}

export function configurationObject(
  change: (configuration: BackupConfiguration) => void = () => {},
): BackupConfiguration {
  const { configuration } = samples('shop');
  change(configuration);
  return stored(configuration);
}

export function around(change: Partial<Surroundings> = {}): Surroundings {
  const policy: RetentionPolicy = samples('shop').policy;
  const configuration = change.configuration ?? configurationObject();
  return {
    configuration,
    backends: configuration.spec.backends ?? [],
    target: {
      target: { apiGroup: 'backstay.dev', kind: 'AppBinding', namespace: 'shop', name: 'orders' },
      found: true,
      missing: '',
      secrets: ['orders-auth'],
    },
    findStorage: () => storageObject(),
    findPolicy: () => policy,
    findAddon: () => ADDON,
    findFunction: () => FUNCTION,
    namespaceLabels: {},
    repositories: new Map([['orders', repositoryObject()]]),
    ...change,
  };
}

export function sessionObject(
  status: BackupSession['status'] = {},
  spec: Partial<BackupSession['spec']> = {},
  name = 'run',
): BackupSession {
  return stored({
    apiVersion: API_VERSION,
    kind: 'BackupSession',
    metadata: { namespace: 'shop', name },
    spec: { invoker: { name: 'orders' }, session: 'daily', ...spec },
    status,
  });
}

export function snapshotObject(
  name: string,
  status: Snapshot['status'] = {},
  spec: Partial<Snapshot['spec']> = {},
): Snapshot {
  return stored({
    apiVersion: API_VERSION,
    kind: 'Snapshot',
    metadata: { namespace: 'shop', name },
    spec: {
      snapshotID: name,
      repository: 'orders',
      session: 'daily',
      backupSession: 'run',
      deletionPolicy: 'Delete',
      ...spec,
    },
    status,
  });
}

/** The status of a Snapshot as the runner leaves it after a good backup. */
export const WHOLE: Snapshot['status'] = { components: [{ name: 'dump', phase: 'Succeeded' }], manifestID: 'm' };

export function sessionWorld(change: Partial<SessionWorld> = {}): SessionWorld {
  const session = change.session ?? sessionObject();
  return {
    session,
    around: around(),
    invalid: '',
    rival: undefined,
    unreleased: undefined,
    snapshots: [],
    job: undefined,
    pods: [],
    releaseJobs: [],
    siblings: [session],
    snapshotsOf: () => [],
    forgetting: [],
    namespaceTerminating: false,
    settings: SETTINGS,
    now: NOW,
    ...change,
  };
}

/** A Job of an object, running unless it has ended. */
export function jobOf(
  owner: KubeObject,
  component: string,
  end?: 'Complete' | 'Failed',
  annotations: Record<string, string> = {},
): Job {
  const conditions =
    end === undefined
      ? []
      : [{ type: end, status: 'True' as const, lastTransitionTime: ago(1), reason: 'BackoffLimitExceeded' }];
  const name = `${component}-${owner.metadata.name}`;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      namespace: 'shop',
      name,
      uid: `uid-${name}`,
      creationTimestamp: ago(5),
      labels: { 'app.kubernetes.io/component': component },
      annotations,
      ownerReferences: [
        {
          apiVersion: owner.apiVersion,
          kind: owner.kind,
          name: owner.metadata.name ?? '',
          uid: owner.metadata.uid ?? '',
          controller: true,
        },
      ],
    },
    spec: { template: { spec: { containers: [] } } },
    status: { conditions },
  };
}

/** The Pod of a Job; with a result it has ended. */
export function podOf(
  job: Job,
  result?: { exitCode?: number; reason?: string; code?: string; message?: string; retryable?: boolean; data?: object },
): Pod {
  const terminated = {
    exitCode: result?.exitCode ?? 0,
    reason: result?.reason ?? 'Completed',
    message: JSON.stringify({ code: 'Succeeded', ...result }),
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace: 'shop',
      name: `${job.metadata.name}-x`,
      uid: `uid-${job.metadata.name}-x`,
      labels: job.metadata.labels ?? {},
      ownerReferences: [
        {
          apiVersion: 'batch/v1',
          kind: 'Job',
          name: job.metadata.name ?? '',
          uid: job.metadata.uid ?? '',
          controller: true,
        },
      ],
    },
    spec: { containers: [{ name: 'backstay' }] },
    status:
      result === undefined
        ? { phase: 'Running' }
        : {
            phase: terminated.exitCode === 0 ? 'Succeeded' : 'Failed',
            containerStatuses: [{ name: 'backstay', state: { terminated } }],
          },
  };
}

export function conditionOf(status: StatusFields | undefined, type: string): Condition | undefined {
  return status?.conditions?.find((each) => each.type === type);
}

/** `Job/backup-run`, for each object. */
export function named(wanted: readonly { object: KubeObject }[] | undefined): string[] {
  return (wanted ?? []).map(({ object }) => `${object.kind}/${object.metadata.name}`);
}
