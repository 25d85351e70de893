import { Controller, enqueueSelf, specChanged } from '../kube/controller.ts';
import type { Hints } from './push/hints.ts';
import { type PolicySyncDependencies, PolicySyncReconciler } from './reconciler.ts';

export { liveFrom, liveFromCaches } from './live.ts';

const NAME = 'policysync';
const CONCURRENCY = 4;
/** Longer than any spec.timeout that makes sense: that one ends a reconciliation in time. */
const DEADLINE_SECONDS = 3600;

/** The controller that follows git repositories. Start its caches, then `run` it. */
export function policySyncController(dependencies: PolicySyncDependencies, hints?: Hints): Controller {
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
  hints?.listen((key) => {
    reconciler.hint(key);
    controller.queue.add(key);
  });
  return controller;
}
