import type { BackupConfiguration, BackupSession, Snapshot } from '../../api/generated/types.ts';
import { BackupSessions, Snapshots } from '../../api/kinds.ts';
import { BACKUP_SESSION_LABEL, COMPONENT_LABEL, labelValue, REPOSITORY_LABEL } from '../../api/labels.ts';
import { backupJobName } from '../../api/names.ts';
import { isOwnedBy } from '../../kube/apply.ts';
import { type Job, Jobs } from '../../kube/builtin.ts';
import { Controller, enqueueFor, enqueueSelf } from '../../kube/controller.ts';
import { keyFor, keyOf, refOf } from '../../kube/resource.ts';
import { jobsOf } from '../caches.ts';
import type { Claimant } from '../claims.ts';
import {
  causesOf,
  claimTarget,
  controllerOptions,
  type OperatorContext,
  surroundings,
  targetOfSession,
  type Unreleased,
  unreleasedOn,
} from '../context.ts';
import { jobOutcome } from '../jobs/outcome.ts';
import { createReconciler } from '../reconcile/reconciler.ts';
import { describeCauses } from '../reconcile/wording.ts';
import { isComponent, watchJobs } from '../wake.ts';
import { planBackupSession } from './plan.ts';
import { isEnded, SESSION_STATUS } from './status.ts';
import type { SessionWorld } from './world.ts';

const NAME = 'backupsession';

export function createBackupSessionController(context: OperatorContext): Controller {
  const { client, caches, claims } = context;

  async function gather(session: BackupSession, signal: AbortSignal): Promise<SessionWorld> {
    const { namespace = '' } = session.metadata;
    const configuration = caches.configurations.get(namespace, session.spec.invoker.name);
    const own = jobsOf(caches, session);
    const job = await backupJobOf(session, own.jobs, signal);
    const now = new Date();
    const over = job === undefined || jobOutcome(job, own.pods, now.getTime()).state !== 'running';
    const causes = configuration === undefined ? [] : causesOf('BackupConfiguration', configuration);
    return {
      session,
      around: configuration === undefined ? undefined : surroundings(context, configuration),
      invalid: describeCauses(causes),
      rival: rivalOf(session),
      unreleased: unreleasedFor(session),
      snapshots: await snapshotsOf(session, over && !isEnded(session) && session.status?.job !== undefined, signal),
      job,
      pods: own.pods,
      releaseJobs: own.jobs.filter((each) => isComponent(each, 'release')),
      siblings: caches.sessions.byIndex('configuration', keyFor(namespace, session.spec.invoker.name)),
      snapshotsOf: (repository) => caches.snapshots.byIndex('repository', keyFor(namespace, repository)),
      forgetting: forgettingFor(session, configuration),
      namespaceTerminating: caches.namespaces.get(undefined, namespace)?.metadata.deletionTimestamp !== undefined,
      settings: context.settings,
      now,
    };
  }

  /** The backup Job. One that the cache does not show although there must be one is asked for: deleted, or too new. */
  async function backupJobOf(
    session: BackupSession,
    jobs: readonly Job[],
    signal: AbortSignal,
  ): Promise<Job | undefined> {
    const cached = jobs.find((each) => isComponent(each, 'backup'));
    if (cached !== undefined || isEnded(session) || session.status?.job === undefined) return cached;
    const name = session.status.job ?? backupJobName(session.metadata.name ?? '');
    const found = await client.get(Jobs, { namespace: session.metadata.namespace, name }, { signal });
    return found !== undefined && isOwnedBy(found, session) ? found : undefined;
  }

  /** When a run is judged its Snapshots must be as the runner left them: the cache may be a moment behind its last write. */
  async function snapshotsOf(session: BackupSession, fresh: boolean, signal: AbortSignal): Promise<Snapshot[]> {
    const cached = caches.snapshots.byIndex('session', keyOf(session));
    if (!fresh) return cached;
    const names = new Set([
      ...cached.map(({ metadata }) => metadata.name ?? ''),
      ...(session.status?.snapshots ?? []).map(({ name }) => name),
    ]);
    const found = await Promise.all(
      [...names].map((name) => client.get(Snapshots, { ...refOf(session), name }, { signal })),
    );
    return found.filter((snapshot) => snapshot !== undefined);
  }

  function rivalOf(session: BackupSession): Claimant | undefined {
    const claimant: Claimant = { kind: 'BackupSession', name: keyOf(session) };
    if (isEnded(session) || session.metadata.deletionTimestamp !== undefined) {
      claims.release(claimant);
      return undefined;
    }
    const target = targetOfSession(context, session);
    if (target === undefined) return undefined;
    if (session.status?.job !== undefined) {
      claims.claim(target, claimant);
      return undefined;
    }
    return claimTarget(context, target, claimant);
  }

  function unreleasedFor(session: BackupSession): Unreleased | undefined {
    const waits = !isEnded(session) && session.status?.job === undefined;
    return waits ? unreleasedOn(context, targetOfSession(context, session)) : undefined;
  }

  /** Jobs that remove data from the repositories that the session writes to. */
  function forgettingFor({ metadata, spec }: BackupSession, configuration: BackupConfiguration | undefined): string[] {
    const session = configuration?.spec.sessions.find(({ name }) => name === spec.session);
    const repositories = new Set(session?.repositories.map(({ name }) => labelValue(name)));
    return caches.jobs
      .byIndex('component', keyFor(metadata.namespace, 'forget'))
      .filter((job) => repositories.has(job.metadata.labels?.[REPOSITORY_LABEL] ?? ''))
      .filter(
        (job) => job.metadata.deletionTimestamp === undefined && jobOutcome(job, [], Date.now()).state === 'running',
      )
      .map(({ metadata: { name = '' } }) => name);
  }

  const reconcile = createReconciler({
    name: NAME,
    client,
    cache: caches.sessions,
    live: caches,
    notes: context.notes(NAME),
    own: SESSION_STATUS,
    gather,
    plan: planBackupSession,
    mayExplain: (session) => !isEnded(session),
    gone: (name) => claims.release({ kind: 'BackupSession', name }),
  });
  const controller = new Controller({ name: NAME, reconcile, ...controllerOptions(context) });
  const waiting = (sessions: readonly BackupSession[]): string[] =>
    sessions.filter((session) => !isEnded(session)).map(keyOf);
  controller.watch(caches.sessions, enqueueSelf);
  watchJobs(controller, caches, BackupSessions);
  controller
    .watch(
      caches.snapshots,
      enqueueFor<Snapshot>(({ metadata, spec }) =>
        spec.backupSession === undefined ? [] : [keyFor(metadata.namespace, spec.backupSession)],
      ),
    )
    // Its status changes when what a waiting session waits for is there.
    .watch(
      caches.configurations,
      enqueueFor<BackupConfiguration>((one) => waiting(caches.sessions.byIndex('configuration', keyOf(one)))),
    )
    .watch(caches.jobs, (event) => {
      const { labels, namespace } = event.object.metadata;
      return labels?.[COMPONENT_LABEL] === 'forget' ? waiting(caches.sessions.list(namespace)) : [];
    })
    // A release Job's Pod says what was released; a backup Pod that is gone says that nobody will.
    .watch(caches.pods, (event) => {
      const { labels, namespace } = event.object.metadata;
      const session = labels?.[BACKUP_SESSION_LABEL];
      return session === undefined || event.type !== 'deleted' ? [] : [keyFor(namespace, session)];
    });
  return controller;
}
