import type { Repository } from '../generated/types.ts';
import { BackupStorages, Repositories } from '../kinds.ts';
import { formatName, resolveReference } from '../references.ts';
import { Findings } from './findings.ts';
import { checkRepositoryPath, normalPath } from './places.ts';
import { checkReference } from './references.ts';
import type { Rule } from './rule.ts';
import { checkSecret } from './target.ts';

/** Judges a Repository. */
export const judgeRepository: Rule<Repository> = (subject) => {
  const findings = new Findings();
  const { spec } = subject.object;
  checkRepositoryPath(findings, spec?.path, 'spec.path');
  checkReference(findings, subject, BackupStorages, spec?.storageRef, 'spec.storageRef');
  checkSecret(findings, subject, spec?.encryptionSecret, 'spec.encryptionSecret');
  const storage = spec?.storageRef?.name;
  if (spec?.path === undefined || storage === undefined) return findings;
  const place = formatName(resolveReference({ ...spec.storageRef, name: storage }, subject.namespace));
  const folder = normalPath(spec.path);
  for (const other of subject.lookup.list(Repositories)) {
    const namespace = other.metadata.namespace ?? '';
    if (other.metadata.name === subject.name && namespace === subject.namespace) continue;
    if (formatName(resolveReference(other.spec.storageRef, namespace)) !== place) continue;
    if (normalPath(other.spec.path) !== folder) continue;
    const name = formatName({ namespace, name: other.metadata.name ?? '' });
    findings.refuse('spec.path', 'FieldValueDuplicate', `Repository ${name} has this path of the same storage already`);
  }
  return findings;
};
