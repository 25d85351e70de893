/** The Repositories that a configuration's sessions write to: which are made, and which may not be used. Pure. */
import type {
  BackupConfiguration,
  BackupConfigurationBackend,
  BackupConfigurationSessionRepository,
  Repository,
} from '../../api/generated/types.ts';
import { API_VERSION } from '../../api/group.ts';
import { CONFIGURATION_LABEL, labelValue, MANAGED_BY_LABEL, MANAGER, targetLabels } from '../../api/labels.ts';
import { formatName, resolveReference, resolveTarget } from '../../api/references.ts';
import type { KubeObject, OwnerReference } from '../../kube/resource.ts';
import { sameJSON } from '../reconcile/fingerprint.ts';
import { targetKey } from '../target.ts';

export interface RepositoryWish {
  name: string;
  backend: string;
  /** Undefined when the Repository exists and is looked after by somebody else, or may not be used. */
  object?: Repository;
  /** Why the configuration may not write to the one that exists. */
  refusal?: string;
}

/** The Repositories of all sessions, each once. */
export function repositoryWishes(
  configuration: BackupConfiguration,
  backends: readonly BackupConfigurationBackend[],
  live: ReadonlyMap<string, Repository>,
  owner: OwnerReference,
): RepositoryWish[] {
  const wishes = new Map<string, RepositoryWish>();
  for (const entry of configuration.spec.sessions.flatMap((session) => session.repositories)) {
    if (wishes.has(entry.name)) continue;
    const backend = backends.find(({ name }) => name === entry.backend);
    if (backend === undefined) continue;
    const object = repositoryFor(configuration, entry, backend, owner);
    wishes.set(entry.name, {
      name: entry.name,
      backend: entry.backend,
      ...judge(object, live.get(entry.name), configuration, owner),
    });
  }
  return [...wishes.values()];
}

/** Whether a live Repository is the one that a configuration made, or one without a maker that fits it. */
export function isOwnRepository(live: KubeObject, configuration: BackupConfiguration): boolean {
  const maker = live.metadata.labels?.[CONFIGURATION_LABEL];
  return maker === undefined || maker === labelValue(configuration.metadata.name ?? '');
}

function judge(
  wanted: Repository,
  live: Repository | undefined,
  configuration: BackupConfiguration,
  owner: OwnerReference,
): Pick<RepositoryWish, 'object' | 'refusal'> {
  if (live === undefined) return { object: wanted };
  const differences = differencesOf(wanted, live);
  if (differences.length > 0) {
    const name = formatName({ namespace: live.metadata.namespace ?? '', name: live.metadata.name ?? '' });
    return {
      refusal: `Repository ${name} exists with another ${differences.join(' and ')}; choose another name for the repository`,
    };
  }
  const foreign =
    live.metadata.ownerReferences?.some(({ controller, uid }) => controller === true && uid !== owner.uid) ?? false;
  return foreign || !isOwnRepository(live, configuration) ? {} : { object: wanted };
}

function differencesOf(wanted: Repository, live: Repository): string[] {
  const namespace = live.metadata.namespace ?? '';
  const differences: string[] = [];
  const { appRef } = live.spec;
  const target = (ref: NonNullable<typeof appRef>): string =>
    targetKey(resolveTarget(ref as Parameters<typeof resolveTarget>[0], namespace));
  if (appRef !== undefined && wanted.spec.appRef !== undefined && target(appRef) !== target(wanted.spec.appRef))
    differences.push('database (spec.appRef)');
  if (
    !sameJSON(resolveReference(live.spec.storageRef, namespace), resolveReference(wanted.spec.storageRef, namespace))
  ) {
    differences.push('storage (spec.storageRef)');
  }
  if (trimSlashes(live.spec.path) !== wanted.spec.path) differences.push('path (spec.path)');
  if (
    !sameJSON(
      resolveReference(live.spec.encryptionSecret, namespace),
      resolveReference(wanted.spec.encryptionSecret, namespace),
    )
  ) {
    differences.push('password (spec.encryptionSecret)');
  }
  return differences;
}

function repositoryFor(
  configuration: BackupConfiguration,
  entry: BackupConfigurationSessionRepository,
  backend: BackupConfigurationBackend,
  owner: OwnerReference,
): Repository {
  const { namespace = '', name = '' } = configuration.metadata;
  const target = resolveTarget(configuration.spec.target, namespace);
  const policy = entry.deletionPolicy ?? 'Retain';
  return {
    apiVersion: API_VERSION,
    kind: 'Repository',
    metadata: {
      name: entry.name,
      namespace,
      labels: { [MANAGED_BY_LABEL]: MANAGER, [CONFIGURATION_LABEL]: labelValue(name), ...targetLabels(target) },
      // Without an owner it outlives the configuration.
      ...(policy === 'Retain' ? {} : { ownerReferences: [owner] }),
    },
    spec: {
      appRef: { apiGroup: target.apiGroup, kind: target.kind, namespace: target.namespace, name: target.name },
      storageRef: resolveReference(backend.storageRef, namespace),
      path: trimSlashes(entry.directory),
      encryptionSecret: resolveReference(entry.encryptionSecret, namespace),
      deletionPolicy: policy === 'WipeOut' ? 'WipeOut' : 'Delete',
    },
  };
}

function trimSlashes(path: string): string {
  return path.replace(/^\/+|\/+$/g, '');
}
