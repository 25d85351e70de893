/** Which keys a change wakes: mappers that several controllers share. */
import { COMPONENT_LABEL } from '../api/labels.ts';
import type { Pod } from '../kube/builtin.ts';
import type { CacheEvent } from '../kube/cache.ts';
import { type Controller, enqueueFor, enqueueOwner } from '../kube/controller.ts';
import { controllerOf, type KubeObject, keyFor, type ResourceType } from '../kube/resource.ts';
import { OWNER_LABEL } from './access/plan.ts';
import type { Caches } from './caches.ts';

/** Jobs of an object, and the Pods of those. */
export function watchJobs(controller: Controller, caches: Caches, owner: ResourceType): void {
  controller.watch(caches.jobs, enqueueOwner(owner));
  controller.watch(
    caches.pods,
    enqueueFor<Pod>((pod) => {
      const job = controllerOf(pod);
      const live = job === undefined ? undefined : caches.jobs.get(pod.metadata.namespace, job.name);
      const reference = live === undefined ? undefined : controllerOf(live);
      return reference?.kind === owner.kind ? [keyFor(pod.metadata.namespace, reference.name)] : [];
    }),
  );
}

/** Access rights of an object, in its namespace and in others: deleted by hand they come back. */
export function watchAccess(
  controller: Controller,
  caches: Caches,
  owner: ResourceType,
  cache: Caches['configurations' | 'repositories' | 'storages'],
): void {
  const byOwner = enqueueOwner(owner);
  const byLabel = (event: CacheEvent<KubeObject>): Iterable<string> => {
    const uid = event.object.metadata.labels?.[OWNER_LABEL];
    if (uid === undefined) return byOwner(event);
    return cache
      .list()
      .filter(({ metadata }) => metadata.uid === uid)
      .map(({ metadata }) => keyFor(metadata.namespace, metadata.name ?? ''));
  };
  const lost = (event: CacheEvent<KubeObject>): boolean => event.type !== 'added';
  controller.watch(caches.serviceAccounts, byOwner, lost);
  controller.watch(caches.roles, byLabel, lost);
  controller.watch(caches.roleBindings, byLabel, lost);
}

/** Whether a generated object has a component. */
export function isComponent(object: KubeObject, component: string): boolean {
  return object.metadata.labels?.[COMPONENT_LABEL] === component;
}
