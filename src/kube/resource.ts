/**
 * What this library knows about an object and its kind.
 *
 * A `ResourceType` is a value that names one kind on the API server and carries the TypeScript type of its objects, so that
 * `client.get(CronJobs, ref)` is a `CronJob` without a cast and without a class per kind.
 */

import type { KubeObject, ObjectMeta, OwnerReference, ResourceType } from '../api/meta.ts';

// Declared beside Backstay's own kinds, so that generated types and this library mean the same.
export type { KubeObject, ManagedFieldsEntry, ObjectMeta, OwnerReference, ResourceType } from '../api/meta.ts';

/** A condition of meta/v1, the shape that kstatus, Flux, Argo CD and `kubectl wait` read. */
export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
  /** RFC 3339. */
  lastTransitionTime: string;
  observedGeneration?: number;
}

/** Which object: the namespace is left out for cluster-scoped kinds. */
export interface ObjectRef {
  namespace?: string | undefined;
  name: string;
}

/** Makes a `ResourceType`, namespaced unless told. */
export function defineResource<T extends KubeObject>(
  apiVersion: string,
  kind: string,
  plural: string,
  scope: 'namespaced' | 'cluster' = 'namespaced',
): ResourceType<T> {
  return Object.freeze({ apiVersion, kind, plural, namespaced: scope === 'namespaced' });
}

/** The API group of a type, the empty string for the core group. */
export function groupOf(type: { readonly apiVersion: string }): string {
  const slash = type.apiVersion.indexOf('/');
  return slash < 0 ? '' : type.apiVersion.slice(0, slash);
}

/** The key of an object in caches and queues: `namespace/name`, or the bare name of a cluster-scoped object. */
export function keyOf(object: { metadata: ObjectMeta }): string {
  return keyFor(object.metadata.namespace, object.metadata.name ?? '');
}

/** The key for a namespace and a name, see `keyOf`. */
export function keyFor(namespace: string | undefined, name: string): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/** The inverse of `keyFor`. */
export function parseKey(key: string): ObjectRef {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The reference to an object, for `get`, `patch` and `delete`. */
export function refOf(object: { metadata: ObjectMeta }): ObjectRef {
  const { namespace, name = '' } = object.metadata;
  return namespace === undefined ? { name } : { namespace, name };
}

/** The owner that controls an object, or undefined. At most one reference may say `controller: true`. */
export function controllerOf(object: { metadata: ObjectMeta }): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}

/**
 * Orders two resource versions of the same kind: negative, zero or positive, or undefined where one of them is not a decimal number.
 *
 * API servers on etcd count upwards, and Kubernetes documents comparability (KEP-5504); a server that hands out other strings
 * only loses the protection against late and doubled events.
 */
export function compareVersions(a: string | undefined, b: string | undefined): number | undefined {
  if (a === undefined || b === undefined || !/^[0-9]+$/.test(a) || !/^[0-9]+$/.test(b)) return undefined;
  // Without leading zeros the longer number is the larger one, which spares two BigInts per event.
  if (a.length !== b.length) return a.length - b.length;
  return a === b ? 0 : a < b ? -1 : 1;
}
