import type { BackupConfiguration, BackupPolicyRule } from '../generated/types.ts';
import { BackupConfigurations } from '../kinds.ts';
import { formatName, resolveReference } from '../references.ts';
import { type Chosen, concerns } from './match.ts';
import { type Violation, violationsOf } from './violations.ts';

/**
 * What a storage or a retention policy that a rule does not concern by itself breaks of it for the configurations that use it: or a rule
 * about these could be passed by a change of what they refer to.
 */
export function violationsForUsers(rule: BackupPolicyRule, chosen: Chosen, now: Date): Violation[] {
  const { kind, namespace, name, lookup } = chosen;
  if (kind === 'BackupConfiguration') return [];
  // What breaks nothing needs no user to be found.
  const violations = violationsOf(rule, chosen, now);
  if (violations.length === 0) return [];
  const self = formatName({ namespace, name });
  const user = lookup.list(BackupConfigurations).find((configuration) => {
    if (!references(configuration, kind).includes(self)) return false;
    const { namespace: home = '', name: its = '' } = configuration.metadata;
    const about = { kind: 'BackupConfiguration', object: configuration, namespace: home, name: its, lookup } as const;
    return concerns(rule, about) === true;
  });
  if (user === undefined) return [];
  const by = formatName({ namespace: user.metadata.namespace ?? '', name: user.metadata.name ?? '' });
  return violations.map((one) => ({
    ...one,
    message: `${one.message} (BackupConfiguration ${by} uses it)`,
    byPolicy: false,
  }));
}

function references({ metadata, spec }: BackupConfiguration, kind: 'BackupStorage' | 'RetentionPolicy'): string[] {
  return (spec.backends ?? []).flatMap(({ storageRef, retentionPolicy }) => {
    const reference = kind === 'BackupStorage' ? storageRef : retentionPolicy;
    return reference === undefined ? [] : [formatName(resolveReference(reference, metadata.namespace ?? ''))];
  });
}
