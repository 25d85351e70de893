import type { LabelSelector, LabelSelectorMatchExpression, Target, UsagePolicy } from './generated/types.ts';
import { API_GROUP } from './group.ts';

/** An object of a namespaced kind, named in full. */
export interface NamespacedName {
  namespace: string;
  name: string;
}

/** A target with everything that was left out filled in. */
export interface ResolvedTarget extends NamespacedName {
  apiGroup: NonNullable<Target['apiGroup']>;
  kind: NonNullable<Target['kind']>;
}

/** What a reference of an object in namespace `from` means. */
export function resolveReference(
  reference: { namespace?: string | undefined; name: string },
  from: string,
): NamespacedName {
  return { namespace: reference.namespace ?? from, name: reference.name };
}

/** What the target of an object in namespace `from` means. */
export function resolveTarget(target: Target, from: string): ResolvedTarget {
  return {
    apiGroup: target.apiGroup ?? API_GROUP,
    kind: target.kind ?? 'AppBinding',
    ...resolveReference(target, from),
  };
}

/** namespace/name, as messages and keys write it. */
export function formatName({ namespace, name }: NamespacedName): string {
  return `${namespace}/${name}`;
}

/**
 * Whether an object in namespace `owner` may be referred to from namespace `user`.
 *
 * @param labels labels of the namespace `user`, undefined when they are not known
 * @returns undefined when only the unknown labels could tell
 */
export function allowsNamespace(
  policy: UsagePolicy | undefined,
  owner: string,
  user: string,
  labels: Readonly<Record<string, string>> | undefined,
): boolean | undefined {
  if (owner === user) return true;
  const { from = 'Same', selector } = policy?.allowedNamespaces ?? {};
  if (from === 'Same') return false;
  if (from === 'All') return true;
  // A selector that is not there chooses nothing.
  if (selector === undefined) return false;
  return labels === undefined ? undefined : matchesLabels(selector, labels);
}

/** Whether labels meet every requirement of a selector; an empty selector is met by all, as in Kubernetes. */
export function matchesLabels(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  const value = (key: string): string | undefined => (Object.hasOwn(labels, key) ? labels[key] : undefined);
  const exact = Object.entries(selector.matchLabels ?? {}).every(([key, wanted]) => value(key) === wanted);
  return exact && (selector.matchExpressions ?? []).every((requirement) => meets(requirement, value(requirement.key)));
}

function meets({ operator, values = [] }: LabelSelectorMatchExpression, found: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return found !== undefined && values.includes(found);
    case 'NotIn':
      return found === undefined || !values.includes(found);
    case 'Exists':
      return found !== undefined;
    case 'DoesNotExist':
      return found === undefined;
  }
}
