// needs: cluster
// time-limit: 180s
// The CRDs before a real API server, and our own verdicts beside its own.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { crd } from '../../scripts/generate/crd.ts';
import { readSource } from '../../scripts/generate/source.ts';
import { applyDefaults } from '../../src/api/defaults.ts';
import { KINDS, type Kind } from '../../src/api/kinds.ts';
import { checkCelRules } from '../../src/api/rules/cel.ts';
import { soundParts } from '../../src/api/structure.ts';
import { schemaOfKind, validateSchema } from '../../src/api/validation.ts';
import { type CustomResourceDefinition, Namespaces } from '../../src/kube/builtin.ts';
import type { Client } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import type { KubeObject, ResourceType } from '../../src/kube/resource.ts';
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts';
import { installCrds, kubectl } from './crds.ts';
import { binding, type Loose, repository, restore, SAMPLES, snapshot, storage } from './objects.ts';

const test = suite('the CRDs before a real API server');
let plane: ControlPlane;
let client: Client;
let crds: CustomResourceDefinition[];

test.before(async () => {
  plane = await startControlPlane();
  client = plane.client({ qps: 10_000, burst: 10_000 });
  crds = await installCrds(client);
  await client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
});
test.after(async () => {
  await plane?.[Symbol.asyncDispose]();
});

test('every CRD is structural, and its rules are within their budget', () => {
  assert.is(crds.length, Object.keys(KINDS).length);
  for (const { metadata, status } of crds) {
    const conditions = status?.conditions?.map(({ type, status: yes }) => `${type}=${yes}`).sort();
    assert.equal(conditions, ['Established=True', 'NamesAccepted=True'], metadata.name);
  }
});

test('the API server keeps every keyword of every schema', () => {
  // What it drops without a word would be gone from what it gives back.
  const source = readSource(`${import.meta.dirname}/../../schemas`);
  const schemaOf = (definition: Loose): unknown => definition.spec.versions[0].schema.openAPIV3Schema;
  for (const kind of source.kinds) {
    const live = crds.find(({ metadata }) => metadata.name === `${kind.plural}.backstay.dev`);
    assert.equal(schemaOf(live), JSON.parse(JSON.stringify(schemaOf(crd(kind)))), kind.kind);
  }
});

for (const [kind, make] of Object.entries(SAMPLES)) {
  test(`a good ${kind} is taken, and comes back with the defaults that we fill in`, async () => {
    const stored = (await client.create(typeOf(kind), make(), { dryRun: true, fieldValidation: 'Strict' })) as Loose;
    assert.equal(stored.spec, applyDefaults(kind as Kind, make()).spec);
  });
}

// Every value of every sample, replaced by these: whatever the API server says of it, we must say as well.
const ODDITIES: unknown[] = [null, 0, -1, 1.5, '', 'x', 'Some Text!', '5m', true, [], {}, [null], { zzz: 1 }];

for (const [kind, make] of Object.entries(SAMPLES)) {
  test(`of hundreds of odd ${kind}s the API server and we take the same ones`, async () => {
    const objects: Loose[] = [];
    const visit = (value: Loose, put: (odd: unknown) => Loose): void => {
      for (const odd of ODDITIES) objects.push(put(odd));
      if (typeof value !== 'object' || value === null) return;
      for (const key of Object.keys(value)) {
        visit(value[key], (odd) => put(Array.isArray(value) ? value.with(Number(key), odd) : { ...value, [key]: odd }));
      }
    };
    const whole = applyDefaults(kind as Kind, make());
    visit(whole.spec, (spec) => ({ ...whole, spec }));
    // A list twice as long holds every item twice.
    visitLists(whole.spec, (spec) => objects.push({ ...whole, spec }));
    for (const object of objects) {
      const theirs = await verdictOfServer(kind, object);
      const ours = verdictOfSchema(kind as Kind, object);
      const text = `${JSON.stringify(object.spec)}\ntheirs: ${theirs ?? 'taken'}\nours: ${JSON.stringify(ours)}`;
      assert.is(ours.length === 0, theirs === undefined, text);
    }
  });
}

// The CEL rules about changes: an object, a change of its spec, and whether it may be made.
for (const [what, object, change, allowed] of [
  ['the path of a Repository', repository(), { path: 'elsewhere' }, false],
  ['the password of a Repository', repository(), { encryptionSecret: { name: 'other' } }, false],
  ['the policy of a Repository', repository(), { deletionPolicy: 'WipeOut' }, true],
  ['the identity of a Snapshot', snapshot(), { snapshotID: 'b' }, false],
  ['a RestoreSession that waits', restore(), { restoreTimeout: '1h' }, true],
  ['the URL of an AppBinding', binding(), { clientConfig: { url: 'mongodb://other' } }, true],
] as [string, Loose, object, boolean][]) {
  test(`${what} ${allowed ? 'can' : 'cannot'} be changed, and we say so too`, async () => {
    const type = typeOf(object.kind);
    const live = (await client.create(type, object)) as Loose;
    try {
      const changed = { ...live, spec: { ...live.spec, ...change } };
      const theirs = await verdict(client.replace(type, changed, { dryRun: true }));
      assert.is(theirs === undefined, allowed, theirs);
      assert.is(verdictOfSchema(object.kind, changed, live).length === 0, allowed);
    } finally {
      await client.delete(type, { namespace: live.metadata.namespace, name: live.metadata.name });
    }
  });
}

test('a RestoreSession that runs cannot be changed', async () => {
  const type = typeOf('RestoreSession');
  const live = (await client.create(type, restore())) as Loose;
  const running = (await client.replace(
    type,
    { ...live, status: { phase: 'Running' } },
    { subresource: 'status' },
  )) as Loose;
  const changed = { ...running, spec: { ...running.spec, restoreTimeout: '1h' } };
  assert.match(
    (await verdict(client.replace(type, changed, { dryRun: true }))) ?? '',
    'a RestoreSession does not change once it runs',
  );
  assert.is(verdictOfSchema('RestoreSession', changed, running).length, 1);
  await client.delete(type, { namespace: 'shop', name: 'again' });
});

test('kubectl explain describes every field of a session', async () => {
  const { stdout, code } = await kubectl(plane.kubeconfig, [
    'explain',
    'backupconfiguration.spec.sessions',
    '--recursive=false',
  ]);
  assert.is(code, 0);
  const fields = [...stdout.matchAll(/^ {2}(\w+)\t<[^>]+>.*\n {4}(\S.*)$/gm)].map(([, name, text]) => [name, text]);
  const session = schemaOfKind('BackupConfiguration').properties?.spec?.properties?.sessions?.items?.properties ?? {};
  assert.equal(fields.map(([name]) => name).sort(), Object.keys(session).sort());
  assert.not.match(stdout, '<no description>');
});

test('kubectl get shows the columns that help', async () => {
  await client.create(typeOf('BackupStorage'), storage());
  const { stdout } = await kubectl(plane.kubeconfig, ['get', 'bst', '-n', 'shop']);
  assert.match(stdout, /^NAME\s+PROVIDER\s+DEFAULT\s+READY\s+REASON\s+AGE\ns3\s+s3\s/);
  const all = await kubectl(plane.kubeconfig, ['get', 'backstay', '-n', 'shop', '-o', 'name']);
  assert.is(all.stdout, 'backupstorage.backstay.dev/s3\n');
  await client.delete(typeOf('BackupStorage'), { namespace: 'shop', name: 's3' });
});

function typeOf(kind: string): ResourceType<KubeObject> {
  return KINDS[kind as Kind] as ResourceType<KubeObject>;
}

/**
 * What the schema and the CEL rules say, without the rules that the API server cannot know, and without unknown fields: it keeps them for
 * the webhook to refuse.
 */
function verdictOfSchema(kind: Kind, object: Loose, old?: Loose): string[] {
  const { causes, object: whole } = validateSchema(kind, object);
  const schema = schemaOfKind(kind);
  const before = old === undefined ? undefined : soundParts(schema, old);
  const known = causes.filter(({ message }) => !message.startsWith('unknown field'));
  return [...known, ...checkCelRules(schema, soundParts(schema, whole), before, '')].map(({ field }) => field);
}

async function verdictOfServer(kind: string, object: Loose): Promise<string | undefined> {
  return await verdict(client.create(typeOf(kind), object, { dryRun: true, fieldValidation: 'Strict' }));
}

/** Why the API server refuses, or undefined when it does not. */
async function verdict(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    if (error instanceof KubeError && (error.status === 422 || error.status === 400)) return error.message;
    throw error;
  }
}

/** Every list, doubled. */
function visitLists(value: Loose, put: (changed: Loose) => unknown): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) put([...value, ...value]);
  for (const key of Object.keys(value)) {
    visitLists(value[key], (changed) =>
      put(Array.isArray(value) ? value.with(Number(key), changed) : { ...value, [key]: changed }),
    );
  }
}

test.run();
