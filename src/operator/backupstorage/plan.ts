/** What a BackupStorage needs: a Job that reaches it now and then, and a status that says how that went. Pure. */
import type { Cause } from '../../api/causes.ts';
import { timestamp } from '../../api/conditions.ts';
import type { BackupStorage, BackupStorageStatus, Repository } from '../../api/generated/types.ts';
import { labelValue, RECONCILE_ANNOTATION, STORAGE_LABEL } from '../../api/labels.ts';
import { storageJobName, storageServiceAccountName } from '../../api/names.ts';
import { ownerReference } from '../../kube/apply.ts';
import { type Job, Jobs, type Pod } from '../../kube/builtin.ts';
import { storageJobGrants } from '../access/grants.ts';
import { planAccess } from '../access/plan.ts';
import { accessWanted } from '../access/wanted.ts';
import { type Ended, readAttempts } from '../jobs/attempts.ts';
import type { JobSettings } from '../jobs/build.ts';
import { maintenanceJob } from '../jobs/maintenance.ts';
import { fingerprint } from '../reconcile/fingerprint.ts';
import { owned, type Plan } from '../reconcile/plan.ts';
import { Conditions, ownStatus, READINESS, type StatusOwnership } from '../reconcile/status.ts';
import { isJudged, lookAgain, verdictNotes } from '../reconcile/verdict.ts';
import { describeCauses, describeFailure } from '../reconcile/wording.ts';
import type { SecretFinding } from '../secrets.ts';

export const STORAGE_STATUS: StatusOwnership = {
  fields: ['observedGeneration', 'phase', 'storageID', 'totalBytes', 'lastCheckTime', 'repositories'],
  conditions: READINESS,
};

/** How often a storage that works is reached again. */
export const CHECK_EVERY_MS = 30 * 60_000;
const CHECK_DEADLINE_SECONDS = 300;

export interface StorageWorld {
  storage: BackupStorage;
  /** What is wrong with its spec. */
  causes: readonly Cause[];
  /** What was found of the Secret with its credentials. */
  secret: SecretFinding;
  jobs: readonly Job[];
  pods: readonly Pod[];
  /** The Repositories that lie in it. */
  repositories: readonly Repository[];
  settings: JobSettings;
  now: Date;
}

export function planBackupStorage(world: StorageWorld): Plan<BackupStorageStatus> {
  const { storage, causes, secret, now } = world;
  if (storage.metadata.deletionTimestamp !== undefined) return {};
  const status = { ...ownStatus(storage, STORAGE_STATUS), ...contents(world.repositories) };
  const conditions = new Conditions(storage, STORAGE_STATUS, now);
  if (causes.length > 0) {
    conditions.ready('Stalled', 'Invalid', describeCauses(causes));
    return withStatus(world, status, conditions, 'NotReady');
  }
  if (secret.state === 'missing') {
    conditions.ready('NotReady', secret.reason, secret.message);
    return { ...withStatus(world, status, conditions, 'NotReady'), requeueAfterMs: lookAgain(conditions, now) };
  }
  return planCheck(world, status, conditions);
}

function planCheck(
  world: StorageWorld,
  former: BackupStorageStatus,
  conditions: Conditions,
): Plan<BackupStorageStatus> {
  const { storage, jobs, pods, settings } = world;
  const now = world.now.getTime();
  const { namespace = '', name = '' } = storage.metadata;
  const owner = ownerReference(storage);
  const labels = { [STORAGE_LABEL]: labelValue(name) };
  const question = fingerprint([
    storage.spec.storage,
    storage.spec.runtimeSettings,
    storage.metadata.annotations?.[RECONCILE_ANNOTATION],
    world.secret.version,
  ]);
  const attempts = readAttempts({ jobs, pods, fingerprint: question, now, repeatAfterMs: CHECK_EVERY_MS });
  const access = planAccess({
    name: storageServiceAccountName(name),
    namespace,
    component: 'storage',
    owner,
    labels,
    grants: storageJobGrants(storage),
  });
  const common: Plan<BackupStorageStatus> = {
    apply: accessWanted(access, owner),
    remove: attempts.stale.map((object) => ({ type: Jobs, object })),
  };
  const ended = attempts.state === 'ended' ? attempts : attempts.former;
  const status = ended === undefined ? former : { ...former, ...judge(ended, conditions) };
  if (attempts.state === 'ended') {
    const requeueAfterMs = attempts.nextAt === undefined ? {} : { requeueAfterMs: Math.max(0, attempts.nextAt - now) };
    return {
      ...common,
      ...withStatus(world, status, conditions, attempts.ok ? 'Ready' : 'NotReady'),
      ...requeueAfterMs,
    };
  }
  // What was known stays known while it is looked at again, unless the spec has changed since.
  if (!isJudged(storage, conditions)) {
    const hindrance = attempts.state === 'running' ? attempts.hindrance : undefined;
    conditions.ready(
      'Reconciling',
      hindrance?.reason ?? 'Checking',
      hindrance?.message ?? 'the storage is being reached',
    );
  }
  const phase = conditions.get('Ready')?.status === 'True' ? 'Ready' : 'NotReady';
  const plan = { ...common, ...withStatus(world, status, conditions, phase) };
  if (attempts.state === 'running') return plan;
  const job = maintenanceJob(
    {
      name: storageJobName(name, attempts.attempt),
      namespace,
      component: 'storage',
      owner,
      serviceAccountName: access.serviceAccount.metadata.name ?? '',
      args: ['job', 'storage', '--namespace', namespace, '--name', name],
      labels,
      deadlineSeconds: CHECK_DEADLINE_SECONDS,
      storages: [storage],
    },
    attempts,
    question,
    settings,
  );
  return { ...plan, create: [owned(Jobs, job, owner)] };
}

function judge(ended: Ended, conditions: Conditions): Partial<BackupStorageStatus> {
  const lastCheckTime = timestamp(new Date(ended.finishedAt));
  if (!ended.ok) {
    conditions.ready('NotReady', ended.failure.code, describeFailure(ended.failure));
    return { lastCheckTime };
  }
  conditions.ready('Ready', 'Reached', 'the storage can be read and written');
  const { storageID } = ended.result.data;
  return { lastCheckTime, ...(typeof storageID === 'string' ? { storageID } : {}) };
}

function withStatus(
  { storage }: StorageWorld,
  status: BackupStorageStatus,
  conditions: Conditions,
  phase: 'Ready' | 'NotReady',
): Plan<BackupStorageStatus> {
  return {
    status: { ...status, observedGeneration: storage.metadata.generation ?? 0, phase, conditions: conditions.list },
    events: verdictNotes(storage, conditions),
  };
}

function contents(repositories: readonly Repository[]): Pick<BackupStorageStatus, 'totalBytes' | 'repositories'> {
  const list = repositories
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ metadata: { namespace = '', name = '' }, spec, status }) => ({
      namespace,
      name,
      path: spec.path,
      ...(status?.bytes === undefined ? {} : { bytes: status.bytes }),
    }))
    .sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
  return {
    totalBytes: list.reduce((sum, { bytes = 0 }) => sum + bytes, 0),
    repositories: list.slice(0, MOST_REPOSITORIES),
  };
}

/** As many as the schema lets into the status. */
const MOST_REPOSITORIES = 1024;
