import { getCondition } from '../conditions.ts';
import type { BackupPolicyRule } from '../generated/types.ts';
import { BackupPolicyRules } from '../kinds.ts';
import { Findings } from '../rules/findings.ts';
import type { Lookup } from '../rules/rule.ts';
import type { Check } from './check.ts';
import { checksOf } from './checks.ts';
import { type Chosen, concerns, isDemandedKind } from './match.ts';

/** Says that the parts of a rule that the API server can check itself are in force there. */
export const IN_FORCE = 'PolicyApplied';

/** A demand that an object does not meet. */
export interface Violation {
  demand: string;
  field: string;
  message: string;
  /** Whether the API server finds it by itself. */
  byPolicy: boolean;
}

/** What an object that a rule concerns breaks of it. */
export function violationsOf(
  rule: BackupPolicyRule,
  { kind, object, namespace, lookup }: Chosen,
  now: Date,
): Violation[] {
  return checksOf(rule.spec, kind).flatMap((check) => {
    const found = check.find(object, { namespace, lookup, now });
    if (found.length === 0) return [];
    const message = prefixOf(rule, check) + found.join(', ') + suffixOf(rule);
    return [{ demand: check.demand, field: check.field, message, byPolicy: isForPolicy(rule, check) }];
  });
}

/** Whether the API server can make a check itself: CEL can say it, and what the rule concerns is not told by another object. */
export function isForPolicy({ spec }: BackupPolicyRule, { cel }: Check): boolean {
  return cel !== undefined && spec.match?.targetSelector === undefined;
}

/** What stands before the list of what breaks a demand. */
export function prefixOf({ metadata }: BackupPolicyRule, { sentence }: Check): string {
  return `BackupPolicyRule ${metadata.name} ${sentence}: `;
}

/** What stands after it, on one line: the API server takes no other. */
export function suffixOf({ spec }: BackupPolicyRule): string {
  return spec.message === undefined ? '' : `; ${spec.message.trim().replace(/\s+/g, ' ')}`;
}

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
    if (verdict === false) continue;
    const violations = violationsOf(rule, chosen, subject.now);
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
