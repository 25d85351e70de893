import { isRecord } from '../json.ts';
import { BackupConfigurations, type Kind, Repositories } from '../kinds.ts';
import { formatName, resolveReference } from '../references.ts';
import { Findings } from './findings.ts';
import type { Lookup } from './rule.ts';

/**
 * What somebody who deletes an object may want to know. A deletion is never refused: a namespace must be able to go, and GitOps tools
 * prune in any order.
 */
export function warnAboutDeletion(kind: Kind, object: unknown, namespace: string, lookup: Lookup): string[] {
  const findings = new Findings();
  const spec = isRecord(object) && isRecord(object.spec) ? object.spec : {};
  const metadata = isRecord(object) && isRecord(object.metadata) ? object.metadata : {};
  const self = formatName({ namespace, name: String(metadata.name) });
  if (spec.deletionPolicy === 'WipeOut' && (kind === 'Repository' || kind === 'Snapshot')) {
    findings.warn(`deletionPolicy is WipeOut: the data of ${kind} ${self} is removed from the storage`);
  }
  if (kind === 'BackupStorage') {
    const count = lookup
      .list(Repositories)
      .filter((one) => formatName(resolveReference(one.spec.storageRef, one.metadata.namespace ?? '')) === self).length;
    if (count > 0)
      findings.warn(`BackupStorage ${self} is still used by ${count} ${count === 1 ? 'Repository' : 'Repositories'}`);
  }
  if (kind === 'RetentionPolicy') {
    const users = lookup
      .list(BackupConfigurations)
      .filter(({ metadata: user, spec: { backends = [] } }) =>
        backends.some(
          ({ retentionPolicy }) =>
            retentionPolicy !== undefined &&
            formatName(resolveReference(retentionPolicy, user.namespace ?? '')) === self,
        ),
      );
    const words = users.length === 1 ? 'BackupConfiguration' : 'BackupConfigurations';
    if (users.length > 0) findings.warn(`RetentionPolicy ${self} is still used by ${users.length} ${words}`);
  }
  return findings.warnings;
}
