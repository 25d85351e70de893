// needs: cluster
// time-limit: 180s
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupPolicyRule } from '../../src/api/generated/types.ts';
import {
  BackupConfigurations,
  BackupPolicyRules,
  BackupSessions,
  BackupStorages,
  Repositories,
} from '../../src/api/kinds.ts';
import { labelValue, POLICY_RULE_LABEL } from '../../src/api/labels.ts';
import { admissionPolicyName } from '../../src/api/names.ts';
import {
  Jobs,
  Namespaces,
  Pods,
  ValidatingAdmissionPolicies,
  ValidatingAdmissionPolicyBindings,
} from '../../src/kube/builtin.ts';
import { defineResource, type KubeObject } from '../../src/kube/resource.ts';
import { EVERY_DEMAND, policyRule } from '../api/objects.ts';
import { until } from '../lab/process.ts';
import { OperatorLab } from './lab.ts';
import { keepRules } from './rules.ts';
import { samples } from './samples.ts';

const test = suite('operator: faults');

const ResourceQuotas = defineResource<KubeObject & { spec: { hard: Record<string, string> } }>(
  'v1',
  'ResourceQuota',
  'resourcequotas',
);

test('somebody who writes all the time into the same objects does not keep a session from its end', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  const { namespace } = lab;
  await lab.apply(all.s3Secret, all.password, all.binding, all.storage, all.policy, all.configuration);
  await lab.trigger('stormy');
  let writes = 0;
  const storm = new AbortController();
  const types = [
    [BackupConfigurations, 'orders'],
    [BackupSessions, 'stormy'],
    [BackupStorages, 's3'],
    [Repositories, 'orders'],
  ] as const;
  const writing = (async () => {
    while (!storm.signal.aborted) {
      for (const [type, name] of types) {
        const body = { metadata: { annotations: { 'example.com/storm': String(++writes) } } };
        await lab.client.patch<KubeObject>(type, { namespace, name }, body, { type: 'merge' }).catch(() => {});
      }
    }
  })();
  try {
    const session = await lab.phase('stormy', 'Succeeded');
    assert.ok(session.metadata.annotations?.['example.com/storm'], 'what others write stays');
    assert.ok(writes > 50);
  } finally {
    storm.abort();
    await writing;
  }
  assert.is(
    (await lab.client.listAll(Jobs, { namespace, labelSelector: 'app.kubernetes.io/component=backup' })).length,
    1,
  );
});

test('what a quota refuses is shown, and done once there is room', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  const { namespace } = lab;
  const quota = {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { namespace, name: 'none' },
    spec: { hard: { 'count/jobs.batch': '0' } },
  };
  await lab.client.create(ResourceQuotas, quota);
  await until('the quota to be in force', async () => {
    const found = (await lab.client.get(ResourceQuotas, { namespace, name: 'none' })) as
      | { status?: { hard?: object } }
      | undefined;
    return found?.status?.hard !== undefined || undefined;
  });
  await lab.apply(all.s3Secret, all.storage);
  const ref = { namespace, name: 's3' };
  const readyOf = async () =>
    (await lab.client.get(BackupStorages, ref))?.status?.conditions?.find(({ type }) => type === 'Ready');
  const refused = await until('the refusal to be shown', async () => {
    const ready = await readyOf();
    return ready?.status === 'False' ? ready : undefined;
  });
  assert.is(refused.reason, 'Forbidden');
  assert.match(refused.message, /exceeded quota: none/);
  await lab.client.delete(ResourceQuotas, { namespace, name: 'none' });
  // It would be tried again after half a minute; a person who has made room need not wait.
  await lab.client.patch(
    BackupStorages,
    ref,
    { metadata: { annotations: { 'backstay.dev/reconcile': 'now' } } },
    { type: 'merge' },
  );
  await until('the storage to be Ready', async () => (await readyOf())?.status === 'True' || undefined);
});

test('every Pod is taken in a namespace that enforces the restricted Pod Security Standard', async () => {
  await using lab = await OperatorLab.start();
  const all = samples(lab.namespace);
  const { namespace } = lab;
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await lab.client.patch(Namespaces, { name: namespace }, { metadata: { labels } }, { type: 'merge' });
  const seen = new Set<string>();
  lab.play = (component) => {
    seen.add(component);
    return undefined;
  };
  await lab.apply(all.s3Secret, all.password, all.binding, all.storage, all.policy, all.configuration);
  await lab.trigger('one');
  await lab.phase('one', 'Succeeded');
  await lab.apply(all.restore);
  await lab.restorePhase('again', 'Succeeded');
  assert.equal([...seen].sort(), ['backup', 'repository', 'restore', 'storage']);
  const pods = await lab.client.listAll(Pods, { namespace });
  assert.ok(pods.every(({ spec }) => spec?.containers[0]?.args?.every((arg) => !/password|secret/i.test(arg))));
});

test('a BackupPolicyRule is kept by the API server itself, comes back when somebody deletes that, and goes with the rule', async () => {
  await using lab = await OperatorLab.start({ operator: false });
  await using _rules = await keepRules();
  const { client, namespace } = lab;
  const name = `house-${namespace}`;
  const labels = { matchLabels: { 'kubernetes.io/metadata.name': namespace } };
  const rule = policyRule({ enforcement: 'Audit', match: { namespaceSelector: labels }, demands: EVERY_DEMAND }, name);
  const { configuration, storage, policy } = samples(namespace);
  await lab.apply(storage, policy, configuration, rule);
  const read = async () => await client.get(BackupPolicyRules, { name });
  const conditionOf = (live: BackupPolicyRule | undefined, type: string) =>
    live?.status?.conditions?.find((one) => one.type === type);
  const counted = await until('the rule to be counted, and its expressions to be checked', async () => {
    const live = await read();
    return live?.status?.violating === 3 && conditionOf(live, 'TypeChecked')?.status !== 'Unknown' ? live : undefined;
  });
  assert.is(conditionOf(counted, 'TypeChecked')?.status, 'True', conditionOf(counted, 'TypeChecked')?.message);
  assert.is(conditionOf(counted, 'Ready')?.status, 'True');
  assert.match(
    conditionOf(counted, 'Satisfied')?.message ?? '',
    /^in audit, 1 of 1 BackupConfigurations, 1 of 1 BackupStorages/,
  );
  assert.equal(
    [...new Set(counted.status?.violations?.map((one) => one.kind))],
    ['BackupConfiguration', 'BackupStorage', 'RetentionPolicy'],
  );

  // A field that the CRD does not know is seen wherever a check looks at one, so True says something.
  const typed = await client.listAll(ValidatingAdmissionPolicies, {});
  const misspelt = typed.flatMap((policy, index) => {
    const [validation] = policy.spec?.validations ?? [];
    if (policy.metadata.labels?.[POLICY_RULE_LABEL] !== labelValue(name) || validation === undefined) return [];
    const { expression } = validation;
    const fields = [...new Set([...expression.matchAll(/object\.spec\.\??(\w+)/g)].map(([, field]) => field ?? ''))];
    return fields.map((field) => ({
      field,
      policy: {
        ...{ apiVersion: policy.apiVersion, kind: policy.kind },
        metadata: { name: `${name}-${index}-${field.toLowerCase()}` },
        spec: {
          ...policy.spec,
          validations: [
            { expression: expression.replaceAll(new RegExp(`(object\\.spec\\.\\??)${field}\\b`, 'g'), `$1${field}x`) },
          ],
        },
      },
    }));
  });
  assert.ok(misspelt.length >= 6, misspelt.map(({ field }) => field).join());
  await Promise.all(misspelt.map(({ policy }) => client.create(ValidatingAdmissionPolicies, policy)));
  for (const { field, policy } of misspelt) {
    const { status } = await until('the types to be checked', async () => {
      const live = await client.get(ValidatingAdmissionPolicies, { name: policy.metadata.name });
      return live?.status?.observedGeneration === undefined ? undefined : live;
    });
    const warnings = status?.typeChecking?.expressionWarnings ?? [];
    assert.ok(
      warnings.some(({ warning }) => warning.includes(`undefined field '${field}x'`)),
      `${field}: ${JSON.stringify(warnings)}`,
    );
    await client.delete(ValidatingAdmissionPolicies, { name: policy.metadata.name });
  }

  // Now it denies, and the configuration is what it was.
  await lab.apply({ ...rule, spec: { ...rule.spec, enforcement: 'Deny' } });
  const attempt = async (): Promise<string> => {
    const other = { ...configuration, metadata: { ...configuration.metadata, name: 'other' } };
    return await client.create(BackupConfigurations, other, { dryRun: true }).then(
      () => '',
      (error: Error) => error.message,
    );
  };
  await until(
    'the API server to refuse',
    async () => (await attempt()).includes('demands backups in 16 BackupStorages') || undefined,
  );
  await client.patch(
    BackupConfigurations,
    { namespace, name: 'orders' },
    { metadata: { labels: { team: 'a' } } },
    { type: 'merge' },
  );

  const policyName = admissionPolicyName(name, 'backupconfigurations');
  const bindings = async () => await client.get(ValidatingAdmissionPolicyBindings, { name: policyName });
  const former = await bindings();
  await client.delete(ValidatingAdmissionPolicyBindings, { name: policyName });
  await until('the binding to come back', async () => {
    const live = await bindings();
    return (live !== undefined && live.metadata.uid !== former?.metadata.uid) || undefined;
  });

  await lab.apply({ ...rule, spec: { ...rule.spec, demands: { minRetention: '30d' } } });
  await until('what is not demanded any more to go', async () => {
    const live = await client.get(ValidatingAdmissionPolicies, { name: admissionPolicyName(name, 'backupstorages') });
    return live === undefined || undefined;
  });
  await client.delete(BackupPolicyRules, { name });
  await until('all of it to go', async () => {
    const live = await client.listAll(ValidatingAdmissionPolicies, {});
    return !live.some(({ metadata }) => metadata.labels?.[POLICY_RULE_LABEL] === labelValue(name)) || undefined;
  });
});

test.run();
