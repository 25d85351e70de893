// needs: cluster
// time-limit: 120s
// Secrets encrypted with SOPS against a real API server and a real git server. How the files in sops/ were made: see sops.test.ts.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { tool } from '../../scripts/tools/tool.ts';
import type { PolicySync, PolicySyncSpec } from '../../src/api/generated/types.ts';
import { API_VERSION } from '../../src/api/group.ts';
import { BackupStorages, PolicySyncs } from '../../src/api/kinds.ts';
import { describeSteps } from '../../src/cli/sync/wording.ts';
import { judge } from '../../src/gitops/judge.ts';
import { liveFrom } from '../../src/gitops/live.ts';
import { PolicySyncReconciler } from '../../src/gitops/reconciler.ts';
import { RevisionReader } from '../../src/gitops/revision-reader.ts';
import { ServiceAccountClients } from '../../src/gitops/service-account.ts';
import { preview } from '../../src/gitops/synchronise.ts';
import {
  type CustomResourceDefinition,
  CustomResourceDefinitions,
  Namespaces,
  type Role,
  RoleBindings,
  Roles,
  type Secret,
  Secrets,
  ServiceAccounts,
} from '../../src/kube/builtin.ts';
import { Cache } from '../../src/kube/cache.ts';
import type { Client } from '../../src/kube/client.ts';
import { keyOf } from '../../src/kube/resource.ts';
import { backstay } from '../cli/backstay.ts';
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts';
import { until } from '../lab/process.ts';
import { GitServer, type TestRepository } from './git-server.ts';

interface Context {
  plane: ControlPlane;
  client: Client;
  server: GitServer;
  cache: Cache<PolicySync>;
  stop: AbortController;
  folder: string;
  /** Of the test at hand. */
  namespace: string;
  repository: TestRepository;
  reconciler: PolicySyncReconciler;
  /** Events and lines of the log. */
  said: unknown[];
  /** Writes that were sent to the API server, rehearsals too. */
  writes: string[];
}

const test = suite<Context>('sops-live');
const CRDS = new URL('../../manifests/crds/', import.meta.url);
const FIXTURES = new URL('sops/', import.meta.url);
const fixture = (name: string): string => readFileSync(new URL(name, FIXTURES), 'utf8');
const POLICIES: Role['rules'] = [
  { apiGroups: ['backstay.dev'], resources: ['*'], verbs: ['get', 'create', 'patch', 'delete'] },
];
/** What docs/gitops.md tells to bind beside backstay-policy. */
const SECRETS: Role['rules'] = [
  { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'create', 'patch', 'delete'] },
];
const PLAIN = ['fixture-access-key', 'fixture/secret+key', 'second line', 'AAECAwQ='];
const FORMS = PLAIN.flatMap((text) => [text, Buffer.from(text).toString('base64')]);
let serial = 0;

test.before(async (context) => {
  context.plane = await startControlPlane();
  context.client = context.plane.client();
  context.server = await GitServer.start();
  context.folder = mkdtempSync(join(tmpdir(), 'backstay-sops-'));
  context.stop = new AbortController();
  for (const file of readdirSync(CRDS).filter((name) => /^(policysyncs|backupstorages)\./.test(name))) {
    const crd: CustomResourceDefinition = parse(readFileSync(new URL(file, CRDS), 'utf8'));
    await context.client.apply(CustomResourceDefinitions, crd, { fieldManager: 'test' });
  }
  await until('the kinds are served', async () => {
    await context.client.list(PolicySyncs);
    await context.client.list(BackupStorages);
    return true;
  });
  context.cache = new Cache({ client: context.client, type: PolicySyncs });
  void context.cache.run(context.stop.signal);
});

test.after(async (context) => {
  context.stop.abort();
  await context.server.stop();
  await context.plane[Symbol.asyncDispose]();
  rmSync(context.folder, { recursive: true, force: true });
});

test.before.each(async (context) => {
  serial += 1;
  context.namespace = `sops-${serial}`;
  context.repository = context.server.repository(context.namespace);
  context.said = [];
  context.writes = [];
  const metadata = { name: context.namespace };
  await context.client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata });
  await allow(context, [...(POLICIES ?? []), ...(SECRETS ?? [])]);
  await giveKey(context, 'one.agekey');
  const { cache: policySyncs, folder, said, stop, writes } = context;
  const client = recording(context.client, writes);
  const note = (...words: unknown[]): void => void said.push(words);
  context.reconciler = new PolicySyncReconciler({
    ...{ client, policySyncs, folder, live: liveFrom(client), signal: stop.signal },
    kustomize: [await tool('kubernetes'), 'kubectl', 'kustomize'],
    events: { record: (_object, event) => note(event) },
    log: { debug: note, info: note, warn: note, error: note },
  });
});

/** A client that notes what it writes, and what those write that it lends to service accounts. */
function recording(client: Client, writes: string[]): Client {
  return new Proxy(client, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name === 'withToken')
        return (...args: Parameters<Client['withToken']>) => recording(target.withToken(...args), writes);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const [type] = args as [{ kind?: string } | undefined];
        if (['create', 'apply', 'patch', 'replace', 'delete'].includes(String(name)))
          writes.push(`${String(name)} ${type?.kind}`);
        return Reflect.apply(value, target, args);
      };
    },
  });
}

async function allow({ client, namespace }: Context, rules: Role['rules']): Promise<void> {
  const metadata = { name: 'git', namespace };
  await client.apply(ServiceAccounts, { metadata }, { fieldManager: 'test' });
  await client.apply(Roles, { metadata, rules }, { fieldManager: 'test' });
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'git' };
  const subjects = [{ kind: 'ServiceAccount', name: 'git', namespace }];
  await client.apply(RoleBindings, { metadata, roleRef, subjects }, { fieldManager: 'test' });
}

async function giveKey({ client, namespace }: Context, name: string): Promise<void> {
  const data = { 'backups.agekey': Buffer.from(fixture(name)).toString('base64') };
  await client.apply(Secrets, { metadata: { name: 'keys', namespace }, data }, { fieldManager: 'test' });
}

let requests = 0;

/** Declares the PolicySync, reconciles it now, and gives it afterwards. */
async function sync(context: Context, spec: Partial<PolicySyncSpec> = {}): Promise<PolicySync> {
  const { client, server, repository, namespace, cache, reconciler, stop } = context;
  requests += 1;
  const annotations = { 'backstay.dev/reconcile': `request-${requests}` };
  const asked = await client.apply(
    PolicySyncs,
    {
      metadata: { name: 'policies', namespace, annotations },
      spec: {
        url: server.urlOf(repository),
        serviceAccountName: 'git',
        decryption: { provider: 'SOPS', secretRef: { name: 'keys' } },
        ...spec,
      },
    },
    { fieldManager: 'test' },
  );
  const version = Number(asked.metadata.resourceVersion);
  await until('the cache has seen it', async () => {
    return Number(cache.getByKey(keyOf(asked))?.metadata.resourceVersion ?? 0) >= version;
  });
  await reconciler.reconcile(`${namespace}/policies`, stop.signal);
  const found = await client.get(PolicySyncs, { namespace, name: 'policies' });
  if (found === undefined) throw new Error('it is not there');
  return found;
}

const ready = ({ status }: PolicySync): string | undefined => {
  const found = status?.conditions?.find(({ type }) => type === 'Ready');
  return `${found?.status} ${found?.reason}`;
};
const bucket = ({ client, namespace }: Context): Promise<Secret | undefined> =>
  client.get(Secrets, { namespace, name: 'bucket' });
const STORAGE = `apiVersion: ${API_VERSION}
kind: BackupStorage
metadata:
  name: bucket
spec:
  storage:
    provider: s3
    s3: {bucket: backups, endpoint: "https://s3.example.com", secretName: bucket}
`;

/** That nothing of the plain text is in what people may read who may not read Secrets. */
function tellsNothing(context: Context, policySync: PolicySync): void {
  const { managedFields: _, ...metadata } = policySync.metadata;
  const text = JSON.stringify([{ ...policySync, metadata }, context.said]);
  for (const form of FORMS) assert.not.ok(text.includes(form), form);
  assert.not.match(text, /AGE-SECRET-KEY/);
}

test('a Secret and what refers to it come from one commit, and the second time nothing is written', async (context) => {
  context.repository.commit({ 'storage.yaml': STORAGE, 'secret.yaml': fixture('secret.yaml') });
  const first = await sync(context);
  assert.is(ready(first), 'True ReconciliationSucceeded', JSON.stringify(first.status));
  const secret = await bucket(context);
  assert.is(Buffer.from(secret?.data?.AWS_SECRET_ACCESS_KEY ?? '', 'base64').toString(), 'fixture/secret+key');
  assert.is(secret?.metadata.managedFields?.[0]?.manager, 'backstay-policysync');
  assert.equal(
    Object.keys(secret ?? {}).filter((key) => key === 'sops'),
    [],
  );
  assert.ok(await context.client.get(BackupStorages, { namespace: context.namespace, name: 'bucket' }));
  assert.equal([...new Set(context.writes)].sort(), ['apply BackupStorage', 'apply Secret']);
  context.writes.length = 0;
  const second = await sync(context);
  assert.equal(context.writes, []);
  assert.is(ready(second), 'True ReconciliationSucceeded');
  assert.is((await bucket(context))?.metadata.resourceVersion, secret?.metadata.resourceVersion);
  assert.equal(second.status?.history, first.status?.history);
  tellsNothing(context, second);
});

test('what somebody changes in the Secret is put right at the next reconciliation, and what left git is pruned', async (context) => {
  context.repository.commit({ 'storage.yaml': STORAGE, 'secret.yaml': fixture('secret.yaml') });
  await sync(context);
  const { client, namespace } = context;
  const change = { data: { AWS_ACCESS_KEY_ID: Buffer.from('changed').toString('base64') } };
  await client.patch(Secrets, { namespace, name: 'bucket' }, change, { type: 'merge', fieldManager: 'test' });
  const after = await sync(context);
  const secret = await bucket(context);
  assert.is(Buffer.from(secret?.data?.AWS_ACCESS_KEY_ID ?? '', 'base64').toString(), 'fixture-access-key');
  tellsNothing(context, after);
  context.repository.commit({ 'secret.yaml': null });
  await sync(context);
  assert.is(await bucket(context), undefined);
});

test('with a key that does not fit nothing of the commit is applied; with the right one all of it is', async (context) => {
  await giveKey(context, 'other.agekey');
  context.repository.commit({ 'storage.yaml': STORAGE, 'secret.yaml': fixture('secret.yaml') });
  const refused = await sync(context);
  assert.is(ready(refused), 'False DecryptionFailed');
  const [failure] = refused.status?.failures ?? [];
  assert.is(
    `${failure?.file}:${failure?.line} ${failure?.object}`,
    `secret.yaml:19 Secret/${context.namespace}/bucket`,
  );
  assert.match(failure?.message ?? '', /encrypted for age15hqx\S+, and the keys are those of age19mum/);
  assert.is(await bucket(context), undefined);
  assert.equal(await context.client.listAll(BackupStorages, { namespace: context.namespace }), []);
  tellsNothing(context, refused);
  await giveKey(context, 'one.agekey');
  assert.is(ready(await sync(context)), 'True ReconciliationSucceeded');
});

test('the Secret with the keys must be there; a Secret in git needs spec.decryption', async (context) => {
  context.repository.commit({ 'secret.yaml': fixture('secret.yaml') });
  const without = await sync(context, { decryption: { provider: 'SOPS', secretRef: { name: 'none' } } });
  assert.is(ready(without), 'False SecretNotFound');
  await context.client.delete(PolicySyncs, { namespace: context.namespace, name: 'policies' });
  const { decryption: _, ...spec } = without.spec;
  await context.client.apply(
    PolicySyncs,
    { metadata: { name: 'plain', namespace: context.namespace }, spec },
    { fieldManager: 'test' },
  );
  await until('the cache has seen it', async () => context.cache.getByKey(`${context.namespace}/plain`) !== undefined);
  await context.reconciler.reconcile(`${context.namespace}/plain`, context.stop.signal);
  const plain = await context.client.get(PolicySyncs, { namespace: context.namespace, name: 'plain' });
  assert.match(plain?.status?.failures?.[0]?.message ?? '', /set spec\.decryption for Secrets/);
});

test('an overlay of kustomize names an encrypted Secret anew, and may not change what is in it', async (context) => {
  const commit = (patch: string): string =>
    context.repository.commit({
      'base/kustomization.yaml': 'resources: [secret.yaml]\n',
      'base/secret.yaml': fixture('secret.yaml'),
      'paris/kustomization.yaml': `resources: [../base]\nnamePrefix: paris-\nlabels: [{pairs: {site: paris}}]\n${patch}`,
    });
  commit('');
  const built = await sync(context, { path: 'paris' });
  assert.is(ready(built), 'True ReconciliationSucceeded', JSON.stringify(built.status));
  const { client, namespace } = context;
  const secret = await client.get(Secrets, { namespace, name: 'paris-bucket' });
  assert.is(Buffer.from(secret?.data?.lines ?? '', 'base64').toString(), 'first line\nsecond line\n');
  assert.is(secret?.metadata.labels?.site, 'paris');
  const value = /AWS_ACCESS_KEY_ID: (ENC.*)/.exec(fixture('secret.yaml'))?.[1];
  commit(
    `patches: [{target: {kind: Secret}, patch: '[{"op": "add", "path": "/stringData/copy", "value": "${value}"}]'}]\n`,
  );
  const patched = await sync(context, { path: 'paris' });
  assert.is(ready(patched), 'False DecryptionFailed');
  assert.match(patched.status?.failures?.[0]?.message ?? '', /^kustomize changed an encrypted Secret/);
  assert.is(patched.status?.failures?.[0]?.file, 'base/secret.yaml');
});

test("the account's rights count, not the operator's", async (context) => {
  await allow(context, POLICIES);
  context.repository.commit({ 'storage.yaml': STORAGE, 'secret.yaml': fixture('secret.yaml') });
  const refused = await sync(context);
  assert.is(ready(refused), 'False SecretForbidden');
  assert.match(JSON.stringify(refused.status?.conditions), /get, create, patch and delete secrets/);
  assert.is(await bucket(context), undefined);
  assert.equal(await context.client.listAll(BackupStorages, { namespace: context.namespace }), []);
});

test('who may not read the keys is shown everything but the Secret', async (context) => {
  const { namespace, client, folder } = context;
  context.repository.commit({ 'storage.yaml': STORAGE, 'secret.yaml': fixture('secret.yaml') });
  const policySync = await sync(context);
  await allow(context, POLICIES);
  const { read, steps } = await preview(
    policySync,
    {
      ...{ reader: new RevisionReader(), validate: judge, folder: join(folder, 'preview'), exists: () => false },
      client: new ServiceAccountClients(client).as(namespace, 'git'),
      live: liveFrom(client),
    },
    context.stop.signal,
  );
  assert.equal(read.failures, []);
  const { text, differs } = describeSteps(steps);
  assert.equal(text, [
    'Nothing to change.',
    `  Secret/${namespace}/bucket is left as it is: it is encrypted, and you may not read the Secret with the keys`,
  ]);
  assert.is(differs, false);
});

test('a difference is shown without the values, and a plan says that it does not decrypt', async (context) => {
  const { namespace, plane, client, folder } = context;
  context.repository.commit({ 'storage.yaml': STORAGE, 'secret.yaml': fixture('secret.yaml') });
  await sync(context);
  const change = { data: { AWS_ACCESS_KEY_ID: Buffer.from('changed').toString('base64') } };
  await client.patch(Secrets, { namespace, name: 'bucket' }, change, { type: 'merge', fieldManager: 'test' });
  const files = join(folder, 'files');
  mkdirSync(files, { recursive: true });
  for (const [name, text] of [
    ['storage.yaml', STORAGE],
    ['secret.yaml', fixture('secret.yaml')],
  ] as const)
    writeFileSync(join(files, name), text);
  const run = async (...args: string[]): Promise<string> => {
    const { stdout, stderr } = await backstay([...args, '-n', namespace, '--kubeconfig', plane.kubeconfig]);
    return `${stdout}${stderr}`;
  };
  const outputs = await Promise.all([
    run('sync', 'diff', 'policies'),
    run('plan', '--policysync', 'policies', '--prune', files),
    run('plan', files),
  ]);
  const [diff = '', planned = '', person = ''] = outputs;
  assert.match(
    diff,
    new RegExp(`~ Secret/${namespace}/bucket .*\\n    data.AWS_ACCESS_KEY_ID: \\*\\*\\* -> \\*\\*\\*`),
  );
  assert.match(planned, /Secret\/\S+bucket.*encrypted with SOPS, and a plan does not decrypt it/);
  assert.match(person, /Secret\/\S*bucket.*encrypted with SOPS; to plan it too: sops decrypt/);
  for (const form of [...FORMS, 'changed']) assert.not.ok(outputs.join('').includes(form), form);
});

test.run();
