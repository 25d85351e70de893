import type { BackupConfiguration, BackupConfigurationBackend } from './generated/types.ts';
import { BackupStorages, RetentionPolicies } from './kinds.ts';
import type { Draft, Lookup } from './rules/rule.ts';

/**
 * The backends of a BackupConfiguration that names none: the default BackupStorage of its namespace, and its default RetentionPolicy if
 * there is one, under each name that a session writes to. Undefined when the configuration has backends, or there is no such storage.
 */
export function defaultBackends(
  configuration: Draft<BackupConfiguration>,
  namespace: string,
  lookup: Lookup,
): BackupConfigurationBackend[] | undefined {
  const { backends, sessions } = configuration.spec ?? {};
  if (backends !== undefined) return undefined;
  const storage = lookup.list(BackupStorages, namespace).find(({ spec }) => spec.default === true)?.metadata.name;
  const policy = lookup.list(RetentionPolicies, namespace).find(({ spec }) => spec.default === true)?.metadata.name;
  if (storage === undefined) return undefined;
  const repositories = (sessions ?? []).flatMap((session) => session.repositories ?? []);
  const names = new Set(repositories.flatMap((repository) => repository.backend ?? []));
  if (names.size === 0) return undefined;
  return [...names].map((name) => ({
    name,
    storageRef: { namespace, name: storage },
    ...(policy === undefined ? {} : { retentionPolicy: { namespace, name: policy } }),
  }));
}
