import type { BackupStorage } from '../generated/types.ts';
import { sameValue } from '../json.ts';
import { BackupStorages, Repositories } from '../kinds.ts';
import { formatName, resolveReference } from '../references.ts';
import { Findings } from './findings.ts';
import { checkPath, isWithin, placeOf } from './places.ts';
import { checkPodTemplate } from './pod-template.ts';
import { checkOneDefault } from './references.ts';
import type { Rule, Subject } from './rule.ts';

/** Judges a BackupStorage. */
export const judgeBackupStorage: Rule<BackupStorage> = (subject) => {
  const findings = new Findings();
  const { spec } = subject.object;
  const { provider, s3, gcs, azure, local } = spec?.storage ?? {};
  for (const [key, block] of Object.entries({ s3, gcs, azure })) {
    checkPath(findings, block?.prefix, `spec.storage.${key}.prefix`);
  }
  checkPath(findings, local?.subPath, 'spec.storage.local.subPath');
  checkPath(findings, local?.mountPath, 'spec.storage.local.mountPath');
  checkPath(findings, local?.hostPath?.path, 'spec.storage.local.hostPath.path');
  if (provider === 's3' && s3?.insecureTLS === true) {
    findings.warn('spec.storage.s3.insecureTLS: anybody on the way can read the credentials of the storage');
  }
  if (local?.persistentVolumeClaim?.readOnly === true || local?.nfs?.readOnly === true) {
    findings.warn('spec.storage.local: a volume that is read-only takes no backups');
  }
  checkPodTemplate(findings, spec?.runtimeSettings, 'spec.runtimeSettings');
  checkOneDefault(findings, subject, subject.object, BackupStorages);
  checkPlace(findings, subject);
  checkInUse(findings, subject);
  return findings;
};

/** No two storages in one place: their repositories would meet in the same folders. */
function checkPlace(findings: Findings, { object, namespace, name, lookup }: Subject<BackupStorage>): void {
  const place = placeOf(object, namespace);
  if (place === undefined) return;
  const field = `spec.storage.${object.spec?.storage?.provider}`;
  for (const other of lookup.list(BackupStorages)) {
    const itsNamespace = other.metadata.namespace ?? '';
    if (other.metadata.name === name && itsNamespace === namespace) continue;
    const its = placeOf(other, itsNamespace);
    if (its?.root !== place.root) continue;
    const itsName = formatName({ namespace: itsNamespace, name: other.metadata.name ?? '' });
    if (its.folder === place.folder) {
      const message = `BackupStorage ${itsName} is in the same folder of ${place.words} already`;
      findings.refuse(field, 'FieldValueDuplicate', `${message}; each needs a prefix of its own`);
    } else if (isWithin(its.folder, place.folder) || isWithin(place.folder, its.folder)) {
      findings.warn(`${field}: one of this and BackupStorage ${itsName} lies inside the other`);
    }
  }
}

/** A storage that holds repositories stays where it is: they would be looked for in the wrong place. */
function checkInUse(findings: Findings, { object, old, namespace, name, lookup }: Subject<BackupStorage>): void {
  if (old === undefined || sameValue(placeOf(old, namespace), placeOf(object, namespace))) return;
  const self = formatName({ namespace, name });
  const users = lookup
    .list(Repositories)
    .filter(({ metadata, spec }) => formatName(resolveReference(spec.storageRef, metadata.namespace ?? '')) === self);
  const [first] = users;
  if (first === undefined) return;
  const others = users.length === 1 ? '' : ` and ${users.length - 1} more`;
  const message = `Repository ${first.metadata.namespace}/${first.metadata.name}${others} lies in it, so it cannot move`;
  findings.refuse('spec.storage', 'FieldValueForbidden', `${message}; create another BackupStorage`);
}
