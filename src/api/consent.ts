/**
 * Who may refer to a Secret or an AppBinding of another namespace. Pure.
 *
 * The operator hands out rights that its users do not have: a configuration that names a Secret elsewhere would have it read for them. Storages,
 * policies and Repositories say who may use them in their usagePolicy; Secrets and AppBindings of others have no such field, and say it in
 * an annotation.
 */
import type { ObjectMeta } from './meta.ts';

/** Namespaces that may use the object, separated by commas, or `*` for all. */
export const ALLOWED_NAMESPACES_ANNOTATION = 'backstay.dev/allowed-namespaces';

/** Whether an object may be used from a namespace: always from its own. */
export function mayBeUsedFrom({ namespace, annotations }: ObjectMeta, from: string): boolean {
  if (namespace === from) return true;
  const allowed = (annotations?.[ALLOWED_NAMESPACES_ANNOTATION] ?? '').split(',').map((name) => name.trim());
  return allowed.includes('*') || allowed.includes(from);
}

/** What to do about it. */
export function consentRemedy(from: string): string {
  return `annotate it with ${ALLOWED_NAMESPACES_ANNOTATION}: ${from}`;
}
