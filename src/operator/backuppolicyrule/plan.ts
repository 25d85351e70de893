/** What a BackupPolicyRule needs in the cluster, whether it is in force, and how far it is kept. Pure. */
import type { Cause } from '../../api/causes.ts';
import { IN_FORCE } from '../../api/demands/judge.ts';
import type { Survey, SurveyCount } from '../../api/demands/survey.ts';
import type { BackupPolicyRule, BackupPolicyRuleStatus } from '../../api/generated/types.ts';
import { isOwnedBy, ownerReference } from '../../kube/apply.ts';
import {
  ValidatingAdmissionPolicies,
  type ValidatingAdmissionPolicy,
  type ValidatingAdmissionPolicyBinding,
  ValidatingAdmissionPolicyBindings,
} from '../../kube/builtin.ts';
import { type Note, owned, type Plan } from '../reconcile/plan.ts';
import { Conditions, ownStatus, READINESS, type StatusOwnership } from '../reconcile/status.ts';
import { verdictNotes } from '../reconcile/verdict.ts';
import { describeCauses } from '../reconcile/wording.ts';
import { admissionPolicies } from './admission-policy.ts';

export const RULE_STATUS: StatusOwnership = {
  fields: ['observedGeneration', 'checked', 'violating', 'violations'],
  conditions: [...READINESS, IN_FORCE, 'TypeChecked', 'Satisfied'],
};

const SHOWN_VIOLATIONS = 20;
const NAMED_OBJECTS = 3;
const MESSAGE_LENGTH = 1024;

export interface RuleWorld {
  rule: BackupPolicyRule;
  /** What is wrong with its spec. */
  causes: readonly Cause[];
  /** What was made of rules. */
  policies: readonly ValidatingAdmissionPolicy[];
  bindings: readonly ValidatingAdmissionPolicyBinding[];
  survey: Survey;
  now: Date;
}

export function planBackupPolicyRule(world: RuleWorld): Plan<BackupPolicyRuleStatus> {
  const { rule, causes, survey, now } = world;
  // What belongs to the rule goes with it.
  if (rule.metadata.deletionTimestamp !== undefined) return {};
  const conditions = new Conditions(rule, RULE_STATUS, now);
  const observedGeneration = rule.metadata.generation ?? 0;
  if (causes.length > 0) {
    conditions.ready('Stalled', 'Invalid', describeCauses(causes));
    const status = { ...ownStatus(rule, RULE_STATUS), observedGeneration, conditions: conditions.list };
    return { status, events: verdictNotes(rule, conditions) };
  }
  const owner = ownerReference(rule);
  const pairs = admissionPolicies(rule);
  const names = new Set(pairs.map(({ policy }) => policy.metadata.name));
  const isLeft = (live: { metadata: { name?: string } }): boolean => !names.has(live.metadata.name);
  judgePolicies(world, conditions, names);
  const count = judgeSurvey(rule, survey, conditions);
  return {
    apply: pairs.flatMap(({ policy, binding }) => [
      owned(ValidatingAdmissionPolicies, policy, owner),
      owned(ValidatingAdmissionPolicyBindings, binding, owner),
    ]),
    remove: [
      // A binding without its policy is an error in the log of the API server, so it goes first.
      ...world.bindings
        .filter((live) => isOwnedBy(live, rule) && isLeft(live))
        .map((object) => ({ type: ValidatingAdmissionPolicyBindings, object })),
      ...world.policies
        .filter((live) => isOwnedBy(live, rule) && isLeft(live))
        .map((object) => ({ type: ValidatingAdmissionPolicies, object })),
    ],
    status: {
      observedGeneration,
      checked: count.checked,
      violating: count.violating,
      violations: survey.violations
        .slice(0, SHOWN_VIOLATIONS)
        .map((one) => ({ ...one, message: one.message.slice(0, MESSAGE_LENGTH) })),
      conditions: conditions.list,
    },
    events: [...verdictNotes(rule, conditions), ...surveyNotes(rule, count.violating, conditions)],
  };
}

/** Whether the API server keeps its part, and what it thinks of the expressions. */
function judgePolicies({ policies }: RuleWorld, conditions: Conditions, names: ReadonlySet<string | undefined>): void {
  if (names.size === 0) {
    const message = 'CEL can say none of the demands, or not what they concern: the webhook checks them all';
    conditions.set(IN_FORCE, 'False', 'NothingForCEL', message);
    conditions.set('TypeChecked', 'True', 'NothingForCEL', 'there is no expression');
    conditions.ready('Ready', 'InForce', 'the webhook keeps the rule');
    return;
  }
  const list = [...names].sort().join(', ');
  conditions.set(IN_FORCE, 'True', 'Applied', `the API server checks what CEL can say, by ${list}`);
  const live = policies.filter((one) => names.has(one.metadata.name));
  const warnings = live.flatMap(({ metadata, status }) =>
    (status?.typeChecking?.expressionWarnings ?? []).map(
      ({ fieldRef, warning }) => `${metadata.name} ${fieldRef}: ${warning.trim().replace(/\s+/g, ' ')}`,
    ),
  );
  const seen = ({ metadata, status }: ValidatingAdmissionPolicy): boolean =>
    status?.observedGeneration === metadata.generation;
  if (warnings.length > 0) {
    const message = `the API server has doubts about expressions; update the CRDs and the operator together: ${warnings.join('; ')}`;
    conditions.set('TypeChecked', 'False', 'TypeWarnings', message);
    conditions.ready('NotReady', 'TypeWarnings', message);
    return;
  }
  if (live.length === names.size && live.every(seen)) {
    conditions.set('TypeChecked', 'True', 'NoWarnings', 'the API server has checked the types of all expressions');
  } else {
    conditions.set(
      'TypeChecked',
      'Unknown',
      'Waiting',
      'the API server has not checked the types of all expressions yet',
    );
  }
  conditions.ready('Ready', 'InForce', 'the API server and the webhook keep the rule');
}

function judgeSurvey(
  { spec }: BackupPolicyRule,
  { counts, violations }: Survey,
  conditions: Conditions,
): { checked: number; violating: number } {
  const sum = (of: (count: SurveyCount) => number): number => counts.reduce((total, count) => total + of(count), 0);
  const [checked, violating] = [sum((one) => one.checked), sum((one) => one.violating)];
  if (violating === 0) {
    const message =
      checked === 0 ? 'the rule concerns nothing that there is' : `kept by ${describe(counts, 'checked')}`;
    conditions.set('Satisfied', 'True', checked === 0 ? 'NothingConcerned' : 'Kept', message);
  } else {
    const names = [...new Set(violations.map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`))];
    const more = names.length - NAMED_OBJECTS;
    const list = names.slice(0, NAMED_OBJECTS).join(', ') + (more > 0 ? ` and ${more} more` : '');
    const mode = spec.enforcement === 'Audit' ? 'in audit, ' : '';
    conditions.set('Satisfied', 'False', 'Violated', `${mode}${describe(counts, 'violating')} violate: ${list}`);
  }
  return { checked, violating };
}

/** `3 of 40 BackupConfigurations, 1 of 2 BackupStorages`, or `40 BackupConfigurations`. */
function describe(counts: readonly SurveyCount[], what: 'checked' | 'violating'): string {
  return counts
    .filter((count) => count[what] > 0)
    .map(({ kind, checked, violating }) => {
      const plural = kind.endsWith('y') ? `${kind.slice(0, -1)}ies` : `${kind}s`;
      return what === 'checked' ? `${checked} ${plural}` : `${violating} of ${checked} ${plural}`;
    })
    .join(', ');
}

/** An Event when more break the rule than before, and when none does any more. */
function surveyNotes({ status }: BackupPolicyRule, violating: number, conditions: Conditions): Note[] {
  const before = status?.violating ?? 0;
  const message = conditions.get('Satisfied')?.message ?? '';
  if (violating > before) return [{ type: 'Warning', reason: 'RuleViolated', message }];
  return violating === 0 && before > 0 ? [{ type: 'Normal', reason: 'RuleKept', message }] : [];
}
