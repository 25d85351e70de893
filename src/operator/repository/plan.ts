/** What a Repository needs: to be opened (or made) once its storage can be used, and a status that counts its Snapshots. Pure. */
import type { Cause } from '../../api/causes.ts';
import { timestamp } from '../../api/conditions.ts';
import type { BackupStorage, Repository, RepositoryStatus, Snapshot } from '../../api/generated/types.ts';
import { labelValue, RECONCILE_ANNOTATION, REPOSITORY_LABEL } from '../../api/labels.ts';
import { repositoryJobName, repositoryServiceAccountName } from '../../api/names.ts';
import { ownerReference } from '../../kube/apply.ts';
import { type Job, Jobs, type Pod } from '../../kube/builtin.ts';
import type { KubeObject } from '../../kube/resource.ts';
import { repositoryJobGrants } from '../access/grants.ts';
import { type Access, planAccess } from '../access/plan.ts';
import { accessLeftovers, accessWanted } from '../access/wanted.ts';
import { type Ended, readAttempts } from '../jobs/attempts.ts';
import type { JobSettings } from '../jobs/build.ts';
import { maintenanceJob } from '../jobs/maintenance.ts';
import { fingerprint } from '../reconcile/fingerprint.ts';
import { owned, type Plan } from '../reconcile/plan.ts';
import { Conditions, ownStatus, READINESS, type StatusOwnership } from '../reconcile/status.ts';
import { isJudged, lookAgain, verdictNotes } from '../reconcile/verdict.ts';
import { describeCauses, describeFailure } from '../reconcile/wording.ts';
import type { SecretFinding } from '../secrets.ts';
import type { StorageFinding } from '../storages.ts';
import { planWipeOut } from './wipeout.ts';

export const REPOSITORY_STATUS: StatusOwnership = {
  fields: [
    'observedGeneration',
    'phase',
    'resticID',
    'lastBackupTime',
    'snapshotCount',
    'bytes',
    'lastCheckTime',
    'recentSnapshots',
  ],
  conditions: READINESS,
};

const OPEN_DEADLINE_SECONDS = 600;
const RECENT = 5;

export interface RepositoryWorld {
  repository: Repository;
  causes: readonly Cause[];
  storage: StorageFinding;
  /** What was found of the Secret with its password. */
  secret: SecretFinding;
  /** Jobs that open it. */
  jobs: readonly Job[];
  /** Jobs that remove all its data. */
  wipeJobs: readonly Job[];
  pods: readonly Pod[];
  snapshots: readonly Snapshot[];
  /** Roles and bindings in other namespaces that were made for it. */
  elsewhere: { roles: readonly KubeObject[]; bindings: readonly KubeObject[] };
  settings: JobSettings;
  now: Date;
}

export function planRepository(world: RepositoryWorld): Plan<RepositoryStatus> {
  const { repository, causes, storage, secret, now } = world;
  const allowed = storage.usable || storage.reason !== 'NotAllowed' ? storage.storage : undefined;
  const access = repositoryAccess(repository, allowed, secret.state === 'present');
  const conditions = new Conditions(repository, REPOSITORY_STATUS, now);
  if (repository.metadata.deletionTimestamp !== undefined) return planWipeOut(world, access, conditions);

  const hold =
    repository.spec.deletionPolicy === 'WipeOut' ||
    access.roles.some(({ metadata }) => metadata.namespace !== repository.metadata.namespace);
  const owner = ownerReference(repository);
  const common: Plan<RepositoryStatus> = {
    ...(hold ? { hold } : {}),
    apply: accessWanted(access, owner),
    remove: accessLeftovers(world.elsewhere, [access]),
  };
  const former = { ...ownStatus(repository, REPOSITORY_STATUS), ...contents(world.snapshots) };
  const finish = (status: RepositoryStatus): Plan<RepositoryStatus> => ({
    ...common,
    status: {
      ...status,
      observedGeneration: repository.metadata.generation ?? 0,
      phase: conditions.get('Ready')?.status === 'True' ? 'Ready' : 'NotReady',
      conditions: conditions.list,
    },
    events: verdictNotes(repository, conditions),
  });
  if (causes.length > 0) {
    conditions.ready('Stalled', 'Invalid', describeCauses(causes));
    return finish(former);
  }
  if (repository.spec.paused === true) {
    if (!isJudged(repository, conditions))
      conditions.ready('Reconciling', 'Paused', 'the repository is left alone while spec.paused is true');
    return finish(former);
  }
  if (!storage.usable) {
    conditions.ready('NotReady', storage.reason, storage.message);
    return finish(former);
  }
  if (secret.state === 'missing') {
    conditions.ready('NotReady', secret.reason, secret.message);
    return { ...finish(former), requeueAfterMs: lookAgain(conditions, now) };
  }
  return planOpening(world, storage.storage, former, conditions, finish, common);
}

function planOpening(
  world: RepositoryWorld,
  storage: BackupStorage,
  former: RepositoryStatus,
  conditions: Conditions,
  finish: (status: RepositoryStatus) => Plan<RepositoryStatus>,
  common: Plan<RepositoryStatus>,
): Plan<RepositoryStatus> {
  const { repository, jobs, pods, settings } = world;
  const now = world.now.getTime();
  const { namespace = '', name = '' } = repository.metadata;
  const owner = ownerReference(repository);
  const question = fingerprint([
    repository.spec.path,
    repository.metadata.annotations?.[RECONCILE_ANNOTATION],
    world.secret.version,
    // A storage that was lost and found again, or whose marker is a new one, may hold another repository or none.
    [storage.metadata.uid, storage.status?.storageID, readySince(storage)],
  ]);
  const attempts = readAttempts({ jobs, pods, fingerprint: question, now });
  const ended = attempts.state === 'ended' ? attempts : attempts.state === 'start' ? attempts.former : undefined;
  const status = ended === undefined ? former : { ...former, ...judge(ended, conditions) };
  if (attempts.state !== 'ended' && !isJudged(repository, conditions)) {
    const hindrance = attempts.state === 'running' ? attempts.hindrance : undefined;
    conditions.ready(
      'Reconciling',
      hindrance?.reason ?? 'Opening',
      hindrance?.message ?? 'the repository is being opened',
    );
  }
  const plan = finish(status);
  const remove = [...(common.remove ?? []), ...attempts.stale.map((object) => ({ type: Jobs, object }))];
  if (attempts.state === 'ended') {
    return {
      ...plan,
      remove,
      ...(attempts.nextAt === undefined ? {} : { requeueAfterMs: Math.max(0, attempts.nextAt - now) }),
    };
  }
  if (attempts.state === 'running') return { ...plan, remove };
  const job = maintenanceJob(
    {
      name: repositoryJobName(name, attempts.attempt),
      namespace,
      component: 'repository',
      owner,
      serviceAccountName: repositoryServiceAccountName(name),
      args: ['job', 'repository', '--namespace', namespace, '--name', name],
      labels: { [REPOSITORY_LABEL]: labelValue(name) },
      deadlineSeconds: OPEN_DEADLINE_SECONDS,
      storages: [storage],
    },
    attempts,
    question,
    settings,
  );
  return { ...plan, remove, create: [owned(Jobs, job, owner)] };
}

/** The rights of the Jobs of a Repository, those that forget Snapshots among them. */
function repositoryAccess(repository: Repository, storage: BackupStorage | undefined, trusted: boolean): Access {
  const { namespace = '', name = '' } = repository.metadata;
  return planAccess({
    name: repositoryServiceAccountName(name),
    namespace,
    component: 'repository',
    owner: ownerReference(repository),
    labels: { [REPOSITORY_LABEL]: labelValue(name) },
    grants: repositoryJobGrants(repository, storage, trusted),
  });
}

function judge(ended: Ended, conditions: Conditions): Partial<RepositoryStatus> {
  const lastCheckTime = timestamp(new Date(ended.finishedAt));
  if (!ended.ok) {
    conditions.ready('NotReady', ended.failure.code, describeFailure(ended.failure));
    return { lastCheckTime };
  }
  const { resticID, created } = ended.result.data;
  conditions.ready('Ready', created === true ? 'Created' : 'Opened', 'the repository can be used');
  return { lastCheckTime, ...(typeof resticID === 'string' ? { resticID } : {}) };
}

/** Counts over the Snapshots; sizes in bytes. */
function contents(snapshots: readonly Snapshot[]): Partial<RepositoryStatus> {
  const time = ({ status, metadata }: Snapshot): string => status?.snapshotTime ?? metadata.creationTimestamp ?? '';
  const newestFirst = [...snapshots].sort((a, b) =>
    time(a) === time(b) ? (nameOf(a) < nameOf(b) ? 1 : -1) : time(a) < time(b) ? 1 : -1,
  );
  const good = newestFirst.filter(({ status }) => status?.phase === 'Succeeded');
  const [newest] = good;
  return {
    snapshotCount: good.length,
    bytes: good.reduce((sum, { status }) => sum + (status?.addedBytes ?? 0), 0),
    ...(newest === undefined ? {} : { lastBackupTime: time(newest) }),
    recentSnapshots: newestFirst.slice(0, RECENT).map(({ metadata, spec, status }) => ({
      name: metadata.name ?? '',
      phase: status?.phase ?? 'Pending',
      ...(spec.session === undefined ? {} : { session: spec.session }),
      // The size of one that still grows would be a write for every one of the runner's.
      ...(status?.bytes === undefined || status.phase !== 'Succeeded' ? {} : { bytes: status.bytes }),
      ...(status?.snapshotTime === undefined ? {} : { snapshotTime: status.snapshotTime }),
    })),
  };
}

function nameOf({ metadata }: KubeObject): string {
  return metadata.name ?? '';
}

function readySince(storage: BackupStorage): string | undefined {
  return storage.status?.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime;
}
