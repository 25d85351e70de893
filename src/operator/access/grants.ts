/**
 * The rights of each kind of Job: exactly the objects it reads and the statuses it writes.
 *
 * The operator can hand out only rights that it holds itself (Kubernetes refuses an escalation), so every rule here has its counterpart in
 * manifests/base/operator/clusterrole.yaml.
 */
import type { BackupStorage, Repository } from '../../api/generated/types.ts';
import { API_GROUP } from '../../api/group.ts';
import { resolveReference } from '../../api/references.ts';
import type { TargetFinding } from '../target.ts';
import type { Grant } from './plan.ts';

/** Reading a storage: the object, and the Secret with its credentials. */
export function storageGrants(storage: BackupStorage): Grant[] {
  const { namespace = '', name = '' } = storage.metadata;
  const secret = secretOfStorage(storage);
  return [
    read(namespace, 'backupstorages', [name]),
    ...(secret === undefined ? [] : [readSecrets(namespace, [secret])]),
  ];
}

/**
 * Reading a repository: the object, its password, its storage.
 *
 * @param storage undefined when it does not exist or may not be used
 * @param trusted whether the Secret may be used, should it be in another namespace; otherwise its owner has not agreed
 */
export function repositoryGrants(
  repository: Repository,
  storage: BackupStorage | undefined,
  trusted: boolean,
): Grant[] {
  const { namespace = '', name = '' } = repository.metadata;
  const password = resolveReference(repository.spec.encryptionSecret, namespace);
  return [
    read(namespace, 'repositories', [name]),
    ...(trusted || password.namespace === namespace ? [readSecrets(password.namespace, [password.name])] : []),
    ...(storage === undefined ? [] : storageGrants(storage)),
  ];
}

/** Opening and making a repository, and forgetting Snapshots in it. */
export function repositoryJobGrants(
  repository: Repository,
  storage: BackupStorage | undefined,
  trusted: boolean,
): Grant[] {
  const { namespace = '' } = repository.metadata;
  return [...repositoryGrants(repository, storage, trusted), read(namespace, 'snapshots'), ...eventGrants(namespace)];
}

export function storageJobGrants(storage: BackupStorage): Grant[] {
  return [...storageGrants(storage), ...eventGrants(storage.metadata.namespace ?? '')];
}

/** Reading a target: its AppBinding and the Secrets that names. Nothing of one that does not exist or may not be used. */
export function targetGrants({ target, found, secrets }: TargetFinding): Grant[] {
  if (!found) return [];
  const { apiGroup, namespace, name } = target;
  const group = apiGroup === API_GROUP ? API_GROUP : 'appcatalog.appscode.com';
  return [
    { namespace, group, resource: 'appbindings', verbs: ['get'], names: [name] },
    ...(apiGroup === 'kubedb.com'
      ? [{ namespace, group: apiGroup, resource: 'mongodbs', verbs: ['get'], names: [name] }]
      : []),
    ...(secrets.length === 0 ? [] : [readSecrets(namespace, secrets)]),
  ];
}

export interface BackupAccess {
  namespace: string;
  configuration: string;
  target: TargetFinding;
  repositories: readonly { repository: Repository; storage: BackupStorage | undefined }[];
}

/** A backup, and the release of the locks it left: their BackupSession, its Snapshots, and all that reaching both ends takes. */
export function backupGrants({ namespace, configuration, target, repositories }: BackupAccess): Grant[] {
  return [
    read(namespace, 'backupconfigurations', [configuration]),
    // Sessions and Snapshots come and go; a Role that named each would be rewritten with every run.
    read(namespace, 'backupsessions'),
    write(namespace, 'backupsessions/status'),
    read(namespace, 'snapshots'),
    write(namespace, 'snapshots/status'),
    ...targetGrants(target),
    ...repositories.flatMap(({ repository, storage }) => repositoryGrants(repository, storage, isReady(repository))),
    ...eventGrants(namespace),
  ];
}

/** The trigger of a CronJob: reads the configuration, makes BackupSessions. */
export function triggerGrants(namespace: string, configuration: string): Grant[] {
  return [
    read(namespace, 'backupconfigurations', [configuration]),
    { namespace, group: API_GROUP, resource: 'backupsessions', verbs: ['create', 'get'] },
    { namespace, group: 'batch', resource: 'jobs', verbs: ['get'] },
    ...eventGrants(namespace),
  ];
}

export interface RestoreAccess {
  namespace: string;
  restoreSession: string;
  target: TargetFinding;
  repository: Repository;
  storage: BackupStorage | undefined;
  /** Password of the repository when it is not the one that the Repository names. */
  encryptionSecret?: { namespace: string; name: string };
}

export function restoreGrants(access: RestoreAccess): Grant[] {
  const { namespace, restoreSession, target, repository, storage, encryptionSecret } = access;
  return [
    read(namespace, 'restoresessions', [restoreSession]),
    { ...write(namespace, 'restoresessions/status'), names: [restoreSession] },
    read(repository.metadata.namespace ?? '', 'snapshots'),
    ...targetGrants(target),
    ...repositoryGrants(repository, storage, isReady(repository)),
    ...(encryptionSecret === undefined ? [] : [readSecrets(encryptionSecret.namespace, [encryptionSecret.name])]),
    ...eventGrants(namespace),
  ];
}

/** The Secret with the credentials of a storage, if it has one. */
export function secretOfStorage({ spec }: BackupStorage): string | undefined {
  const { s3, gcs, azure } = spec.storage;
  return s3?.secretName ?? gcs?.secretName ?? azure?.secretName;
}

/** A Repository is Ready only once its own controller has found that it may use its Secret. */
function isReady({ status }: Repository): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
}

function eventGrants(namespace: string): Grant[] {
  return [{ namespace, group: 'events.k8s.io', resource: 'events', verbs: ['create', 'patch'] }];
}

function read(namespace: string, resource: string, names?: readonly string[]): Grant {
  return { namespace, group: API_GROUP, resource, verbs: ['get'], ...(names === undefined ? {} : { names }) };
}

function write(namespace: string, resource: string): Grant {
  return { namespace, group: API_GROUP, resource, verbs: ['get', 'patch'] };
}

function readSecrets(namespace: string, names: readonly string[]): Grant {
  return { namespace, group: '', resource: 'secrets', verbs: ['get'], names };
}
