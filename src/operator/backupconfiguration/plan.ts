/** What a BackupConfiguration needs: Repositories, access rights, a CronJob for each session; and whether it does what it says. Pure. */
import type { Cause } from '../../api/causes.ts';
import { timestamp } from '../../api/conditions.ts';
import type {
  BackupConfiguration,
  BackupConfigurationBackend,
  BackupConfigurationSession,
  BackupConfigurationStatus,
  BackupSession,
  Repository,
} from '../../api/generated/types.ts';
import { BackupSessions, Repositories } from '../../api/kinds.ts';
import { CONFIGURATION_LABEL, labelValue } from '../../api/labels.ts';
import { backupServiceAccountName, triggerCronJobName, triggerServiceAccountName } from '../../api/names.ts';
import { resolveReference } from '../../api/references.ts';
import { isOwnedBy, ownerReference } from '../../kube/apply.ts';
import { type CronJob, CronJobs } from '../../kube/builtin.ts';
import type { KubeObject } from '../../kube/resource.ts';
import { backupGrants, triggerGrants } from '../access/grants.ts';
import { type Access, planAccess } from '../access/plan.ts';
import { accessLeftovers, accessWanted } from '../access/wanted.ts';
import type { JobSettings } from '../jobs/build.ts';
import { earliest, owned, type Plan, type Wanted } from '../reconcile/plan.ts';
import { Conditions, ownStatus, READINESS, type StatusOwnership } from '../reconcile/status.ts';
import { verdictNotes } from '../reconcile/verdict.ts';
import { describeCauses } from '../reconcile/wording.ts';
import { mayUse, type StorageFinding } from '../storages.ts';
import { triggerCronJob } from './cronjobs.ts';
import { type Problem, policyProblems, problemsOf, type Surroundings, storageFindings } from './problems.ts';
import { isOwnRepository, type RepositoryWish, repositoryWishes } from './repositories.ts';
import { nextScheduleTime } from './schedule.ts';

export const CONFIGURATION_STATUS: StatusOwnership = {
  fields: ['observedGeneration', 'phase', 'targetFound', 'backends', 'repositories', 'sessions', 'retry'],
  conditions: [...READINESS, 'LastBackupSucceeded', 'SchedulesResting'],
};

export interface ConfigurationWorld extends Surroundings {
  causes: readonly Cause[];
  /** CronJobs of the namespace that carry the configuration's label. */
  cronJobs: readonly CronJob[];
  /** BackupSessions of the configuration. */
  sessions: readonly BackupSession[];
  /** RestoreSessions that run, or are about to, on the target. */
  restores: readonly string[];
  elsewhere: { roles: readonly KubeObject[]; bindings: readonly KubeObject[] };
  settings: JobSettings;
  now: Date;
}

export function planBackupConfiguration(world: ConfigurationWorld): Plan<BackupConfigurationStatus> {
  const { configuration, causes, now } = world;
  if (configuration.metadata.deletionTimestamp !== undefined) return planDeletion(world);
  const conditions = new Conditions(configuration, CONFIGURATION_STATUS, now);
  const generation = configuration.metadata.generation ?? 0;
  if (causes.length > 0) {
    conditions.ready('Stalled', 'Invalid', describeCauses(causes));
    const former = ownStatus(configuration, CONFIGURATION_STATUS);
    const status: BackupConfigurationStatus = {
      ...former,
      observedGeneration: generation,
      phase: 'Invalid',
      conditions: conditions.list,
    };
    return { status, events: verdictNotes(configuration, conditions) };
  }

  const owner = ownerReference(configuration);
  const wishes = repositoryWishes(configuration, world.backends, world.repositories, owner);
  const storages = storageFindings(world);
  const accesses = accessesOf(world, wishes);
  const crons = configuration.spec.sessions.map((session) => cronJobOf(world, session));
  const wantedCrons = new Set(crons.map(({ metadata }) => metadata.name));
  const problems = problemsOf(world, configuration.spec.sessions, wishes, storages);
  judge(world, problems, conditions);
  const sessions = configuration.spec.sessions.map((session) => sessionStatus(world, session));
  const status: BackupConfigurationStatus = {
    observedGeneration: generation,
    phase: problems.length === 0 ? 'Ready' : 'NotReady',
    targetFound: world.target.found,
    backends: world.backends.map((backend) => backendStatus(world, backend, storages)),
    repositories: wishes.map((wish) => repositoryStatus(world, wish)),
    sessions,
    retry: retries(world.sessions),
    conditions: conditions.list,
  };
  const next = earliest(
    ...sessions.map(({ nextScheduleTime: time }) =>
      time === undefined ? undefined : Date.parse(time) - now.getTime(),
    ),
  );
  return {
    hold: true,
    apply: [
      ...accesses.flatMap((access) => accessWanted(access, owner)),
      ...wishes.flatMap(({ object }) => (object === undefined ? [] : [repositoryWanted(object, configuration)])),
      ...crons.map((object) => owned(CronJobs, object, owner)),
    ],
    remove: [
      ...accessLeftovers(world.elsewhere, accesses),
      ...world.cronJobs
        .filter((cron) => isOwnedBy(cron, configuration) && !wantedCrons.has(cron.metadata.name))
        .map((object) => ({ type: CronJobs, object })),
    ],
    status,
    events: verdictNotes(configuration, conditions),
    // A second after the run is due, the time of the next one is another.
    ...(next === undefined ? {} : { requeueAfterMs: next + 1000 }),
  };
}

/** Sessions first (one may still have to unlock a member, with the rights of the configuration), then rights elsewhere. */
function planDeletion({
  configuration,
  cronJobs,
  sessions,
  elsewhere,
}: ConfigurationWorld): Plan<BackupConfigurationStatus> {
  const remove = [
    ...cronJobs.filter((cron) => isOwnedBy(cron, configuration)).map((object) => ({ type: CronJobs, object })),
    ...sessions.map((object) => ({ type: BackupSessions, object })),
  ];
  if (sessions.length > 0) return { remove };
  return { remove: [...remove, ...accessLeftovers(elsewhere, [])], letGo: true };
}

function accessesOf(world: ConfigurationWorld, wishes: readonly RepositoryWish[]): Access[] {
  const { configuration, target } = world;
  const { namespace = '', name = '' } = configuration.metadata;
  const owner = ownerReference(configuration);
  const labels = { [CONFIGURATION_LABEL]: labelValue(name) };
  const repositories = wishes
    .map(({ name: wished, object, refusal }) =>
      refusal === undefined ? (world.repositories.get(wished) ?? object) : undefined,
    )
    .filter((repository) => repository !== undefined)
    .map((repository) => {
      const ref = resolveReference(repository.spec.storageRef, namespace);
      const storage = world.findStorage(ref.namespace, ref.name);
      // The rights to a storage that may not be used are not handed on.
      const allowed = mayUse(storage?.spec.usagePolicy, ref.namespace, namespace, world.namespaceLabels);
      return { repository, storage: allowed ? storage : undefined };
    });
  return [
    planAccess({
      name: triggerServiceAccountName(name),
      namespace,
      component: 'trigger',
      owner,
      labels,
      grants: triggerGrants(namespace, name),
    }),
    planAccess({
      name: backupServiceAccountName(name),
      namespace,
      component: 'backup',
      owner,
      labels,
      grants: backupGrants({ namespace, configuration: name, target, repositories }),
    }),
  ];
}

function cronJobOf(
  { configuration, restores, settings, now }: ConfigurationWorld,
  session: BackupConfigurationSession,
): CronJob {
  const resting = configuration.spec.paused === true || restores.length > 0;
  return triggerCronJob({ configuration, session, owner: ownerReference(configuration), resting, settings, now });
}

function repositoryWanted(object: Repository, configuration: BackupConfiguration): Wanted {
  return { type: Repositories, object, ours: (live) => isOwnRepository(live, configuration) };
}

/** Ready, and apart from it (a failed run does not make a policy unhealthy) how the last backup went. */
function judge(world: ConfigurationWorld, problems: readonly Problem[], conditions: Conditions): void {
  const { configuration, restores, sessions } = world;
  const [first] = problems;
  if (first === undefined) conditions.ready('Ready', 'Scheduled', 'backups are taken as scheduled');
  else conditions.ready('NotReady', first.reason, problems.map(({ message }) => message).join('; '));

  if (configuration.spec.paused === true)
    conditions.set('SchedulesResting', 'True', 'Paused', 'no session runs while spec.paused is true');
  else if (restores.length > 0)
    conditions.set('SchedulesResting', 'True', 'RestoreRunning', `the target is restored by ${restores.join(', ')}`);
  else conditions.set('SchedulesResting', 'False', 'Scheduled', 'the schedules are in force');

  const last = newestFirst(sessions).find(({ status }) => status?.phase === 'Succeeded' || status?.phase === 'Failed');
  if (last === undefined) return;
  const failed = last.status?.conditions?.find(({ type }) => type === 'Failed');
  if (last.status?.phase === 'Succeeded') {
    conditions.set('LastBackupSucceeded', 'True', 'Succeeded', `BackupSession ${last.metadata.name} succeeded`);
  } else {
    conditions.set(
      'LastBackupSucceeded',
      'False',
      failed?.reason ?? 'Failed',
      `BackupSession ${last.metadata.name} failed: ${failed?.message ?? 'no reason'}`,
    );
  }
}

function backendStatus(
  world: ConfigurationWorld,
  backend: BackupConfigurationBackend,
  storages: ReadonlyMap<string, StorageFinding>,
) {
  const finding = storages.get(backend.name);
  const refused = finding === undefined || finding.usable ? {} : { reason: finding.reason, message: finding.message };
  const policy =
    backend.retentionPolicy === undefined ? {} : { retentionPolicyFound: policyProblems(world, backend).length === 0 };
  return { name: backend.name, ready: finding?.usable === true, ...refused, ...policy };
}

function repositoryStatus({ repositories }: ConfigurationWorld, { name, refusal }: RepositoryWish) {
  if (refusal !== undefined) return { name, phase: 'NotReady' as const, reason: 'NotAllowed', message: refusal };
  const ready = repositories.get(name)?.status?.conditions?.find(({ type }) => type === 'Ready');
  if (ready?.status === 'True') return { name, phase: 'Ready' as const };
  return {
    name,
    phase: 'NotReady' as const,
    ...(ready === undefined ? {} : { reason: ready.reason, message: ready.message }),
  };
}

function sessionStatus(world: ConfigurationWorld, session: BackupConfigurationSession) {
  const { configuration, cronJobs, restores, now } = world;
  const cronJob = triggerCronJobName(configuration.metadata.name ?? '', session.name);
  const live = cronJobs.find(({ metadata }) => metadata.name === cronJob);
  const runs = newestFirst(world.sessions.filter(({ spec }) => spec.session === session.name));
  const [newest] = runs;
  const success = runs.find(({ status }) => status?.phase === 'Succeeded')?.status?.completionTime;
  const former = configuration.status?.sessions?.find(({ name }) => name === session.name);
  const resting = configuration.spec.paused === true || session.scheduler.suspend === true || restores.length > 0;
  const next = resting ? undefined : nextScheduleTime(session.scheduler, live, now);
  const lastSuccessfulTime = success ?? former?.lastSuccessfulTime;
  return {
    name: session.name,
    cronJob,
    ...(next === undefined ? {} : { nextScheduleTime: timestamp(next) }),
    ...(live?.status?.lastScheduleTime === undefined ? {} : { lastScheduleTime: live.status.lastScheduleTime }),
    ...(lastSuccessfulTime === undefined ? {} : { lastSuccessfulTime }),
    ...(newest === undefined
      ? {}
      : { lastSession: newest.metadata.name ?? '', lastPhase: newest.status?.phase ?? 'Pending' }),
  };
}

function retries(sessions: readonly BackupSession[]): NonNullable<BackupConfigurationStatus['retry']> {
  const waiting = new Map<string, { session: string; after: string; time: string }>();
  for (const { metadata, spec, status } of newestFirst(sessions)) {
    if (status?.nextRetry === undefined || status.retried === true || waiting.has(spec.session)) continue;
    waiting.set(spec.session, { session: spec.session, after: metadata.name ?? '', time: status.nextRetry });
  }
  return [...waiting.values()];
}

function newestFirst(sessions: readonly BackupSession[]): BackupSession[] {
  const order = ({ metadata }: BackupSession): string => `${metadata.creationTimestamp} ${metadata.name}`;
  return [...sessions].sort((a, b) => (order(a) < order(b) ? 1 : -1));
}
