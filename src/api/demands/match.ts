import type { AppBinding, BackupConfiguration, BackupPolicyRule, LabelSelector } from '../generated/types.ts';
import { isRecord } from '../json.ts';
import { AppBindings, isKind } from '../kinds.ts';
import { matchesLabels, resolveTarget } from '../references.ts';
import { type Draft, type Lookup, Namespaces } from '../rules/rule.ts';
import { DEMANDED_KINDS, type DemandedKind } from './check.ts';
import { kindsOf } from './checks.ts';

/** The label that every namespace has from the API server. */
export const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name';

/** An object as a rule chooses it. */
export interface Chosen {
  kind: DemandedKind;
  object: unknown;
  namespace: string;
  name: string;
  lookup: Lookup;
}

/** Whether demands speak of a kind. */
export function isDemandedKind(kind: string): kind is DemandedKind {
  return isKind(kind) && (DEMANDED_KINDS as readonly string[]).includes(kind);
}

/** Whether a rule concerns an object; undefined when only labels that are not known here could tell. */
export function concerns({ spec }: BackupPolicyRule, chosen: Chosen): boolean | undefined {
  const { kind, object, namespace, name, lookup } = chosen;
  const { namespaceSelector, objectSelector, targetSelector } = spec.match ?? {};
  if (!kindsOf(spec).includes(kind)) return false;
  if (isExempt(spec, namespace, name)) return false;
  if (objectSelector !== undefined && !matchesLabels(objectSelector, labelsOf(object))) return false;
  const verdicts = [
    namespaceSelector === undefined ? true : selectsNamespace(namespaceSelector, namespace, lookup),
    targetSelector === undefined ? true : selectsTarget(targetSelector, object, namespace, lookup),
  ];
  if (verdicts.includes(false)) return false;
  return verdicts.includes(undefined) ? undefined : true;
}

/** Whether the namespaceSelector, the targetSelector and the exemptions of a rule choose a database. */
export function concernsTarget({ spec }: BackupPolicyRule, { metadata }: AppBinding, lookup: Lookup): boolean {
  const { namespaceSelector, targetSelector } = spec.match ?? {};
  const { namespace = '', name = '' } = metadata;
  if (isExempt(spec, namespace, name)) return false;
  if (targetSelector !== undefined && !matchesLabels(targetSelector, metadata.labels ?? {})) return false;
  return namespaceSelector === undefined || selectsNamespace(namespaceSelector, namespace, lookup) === true;
}

function isExempt({ exemptions = [] }: BackupPolicyRule['spec'], namespace: string, name: string): boolean {
  return exemptions.some((one) => one.namespace === namespace && (one.name === undefined || one.name === name));
}

function selectsNamespace(selector: LabelSelector, namespace: string, lookup: Lookup): boolean | undefined {
  const found = lookup.get(Namespaces, undefined, namespace);
  const own = { [NAMESPACE_NAME_LABEL]: namespace };
  if (found !== undefined || lookup.knows(Namespaces))
    return matchesLabels(selector, { ...found?.metadata.labels, ...own });
  // Of a namespace that is not known its name is.
  const named = partOf(selector, (key) => key === NAMESPACE_NAME_LABEL);
  if (!matchesLabels(named, own)) return false;
  return isEmpty(partOf(selector, (key) => key !== NAMESPACE_NAME_LABEL)) ? true : undefined;
}

function selectsTarget(
  selector: LabelSelector,
  object: unknown,
  namespace: string,
  lookup: Lookup,
): boolean | undefined {
  const written = (object as Draft<BackupConfiguration>).spec?.target;
  if (written?.name === undefined) return false;
  const { name: _, ...rest } = written;
  const target = resolveTarget({ ...rest, name: written.name } as BackupConfiguration['spec']['target'], namespace);
  // What is of others is in nobody's cache here.
  if (target.apiGroup !== 'backstay.dev') return undefined;
  const found = lookup.get(AppBindings, target.namespace, target.name);
  if (found !== undefined) return matchesLabels(selector, found.metadata.labels ?? {});
  return lookup.knows(AppBindings) ? false : undefined;
}

function partOf({ matchLabels, matchExpressions }: LabelSelector, wanted: (key: string) => boolean): LabelSelector {
  return {
    matchLabels: Object.fromEntries(Object.entries(matchLabels ?? {}).filter(([key]) => wanted(key))),
    matchExpressions: (matchExpressions ?? []).filter(({ key }) => wanted(key)),
  };
}

function isEmpty({ matchLabels = {}, matchExpressions = [] }: LabelSelector): boolean {
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
}

function labelsOf(object: unknown): Record<string, string> {
  const metadata = isRecord(object) ? object.metadata : undefined;
  const labels = isRecord(metadata) && isRecord(metadata.labels) ? metadata.labels : {};
  return Object.fromEntries(
    Object.entries(labels).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
