import type { BackupConfiguration, BackupConfigurationSession } from '../generated/types.ts';
import { BackupStorages } from '../kinds.ts';
import { formatName, resolveReference } from '../references.ts';
import type { Findings } from './findings.ts';
import { placeOf } from './places.ts';
import type { Draft, Subject } from './rule.ts';

/** Refuses a session whose local storages would be mounted over each other in its Pod. */
export function checkMounts(
  findings: Findings,
  { object, namespace, lookup }: Subject<BackupConfiguration>,
  session: Draft<BackupConfigurationSession>,
  path: string,
): void {
  const mounted = new Map<string, { name: string; volume: string }>();
  for (const [index, repository] of (session.repositories ?? []).entries()) {
    const reference = object.spec?.backends?.find((backend) => backend.name === repository.backend)?.storageRef;
    if (reference?.name === undefined) continue;
    const at = resolveReference({ ...reference, name: reference.name }, namespace);
    const storage = lookup.get(BackupStorages, at.namespace, at.name);
    const mountPath = storage?.spec.storage.local?.mountPath;
    if (storage === undefined || mountPath === undefined) continue;
    const place = placeOf(storage, at.namespace);
    const name = formatName(at);
    const volume = `${place?.root} ${place?.folder}`;
    const other = mounted.get(mountPath);
    if (other === undefined) mounted.set(mountPath, { name, volume });
    else if (other.volume !== volume) {
      const message = `BackupStorages ${other.name} and ${name} would both be mounted at ${mountPath}`;
      const remedy = 'give one of them another mountPath';
      findings.refuse(`${path}.repositories[${index}].backend`, 'FieldValueInvalid', `${message}; ${remedy}`);
    }
  }
}
