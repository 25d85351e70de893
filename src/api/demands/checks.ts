import type { BackupPolicyRule } from '../generated/types.ts';
import { type Check, DEMANDED_KINDS, type DemandedKind } from './check.ts';
import { configurationChecks } from './configuration.ts';
import { retentionChecks } from './retention.ts';
import { storageChecks } from './storage.ts';

type Spec = BackupPolicyRule['spec'];

/** What a rule asks of objects of a kind. */
export function checksOf({ demands }: Pick<Spec, 'demands'>, kind: DemandedKind): Check[] {
  switch (kind) {
    case 'BackupConfiguration':
      return configurationChecks(demands) as Check[];
    case 'BackupStorage':
      return storageChecks(demands) as Check[];
    case 'RetentionPolicy':
      return retentionChecks(demands) as Check[];
  }
}

/** The kinds that a rule concerns: those that it names, or all that it asks something of. */
export function kindsOf({ match, demands }: Pick<Spec, 'match' | 'demands'>): DemandedKind[] {
  const named: readonly string[] = match?.kinds ?? DEMANDED_KINDS;
  return DEMANDED_KINDS.filter((kind) => {
    if (!named.includes(kind)) return false;
    if (match?.targetSelector !== undefined && kind !== 'BackupConfiguration') return false;
    return checksOf({ demands }, kind).length > 0;
  });
}
