import type {
  Addon,
  BackupConfiguration,
  BackupSession,
  BackupStorage,
  Repository,
  RestoreSession,
  RetentionPolicy,
} from '../../api/generated/types.ts';
import { BackupConfigurations } from '../../api/kinds.ts';
import { resolveTarget } from '../../api/references.ts';
import type { Namespace } from '../../kube/builtin.ts';
import { Controller, enqueueFor, enqueueOwner, enqueueSelf } from '../../kube/controller.ts';
import { type KubeObject, keyFor, keyOf } from '../../kube/resource.ts';
import { accessElsewhere, cronJobsOf } from '../caches.ts';
import { causesOf, controllerOptions, type OperatorContext, surroundings, targetOfConfiguration } from '../context.ts';
import { createReconciler } from '../reconcile/reconciler.ts';
import { holdsTarget } from '../restoresession/status.ts';
import { targetKey } from '../target.ts';
import { watchAccess } from '../wake.ts';
import { CONFIGURATION_STATUS, type ConfigurationWorld, planBackupConfiguration } from './plan.ts';

const NAME = 'backupconfiguration';

export function createBackupConfigurationController(context: OperatorContext): Controller {
  const { client, caches } = context;
  const { configurations } = caches;

  function gather(configuration: BackupConfiguration): ConfigurationWorld {
    return {
      ...surroundings(context, configuration),
      causes: causesOf('BackupConfiguration', configuration),
      cronJobs: cronJobsOf(caches, configuration),
      sessions: caches.sessions.byIndex('configuration', keyOf(configuration)),
      restores: caches.restores
        .byIndex('target', targetOfConfiguration(configuration))
        .filter(holdsTarget)
        .map(keyOf)
        .sort(),
      elsewhere: accessElsewhere(caches, configuration),
      settings: context.settings,
      now: new Date(),
    };
  }

  const reconcile = createReconciler({
    name: NAME,
    client,
    cache: configurations,
    live: caches,
    notes: context.notes(NAME),
    own: CONFIGURATION_STATUS,
    gather,
    plan: planBackupConfiguration,
  });
  const controller = new Controller({ name: NAME, reconcile, ...controllerOptions(context) });
  const referring = (ref: string): string[] => configurations.byIndex('refs', ref).map(keyOf);
  const withDefaults = ({ metadata }: KubeObject): string[] => referring(`defaults:${metadata.namespace}`);
  const targeting = (group: string) =>
    enqueueFor<KubeObject>(({ metadata }) => referring(`target:${group}/${keyOf({ metadata })}`));
  controller
    .watch(configurations, enqueueSelf)
    .watch(caches.cronJobs, enqueueOwner(BackupConfigurations))
    .watch(
      caches.sessions,
      enqueueFor<BackupSession>(({ metadata, spec }) => [keyFor(metadata.namespace, spec.invoker.name)]),
    )
    .watch(
      caches.repositories,
      enqueueFor<Repository>((repository) => referring(`repository:${keyOf(repository)}`)),
    )
    .watch(
      caches.storages,
      enqueueFor<BackupStorage>((storage) => [...referring(`storage:${keyOf(storage)}`), ...withDefaults(storage)]),
    )
    .watch(
      caches.policies,
      enqueueFor<RetentionPolicy>((policy) => [...referring(`policy:${keyOf(policy)}`), ...withDefaults(policy)]),
    )
    .watch(
      caches.addons,
      enqueueFor<Addon>(({ metadata }) => referring(`addon:${metadata.name}`)),
    )
    // Few, and changed when Backstay is: which Addons use one is not worth an index.
    .watch(caches.functions, () => configurations.list().map(keyOf))
    .watch(caches.appBindings, targeting('backstay.dev'))
    .watch(caches.catalogAppBindings, targeting('appcatalog.appscode.com'))
    .watch(caches.kubedbMongoDBs, targeting('appcatalog.appscode.com'))
    .watch(
      caches.restores,
      enqueueFor<RestoreSession>(({ metadata, spec }) =>
        referring(`target:${targetKey(resolveTarget(spec.target, metadata.namespace ?? ''))}`),
      ),
    )
    // Its labels decide whether storages and policies elsewhere may be used.
    .watch(
      caches.namespaces,
      enqueueFor<Namespace>(({ metadata }) => configurations.list(metadata.name).map(keyOf)),
    );
  watchAccess(controller, caches, BackupConfigurations, configurations);
  return controller;
}
