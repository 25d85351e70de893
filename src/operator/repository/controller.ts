import type { BackupStorage, Repository, Snapshot } from '../../api/generated/types.ts';
import { Repositories } from '../../api/kinds.ts';
import { COMPONENT_LABEL } from '../../api/labels.ts';
import { resolveReference } from '../../api/references.ts';
import { Controller, enqueueFor, enqueueSelf } from '../../kube/controller.ts';
import { keyFor, keyOf } from '../../kube/resource.ts';
import { accessElsewhere, jobsOf } from '../caches.ts';
import { causesOf, controllerOptions, labelsOf, type OperatorContext } from '../context.ts';
import { createReconciler } from '../reconcile/reconciler.ts';
import { findSecret, PASSWORD_KEYS } from '../secrets.ts';
import { judgeStorage } from '../storages.ts';
import { watchAccess, watchJobs } from '../wake.ts';
import { planRepository, REPOSITORY_STATUS, type RepositoryWorld } from './plan.ts';

const NAME = 'repository';

export function createRepositoryController(context: OperatorContext): Controller {
  const { client, caches } = context;

  async function gather(repository: Repository, signal: AbortSignal): Promise<RepositoryWorld> {
    const { namespace = '' } = repository.metadata;
    const { storageRef, encryptionSecret } = repository.spec;
    const place = resolveReference(storageRef, namespace);
    const own = jobsOf(caches, repository);
    const wipes = own.jobs.filter(({ metadata }) => metadata.labels?.[COMPONENT_LABEL] === 'forget');
    return {
      repository,
      causes: causesOf('Repository', repository),
      storage: judgeStorage(
        storageRef,
        namespace,
        caches.storages.get(place.namespace, place.name),
        labelsOf(caches, namespace),
      ),
      secret: await findSecret(client, resolveReference(encryptionSecret, namespace), namespace, PASSWORD_KEYS, signal),
      jobs: own.jobs.filter((job) => !wipes.includes(job)),
      wipeJobs: wipes,
      pods: own.pods,
      snapshots: caches.snapshots.byIndex('repository', keyOf(repository)),
      elsewhere: accessElsewhere(caches, repository),
      settings: context.settings,
      now: new Date(),
    };
  }

  const reconcile = createReconciler({
    name: NAME,
    client,
    cache: caches.repositories,
    live: caches,
    notes: context.notes(NAME),
    own: REPOSITORY_STATUS,
    gather,
    plan: planRepository,
  });
  const controller = new Controller({ name: NAME, reconcile, ...controllerOptions(context) });
  controller.watch(caches.repositories, enqueueSelf);
  watchJobs(controller, caches, Repositories);
  watchAccess(controller, caches, Repositories, caches.repositories);
  controller.watch(
    caches.storages,
    enqueueFor<BackupStorage>((storage) => caches.repositories.byIndex('storage', keyOf(storage)).map(keyOf)),
  );
  controller.watch(
    caches.snapshots,
    enqueueFor<Snapshot>(({ metadata, spec }) => [keyFor(metadata.namespace, spec.repository)]),
  );
  return controller;
}
