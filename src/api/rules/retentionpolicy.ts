import { parseRetentionPeriod } from '../durations.ts';
import { BackstayError } from '../errors.ts';
import type { RetentionPolicy } from '../generated/types.ts';
import { RetentionPolicies } from '../kinds.ts';
import { checkRetentionPeriod } from './durations.ts';
import { warnAboutPolicyExpiry } from './expiry.ts';
import { Findings } from './findings.ts';
import { checkOneDefault } from './references.ts';
import type { Draft, Rule } from './rule.ts';

const COUNTS = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;

/** Judges a RetentionPolicy. */
export const judgeRetentionPolicy: Rule<RetentionPolicy> = (subject) => {
  const findings = new Findings();
  const { object, old } = subject;
  checkRetentionPeriod(findings, object.spec?.maxRetentionPeriod, 'spec.maxRetentionPeriod');
  checkOneDefault(findings, subject, object, RetentionPolicies);
  if (old !== undefined) warnAboutShortening(findings, old.spec, object.spec);
  warnAboutPolicyExpiry(findings, subject);
  return findings;
};

/** Snapshots that the old rules kept and the new ones do not are gone with the next backup: that is worth a word. */
function warnAboutShortening(
  findings: Findings,
  before: Draft<RetentionPolicy>['spec'],
  after: Draft<RetentionPolicy>['spec'],
): void {
  const [was, is] = [milliseconds(before?.maxRetentionPeriod), milliseconds(after?.maxRetentionPeriod)];
  if (is < was) {
    const old = before?.maxRetentionPeriod ?? 'forever';
    findings.warn(
      `spec.maxRetentionPeriod: Snapshots were kept for ${old}; older ones than this go with the next backup`,
    );
  }
  const [had, has] = [before?.successfulSnapshots, after?.successfulSnapshots];
  // Without counts every good Snapshot is kept.
  if (had === undefined && has !== undefined) {
    findings.warn(
      'spec.successfulSnapshots: every good Snapshot was kept; what no count keeps goes with the next backup',
    );
    return;
  }
  for (const count of has === undefined ? [] : COUNTS) {
    const [old = 0, now = 0] = [had?.[count], has?.[count]];
    if (now < old)
      findings.warn(`spec.successfulSnapshots.${count}: ${old} became ${now}; the next backup removes the rest`);
  }
}

/** How long a period is; without one, for ever. */
function milliseconds(period: string | undefined): number {
  if (period === undefined) return Number.POSITIVE_INFINITY;
  try {
    return parseRetentionPeriod(period);
  } catch (error) {
    // The schema refuses it.
    if (error instanceof BackstayError) return Number.POSITIVE_INFINITY;
    throw error;
  }
}
