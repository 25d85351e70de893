import type { BackupStorage, Repository } from '../../api/generated/types.ts';
import { BackupStorages } from '../../api/kinds.ts';
import { resolveReference } from '../../api/references.ts';
import { Controller, enqueueFor, enqueueSelf } from '../../kube/controller.ts';
import { keyFor, keyOf } from '../../kube/resource.ts';
import { secretOfStorage } from '../access/grants.ts';
import { jobsOf } from '../caches.ts';
import { causesOf, controllerOptions, type OperatorContext } from '../context.ts';
import { createReconciler } from '../reconcile/reconciler.ts';
import { findSecret, type SecretFinding, storageSecretKeys } from '../secrets.ts';
import { watchAccess, watchJobs } from '../wake.ts';
import { planBackupStorage, STORAGE_STATUS, type StorageWorld } from './plan.ts';

const NAME = 'backupstorage';

export function createBackupStorageController(context: OperatorContext): Controller {
  const { client, caches } = context;

  async function gather(storage: BackupStorage, signal: AbortSignal): Promise<StorageWorld> {
    const own = jobsOf(caches, storage);
    return {
      storage,
      causes: causesOf('BackupStorage', storage),
      secret: await secretOf(storage, signal),
      jobs: own.jobs,
      pods: own.pods,
      repositories: caches.repositories.byIndex('storage', keyOf(storage)),
      settings: context.settings,
      now: new Date(),
    };
  }

  function secretOf(storage: BackupStorage, signal: AbortSignal): Promise<SecretFinding> {
    const name = secretOfStorage(storage);
    const ref = name === undefined ? undefined : { namespace: storage.metadata.namespace ?? '', name };
    return findSecret(client, ref, storage.metadata.namespace ?? '', storageSecretKeys(storage), signal);
  }

  const reconcile = createReconciler({
    name: NAME,
    client,
    cache: caches.storages,
    live: caches,
    notes: context.notes(NAME),
    own: STORAGE_STATUS,
    gather,
    plan: planBackupStorage,
  });
  const controller = new Controller({ name: NAME, reconcile, ...controllerOptions(context) });
  controller.watch(caches.storages, enqueueSelf);
  watchJobs(controller, caches, BackupStorages);
  watchAccess(controller, caches, BackupStorages, caches.storages);
  controller.watch(
    caches.repositories,
    enqueueFor<Repository>(({ metadata, spec }) => {
      const { namespace, name } = resolveReference(spec.storageRef, metadata.namespace ?? '');
      return [keyFor(namespace, name)];
    }),
  );
  return controller;
}
