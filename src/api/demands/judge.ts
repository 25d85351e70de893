import { getCondition } from '../conditions.ts';
import type { BackupPolicyRule } from '../generated/types.ts';
import { BackupPolicyRules } from '../kinds.ts';
import { Findings } from '../rules/findings.ts';
import type { Lookup } from '../rules/rule.ts';
import { concerns, isDemandedKind } from './match.ts';
import { violationsForUsers } from './users.ts';
import { violationsOf } from './violations.ts';

/** Says that the parts of a rule that the API server can check itself are in force there. */
export const IN_FORCE = 'PolicyApplied';

/** Judges an object by every rule that is known. Rules in audit say nothing here: what breaks them is counted in their status. */
export function judgeByRules(
  kind: string,
  subject: { object: unknown; namespace: string; name: string; lookup: Lookup; now: Date },
): Findings {
  const findings = new Findings();
  if (!isDemandedKind(kind)) return findings;
  const chosen = { ...subject, kind };
  for (const rule of subject.lookup.list(BackupPolicyRules)) {
    const { enforcement } = rule.spec;
    if (enforcement === 'Audit' || rule.metadata.deletionTimestamp !== undefined) continue;
    const verdict = concerns(rule, chosen);
    const violations =
      verdict === false ? violationsForUsers(rule, chosen, subject.now) : violationsOf(rule, chosen, subject.now);
    if (verdict === undefined) {
      if (violations.length > 0)
        findings.warn(
          `BackupPolicyRule ${rule.metadata.name} may refuse it: labels of its namespace or target are not known here`,
        );
    } else if (enforcement === 'Warn') {
      // The API server warns of the rest itself; twice would be too often.
      const rest = isInForce(rule) ? violations.filter(({ byPolicy }) => !byPolicy) : violations;
      for (const { field, message } of rest) findings.warn(`${field}: ${message}`);
    } else {
      for (const { field, message } of violations) findings.refuse(field, 'FieldValueForbidden', message);
    }
  }
  return findings;
}

function isInForce({ metadata, status }: BackupPolicyRule): boolean {
  const condition = getCondition(status?.conditions, IN_FORCE);
  return condition?.status === 'True' && condition.observedGeneration === metadata.generation;
}
