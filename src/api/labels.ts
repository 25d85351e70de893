import { API_GROUP } from './group.ts';
import { shortName } from './names.ts';

export const MANAGED_BY_LABEL = 'app.kubernetes.io/managed-by';
export const COMPONENT_LABEL = 'app.kubernetes.io/component';
export const CONFIGURATION_LABEL = `${API_GROUP}/configuration`;
export const SESSION_LABEL = `${API_GROUP}/session`;
export const BACKUP_SESSION_LABEL = `${API_GROUP}/backup-session`;
export const RESTORE_SESSION_LABEL = `${API_GROUP}/restore-session`;
export const REPOSITORY_LABEL = `${API_GROUP}/repository`;
export const SNAPSHOT_LABEL = `${API_GROUP}/snapshot`;
export const POLICY_RULE_LABEL = `${API_GROUP}/policy-rule`;
export const STORAGE_LABEL = `${API_GROUP}/storage`;
export const TARGET_KIND_LABEL = `${API_GROUP}/target-kind`;
export const TARGET_NAMESPACE_LABEL = `${API_GROUP}/target-namespace`;
export const TARGET_NAME_LABEL = `${API_GROUP}/target-name`;

/** Any new value of this annotation asks for a reconciliation now. */
export const RECONCILE_ANNOTATION = `${API_GROUP}/reconcile`;

/** Holds an object until what it stands for outside the cluster is looked after. */
export const CLEANUP_FINALIZER = `${API_GROUP}/cleanup`;

/** Value of the managed-by label on every object that Backstay makes. */
export const MANAGER = 'backstay';

/** What a generated object does, as its component label says it. */
export type Component =
  | 'trigger'
  | 'backup'
  | 'restore'
  | 'storage'
  | 'repository'
  | 'forget'
  | 'release'
  | 'policy-rule';

/** The labels that every generated object has. */
export function componentLabels(component: Component): Record<string, string> {
  return { [MANAGED_BY_LABEL]: MANAGER, [COMPONENT_LABEL]: component };
}

/** `text` as a label's value: longer than 63 characters it is cut and told apart by a hash. */
export function labelValue(text: string): string {
  return shortName(text);
}

/** The labels that say which database an object is about. */
export function targetLabels(target: { kind: string; namespace: string; name: string }): Record<string, string> {
  return {
    [TARGET_KIND_LABEL]: labelValue(target.kind),
    [TARGET_NAMESPACE_LABEL]: labelValue(target.namespace),
    [TARGET_NAME_LABEL]: labelValue(target.name),
  };
}

// A tool that finds its own tracking label on a generated object takes the object for its own, and may prune it.
const TRACKING_DOMAINS = ['argocd.argoproj.io', 'toolkit.fluxcd.io', 'helm.sh', 'helm.toolkit.fluxcd.io'];
const TRACKING_KEYS = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  'app.kubernetes.io/instance',
  'app.kubernetes.io/managed-by',
  'applyset.kubernetes.io/part-of',
]);

/** Labels or annotations of an object that may be copied to what is generated from it: all but those that GitOps tools, Helm and kubectl track by. */
export function withoutTracking(entries: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(entries ?? {}).filter(([key]) => !isTracking(key)));
}

function isTracking(key: string): boolean {
  const [domain = ''] = key.split('/');
  return TRACKING_KEYS.has(key) || TRACKING_DOMAINS.some((one) => domain === one || domain.endsWith(`.${one}`));
}
