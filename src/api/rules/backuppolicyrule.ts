import { DEMANDED_KINDS } from '../demands/check.ts';
import { kindsOf } from '../demands/checks.ts';
import type { BackupPolicyRule, LabelSelector } from '../generated/types.ts';
import { checkDuration, checkRetentionPeriod } from './durations.ts';
import { Findings } from './findings.ts';
import type { Draft, Rule } from './rule.ts';

const SHORTEST_INTERVAL = '15m';
const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

/** Judges a BackupPolicyRule. */
export const judgeBackupPolicyRule: Rule<BackupPolicyRule> = ({ object }) => {
  const findings = new Findings();
  const { match, demands } = object.spec ?? {};
  checkDuration(findings, demands?.maxInterval, 'spec.demands.maxInterval', SHORTEST_INTERVAL);
  checkRetentionPeriod(findings, demands?.minRetention, 'spec.demands.minRetention');
  for (const selector of ['namespaceSelector', 'objectSelector', 'targetSelector'] as const) {
    checkSelector(findings, match?.[selector], `spec.match.${selector}`);
  }
  checkConcern(findings, object.spec);
  return findings;
};

/** A rule that concerns nothing would look as if it were kept. */
function checkConcern(findings: Findings, spec: Draft<BackupPolicyRule>['spec']): void {
  if (spec?.demands === undefined || Object.keys(spec.demands).length === 0) return;
  const { kinds, targetSelector } = spec.match ?? {};
  const whole = { demands: spec.demands } as BackupPolicyRule['spec'];
  const asked = kindsOf(whole);
  if (asked.length === 0) {
    const message = 'it demands nothing: what is false asks for nothing; leave it out or write true';
    findings.refuse('spec.demands', 'FieldValueInvalid', message);
    return;
  }
  for (const [index, kind] of (kinds ?? []).entries()) {
    if (kind === undefined || !(DEMANDED_KINDS as readonly string[]).includes(kind)) continue;
    if (!asked.includes(kind)) {
      const message = `the demands ask nothing of a ${kind}: they speak of ${asked.join(', ')}`;
      findings.refuse(`spec.match.kinds[${index}]`, 'FieldValueInvalid', message);
    } else if (targetSelector !== undefined && kind !== 'BackupConfiguration') {
      const message = `a ${kind} has no target that targetSelector could choose; leave one of the two out`;
      findings.refuse(`spec.match.kinds[${index}]`, 'FieldValueInvalid', message);
    }
  }
  const onlyConfigurations = targetSelector !== undefined && kinds === undefined;
  if (onlyConfigurations && !asked.includes('BackupConfiguration')) {
    const message = `it chooses BackupConfigurations, and the demands speak of ${asked.join(', ')}`;
    findings.refuse('spec.match.targetSelector', 'FieldValueInvalid', message);
  }
}

/** What the API server would refuse in the ValidatingAdmissionPolicy that is made of the rule. */
function checkSelector(findings: Findings, selector: Draft<LabelSelector> | undefined, path: string): void {
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    checkKey(findings, key, `${path}.matchLabels`);
    if (value !== undefined) checkValue(findings, value, `${path}.matchLabels`);
  }
  for (const [index, { key, operator, values = [] }] of (selector?.matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${index}]`;
    if (key !== undefined) checkKey(findings, key, `${at}.key`);
    for (const [item, value] of values.entries()) checkValue(findings, value, `${at}.values[${item}]`);
    const takes = operator === 'In' || operator === 'NotIn';
    if (operator === undefined || takes === values.length > 0) continue;
    if (takes) findings.refuse(`${at}.values`, 'FieldValueRequired', `operator ${operator} needs values`);
    else findings.refuse(`${at}.values`, 'FieldValueForbidden', `operator ${operator} takes no values`);
  }
}

function checkKey(findings: Findings, key: string, field: string): void {
  if (!LABEL_KEY.test(key)) findings.refuse(field, 'FieldValueInvalid', 'a key is no label, such as example.com/tier');
}

function checkValue(findings: Findings, value: string, field: string): void {
  if (!LABEL_VALUE.test(value)) findings.refuse(field, 'FieldValueInvalid', 'a value is none that a label may have');
}
