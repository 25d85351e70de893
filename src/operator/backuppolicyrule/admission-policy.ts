/**
 * What a BackupPolicyRule says, as ValidatingAdmissionPolicies: the API server then checks it by itself, whether or not the webhook is there.
 *
 * There is one policy for each kind, so that the API server can check the types of its expressions. Every check is a list of what breaks it;
 * its sentence is made of that list, for the object and for the one before it: what was said of the object already is not held against a
 * change. One validation says all that was found, since the API server answers with the first failed validation alone. The checks stand in
 * the validation itself: the API server looks for wrong types in validations, and not into the variables that they use.
 */
import { type Check, type DemandedKind, literal } from '../../api/demands/check.ts';
import { checksOf, kindsOf } from '../../api/demands/checks.ts';
import { isForPolicy, prefixOf, suffixOf } from '../../api/demands/violations.ts';
import type { BackupPolicyRule, LabelSelector, LabelSelectorMatchExpression } from '../../api/generated/types.ts';
import { API_GROUP } from '../../api/group.ts';
import { KINDS } from '../../api/kinds.ts';
import { componentLabels, labelValue, POLICY_RULE_LABEL } from '../../api/labels.ts';
import { admissionPolicyName } from '../../api/names.ts';
import { ownerReference } from '../../kube/apply.ts';
import type { ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding } from '../../kube/builtin.ts';

// The API server takes 5 KiB, and a character may be four bytes.
const MESSAGE_LENGTH = 1200;
const GROUP_VERSION = 'admissionregistration.k8s.io/v1';

/** A policy and what puts it in force. */
export interface PolicyPair {
  policy: ValidatingAdmissionPolicy;
  binding: ValidatingAdmissionPolicyBinding;
}

/** The policies of a rule: none where CEL can say none of its demands, or cannot tell what the rule concerns. */
export function admissionPolicies(rule: BackupPolicyRule): PolicyPair[] {
  return kindsOf(rule.spec).flatMap((kind) => {
    const checks = checksOf(rule.spec, kind).filter((check) => isForPolicy(rule, check));
    return checks.length === 0 ? [] : [pairOf(rule, kind, checks)];
  });
}

function pairOf(rule: BackupPolicyRule, kind: DemandedKind, checks: readonly Check[]): PolicyPair {
  const { plural, apiVersion } = KINDS[kind];
  const { spec } = rule;
  const found = (self: string): string => checks.map((check) => sentenceOf(rule, check, self)).join(' + ');
  const metadata = {
    name: admissionPolicyName(rule.metadata.name ?? '', plural),
    labels: { ...componentLabels('policy-rule'), [POLICY_RULE_LABEL]: labelValue(rule.metadata.name ?? '') },
    ownerReferences: [ownerReference(rule)],
  };
  const policy: ValidatingAdmissionPolicy = {
    ...{ apiVersion: GROUP_VERSION, kind: 'ValidatingAdmissionPolicy', metadata },
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: {
        matchPolicy: 'Equivalent',
        resourceRules: [
          {
            ...{ apiGroups: [API_GROUP], apiVersions: [apiVersion.split('/')[1] ?? ''], resources: [plural] },
            ...{ operations: ['CREATE', 'UPDATE'], scope: 'Namespaced' },
          },
        ],
      },
      matchConditions: conditionsOf(spec),
      variables: [
        // Both are worked out only where something is wrong.
        { name: 'before', expression: `request.operation == "UPDATE" ? ${found('oldObject')} : []` },
        { name: 'found', expression: `(${found('object')}).filter(one, !(one in variables.before))` },
      ],
      validations: [
        {
          expression: `(${found('object')}).all(one, one in variables.before)`,
          messageExpression: `[variables.found.join("; ")].map(t, size(t) > ${MESSAGE_LENGTH} ? t.substring(0, ${MESSAGE_LENGTH - 1}) + "…" : t)[0]`,
          message: `BackupPolicyRule ${rule.metadata.name} is broken`,
          reason: 'Forbidden',
        },
      ],
    },
  };
  const { namespaceSelector } = spec.match ?? {};
  const binding: ValidatingAdmissionPolicyBinding = {
    ...{ apiVersion: GROUP_VERSION, kind: 'ValidatingAdmissionPolicyBinding', metadata },
    spec: {
      policyName: metadata.name,
      validationActions: [spec.enforcement ?? 'Deny'],
      ...(namespaceSelector === undefined
        ? {}
        : { matchResources: { namespaceSelector: selectorOf(namespaceSelector) } }),
    },
  };
  return { policy, binding };
}

/** The sentence about an object that does not pass a check, as CEL: a list of one or none. */
function sentenceOf(rule: BackupPolicyRule, check: Check, self: string): string {
  const text = `${literal(prefixOf(rule, check))} + l.join(", ") + ${literal(suffixOf(rule))}`;
  return `[${check.cel?.(self)}].filter(l, size(l) > 0).map(l, ${text})`;
}

function conditionsOf({ match, exemptions = [] }: BackupPolicyRule['spec']): { name: string; expression: string }[] {
  const selector = match?.objectSelector;
  const exempt = exemptions.map(({ namespace, name }) => {
    const here = `request.namespace == ${literal(namespace)}`;
    return name === undefined ? here : `(${here} && object.metadata.?name.orValue("") == ${literal(name)})`;
  });
  return [
    { name: 'not-being-deleted', expression: '!has(object.metadata.deletionTimestamp)' },
    ...(exempt.length === 0 ? [] : [{ name: 'not-exempt', expression: `!(${exempt.join(' || ')})` }]),
    // An objectSelector of the API server would choose an object by the labels that it had, too.
    ...(selector === undefined ? [] : [{ name: 'chosen-by-labels', expression: selection(selector) }]),
  ];
}

/** A label selector as CEL. */
function selection({ matchLabels = {}, matchExpressions = [] }: LabelSelector): string {
  const parts = [
    ...Object.entries(matchLabels).map(([key, value]) => `${labelOf(key)} == optional.of(${literal(value)})`),
    ...matchExpressions.map(requirement),
  ];
  return parts.length === 0 ? 'true' : parts.join(' && ');
}

function requirement({ key, operator, values = [] }: LabelSelectorMatchExpression): string {
  const label = labelOf(key);
  const isIn = `(${label}.hasValue() && ${label}.orValue("") in ${literal(values)})`;
  switch (operator) {
    case 'In':
      return isIn;
    case 'NotIn':
      return `!${isIn}`;
    case 'Exists':
      return `${label}.hasValue()`;
    case 'DoesNotExist':
      return `!${label}.hasValue()`;
  }
}

function labelOf(key: string): string {
  return `object.metadata.?labels[?${literal(key)}]`;
}

/** The selector without what it does not say. */
function selectorOf({ matchLabels, matchExpressions }: LabelSelector): LabelSelector {
  return {
    ...(matchLabels === undefined ? {} : { matchLabels }),
    ...(matchExpressions === undefined ? {} : { matchExpressions }),
  };
}
