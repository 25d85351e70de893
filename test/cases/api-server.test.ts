// needs: cluster
// time-limit: 180s
// Every case of this folder before a real API server, whose webhooks are ours: what else there is each case brings with it. What
// BackupPolicyRules demand is asked of the API server alone besides, by the policies that are made of them.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { DemandedKind } from '../../src/api/demands/check.ts';
import { concerns } from '../../src/api/demands/match.ts';
import { violationsOf } from '../../src/api/demands/violations.ts';
import type { BackupPolicyRule } from '../../src/api/generated/types.ts';
import { KINDS } from '../../src/api/kinds.ts';
import { soundLookup } from '../../src/api/sound-lookup.ts';
import { Namespaces, ValidatingAdmissionPolicies, ValidatingAdmissionPolicyBindings } from '../../src/kube/builtin.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import type { KubeObject, ResourceType } from '../../src/kube/resource.ts';
import { admissionPolicies } from '../../src/operator/backuppolicyrule/admission-policy.ts';
import { ObjectSet } from '../../src/validate/object-set.ts';
import {
  configuration,
  EVERY_DEMAND,
  type Loose,
  namespace as namespaceObject,
  policyRule,
  SAMPLES,
} from '../api/objects.ts';
import { until } from '../lab/process.ts';
import { type GuardedServer, startGuardedServer } from './guarded-server.ts';
import { areWarnings, CASE_TIME, type Case, causesOf, loadCases } from './load.ts';

const test = suite('the cases before a real API server');
let server: GuardedServer;

/** The cases with rules, moved to a namespace of their own, which the rules are narrowed to. */
const demanded = loadCases()
  .filter(({ others, offline }) => !offline && others.some(({ kind }) => kind === 'BackupPolicyRule'))
  .map((found, index) => {
    const namespace = `shop-${index}`;
    const one = JSON.parse(JSON.stringify(found).replaceAll(/\bshop\b/g, namespace)) as Case;
    const rules = one.others.filter(({ kind }) => kind === 'BackupPolicyRule');
    for (const rule of rules) {
      rule.metadata.name += `-${index}`;
      rule.metadata.uid = rule.metadata.name;
      const { match = {} } = rule.spec;
      const matchLabels = { ...match.namespaceSelector?.matchLabels, case: namespace };
      rule.spec.match = { ...match, namespaceSelector: { ...match.namespaceSelector, matchLabels } };
    }
    const home = one.others.find(({ kind }) => kind === 'Namespace');
    if (home === undefined) one.others.push(namespaceObject(namespace, { case: namespace }));
    else home.metadata.labels = { ...home.metadata.labels, case: namespace };
    return { one, rules: rules as BackupPolicyRule[], namespace };
  });

test.before(async () => {
  server = await startGuardedServer();
  await putInForce();
});
test.after(async () => {
  await server?.[Symbol.asyncDispose]();
});

for (const one of loadCases().filter(({ offline }) => !offline)) {
  test(one.title, async () => {
    const { causes, warnings } = await answer(one);
    assert.equal(causes, one.causes);
    if (one.operation !== 'delete') assert.ok(areWarnings(warnings, one.warnings), JSON.stringify(warnings));
  });
}

for (const { one, rules, namespace } of demanded) {
  test(`${one.title}, without the webhook`, async () => {
    const { kind, operation, object, old, others } = one;
    const set = new ObjectSet(true);
    for (const other of others) set.add(other);
    const { name } = object.metadata;
    const say = (whole: Loose, action: string): string[] =>
      rules
        .filter((rule) => (rule.spec.enforcement ?? 'Deny') === action)
        .flatMap((rule) => {
          const chosen = { kind: kind as DemandedKind, object: whole, namespace, name, lookup: soundLookup(set) };
          if (concerns(rule, chosen) !== true) return [];
          return violationsOf(rule, chosen, CASE_TIME).filter(({ byPolicy }) => byPolicy);
        })
        .map(({ message }) => message);
    const fresh = (action: string): string[] => {
      const before = old === undefined ? [] : say(old, action);
      return say(object, action).filter((message) => !before.includes(message));
    };
    const { denied, warnings } = await byPolicies(KINDS[kind] as ResourceType<KubeObject>, operation, object);
    for (const message of fresh('Deny')) assert.ok(denied.includes(message), `${message}\n${denied}`);
    for (const message of fresh('Warn'))
      assert.ok(
        warnings.some((one) => one.includes(message)),
        `${message}\n${warnings}`,
      );
    assert.is(denied !== '', fresh('Deny').length > 0, denied);
    assert.is(warnings.length > 0, fresh('Warn').length > 0, warnings.join());
  });
}

test('a configuration as large as the schema allows is judged too, without the webhook', async () => {
  const many = <T>(make: (index: number) => T): T[] => Array.from({ length: 16 }, (_, index) => make(index));
  const long = (name: string): string => name.padEnd(60, 'x');
  const backends = many((index) => ({ name: long(`b-${index}`), storageRef: { name: long(`s-${index}`) } }));
  const addon = { name: 'mongodb', tasks: [{ name: 'logical-backup', params: { consistency: 'lock' } }] };
  const large = (secret: string): Loose => {
    const sessions = many((at) => {
      const repositories = backends.map(({ name: backend }, index) => {
        const name = long(`r-${at}-${index}`);
        return { name, backend, directory: name, encryptionSecret: { name: long(secret), namespace: secret } };
      });
      return { name: `session-${at}`, scheduler: { schedule: '0 3 * * *' }, addon, repositories };
    });
    const object = configuration({ backends, sessions }, 'large');
    object.metadata.labels = { sentinel: 'true' };
    return object;
  };
  const type = KINDS.BackupConfiguration as ResourceType<KubeObject>;
  assert.is((await byPolicies(type, 'create', large('shop'))).denied, '');
  const { denied } = await byPolicies(type, 'create', large('vault'));
  assert.match(denied, /demands encryption by one of the Secrets shop\/\*, not: vault.*…$/);
});

/** What the API server has against an object by itself. */
async function byPolicies(
  type: ResourceType<KubeObject>,
  operation: Case['operation'],
  object: Loose,
): Promise<{ denied: string; warnings: string[] }> {
  const warnings: string[] = [];
  const options = { dryRun: true, onWarning: (text: string) => warnings.push(text) };
  try {
    await server.unguarded(async () => {
      if (operation === 'create') return await server.client.create(type, object, options);
      const { namespace, name } = object.metadata;
      const live = await server.client.get(type, { namespace, name });
      const { resourceVersion, uid } = live?.metadata ?? {};
      return await server.client.replace(
        type,
        { ...object, metadata: { ...object.metadata, resourceVersion, uid } },
        options,
      );
    });
    return { denied: '', warnings };
  } catch (error) {
    if (!(error instanceof KubeError) || !error.message.includes('ValidatingAdmissionPolicy')) throw error;
    return { denied: error.message, warnings };
  }
}

/** Applies the policies of every case's rules, each to the namespace of its case, and waits until the API server has them all. */
async function putInForce(): Promise<void> {
  await Promise.all(
    demanded.map(async ({ one, rules, namespace }) => {
      const labels = one.others.find(({ kind }) => kind === 'Namespace')?.metadata.labels;
      const metadata = { name: namespace, labels: { ...labels, case: namespace } };
      await server.client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata });
      const type = KINDS[one.kind] as ResourceType<KubeObject>;
      if (one.old !== undefined) await server.unguarded(() => server.client.create(type, one.old));
      for (const rule of rules) await applyPolicies(rule);
    }),
  );
  // What is applied last is seen last: when it is in force, the others are.
  const sentinel = policyRule(
    { match: { objectSelector: { matchLabels: { sentinel: 'true' } } }, demands: EVERY_DEMAND },
    'sentinel',
  );
  await applyPolicies({ ...sentinel, metadata: { ...sentinel.metadata, uid: 'sentinel' } });
  const object = SAMPLES.BackupConfiguration?.();
  object.metadata.labels = { sentinel: 'true' };
  await until('the policies are in force', async () => {
    return (await byPolicies(KINDS.BackupConfiguration as ResourceType<KubeObject>, 'create', object)).denied !== '';
  });
}

async function applyPolicies(rule: BackupPolicyRule): Promise<void> {
  for (const { policy, binding } of admissionPolicies(rule)) {
    await server.client.apply(ValidatingAdmissionPolicies, policy, { fieldManager: 'test' });
    await server.client.apply(ValidatingAdmissionPolicyBindings, binding, { fieldManager: 'test' });
  }
}

interface Answer {
  causes: string[];
  warnings: string[];
}

/** What the API server answers to the request of a case. Nothing is left behind. */
async function answer({ kind, operation, object, old, others }: Case): Promise<Answer> {
  const type = KINDS[kind] as ResourceType<KubeObject>;
  const { namespace, name } = object.metadata;
  const set = new ObjectSet(true);
  for (const other of others) set.add(other);
  if (operation === 'create') {
    server.lookup = set;
    return await outcome((onWarning) => server.client.create(type, object, { dryRun: true, onWarning }));
  }
  const before = operation === 'delete' ? object : old;
  const live = await store(type, before);
  try {
    server.lookup = set;
    if (operation === 'delete')
      return await outcome(() => server.client.delete(type, { namespace, name }, { dryRun: true }));
    const { resourceVersion, uid } = live.metadata;
    const changed = { ...object, metadata: { ...object.metadata, resourceVersion, uid } };
    return await outcome((onWarning) => server.client.replace(type, changed, { dryRun: true, onWarning }));
  } finally {
    await server.unguarded(() => server.client.delete(type, { namespace, name }));
  }
}

/** Stores an object as it is, whatever our rules say of it. */
async function store(type: ResourceType<KubeObject>, object: Loose): Promise<KubeObject> {
  const { status, ...rest } = object;
  return await server.unguarded(async () => {
    const live = await server.client.create(type, rest);
    if (status === undefined) return live;
    return await server.client.replace(type, { ...live, status } as KubeObject, { subresource: 'status' });
  });
}

/** Warnings of our own; the answer to a deletion does not carry them to this client. */
async function outcome(call: (onWarning: (text: string) => void) => Promise<unknown>): Promise<Answer> {
  const warnings: string[] = [];
  try {
    await call((text) => {
      if (!text.startsWith('unknown field')) warnings.push(text);
    });
    return { causes: [], warnings };
  } catch (error) {
    if (!(error instanceof KubeError) || error.causes.length === 0) throw error;
    // Where its own schema fails, the API server adds that it did not come to its CEL rules.
    return { causes: causesOf(error.causes.filter(({ field }) => field !== '<nil>')), warnings };
  }
}

test.run();
