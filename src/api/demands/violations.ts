import type { BackupPolicyRule } from '../generated/types.ts';
import type { Check } from './check.ts';
import { checksOf } from './checks.ts';
import type { Chosen } from './match.ts';

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
