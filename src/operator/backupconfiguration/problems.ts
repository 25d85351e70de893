/** What keeps a configuration, or one of its sessions, from doing what it says. Pure. */
import { describeError, errorCode } from '../../api/errors.ts';
import type {
  Addon,
  BackstayFunction,
  BackupConfiguration,
  BackupConfigurationBackend,
  BackupConfigurationSession,
  BackupStorage,
  Repository,
  RetentionPolicy,
} from '../../api/generated/types.ts';
import { formatName, resolveReference } from '../../api/references.ts';
import { collidingMounts } from '../jobs/volumes.ts';
import { judgeStorage, mayUse, type StorageFinding } from '../storages.ts';
import type { TargetFinding } from '../target.ts';
import { resolveTask } from '../task.ts';
import type { RepositoryWish } from './repositories.ts';

/** What a configuration refers to. */
export interface Surroundings {
  configuration: BackupConfiguration;
  /** Those of the spec, or the default storage of the namespace when the spec has none. */
  backends: readonly BackupConfigurationBackend[];
  target: TargetFinding;
  findStorage(namespace: string, name: string): BackupStorage | undefined;
  findPolicy(namespace: string, name: string): RetentionPolicy | undefined;
  findAddon(name: string): Addon | undefined;
  findFunction(name: string): BackstayFunction | undefined;
  /** Labels of the configuration's namespace. */
  namespaceLabels: Readonly<Record<string, string>> | undefined;
  /** Repositories of the namespace by name. */
  repositories: ReadonlyMap<string, Repository>;
}

export interface Problem {
  reason: string;
  message: string;
}

/** What was found of the storage of each backend, by the backend's name. */
export function storageFindings(around: Surroundings): Map<string, StorageFinding> {
  const from = namespaceOf(around);
  return new Map(
    around.backends.map(({ name, storageRef }) => {
      const ref = resolveReference(storageRef, from);
      return [
        name,
        judgeStorage(storageRef, from, around.findStorage(ref.namespace, ref.name), around.namespaceLabels),
      ];
    }),
  );
}

/** Everything that keeps the given sessions from running, the most basic first. A session depends on its own backends only. */
export function problemsOf(
  around: Surroundings,
  sessions: readonly BackupConfigurationSession[],
  wishes: readonly RepositoryWish[],
  storages: ReadonlyMap<string, StorageFinding>,
): Problem[] {
  const { target, backends } = around;
  const problems: Problem[] = [];
  if (!target.found) problems.push({ reason: target.reason ?? 'TargetNotFound', message: target.missing });
  if (backends.length === 0) {
    problems.push({
      reason: 'StorageNotFound',
      message: 'spec.backends is empty and the namespace has no default BackupStorage; name a storage',
    });
  }
  const used = new Set(sessions.flatMap(({ repositories }) => repositories.map(({ backend }) => backend)));
  const all = sessions.length === around.configuration.spec.sessions.length;
  for (const backend of backends.filter(({ name }) => all || used.has(name))) {
    const finding = storages.get(backend.name);
    if (finding?.usable === false) problems.push({ reason: finding.reason, message: finding.message });
    problems.push(...policyProblems(around, backend));
  }
  for (const session of sessions) problems.push(...sessionProblems(around, session));
  const names = new Set(sessions.flatMap(({ repositories }) => repositories.map(({ name }) => name)));
  for (const wish of wishes.filter(({ name }) => names.has(name))) problems.push(...repositoryProblems(around, wish));
  return problems;
}

/** What is wrong with the RetentionPolicy of a backend. */
export function policyProblems(around: Surroundings, { retentionPolicy }: BackupConfigurationBackend): Problem[] {
  if (retentionPolicy === undefined) return [];
  const from = namespaceOf(around);
  const ref = resolveReference(retentionPolicy, from);
  const policy = around.findPolicy(ref.namespace, ref.name);
  const what = `RetentionPolicy ${formatName(ref)}`;
  if (policy === undefined)
    return [{ reason: 'RetentionPolicyNotFound', message: `${what} does not exist; create it, or mend the reference` }];
  if (mayUse(policy.spec.usagePolicy, ref.namespace, from, around.namespaceLabels)) return [];
  return [
    {
      reason: 'NotAllowed',
      message: `${what} may not be used from namespace ${from}; allow it in its spec.usagePolicy`,
    },
  ];
}

function repositoryProblems(around: Surroundings, { name, refusal }: RepositoryWish): Problem[] {
  if (refusal !== undefined) return [{ reason: 'NotAllowed', message: refusal }];
  const ready = around.repositories.get(name)?.status?.conditions?.find(({ type }) => type === 'Ready');
  if (ready?.status === 'True') return [];
  const why = ready === undefined ? 'it was not opened yet' : `${ready.reason}: ${ready.message}`;
  return [{ reason: 'RepositoryNotReady', message: `Repository ${name} cannot be used: ${why}` }];
}

function sessionProblems(around: Surroundings, session: BackupConfigurationSession): Problem[] {
  const problems: Problem[] = [];
  const namespace = namespaceOf(around);
  for (const { name, backend } of session.repositories) {
    if (around.backends.length === 0 || around.backends.some((one) => one.name === backend)) continue;
    problems.push({
      reason: 'StorageNotFound',
      message: `repository ${name} of session ${session.name} names backend ${backend}, which does not exist`,
    });
  }
  try {
    const { target } = around.target;
    resolveTask({
      purpose: 'backup',
      use: session.addon,
      addon: around.findAddon(session.addon.name),
      findFunction: around.findFunction,
      variables: {
        namespace,
        backupSession: '',
        session: session.name,
        targetName: target.name,
        targetNamespace: target.namespace,
      },
    });
  } catch (error) {
    problems.push({ reason: errorCode(error), message: `session ${session.name}: ${describeError(error)}` });
  }
  const collision = collidingMounts(sessionStorages(around, session));
  if (collision !== undefined)
    problems.push({ reason: 'StorageInvalid', message: `session ${session.name}: ${collision}` });
  return problems;
}

/** The storages that a session writes to, those that exist. */
export function sessionStorages(around: Surroundings, session: BackupConfigurationSession): BackupStorage[] {
  const names = new Set(session.repositories.map(({ backend }) => backend));
  return around.backends
    .filter(({ name }) => names.has(name))
    .flatMap(({ storageRef }) => {
      const ref = resolveReference(storageRef, namespaceOf(around));
      return around.findStorage(ref.namespace, ref.name) ?? [];
    });
}

function namespaceOf({ configuration }: Surroundings): string {
  return configuration.metadata.namespace ?? '';
}
