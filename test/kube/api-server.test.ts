// needs: cluster
// time-limit: 280s
// The client and the layers above it against a real API server: what no fake can vouch for.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { applyOwned, applyStatus, deleteOwned, NameCollisionError } from '../../src/kube/apply.ts';
import {
  type ConfigMap,
  ConfigMaps,
  type CronJob,
  CronJobs,
  CustomResourceDefinitions,
  Events,
  Jobs,
  Namespaces,
  RoleBindings,
  Roles,
  Secrets,
  ServiceAccounts,
  Services,
} from '../../src/kube/builtin.ts';
import { Cache } from '../../src/kube/cache.ts';
import { type Applied, type Client, connect } from '../../src/kube/client.ts';
import { Controller, enqueueOwner, enqueueSelf } from '../../src/kube/controller.ts';
import { EventRecorder } from '../../src/kube/events.ts';
import {
  isAlreadyExists,
  isConflict,
  isForbidden,
  isGone,
  isImmutable,
  isInvalid,
  isNotFound,
  KubeError,
} from '../../src/kube/kube-error.ts';
import { defineResource, type KubeObject, keyOf, parseKey } from '../../src/kube/resource.ts';
import { isSettled } from '../../src/kube/settled.ts';
import { waitForDeletion } from '../../src/kube/wait.ts';
import { until } from '../lab/process.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

interface Widget extends KubeObject {
  spec: { size: number; parts?: { name: string; weight?: number }[]; tags?: string[] };
  status?: { phase?: string; conditions?: { type: string; status: string }[] };
}
const Widgets = defineResource<Widget>('test.example/v1', 'Widget', 'widgets');

let plane: ControlPlane;
let client: Client;
const namespace = 'shop';

const test = suite('against a real API server');

test.before(async () => {
  plane = await startControlPlane();
  client = plane.client();
  await client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  await installWidgets();
});

test.after(async () => {
  await plane?.[Symbol.asyncDispose]();
});

async function installWidgets(): Promise<void> {
  const string = { type: 'string' };
  const item = {
    type: 'object',
    required: ['name'],
    properties: { name: string, weight: { type: 'integer', default: 1 } },
  };
  const parts = { type: 'array', items: item, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] };
  const condition = { type: 'object', required: ['type'], properties: { type: string, status: string } };
  const conditions = {
    type: 'array',
    items: condition,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
  };
  const openAPIV3Schema = {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: {
          size: { type: 'integer', maximum: 100 },
          parts,
          tags: { type: 'array', items: string, 'x-kubernetes-list-type': 'set' },
        },
      },
      status: { type: 'object', properties: { phase: string, conditions } },
    },
  };
  const spec = {
    group: 'test.example',
    scope: 'Namespaced' as const,
    names: { kind: 'Widget', plural: 'widgets' },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema }, subresources: { status: {} } }],
  };
  await client.apply(
    CustomResourceDefinitions,
    { metadata: { name: 'widgets.test.example' }, spec },
    { fieldManager: 'test' },
  );
  await until('the CRD is served', async () => (await client.list(Widgets)) !== undefined);
}

const widget = (
  name: string,
  spec: Widget['spec'] = { size: 1 },
): Applied<Widget> & { metadata: { name: string } } => ({ metadata: { namespace, name }, spec });
const map = (name: string, data: Record<string, string> = {}): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { namespace, name },
  data,
});

async function failure(promise: Promise<unknown>): Promise<KubeError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, KubeError);
  return error as KubeError;
}

test('creates, reads, changes and deletes an object', async () => {
  const ref = { namespace, name: 'crud' };
  assert.is(await client.get(ConfigMaps, ref), undefined);
  const created = await client.create(ConfigMaps, map('crud', { a: '1' }), { fieldManager: 'test' });
  assert.ok(created.metadata.uid);
  assert.is(created.metadata.managedFields?.[0]?.manager, 'test');
  assert.ok(isAlreadyExists(await failure(client.create(ConfigMaps, map('crud')))));
  const merged = await client.patch(ConfigMaps, ref, { data: { b: '2' } }, { type: 'merge' });
  assert.equal(merged.data, { a: '1', b: '2' });
  const patched = await client.patch(ConfigMaps, ref, [{ op: 'replace', path: '/data/a', value: '3' }], {
    type: 'json',
  });
  assert.is(patched.data?.a, '3');
  const stale = await failure(client.replace(ConfigMaps, { ...merged, data: {} }));
  assert.ok(isConflict(stale));
  await client.replace(ConfigMaps, { ...patched, data: { c: '4' } });
  assert.equal((await client.get(ConfigMaps, ref))?.data, { c: '4' });
  assert.ok(isConflict(await failure(client.delete(ConfigMaps, ref, { uid: '00000000-0000-0000-0000-000000000000' }))));
  assert.is(await client.delete(ConfigMaps, ref, { uid: created.metadata.uid }), true);
  assert.is(await client.delete(ConfigMaps, ref), false);
});

test('a dry run stores nothing', async () => {
  await client.create(ConfigMaps, map('dry'), { dryRun: true });
  await client.apply(ConfigMaps, map('dry'), { fieldManager: 'test', dryRun: true });
  assert.is(await client.get(ConfigMaps, { namespace, name: 'dry' }), undefined);
});

test('lists in pages, with kinds filled in, by label', async () => {
  for (let i = 0; i < 7; i++) {
    await client.create(Secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace, name: `page-${i}`, labels: { odd: String(i % 2) } },
    });
  }
  const sizes: number[] = [];
  for await (const page of client.pages(Secrets, { namespace, limit: 3 })) sizes.push(page.items.length);
  assert.equal(sizes, [3, 3, 1]);
  const odd = await client.listAll(Secrets, { labelSelector: 'odd=1' });
  assert.equal(odd.map(keyOf).sort(), ['shop/page-1', 'shop/page-3', 'shop/page-5']);
  assert.is(odd[0]?.kind, 'Secret');
});

test('apply: a conflict names the field and the other manager, force takes it over', async () => {
  await client.apply(Widgets, widget('ssa', { size: 1 }), { fieldManager: 'a' });
  const conflict = await failure(client.apply(Widgets, widget('ssa', { size: 2 }), { fieldManager: 'b' }));
  assert.ok(isConflict(conflict));
  assert.is(conflict.causes[0]?.field, '.spec.size');
  assert.match(conflict.causes[0]?.message ?? '', /conflict with "a"/);
  assert.match(conflict.message, /^Cannot apply Widget shop\/ssa: /);
  const forced = await client.apply(Widgets, widget('ssa', { size: 2 }), { fieldManager: 'b', force: true });
  assert.is(forced.spec.size, 2);
  const round = await client.apply(Widgets, { ...forced, spec: { size: 3 } }, { fieldManager: 'b', force: true });
  assert.is(
    round.spec.size,
    3,
    'an object as it was read can be applied: managedFields and resourceVersion are not sent',
  );
});

test('apply: a stale resource version is refused if it is sent along', async () => {
  const first = await client.apply(Widgets, widget('optimistic', { size: 1 }), { fieldManager: 'a' });
  await client.apply(Widgets, widget('optimistic', { size: 2 }), { fieldManager: 'a' });
  const stale = { ...widget('optimistic', { size: 3 }), metadata: first.metadata };
  assert.ok(isConflict(await failure(client.apply(Widgets, stale, { fieldManager: 'a', sendResourceVersion: true }))));
  await client.apply(Widgets, stale, { fieldManager: 'a' });
});

test('apply: a foreign uid is refused, so a later object of the same name is not taken for this one', async () => {
  const metadata = { namespace, name: 'uid', uid: '00000000-0000-0000-0000-000000000000' };
  assert.ok(isConflict(await failure(client.apply(Widgets, { metadata, spec: { size: 1 } }, { fieldManager: 'a' }))));
  await client.apply(Widgets, widget('uid'), { fieldManager: 'a' });
  assert.ok(isConflict(await failure(client.apply(Widgets, { metadata, spec: { size: 1 } }, { fieldManager: 'a' }))));
});

test('the status is written apart from the spec, each by its own verb', async () => {
  await client.apply(Widgets, widget('status', { size: 1 }), { fieldManager: 'a' });
  const after = await client.applyStatus(
    Widgets,
    { metadata: { namespace, name: 'status' }, spec: { size: 9 }, status: { phase: 'Ready' } },
    { fieldManager: 'a' },
  );
  assert.equal([after.spec.size, after.status?.phase, after.metadata.generation], [1, 'Ready', 1]);
  const spec = await client.apply(
    Widgets,
    { ...widget('status', { size: 5 }), status: { phase: 'Ignored' } },
    { fieldManager: 'a' },
  );
  assert.equal([spec.spec.size, spec.status?.phase, spec.metadata.generation], [5, 'Ready', 2]);
});

test('an invalid object is refused field by field', async () => {
  const invalid = await failure(client.apply(Widgets, widget('invalid', { size: 1000 }), { fieldManager: 'a' }));
  assert.ok(isInvalid(invalid));
  assert.is(invalid.causes[0]?.field, 'spec.size');
  const unknown = { ...widget('invalid'), spec: { size: 1, colour: 'red' } } as Applied<Widget>;
  const undeclared = await failure(client.apply(Widgets, unknown, { fieldManager: 'a' }));
  assert.ok(isInvalid(undeclared), 'though the server calls it an internal error');
  assert.is(undeclared.causes[0]?.field, 'spec.colour');
});

test('a field that the schema does not have is a warning, or an error if that is asked for', async () => {
  const spec = { size: 1, colour: 'red' };
  const metadata = { namespace, name: 'unknown' };
  const object: Widget = { apiVersion: 'test.example/v1', kind: 'Widget', metadata, spec };
  const warnings: string[] = [];
  await client.create(Widgets, object, { dryRun: true, onWarning: (warning) => warnings.push(warning) });
  assert.equal(warnings, ['unknown field "spec.colour"']);
  assert.match((await failure(client.create(Widgets, object, { fieldValidation: 'Strict' }))).message, /spec\.colour/);
});

test('a kind that is not installed: nothing to get, an error to list', async () => {
  const Gadgets = defineResource('test.example/v1', 'Gadget', 'gadgets');
  assert.is(await client.get(Gadgets, { namespace, name: 'x' }), undefined);
  assert.ok(isNotFound(await failure(client.list(Gadgets))));
});

test('a name that is missing never becomes a collection', async () => {
  const nameless = { namespace, name: '' };
  for (const call of [() => client.delete(ConfigMaps, nameless), () => client.get(ConfigMaps, nameless)]) {
    await call().then(
      () => assert.unreachable(),
      (error: { code?: string }) => assert.is(error.code, 'InvalidReference'),
    );
  }
});

test('a token acts as its service account, and a refusal says what to grant', async () => {
  const metadata = { namespace, name: 'clerk' };
  await client.create(ServiceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata });
  const issued = await client.createToken({ namespace, name: 'clerk' }, { expirationSeconds: 600 });
  assert.ok(Date.parse(issued.expirationTimestamp) > Date.now());
  let asked = 0;
  const clerk = client.withToken(() => {
    asked += 1;
    return issued.token;
  });
  const refused = await failure(clerk.apply(ConfigMaps, map('clerks'), { fieldManager: 'a' }));
  assert.ok(isForbidden(refused));
  assert.match(refused.message, /system:serviceaccount:shop:clerk.* cannot patch resource "configmaps"/);
  assert.match(refused.remedy ?? '', /can-i patch configmaps/);
  const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'create', 'patch'] }];
  await client.apply(Roles, { metadata, rules }, { fieldManager: 'test' });
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'clerk' };
  await client.apply(
    RoleBindings,
    { metadata, roleRef, subjects: [{ kind: 'ServiceAccount', name: 'clerk', namespace }] },
    { fieldManager: 'test' },
  );
  await until(
    'the grant is in force',
    async () => (await clerk.apply(ConfigMaps, map('clerks'), { fieldManager: 'a' })) !== undefined,
  );
  assert.ok(isForbidden(await failure(clerk.get(Secrets, { namespace, name: 'page-1' }))));
  assert.ok(asked > 2, 'the source is asked for every request');
});

test('a wrong token is told apart from a missing right', async () => {
  const refused = await failure(client.withToken('nonsense').get(ConfigMaps, { namespace, name: 'x' }));
  assert.is(refused.reason, 'Unauthorized');
});

test('connect reads a kubeconfig, and says what is wrong with one', async () => {
  const connected = await connect({ kubeconfig: plane.kubeconfig });
  assert.is(await connected.getText('/readyz'), 'ok');
  for (const options of [
    { kubeconfig: `${plane.folder}/nothing` },
    { kubeconfig: plane.kubeconfig, context: 'elsewhere' },
  ]) {
    await connect(options).then(
      () => assert.unreachable(),
      (error: { code?: string; message: string }) => {
        assert.is(error.code, 'KubeconfigInvalid');
        assert.match(error.message, /nothing|elsewhere/);
      },
    );
  }
});

/** Writes a kubeconfig for this user and connects with it. */
async function connectAs(user: object): Promise<Client> {
  const kubeconfig = `${plane.folder}/${randomUUID()}.json`;
  const config = {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'c' },
    clusters: [{ name: 'c', cluster: { server: plane.server, 'certificate-authority': plane.caFile } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
  };
  await writeFile(kubeconfig, JSON.stringify(config));
  return await connect({ kubeconfig });
}

test('a credential plugin is told its version, and runs once for many requests', async () => {
  const runs = `${plane.folder}/plugin-runs`;
  const status = { token: plane.token };
  const script = `
    require('node:fs').appendFileSync(${JSON.stringify(runs)}, process.env.KUBERNETES_EXEC_INFO + '\\n');
    console.log(JSON.stringify({ apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status: ${JSON.stringify(status)} }));`;
  const exec = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: process.execPath,
    args: ['-e', script],
    interactiveMode: 'Never',
  };
  const plugged = await connectAs({ exec });
  for (let i = 0; i < 3; i++) await plugged.list(ConfigMaps, { namespace });
  const [info = '', ...more] = (await readFile(runs, 'utf8')).trim().split('\n');
  assert.is(JSON.parse(info).apiVersion, 'client.authentication.k8s.io/v1');
  assert.equal(more, []);
});

test('a client certificate is an identity', async () => {
  const { certificate, key } = await plane.authority.client('alice');
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const alice = await connectAs({ 'client-certificate-data': base64(certificate), 'client-key-data': base64(key) });
  assert.match((await failure(alice.list(ConfigMaps, { namespace }))).message, /User "alice" cannot list/);
  const other = alice.withToken(plane.token);
  assert.ok(await other.list(ConfigMaps, { namespace }), 'the certificate is left behind with the identity');
});

test('an aborted call rejects with the reason of its signal', async () => {
  const stop = new AbortController();
  stop.abort(new Error('stopped'));
  await client.get(ConfigMaps, { namespace, name: 'x' }, { signal: stop.signal }).then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'stopped'),
  );
});

test('a guard stops what writes and lets pass what reads', async () => {
  const guarded = client.withGuard(() => {
    throw new Error('not the leader');
  });
  await guarded.list(ConfigMaps, { namespace });
  await guarded.apply(ConfigMaps, map('guarded'), { fieldManager: 'a' }).then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'not the leader'),
  );
  assert.is(await client.get(ConfigMaps, { namespace, name: 'guarded' }), undefined);
});

const cronJob = (name: string): Applied<CronJob> => ({
  metadata: { namespace, name, labels: { app: 'backstay' }, annotations: {} },
  spec: {
    schedule: '0 3 * * *',
    concurrencyPolicy: 'Forbid',
    suspend: false,
    jobTemplate: {
      spec: {
        backoffLimit: 2,
        template: {
          spec: {
            restartPolicy: 'Never',
            serviceAccountName: 'runner',
            securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
            containers: [
              {
                name: 'backup',
                image: 'backstay:1',
                args: ['job', 'backup'],
                env: [
                  { name: 'A', value: '1' },
                  { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
                ],
                ports: [{ containerPort: 8080 }, { containerPort: 9090, protocol: 'UDP' }],
                resources: { requests: { cpu: '100m', memory: '256Mi' }, limits: {} },
                securityContext: { capabilities: { drop: ['ALL'] }, allowPrivilegeEscalation: false },
                volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
              },
            ],
            volumes: [{ name: 'tmp', emptyDir: {} }],
          },
        },
      },
    },
  },
});

test('a settled object is recognised in what the server made of it: defaults, lists of every sort, empty things', async () => {
  const fieldManager = 'a';
  const wanted = cronJob('settled');
  const live = await client.apply(CronJobs, wanted, { fieldManager });
  assert.ok(isSettled(wanted, live, { fieldManager }));
  assert.not(isSettled(wanted, live, { fieldManager: 'b' }), 'somebody else does not own it yet');

  const Ports = {
    metadata: { namespace, name: 'settled' },
    spec: {
      selector: { app: 'x' },
      ports: [
        { name: 'http', port: 80 },
        { name: 'dns', port: 53, protocol: 'UDP' },
      ],
    },
  };
  const service = await client.apply(Services, Ports, { fieldManager });
  assert.ok(isSettled(Ports, service, { fieldManager }));

  const set = widget('settled', { size: 1, parts: [{ name: 'x' }, { name: 'y', weight: 3 }], tags: ['b', 'a'] });
  const stored = await client.apply(Widgets, set, { fieldManager });
  assert.ok(isSettled(set, stored, { fieldManager }));
});

test('any difference unsettles an object: a value, a field more or less, an item, an order, a foreign hand', async () => {
  const fieldManager = 'a';
  const wanted = cronJob('unsettled');
  const live = await client.apply(CronJobs, wanted, { fieldManager });
  type Spec = {
    spec: { template: { spec: { containers: { args?: string[]; env?: { name: string; value?: string }[] }[] } } };
  };
  const changes: ((draft: {
    metadata: { labels?: Record<string, string> };
    spec: Record<string, unknown> & { jobTemplate: Spec };
  }) => void)[] = [
    (draft) => (draft.spec.schedule = '0 4 * * *'),
    (draft) => (draft.spec.timeZone = 'Etc/UTC'),
    (draft) => delete draft.spec.suspend,
    (draft) => delete draft.metadata.labels,
    (draft) => (draft.metadata.labels = { app: 'backstay', more: 'x' }),
    (draft) => draft.spec.jobTemplate.spec.template.spec.containers[0]?.args?.reverse(),
    (draft) => draft.spec.jobTemplate.spec.template.spec.containers[0]?.env?.pop(),
    (draft) => draft.spec.jobTemplate.spec.template.spec.containers[0]?.env?.push({ name: 'B', value: '2' }),
    (draft) => draft.spec.jobTemplate.spec.template.spec.containers[0]?.env?.reverse(),
    (draft) => delete draft.spec.jobTemplate.spec.template.spec.containers[0]?.args,
  ];
  for (const change of changes) {
    const draft = structuredClone(wanted) as never as Parameters<typeof change>[0];
    change(draft);
    assert.not(isSettled(draft, live, { fieldManager }), change.toString());
  }
  const touched = await client.patch(
    CronJobs,
    { namespace, name: 'unsettled' },
    { spec: { suspend: true } },
    { type: 'merge', fieldManager: 'somebody' },
  );
  assert.not(isSettled(wanted, touched, { fieldManager }));
  const again = await client.apply(CronJobs, wanted, { fieldManager, force: true });
  assert.ok(isSettled(wanted, again, { fieldManager }));
});

test('applyOwned creates, leaves a settled object alone, mends drift, and takes nothing away from others', async () => {
  const owner = await client.apply(Widgets, widget('owner'), { fieldManager: 'user' });
  const options = { fieldManager: 'backstay/widget', owner };
  const wanted = { metadata: { namespace, name: 'owned' }, data: { a: '1' } };
  const first = await applyOwned(client, ConfigMaps, wanted, options);
  assert.is(first.change, 'created');
  assert.is(first.object.metadata.ownerReferences?.[0]?.uid, owner.metadata.uid);
  let writes = 0;
  const counting: Client = Object.assign(Object.create(client) as Client, {
    get: client.get.bind(client),
    delete: client.delete.bind(client),
    apply: (...args: Parameters<Client['apply']>) => {
      writes += 1;
      return client.apply(...args);
    },
  });
  const second = await applyOwned(counting, ConfigMaps, wanted, { ...options, live: first.object });
  assert.equal([second.change, writes], ['none', 0]);
  const drifted = await client.patch(
    ConfigMaps,
    { namespace, name: 'owned' },
    { data: { a: 'x', foreign: 'y' } },
    { type: 'merge', fieldManager: 'kubectl' },
  );
  const mended = await applyOwned(client, ConfigMaps, wanted, { ...options, live: drifted });
  assert.equal([mended.change, mended.object.data], ['changed', { a: '1', foreign: 'y' }]);
  const less = await applyOwned(client, ConfigMaps, { ...wanted, data: {} }, { ...options, live: mended.object });
  assert.equal(less.object.data, { foreign: 'y' }, 'what we no longer want goes, the rest stays');
  assert.is(await deleteOwned(client, ConfigMaps, { namespace, name: 'owned' }, owner), true);
});

test('applyOwned never adopts what belongs to somebody else, or to nobody', async () => {
  const owner = await client.apply(Widgets, widget('owner-1'), { fieldManager: 'user' });
  const other = await client.apply(Widgets, widget('owner-2'), { fieldManager: 'user' });
  await client.create(ConfigMaps, map('by-hand', { a: 'mine' }));
  await applyOwned(
    client,
    ConfigMaps,
    { metadata: { namespace, name: 'others' } },
    { fieldManager: 'x', owner: other },
  );
  for (const name of ['by-hand', 'others']) {
    const attempt = applyOwned(
      client,
      ConfigMaps,
      { metadata: { namespace, name }, data: { a: 'ours' } },
      { fieldManager: 'x', owner },
    );
    await attempt.then(
      () => assert.unreachable(),
      (error: unknown) => assert.instance(error, NameCollisionError),
    );
    assert.is(await deleteOwned(client, ConfigMaps, { namespace, name }, owner), false);
  }
  assert.is((await client.get(ConfigMaps, { namespace, name: 'by-hand' }))?.data?.a, 'mine');
  const adopted = await applyOwned(
    client,
    ConfigMaps,
    { metadata: { namespace, name: 'by-hand' } },
    { fieldManager: 'x', owner, adoptOrphan: true },
  );
  assert.is(adopted.change, 'changed');
});

test('applyOwned makes a Job with another template anew, but only if it is told to', async () => {
  const owner = await client.apply(Widgets, widget('job-owner'), { fieldManager: 'user' });
  const job = (image: string) => ({
    metadata: { namespace, name: 'once' },
    spec: { template: { spec: { restartPolicy: 'Never' as const, containers: [{ name: 'run', image }] } } },
  });
  const first = await applyOwned(client, Jobs, job('a'), { fieldManager: 'x', owner });
  assert.ok(isImmutable(await failure(applyOwned(client, Jobs, job('b'), { fieldManager: 'x', owner }))));
  const second = await applyOwned(client, Jobs, job('b'), { fieldManager: 'x', owner, recreate: true });
  assert.is(second.change, 'recreated');
  assert.is.not(second.object.metadata.uid, first.object.metadata.uid);
});

test('applyStatus writes a status once', async () => {
  const live = await client.apply(Widgets, widget('status-once'), { fieldManager: 'user' });
  const status = { phase: 'Ready', conditions: [{ type: 'Ready', status: 'True' }] };
  const first = await applyStatus(client, Widgets, live, status, { fieldManager: 'x' });
  assert.is.not(first.metadata.resourceVersion, live.metadata.resourceVersion);
  const second = await applyStatus(client, Widgets, first, status, { fieldManager: 'x' });
  assert.is(second, first);
});

test('records Events that kubectl can read', async () => {
  const object = await client.apply(Widgets, widget('eventful'), { fieldManager: 'user' });
  const recorder = new EventRecorder({ client, reportingController: 'backstay.dev/test', reportingInstance: 'here' });
  for (let i = 0; i < 3; i++)
    recorder.record(object, { type: 'Warning', reason: 'Broken', action: 'Test', note: 'It is broken' });
  await recorder.close();
  const events = await client.listAll(Events, { namespace, fieldSelector: 'reason=Broken' });
  assert.equal(
    events.map((event) => [event.regarding?.name, event.note, event.series?.count]),
    [['eventful', 'It is broken', 3]],
  );
});

test('a controller brings the world to rest: every owner has its ConfigMap, and then nothing is written any more', async () => {
  const labels = { suite: 'rest' };
  for (const name of ['rest-a', 'rest-b'])
    await client.apply(Widgets, { metadata: { namespace, name, labels }, spec: { size: 2 } }, { fieldManager: 'user' });
  let writes = 0;
  const counting = client.withGuard(() => {
    writes += 1;
  });
  const widgets = new Cache({ client, type: Widgets, labelSelector: 'suite=rest' });
  const maps = new Cache({ client, type: ConfigMaps });
  let runs = 0;
  const controller = new Controller({
    name: 'rest',
    reconcile: async (key, signal) => {
      runs += 1;
      const { name } = parseKey(key);
      const owner = widgets.getByKey(key);
      if (owner === undefined) return undefined;
      const options = { fieldManager: 'backstay/rest', owner, signal, live: maps.get(namespace, name) };
      await applyOwned(
        counting,
        ConfigMaps,
        { metadata: { namespace, name }, data: { size: String(owner.spec.size) } },
        options,
      );
      await applyStatus(counting, Widgets, owner, { phase: 'Ready' }, { fieldManager: 'backstay/rest', signal });
      return undefined;
    },
  });
  controller.watch(widgets, enqueueSelf).watch(maps, enqueueOwner(Widgets));
  const stop = new AbortController();
  const running = [widgets.run(stop.signal), maps.run(stop.signal), controller.run(stop.signal)];
  try {
    await until(
      'both are ready',
      async () => widgets.list().length === 2 && widgets.list().every((each) => each.status?.phase === 'Ready'),
    );
    const idle = async () => {
      const before = runs;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return before === runs;
    };
    await until('nothing moves', idle);
    const versions = () =>
      [...widgets.list(), ...maps.list(namespace)]
        .map((each) => `${keyOf(each)} ${each.metadata.resourceVersion}`)
        .sort();
    const [before, written] = [versions(), writes];
    for (let round = 0; round < 3; round++) {
      for (const each of widgets.list()) controller.queue.add(keyOf(each));
      await until('a round', idle);
    }
    assert.ok(runs > 6);
    assert.is(writes, written, 'no write at all');
    assert.equal(versions(), before);

    await client.delete(ConfigMaps, { namespace, name: 'rest-a' });
    await until('it is back', async () => maps.get(namespace, 'rest-a')?.data?.size === '2');
    await client.patch(ConfigMaps, { namespace, name: 'rest-b' }, { data: { size: '99' } }, { type: 'merge' });
    await until(
      'drift is mended',
      async () => (await client.get(ConfigMaps, { namespace, name: 'rest-b' }))?.data?.size === '2',
    );
  } finally {
    stop.abort();
    await Promise.all(running);
  }
});

test('a watch goes on after the API server was killed and started again', async () => {
  let lists = 0;
  const pages: Client['pages'] = (...args) => {
    lists += 1;
    return client.pages(...args);
  };
  const watching: Pick<Client, 'pages' | 'list' | 'watch'> = {
    pages,
    list: client.list.bind(client),
    watch: client.watch.bind(client),
  };
  const cache = new Cache({
    client: watching,
    type: Widgets,
    namespaces: [namespace],
    backoff: { baseMs: 50, maxMs: 500 },
  });
  const stop = new AbortController();
  const running = cache.run(stop.signal);
  try {
    await cache.synced;
    await client.apply(Widgets, widget('before-kill'), { fieldManager: 'a' });
    await until('the event', async () => cache.get(namespace, 'before-kill') !== undefined);
    await plane.killApiServer();
    await plane.startApiServer();
    await client.apply(Widgets, widget('after-kill'), { fieldManager: 'a' });
    await until('the event after', async () => cache.get(namespace, 'after-kill') !== undefined);
    // A new API server's watch cache begins at its start, so it answers an older version with 410: one new list, no more.
    assert.ok(lists <= 2, `${lists} lists`);
    assert.ok(cache.get(namespace, 'before-kill'));
  } finally {
    stop.abort();
    await running;
  }
});

test('a version that was compacted away is answered with a real 410, and the cache lists again', async () => {
  const { client: shaky, proxy } = await plane.proxied();
  const cache = new Cache({
    client: shaky,
    type: Widgets,
    namespaces: [namespace],
    backoff: { baseMs: 50, maxMs: 500 },
  });
  const stop = new AbortController();
  const running = cache.run(stop.signal);
  try {
    await client.apply(Widgets, widget('doomed'), { fieldManager: 'a' });
    await cache.synced;
    await until('it is there', async () => cache.get(namespace, 'doomed') !== undefined);
    const old = cache.get(namespace, 'doomed')?.metadata.resourceVersion;
    proxy.refuse();
    await client.delete(Widgets, { namespace, name: 'doomed' });
    await client.apply(Widgets, widget('newborn'), { fieldManager: 'a' });
    await plane.killApiServer();
    await plane.compact();
    await plane.startApiServer();
    const read = async () => {
      for await (const _event of client.watch(Widgets, { namespace, resourceVersion: old })) return;
    };
    // At first it says 429, for its storage is still being read.
    await until('the answer to an old version', async () => isGone(await failure(read())));
    proxy.pass();
    await until(
      'the cache has caught up',
      async () => cache.get(namespace, 'doomed') === undefined && cache.get(namespace, 'newborn') !== undefined,
    );
  } finally {
    stop.abort();
    await running;
  }
});

/** A candidate in a process of its own. */
function candidate(identity: string) {
  const program = fileURLToPath(new URL('leader-process.ts', import.meta.url));
  const child = spawn(process.execPath, [program, plane.kubeconfig, identity], {
    stdio: 'ignore',
  });
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
  return { child, exited };
}

test('leader election between processes: kill -9, a pause beyond the lease, and a proper end', async () => {
  const writers: string[] = [];
  const stop = new AbortController();
  const cache = new Cache({ client, type: ConfigMaps, namespaces: ['default'] });
  cache.on(({ object }) => {
    const writer = object.data?.writer;
    if (object.metadata.name === 'race' && writer !== undefined && writers.at(-1) !== writer) writers.push(writer);
  });
  const watching = cache.run(stop.signal);
  const leads = (identity: string) =>
    until(`${identity} writes`, async () => writers.at(-1) === identity, { timeoutMs: 60_000 });
  const candidates: ReturnType<typeof candidate>[] = [];
  const enter = (identity: string) => {
    const one = candidate(identity);
    candidates.push(one);
    return one;
  };
  try {
    const a = enter('a');
    await leads('a');
    const b = enter('b');
    a.child.kill('SIGKILL');
    await leads('b');
    const c = enter('c');
    b.child.kill('SIGSTOP');
    await leads('c');
    b.child.kill('SIGCONT');
    assert.is.not((await b.exited)[0], 0, 'it ends itself with an error');
    const d = enter('d');
    c.child.kill('SIGTERM');
    assert.is((await c.exited)[0], 0);
    await leads('d');
    d.child.kill('SIGTERM');
    await d.exited;
    assert.equal(writers, ['a', 'b', 'c', 'd'], 'no one wrote after its time');
  } finally {
    for (const { child } of candidates) child.kill('SIGKILL');
    stop.abort();
    await watching;
  }
});

test('waits for a deletion', async () => {
  await client.create(ConfigMaps, map('going'));
  const waiting = waitForDeletion(client, ConfigMaps, { namespace, name: 'going' }, { intervalSeconds: 0.05 });
  await client.delete(ConfigMaps, { namespace, name: 'going' });
  await waiting;
});

test.run();
