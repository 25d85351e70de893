/** The copies of everything that the controllers read, and the indexes by which they find it. */
import type {
  Addon,
  AppBinding,
  BackstayFunction,
  BackupConfiguration,
  BackupPolicyRule,
  BackupSession,
  BackupStorage,
  Repository,
  RestoreSession,
  RetentionPolicy,
  Snapshot,
} from '../api/generated/types.ts';
import {
  Addons,
  AppBindings,
  BackupConfigurations,
  BackupPolicyRules,
  BackupSessions,
  BackupStorages,
  Functions,
  Repositories,
  RestoreSessions,
  RetentionPolicies,
  Snapshots,
} from '../api/kinds.ts';
import { COMPONENT_LABEL, CONFIGURATION_LABEL, labelValue, MANAGED_BY_LABEL, MANAGER } from '../api/labels.ts';
import { resolveReference, resolveTarget } from '../api/references.ts';
import type { Lookup } from '../api/rules/rule.ts';
import {
  type CronJob,
  CronJobs,
  type Job,
  Jobs,
  type Namespace,
  Namespaces,
  type Pod,
  Pods,
  type Role,
  type RoleBinding,
  RoleBindings,
  Roles,
  type ServiceAccount,
  ServiceAccounts,
  ValidatingAdmissionPolicies,
  type ValidatingAdmissionPolicy,
  type ValidatingAdmissionPolicyBinding,
  ValidatingAdmissionPolicyBindings,
} from '../kube/builtin.ts';
import { Cache, type IndexFunction } from '../kube/cache.ts';
import type { Client } from '../kube/client.ts';
import type { Log } from '../kube/log.ts';
import type { KubeMetrics } from '../kube/metrics.ts';
import { controllerOf, defineResource, type KubeObject, keyFor, type ResourceType } from '../kube/resource.ts';
import { OWNER_LABEL } from './access/plan.ts';
import type { LiveObjects } from './reconcile/perform.ts';
import { targetKey } from './target.ts';

/** AppBindings of AppsCode's catalogue have the fields of ours. */
const CatalogAppBindings = defineResource<AppBinding>('appcatalog.appscode.com/v1alpha1', 'AppBinding', 'appbindings');
const KubeDBMongoDBs = defineResource<KubeObject>('kubedb.com/v1', 'MongoDB', 'mongodbs');

export interface Caches extends LiveObjects {
  storages: Cache<BackupStorage>;
  policies: Cache<RetentionPolicy>;
  configurations: Cache<BackupConfiguration>;
  sessions: Cache<BackupSession>;
  snapshots: Cache<Snapshot>;
  repositories: Cache<Repository>;
  restores: Cache<RestoreSession>;
  addons: Cache<Addon>;
  functions: Cache<BackstayFunction>;
  appBindings: Cache<AppBinding>;
  catalogAppBindings: Cache<AppBinding>;
  kubedbMongoDBs: Cache<KubeObject>;
  namespaces: Cache<Namespace>;
  jobs: Cache<Job>;
  pods: Cache<Pod>;
  cronJobs: Cache<CronJob>;
  serviceAccounts: Cache<ServiceAccount>;
  roles: Cache<Role>;
  roleBindings: Cache<RoleBinding>;
  /** Undefined where only some namespaces are looked at: rules are about all of them. */
  rules: RuleCaches | undefined;
  /** All of them, to be run. */
  all: readonly Cache<KubeObject>[];
}

/** BackupPolicyRules, and what is made of them. */
export interface RuleCaches {
  rules: Cache<BackupPolicyRule>;
  policies: Cache<ValidatingAdmissionPolicy>;
  bindings: Cache<ValidatingAdmissionPolicyBinding>;
}

export interface CachesOptions {
  client: Client;
  /** These namespaces only. */
  namespaces?: readonly string[] | undefined;
  log: Log;
  metrics?: KubeMetrics | undefined;
}

/** Makes the caches; they are empty until they run. */
export function createCaches({ client, namespaces, log, metrics }: CachesOptions): Caches {
  const all: Cache<KubeObject>[] = [];
  const make = <T extends KubeObject>(
    type: ResourceType<T>,
    options: { indexes?: Record<string, IndexFunction<T>>; labelSelector?: string; optional?: boolean } = {},
  ): Cache<T> => {
    const scope = type.namespaced && namespaces !== undefined ? { namespaces } : {};
    const cache = new Cache<T>({ client, type, log, metrics, ...scope, ...options });
    all.push(cache as unknown as Cache<KubeObject>);
    return cache;
  };
  const generated = `${MANAGED_BY_LABEL}=${MANAGER}`;
  const byOwner: IndexFunction<KubeObject> = ({ metadata }) => {
    const owner = metadata.labels?.[OWNER_LABEL];
    return owner === undefined ? [] : [owner];
  };
  const caches = {
    storages: make(BackupStorages),
    policies: make(RetentionPolicies),
    configurations: make(BackupConfigurations, { indexes: { refs: configurationRefs } }),
    sessions: make(BackupSessions, {
      indexes: { configuration: ({ metadata, spec }) => [keyFor(metadata.namespace, spec.invoker.name)] },
    }),
    snapshots: make(Snapshots, {
      indexes: {
        repository: ({ metadata, spec }) => [keyFor(metadata.namespace, spec.repository)],
        session: ({ metadata, spec }) =>
          spec.backupSession === undefined ? [] : [keyFor(metadata.namespace, spec.backupSession)],
      },
    }),
    repositories: make(Repositories, {
      indexes: { storage: ({ metadata, spec }) => [keyOfReference(spec.storageRef, metadata.namespace)] },
    }),
    restores: make(RestoreSessions, {
      indexes: {
        target: ({ metadata, spec }) => [targetKey(resolveTarget(spec.target, metadata.namespace ?? ''))],
        repository: ({ metadata, spec }) => [
          keyFor(spec.dataSource.namespace ?? metadata.namespace, spec.dataSource.repository),
        ],
      },
    }),
    addons: make(Addons),
    functions: make(Functions),
    appBindings: make(AppBindings),
    catalogAppBindings: make(CatalogAppBindings, { optional: true }),
    kubedbMongoDBs: make(KubeDBMongoDBs, { optional: true }),
    namespaces: make(Namespaces),
    jobs: make(Jobs, { labelSelector: generated, indexes: { owner: ownerUid, component: componentOf } }),
    pods: make(Pods, { labelSelector: generated, indexes: { owner: ownerUid } }),
    cronJobs: make(CronJobs, {
      labelSelector: generated,
      indexes: {
        configuration: ({ metadata }) => [keyFor(metadata.namespace, metadata.labels?.[CONFIGURATION_LABEL] ?? '')],
      },
    }),
    serviceAccounts: make(ServiceAccounts, { labelSelector: generated }),
    roles: make(Roles, { labelSelector: generated, indexes: { owner: byOwner } }),
    roleBindings: make(RoleBindings, { labelSelector: generated, indexes: { owner: byOwner } }),
    rules:
      namespaces === undefined
        ? {
            rules: make(BackupPolicyRules),
            policies: make(ValidatingAdmissionPolicies, { labelSelector: generated }),
            bindings: make(ValidatingAdmissionPolicyBindings, { labelSelector: generated }),
          }
        : undefined,
  };
  const find: LiveObjects['find'] = (type, { metadata }) =>
    all
      .find((cache) => cache.type.kind === type.kind && cache.type.apiVersion === type.apiVersion)
      ?.get(metadata.namespace, metadata.name ?? '');
  return { ...caches, all, find };
}

/** The caches as rules look things up. */
export function lookupOf({ all }: Pick<Caches, 'all'>): Lookup {
  const cacheOf = <T extends KubeObject>(type: ResourceType<T>): Cache<T> | undefined =>
    all.find((cache) => cache.type.kind === type.kind && cache.type.apiVersion === type.apiVersion) as
      | Cache<T>
      | undefined;
  return {
    knows: (type) => cacheOf(type)?.hasSynced === true,
    get: (type, namespace, name) => cacheOf(type)?.get(namespace, name),
    list: (type, namespace) => cacheOf(type)?.list(namespace) ?? [],
  };
}

/** Jobs that an object owns, with their Pods. */
export function jobsOf({ jobs, pods }: Pick<Caches, 'jobs' | 'pods'>, owner: KubeObject): { jobs: Job[]; pods: Pod[] } {
  const own = jobs.byIndex('owner', owner.metadata.uid ?? '');
  return { jobs: own, pods: own.flatMap(({ metadata }) => pods.byIndex('owner', metadata.uid ?? '')) };
}

/** Roles and bindings that were made in other namespaces for an object. */
export function accessElsewhere(
  { roles, roleBindings }: Caches,
  { metadata }: KubeObject,
): { roles: Role[]; bindings: RoleBinding[] } {
  const uid = metadata.uid ?? '';
  return { roles: roles.byIndex('owner', uid), bindings: roleBindings.byIndex('owner', uid) };
}

/** CronJobs that carry the label of a configuration. */
export function cronJobsOf({ cronJobs }: Caches, { metadata }: BackupConfiguration): CronJob[] {
  return cronJobs.byIndex('configuration', keyFor(metadata.namespace, labelValue(metadata.name ?? '')));
}

/** Under what a configuration is found by what it refers to: `storage:ns/name`, `policy:ns/name`, `repository:ns/name`, `addon:name`, `target:…`. */
function configurationRefs({ metadata, spec }: BackupConfiguration): string[] {
  const { namespace } = metadata;
  return [
    `target:${targetKey(resolveTarget(spec.target, namespace ?? ''))}`,
    ...(spec.backends ?? []).flatMap(({ storageRef, retentionPolicy }) => [
      `storage:${keyOfReference(storageRef, namespace)}`,
      ...(retentionPolicy === undefined ? [] : [`policy:${keyOfReference(retentionPolicy, namespace)}`]),
    ]),
    // Without backends the defaults of the namespace apply, whichever they are.
    ...(spec.backends === undefined ? [`defaults:${namespace}`] : []),
    ...spec.sessions.flatMap(({ addon, repositories }) => [
      `addon:${addon.name}`,
      ...repositories.map(({ name }) => `repository:${keyFor(namespace, name)}`),
    ]),
  ];
}

function keyOfReference(reference: { namespace?: string; name: string }, from: string | undefined): string {
  const { namespace, name } = resolveReference(reference, from ?? '');
  return keyFor(namespace, name);
}

function ownerUid(object: KubeObject): string[] {
  const owner = controllerOf(object);
  return owner === undefined ? [] : [owner.uid];
}

function componentOf({ metadata }: KubeObject): string[] {
  return [keyFor(metadata.namespace, metadata.labels?.[COMPONENT_LABEL] ?? '')];
}
