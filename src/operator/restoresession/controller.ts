import type { BackupSession, BackupStorage, Repository, RestoreSession, Snapshot } from '../../api/generated/types.ts';
import { RestoreSessions } from '../../api/kinds.ts';
import { resolveReference } from '../../api/references.ts';
import { isOwnedBy } from '../../kube/apply.ts';
import { type Job, Jobs } from '../../kube/builtin.ts';
import { Controller, enqueueFor, enqueueSelf } from '../../kube/controller.ts';
import { type KubeObject, keyFor, keyOf } from '../../kube/resource.ts';
import { isEnded } from '../backupsession/status.ts';
import { accessElsewhere, jobsOf } from '../caches.ts';
import type { Claimant } from '../claims.ts';
import {
  causesOf,
  claimTarget,
  controllerOptions,
  labelsOf,
  type OperatorContext,
  targetFor,
  targetOfSession,
  unreleasedOn,
} from '../context.ts';
import { claimElsewhere } from '../jobs/volumes.ts';
import { createReconciler } from '../reconcile/reconciler.ts';
import { findSecret, PASSWORD_KEYS } from '../secrets.ts';
import { judgeStorage, mayUse, type StorageFinding } from '../storages.ts';
import { targetKey } from '../target.ts';
import { watchJobs } from '../wake.ts';
import { chooseSnapshot } from './choice.ts';
import { planRestoreSession } from './plan.ts';
import { isRestoreEnded, RESTORE_STATUS } from './status.ts';
import type { RestoreWorld } from './world.ts';

const NAME = 'restoresession';

export function createRestoreSessionController(context: OperatorContext): Controller {
  const { client, caches, claims } = context;

  async function gather(restore: RestoreSession, signal: AbortSignal): Promise<RestoreWorld> {
    const { namespace = '' } = restore.metadata;
    const { dataSource } = restore.spec;
    const place = keyFor(dataSource.namespace ?? namespace, dataSource.repository);
    const repository = caches.repositories.getByKey(place);
    const target = targetFor(context, restore.spec.target, namespace);
    const { encryptionSecret } = dataSource;
    const ended = isRestoreEnded(restore);
    const secretRef =
      encryptionSecret === undefined || ended ? undefined : resolveReference(encryptionSecret, namespace);
    const own = jobsOf(caches, restore);
    return {
      restore,
      causes: causesOf('RestoreSession', restore),
      target,
      repository,
      storage: repository === undefined ? undefined : storageOf(repository, namespace),
      secret: await findSecret(client, secretRef, namespace, PASSWORD_KEYS, signal),
      snapshots: caches.snapshots.byIndex('repository', place),
      findAddon: (name) => caches.addons.get(undefined, name),
      findFunction: (name) => caches.functions.get(undefined, name),
      namespaceLabels: labelsOf(caches, namespace),
      rival: rivalOf(restore, targetKey(target.target)),
      unreleased: ended ? undefined : unreleasedOn(context, targetKey(target.target)),
      configurations: caches.configurations
        .byIndex('refs', `target:${targetKey(target.target)}`)
        .map(keyOf)
        .sort(),
      job: await jobOf(restore, own.jobs, signal),
      pods: own.pods,
      elsewhere: accessElsewhere(caches, restore),
      settings: context.settings,
      now: new Date(),
    };
  }

  /** The Repository's right to its storage counts, and where the Pod runs decides what it can mount. */
  function storageOf({ metadata, spec }: Repository, podNamespace: string): StorageFinding {
    const { namespace = '' } = metadata;
    const place = resolveReference(spec.storageRef, namespace);
    const storage = caches.storages.get(place.namespace, place.name);
    const finding = judgeStorage(spec.storageRef, namespace, storage, labelsOf(caches, namespace));
    const claim = finding.usable ? claimElsewhere(finding.storage, podNamespace) : undefined;
    if (claim === undefined) return finding;
    const message = `BackupStorage ${place.namespace}/${place.name} is the PersistentVolumeClaim ${claim}, which Pods in ${podNamespace} cannot mount; restore from its namespace`;
    return { usable: false, storage, reason: 'StorageNotReady', message };
  }

  async function jobOf(restore: RestoreSession, jobs: readonly Job[], signal: AbortSignal): Promise<Job | undefined> {
    const [cached] = jobs;
    if (cached !== undefined || isRestoreEnded(restore) || restore.status?.job === undefined) return cached;
    const found = await client.get(
      Jobs,
      { namespace: restore.metadata.namespace, name: restore.status.job },
      { signal },
    );
    return found !== undefined && isOwnedBy(found, restore) ? found : undefined;
  }

  function rivalOf(restore: RestoreSession, target: string): Claimant | undefined {
    const claimant: Claimant = { kind: 'RestoreSession', name: keyOf(restore) };
    if (isRestoreEnded(restore) || restore.metadata.deletionTimestamp !== undefined) {
      claims.release(claimant);
      return undefined;
    }
    if (restore.status?.job !== undefined) {
      claims.claim(target, claimant);
      return undefined;
    }
    // Only one that could start takes the target: a restore that waits for its repository must not stop backups.
    if (!canStart(restore)) {
      claims.release(claimant);
      return undefined;
    }
    const rival = claimTarget(context, target, claimant);
    if (rival?.kind === 'BackupSession') claims.reserve(target, claimant);
    return rival;
  }

  function canStart(restore: RestoreSession): boolean {
    const { metadata, spec } = restore;
    const { namespace = '' } = metadata;
    const place = resolveReference({ ...spec.dataSource, name: spec.dataSource.repository }, namespace);
    const repository = caches.repositories.get(place.namespace, place.name);
    return (
      repository !== undefined &&
      causesOf('RestoreSession', restore).length === 0 &&
      targetFor(context, spec.target, namespace).found &&
      caches.addons.get(undefined, spec.addon.name) !== undefined &&
      mayUse(repository.spec.usagePolicy, place.namespace, namespace, labelsOf(caches, namespace)) &&
      storageOf(repository, namespace).usable &&
      chooseSnapshot(restore, caches.snapshots.byIndex('repository', keyFor(place.namespace, place.name))).state ===
        'found'
    );
  }

  const reconcile = createReconciler({
    name: NAME,
    client,
    cache: caches.restores,
    live: caches,
    notes: context.notes(NAME),
    own: RESTORE_STATUS,
    gather,
    plan: planRestoreSession,
    mayExplain: (restore) => !isRestoreEnded(restore),
    gone: (name) => claims.release({ kind: 'RestoreSession', name }),
  });
  const controller = new Controller({ name: NAME, reconcile, ...controllerOptions(context) });
  const open = (restores: readonly RestoreSession[]): string[] =>
    restores.filter((restore) => !isRestoreEnded(restore)).map(keyOf);
  const of = (index: string, key: string): string[] => open(caches.restores.byIndex(index, key));
  controller.watch(caches.restores, enqueueSelf);
  watchJobs(controller, caches, RestoreSessions);
  controller
    .watch(
      caches.repositories,
      enqueueFor<Repository>((repository) => of('repository', keyOf(repository))),
    )
    .watch(
      caches.storages,
      enqueueFor<BackupStorage>((storage) =>
        caches.repositories.byIndex('storage', keyOf(storage)).flatMap((one) => of('repository', keyOf(one))),
      ),
    )
    .watch(
      caches.snapshots,
      enqueueFor<Snapshot>(({ metadata, spec }) => of('repository', keyFor(metadata.namespace, spec.repository))),
    )
    .watch(
      caches.appBindings,
      enqueueFor<KubeObject>((binding) => of('target', `backstay.dev/${keyOf(binding)}`)),
    )
    .watch(
      caches.catalogAppBindings,
      enqueueFor<KubeObject>((binding) => of('target', `appcatalog.appscode.com/${keyOf(binding)}`)),
    )
    // A restore that waits goes on when the backup or the other restore has ended.
    .watch(caches.sessions, (event) => {
      if (event.type !== 'deleted' && !isEnded(event.object)) return [];
      return of('target', targetOfSession(context, event.object as BackupSession) ?? '');
    })
    .watch(caches.restores, (event) =>
      event.type === 'deleted' || isRestoreEnded(event.object) ? open(caches.restores.list()) : [],
    );
  return controller;
}
