import type {
  Addon,
  AppBinding,
  BackstayFunction,
  BackstayObject,
  BackupConfiguration,
  BackupPolicyRule,
  BackupSession,
  BackupStorage,
  PolicySync,
  Repository,
  RestoreSession,
  RetentionPolicy,
  Snapshot,
} from './generated/types.ts';
import { API_VERSION } from './group.ts';
import type { KubeObject, ResourceType } from './meta.ts';

/** Name of a kind of Backstay. */
export type Kind = BackstayObject['kind'];

/** What objects of a kind look like. */
export type ObjectOf<K extends Kind> = Extract<BackstayObject, { kind: K }>;

export const BackupStorages = namespaced<BackupStorage>('BackupStorage', 'backupstorages');
export const RetentionPolicies = namespaced<RetentionPolicy>('RetentionPolicy', 'retentionpolicies');
export const BackupConfigurations = namespaced<BackupConfiguration>('BackupConfiguration', 'backupconfigurations');
export const BackupSessions = namespaced<BackupSession>('BackupSession', 'backupsessions');
export const Snapshots = namespaced<Snapshot>('Snapshot', 'snapshots');
export const Repositories = namespaced<Repository>('Repository', 'repositories');
export const RestoreSessions = namespaced<RestoreSession>('RestoreSession', 'restoresessions');
export const AppBindings = namespaced<AppBinding>('AppBinding', 'appbindings');
export const PolicySyncs = namespaced<PolicySync>('PolicySync', 'policysyncs');
export const Addons = clusterWide<Addon>('Addon', 'addons');
export const BackupPolicyRules = clusterWide<BackupPolicyRule>('BackupPolicyRule', 'backuppolicyrules');
export const Functions = clusterWide<BackstayFunction>('Function', 'functions');

/** Every kind of Backstay by its name. */
export const KINDS: { readonly [K in Kind]: ResourceType<ObjectOf<K>> & { readonly kind: K } } = {
  Addon: Addons,
  AppBinding: AppBindings,
  BackupConfiguration: BackupConfigurations,
  BackupPolicyRule: BackupPolicyRules,
  BackupSession: BackupSessions,
  BackupStorage: BackupStorages,
  Function: Functions,
  PolicySync: PolicySyncs,
  Repository: Repositories,
  RestoreSession: RestoreSessions,
  RetentionPolicy: RetentionPolicies,
  Snapshot: Snapshots,
};

/** Whether a word names a kind of Backstay. */
export function isKind(name: string): name is Kind {
  return Object.hasOwn(KINDS, name);
}

/** The resource that `kind` names within Backstay's group, if any. */
export function resourceOf(kind: string): ResourceType<BackstayObject> | undefined {
  return isKind(kind) ? (KINDS[kind] as ResourceType<BackstayObject>) : undefined;
}

function namespaced<T extends BackstayObject>(kind: T['kind'], plural: string): Constant<T> {
  return { apiVersion: API_VERSION, kind, plural, namespaced: true };
}

function clusterWide<T extends BackstayObject>(kind: T['kind'], plural: string): Constant<T> {
  return { apiVersion: API_VERSION, kind, plural, namespaced: false };
}

type Constant<T extends KubeObject> = ResourceType<T> & { readonly kind: T['kind'] };
