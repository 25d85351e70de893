import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { surveyRule } from '../../src/api/demands/survey.ts';
import type { BackupPolicyRule } from '../../src/api/generated/types.ts';
import type { ValidatingAdmissionPolicy } from '../../src/kube/builtin.ts';
import { planBackupPolicyRule, type RuleWorld } from '../../src/operator/backuppolicyrule/plan.ts';
import { binding, configuration, type Loose, lookupOf, namespace, policyRule, retention } from '../api/objects.ts';
import { conditionOf, NOW, named, stored } from './plans.ts';

const test = suite('plan of a BackupPolicyRule');

function world(spec: object, objects: Loose[] = [], change: Partial<RuleWorld> = {}): RuleWorld {
  const rule: BackupPolicyRule = stored(policyRule(spec));
  const survey = surveyRule(rule, lookupOf(...objects), NOW);
  return { rule, causes: [], policies: [], bindings: [], survey, now: NOW, ...change };
}

/** What the API server holds of a plan, with what it thinks of the expressions. */
function held(of: RuleWorld, expressionWarnings: { fieldRef: string; warning: string }[] = []): Partial<RuleWorld> {
  const made = (planBackupPolicyRule(of).apply ?? []).map(({ object }) => stored(object) as Loose);
  const policies: ValidatingAdmissionPolicy[] = made.filter(({ kind }) => kind === 'ValidatingAdmissionPolicy');
  for (const policy of policies) policy.status = { observedGeneration: 1, typeChecking: { expressionWarnings } };
  return { policies, bindings: made.filter(({ kind }) => kind === 'ValidatingAdmissionPolicyBinding') };
}

const POLICY = 'ValidatingAdmissionPolicy/backstay-house.backupconfigurations.backstay.dev';

test('a policy and its binding for each kind, and nothing for what only the webhook can say', () => {
  assert.equal(named(planBackupPolicyRule(world({})).apply), [POLICY, POLICY.replace('Policy/', 'PolicyBinding/')]);
  const demands = { minRetention: '30d', noHostPath: true };
  assert.is(
    planBackupPolicyRule(world({ demands })).apply?.length,
    4,
    'storages and retention, not what refers to them',
  );
  const byTarget = planBackupPolicyRule(world({ match: { targetSelector: {} } }));
  assert.equal(byTarget.apply, []);
  assert.is(conditionOf(byTarget.status, 'PolicyApplied')?.status, 'False');
  assert.is(conditionOf(byTarget.status, 'Ready')?.status, 'True');
});

test('what the API server thinks of the expressions is a condition', () => {
  const fresh = planBackupPolicyRule(world({}));
  assert.is(conditionOf(fresh.status, 'TypeChecked')?.status, 'Unknown');
  const checked = planBackupPolicyRule(world({}, [], held(world({}))));
  assert.is(conditionOf(checked.status, 'TypeChecked')?.status, 'True');
  const doubt = [{ fieldRef: 'spec.validations[0].expression', warning: 'undefined field backends\n' }];
  const doubted = planBackupPolicyRule(world({}, [], held(world({}), doubt)));
  assert.is(conditionOf(doubted.status, 'TypeChecked')?.status, 'False');
  assert.match(conditionOf(doubted.status, 'Ready')?.message ?? '', /undefined field backends$/);
});

test('a kind that is not spoken of any more takes its policy along, binding first; those of others stay', () => {
  const before = world({ demands: { minStorages: 2, minRetention: '30d' } });
  const live = held(before);
  const other = stored({ ...live.policies?.[0], metadata: { name: 'other', ownerReferences: [] } } as Loose);
  const policies = [...(live.policies ?? []), other];
  const plan = planBackupPolicyRule(world({}, [], { ...live, policies }));
  const gone = 'backstay-house.retentionpolicies.backstay.dev';
  assert.equal(named(plan.remove), [`ValidatingAdmissionPolicyBinding/${gone}`, `ValidatingAdmissionPolicy/${gone}`]);
});

test('how many objects break it now, in words, with an Event when there are more than before', () => {
  const objects = ['a', 'b', 'c'].map((name) => configuration({}, name));
  const audit = planBackupPolicyRule(world({ enforcement: 'Audit' }, objects));
  assert.is(audit.status?.checked, 3);
  assert.is(audit.status?.violating, 3);
  assert.is(audit.status?.violations?.length, 3);
  const message = conditionOf(audit.status, 'Satisfied')?.message ?? '';
  assert.match(message, /^in audit, 3 of 3 BackupConfigurations violate: BackupConfiguration shop\/a, /);
  assert.is(audit.events?.find(({ reason }) => reason === 'RuleViolated')?.message, message);

  const known = world({ enforcement: 'Audit' }, objects);
  known.rule = { ...known.rule, status: audit.status ?? {} };
  assert.equal(planBackupPolicyRule(known).events, [], 'it is told once');
  const mended = { ...world({ enforcement: 'Audit' }), rule: known.rule };
  assert.equal(
    planBackupPolicyRule(mended).events?.map(({ reason }) => reason),
    ['RuleKept'],
  );
});

test('the list of violations is bounded, the count is not', () => {
  const objects = Array.from({ length: 50 }, (_, index) => configuration({}, `c${index}`));
  const { status } = planBackupPolicyRule(world({}, objects));
  assert.is(status?.violating, 50);
  assert.is(status?.violations?.length, 20);
  assert.match(conditionOf(status, 'Satisfied')?.message ?? '', /and 47 more$/);
});

test('a database with the label that nothing backs up breaks the demand for backups', () => {
  const labelled = (name: string): Loose => {
    const object = binding({}, name);
    object.metadata.labels = { tier: 'gold' };
    return object;
  };
  const spec = { demands: { maxInterval: '24h' }, match: { targetSelector: { matchLabels: { tier: 'gold' } } } };
  const { status } = planBackupPolicyRule(
    world(spec, [labelled('orders'), labelled('lost'), binding({}, 'other'), configuration(), namespace('shop')]),
  );
  assert.equal(
    status?.violations?.map(({ kind, name }) => `${kind}/${name}`),
    ['AppBinding/lost'],
  );
  assert.is(status?.checked, 3);
});

test('what is exempt is not counted', () => {
  const spec = { exemptions: [{ namespace: 'shop', name: 'a' }], demands: { minRetention: '90d' } };
  const { status } = planBackupPolicyRule(world(spec, [retention({}, 'a'), retention({}, 'b')]));
  assert.is(status?.checked, 1);
});

test('an invalid rule is Stalled, and what is in force stays', () => {
  const causes = [{ field: 'spec.demands', reason: 'FieldValueInvalid', message: 'it demands nothing' }] as const;
  const plan = planBackupPolicyRule(world({}, [], { ...held(world({})), causes }));
  assert.is(conditionOf(plan.status, 'Stalled')?.status, 'True');
  assert.is(plan.remove, undefined);
});

test.run();
