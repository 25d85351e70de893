import type { BackupSession, Repository, Snapshot } from '../../api/generated/types.ts';
import { BackupSessions, Repositories, Snapshots } from '../../api/kinds.ts';
import { labelValue, REPOSITORY_LABEL } from '../../api/labels.ts';
import { resolveReference } from '../../api/references.ts';
import { Controller, enqueueFor, enqueueSelf } from '../../kube/controller.ts';
import { keyFor, keyOf } from '../../kube/resource.ts';
import { isEnded } from '../backupsession/status.ts';
import { jobsOf } from '../caches.ts';
import { controllerOptions, labelsOf, type OperatorContext } from '../context.ts';
import { createReconciler } from '../reconcile/reconciler.ts';
import { judgeStorage, type StorageFinding } from '../storages.ts';
import { watchJobs } from '../wake.ts';
import { busyWith, FORGET_STATUS, planSnapshot, type SnapshotWorld } from './plan.ts';

const NAME = 'snapshot';

export function createSnapshotController(context: OperatorContext): Controller {
  const { client, caches } = context;

  async function gather(snapshot: Snapshot, signal: AbortSignal): Promise<SnapshotWorld> {
    const { namespace = '' } = snapshot.metadata;
    const repository = await repositoryOf(snapshot, signal);
    const own = jobsOf(caches, snapshot);
    return {
      snapshot,
      repository,
      storage: repository === undefined ? undefined : storageOf(repository),
      session: await sessionOf(snapshot, signal),
      jobs: own.jobs,
      pods: own.pods,
      busy:
        snapshot.metadata.deletionTimestamp === undefined
          ? undefined
          : busyWith(snapshot, others(namespace, snapshot.spec.repository)),
      settings: context.settings,
      now: new Date(),
    };
  }

  /** Whether a Repository is gone decides whether data stay behind: the server is asked before that is believed. */
  async function repositoryOf({ metadata, spec }: Snapshot, signal: AbortSignal): Promise<Repository | undefined> {
    const cached = caches.repositories.get(metadata.namespace, spec.repository);
    if (cached !== undefined || metadata.deletionTimestamp === undefined) return cached;
    return await client.get(Repositories, { namespace: metadata.namespace, name: spec.repository }, { signal });
  }

  async function sessionOf(
    { metadata, spec, status }: Snapshot,
    signal: AbortSignal,
  ): Promise<BackupSession | undefined> {
    const { backupSession: name } = spec;
    if (name === undefined) return undefined;
    const cached = caches.sessions.get(metadata.namespace, name);
    const ended = status?.phase === 'Succeeded' || status?.phase === 'Failed';
    if (cached !== undefined || ended || metadata.deletionTimestamp !== undefined) return cached;
    return await client.get(BackupSessions, { namespace: metadata.namespace, name }, { signal });
  }

  function storageOf({ metadata, spec }: Repository): StorageFinding {
    const { namespace = '' } = metadata;
    const place = resolveReference(spec.storageRef, namespace);
    return judgeStorage(
      spec.storageRef,
      namespace,
      caches.storages.get(place.namespace, place.name),
      labelsOf(caches, namespace),
    );
  }

  function others(namespace: string, repository: string) {
    const key = keyFor(namespace, repository);
    const sessions = caches.configurations.byIndex('refs', `repository:${key}`).flatMap((configuration) => {
      const writing = configuration.spec.sessions.filter(({ repositories }) =>
        repositories.some(({ name }) => name === repository),
      );
      const names = new Set(writing.map(({ name }) => name));
      return caches.sessions
        .byIndex('configuration', keyOf(configuration))
        .filter(({ spec }) => names.has(spec.session));
    });
    const forgetJobs = caches.jobs
      .byIndex('component', keyFor(namespace, 'forget'))
      .filter(({ metadata }) => metadata.labels?.[REPOSITORY_LABEL] === labelValue(repository));
    return { snapshots: caches.snapshots.byIndex('repository', key), sessions, forgetJobs };
  }

  const reconcile = createReconciler({
    name: NAME,
    client,
    cache: caches.snapshots,
    live: caches,
    notes: context.notes(NAME),
    own: FORGET_STATUS,
    gather,
    plan: planSnapshot,
    mayExplain: () => false,
  });
  const controller = new Controller({ name: NAME, reconcile, ...controllerOptions(context) });
  const leaving = (repository: string): string[] =>
    caches.snapshots
      .byIndex('repository', repository)
      .filter(({ metadata }) => metadata.deletionTimestamp !== undefined)
      .map(keyOf);
  controller.watch(caches.snapshots, enqueueSelf);
  watchJobs(controller, caches, Snapshots);
  controller
    .watch(
      caches.repositories,
      enqueueFor<Repository>((repository) => leaving(keyOf(repository))),
    )
    // The next one's turn comes when a Snapshot has gone.
    .watch(caches.snapshots, (event) =>
      event.type === 'deleted' ? leaving(keyFor(event.object.metadata.namespace, event.object.spec.repository)) : [],
    )
    .watch(caches.sessions, (event) => {
      const { metadata } = event.object;
      if (event.type !== 'deleted' && !isEnded(event.object)) return [];
      const made = caches.snapshots.byIndex('session', keyOf(event.object)).map(keyOf);
      return [
        ...made,
        ...(event.object.status?.snapshots ?? []).flatMap(({ repository = '' }) =>
          leaving(keyFor(metadata.namespace, repository)),
        ),
      ];
    });
  return controller;
}
