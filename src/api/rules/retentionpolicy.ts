import type { RetentionPolicy } from '../generated/types.ts';
import { RetentionPolicies } from '../kinds.ts';
import { checkRetentionPeriod } from './durations.ts';
import { Findings } from './findings.ts';
import { checkOneDefault } from './references.ts';
import type { Rule } from './rule.ts';

/** Judges a RetentionPolicy. */
export const judgeRetentionPolicy: Rule<RetentionPolicy> = (subject) => {
  const findings = new Findings();
  checkRetentionPeriod(findings, subject.object.spec?.maxRetentionPeriod, 'spec.maxRetentionPeriod');
  checkOneDefault(findings, subject, subject.object, RetentionPolicies);
  return findings;
};
