import type { UsagePolicy } from '../generated/types.ts';
import type { KubeObject, ResourceType } from '../meta.ts';
import { allowsNamespace, formatName } from '../references.ts';
import type { Findings } from './findings.ts';
import { type Draft, Namespaces, type Subject } from './rule.ts';

/** A reference as it may stand in an object. */
export type DraftReference =
  | { readonly namespace?: string | undefined; readonly name?: string | undefined }
  | undefined;

/**
 * The object that a reference means. When there is none that is a warning, for objects are created in any order; when its usage policy
 * does not let this namespace refer to it, the reference is refused.
 */
export function checkReference<T extends KubeObject & { spec: { usagePolicy?: UsagePolicy } }>(
  findings: Findings,
  subject: Pick<Subject<unknown>, 'lookup' | 'namespace'>,
  type: ResourceType<T>,
  reference: DraftReference,
  field: string,
): T | undefined {
  const found = findReferred(findings, subject, type, reference, field);
  if (found === undefined) return undefined;
  const namespace = reference?.namespace ?? subject.namespace;
  const home = subject.lookup.get(Namespaces, undefined, subject.namespace);
  const known = home !== undefined || subject.lookup.knows(Namespaces) ? (home?.metadata.labels ?? {}) : undefined;
  if (allowsNamespace(found.spec.usagePolicy, namespace, subject.namespace, known) !== false) return found;
  const name = formatName({ namespace, name: reference?.name ?? '' });
  const message = `the usage policy of ${type.kind} ${name} does not allow namespace ${subject.namespace} to use it`;
  findings.refuse(field, 'FieldValueForbidden', message);
  return undefined;
}

/** The object that a reference means, when it is known; a warning when there is none. */
export function findReferred<T extends KubeObject>(
  findings: Findings,
  { lookup, namespace }: Pick<Subject<unknown>, 'lookup' | 'namespace'>,
  type: ResourceType<T>,
  reference: DraftReference,
  field: string,
): T | undefined {
  if (reference?.name === undefined) return undefined;
  const inNamespace = type.namespaced ? (reference.namespace ?? namespace) : undefined;
  const found = lookup.get(type, inNamespace, reference.name);
  if (found !== undefined) return found;
  if (!lookup.knows(type)) return undefined;
  const name =
    inNamespace === undefined ? reference.name : formatName({ namespace: inNamespace, name: reference.name });
  findings.warn(`${field}: ${type.kind} ${name} does not exist yet`);
  return undefined;
}

/** Refuses a second object of a kind that is the default of its namespace. */
export function checkOneDefault<T extends KubeObject & { spec: { default?: boolean } }>(
  findings: Findings,
  subject: Pick<Subject<T>, 'lookup' | 'namespace' | 'name'>,
  object: Draft<{ spec: { default?: boolean } }>,
  type: ResourceType<T>,
): void {
  if (object.spec?.default !== true) return;
  const other = subject.lookup
    .list(type, subject.namespace)
    .find(
      ({ metadata, spec }) => spec.default === true && metadata.name !== subject.name && !metadata.deletionTimestamp,
    );
  if (other === undefined) return;
  const message = `${type.kind} ${other.metadata.name} is the default of namespace ${subject.namespace} already`;
  findings.refuse('spec.default', 'FieldValueDuplicate', `${message}; there may be one`);
}
