import { API_VERSION } from '../api/group.ts';
import type { KubeObject } from '../api/meta.ts';
import type { Cache } from '../kube/cache.ts';
import { Controller, enqueueSelf, specChanged } from '../kube/controller.ts';
import { keyOf } from '../kube/resource.ts';
import type { PolicySyncDependencies } from './dependencies.ts';
import { touchedBy } from './drift/watch.ts';
import { markOf } from './ownership.ts';
import type { Hints } from './push/hints.ts';
import { CONCURRENCY, PolicySyncReconciler } from './reconciler.ts';

export { liveFrom, liveFromCaches } from './live.ts';

const NAME = 'policysync';
/** Longer than any spec.timeout that makes sense: that one ends a reconciliation in time. */
const DEADLINE_SECONDS = 3600;

/** Changes of an object are gathered for so long: whoever edits by hand or by script seldom makes one alone. */
const DRIFT_DELAY_MS = 250;
const MARK = 'mark';

/**
 * The controller that follows git repositories. Start its caches, then `run` it.
 *
 * @param watched caches of what is in the cluster: drift of their objects is put right without waiting for the interval
 */
export function policySyncController(
  dependencies: PolicySyncDependencies,
  { hints, watched = [] }: { hints?: Hints; watched?: readonly Cache<KubeObject>[] } = {},
): Controller {
  const reconciler = new PolicySyncReconciler(dependencies, (key) => controller.queue.add(key));
  const { log, clock, kubeMetrics } = dependencies;
  const controller: Controller = new Controller({
    name: NAME,
    reconcile: (key, signal) => reconciler.reconcile(key, signal),
    concurrency: dependencies.concurrency ?? CONCURRENCY,
    deadlineSeconds: DEADLINE_SECONDS,
    ...(log === undefined ? {} : { log }),
    ...(clock === undefined ? {} : { clock }),
    ...(kubeMetrics === undefined ? {} : { metrics: kubeMetrics }),
  }).watch(dependencies.policySyncs, enqueueSelf, specChanged);
  const { policySyncs } = dependencies;
  policySyncs.addIndex(MARK, ({ metadata }) => [
    markOf({ namespace: metadata.namespace ?? '', name: metadata.name ?? '' }),
  ]);
  // Kinds of others have the same names: AppBinding.
  for (const cache of watched.filter(({ type }) => type.apiVersion === API_VERSION)) {
    controller.watch(cache, (event) => {
      const { marks, id } = touchedBy(event);
      for (const key of marks.flatMap((mark) => policySyncs.byIndex(MARK, mark)).map(keyOf)) {
        reconciler.suspect(key, id);
        controller.queue.addAfter(key, DRIFT_DELAY_MS);
      }
      // Not at once.
      return [];
    });
  }
  hints?.listen((key) => {
    reconciler.hint(key);
    controller.queue.add(key);
  });
  return controller;
}
