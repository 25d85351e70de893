/**
 * The paths of the API server, in the one form that all kinds share.
 */
import { BackstayError } from '../api/errors.ts';
import type { ObjectRef, ResourceType } from './resource.ts';

export type Query = Record<string, string | number | boolean | undefined>;

/**
 * The path of an object, or of one of its subresources.
 *
 * A missing or empty name is refused: it would turn a GET into a list and a DELETE into "delete them all".
 */
export function objectPath(type: ResourceType, ref: ObjectRef, subresource?: string): string {
  const { namespace, name } = ref;
  if (!name) throw new BackstayError('InvalidReference', `The name of a ${type.kind} is missing`);
  if (type.namespaced && !namespace)
    throw new BackstayError('InvalidReference', `The namespace of ${type.kind} ${name} is missing`);
  return `${collectionPath(type, namespace)}/${encodeSegment(name)}${subresource === undefined ? '' : `/${subresource}`}`;
}

/** The path of a collection, of all namespaces if none is given. */
export function collectionPath(type: ResourceType, namespace: string | undefined): string {
  const segments = [type.apiVersion.includes('/') ? 'apis' : 'api', ...type.apiVersion.split('/')];
  if (type.namespaced && namespace) segments.push('namespaces', namespace);
  segments.push(type.plural);
  return `/${segments.map(encodeSegment).join('/')}`;
}

/** Adds the parameters that have a value. */
export function withQuery(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  return search.size === 0 ? path : `${path}?${search}`;
}

function encodeSegment(segment: string): string {
  // Escaping leaves dots alone, and a path of dots would climb out of the collection.
  if (segment === '.' || segment === '..')
    throw new BackstayError('InvalidReference', `An object cannot be named ${segment}`);
  return encodeURIComponent(segment);
}
