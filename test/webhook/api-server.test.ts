// needs: cluster
// time-limit: 180s
// The webhook before a real API server, registered by its own manifests.
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments, stringify } from 'yaml';
import {
  BackupConfigurations,
  BackupPolicyRules,
  BackupStorages,
  KINDS,
  PolicySyncs,
  RetentionPolicies,
  Snapshots,
} from '../../src/api/kinds.ts';
import {
  MutatingWebhookConfigurations,
  Namespaces,
  Secrets,
  Services,
  ValidatingAdmissionPolicies,
  ValidatingAdmissionPolicyBindings,
  ValidatingWebhookConfigurations,
} from '../../src/kube/builtin.ts';
import type { Client } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import { silent } from '../../src/kube/log.ts';
import type { ResourceType } from '../../src/kube/resource.ts';
import { admissionPolicies } from '../../src/operator/backuppolicyrule/admission-policy.ts';
import { FORMATS } from '../../src/plan/formats.ts';
import { type Applier, planFiles } from '../../src/plan/plan.ts';
import type { PlannedObject, PlanReport } from '../../src/plan/report.ts';
import { readFiles } from '../../src/validate/files.ts';
import { runWebhook } from '../../webhook/run.ts';
import { installCrds, kubectl } from '../api/crds.ts';
import {
  addon,
  binding,
  configuration,
  type Loose,
  policyRule,
  policySync,
  repository,
  retention,
  session,
  snapshot,
  storage,
} from '../api/objects.ts';
import { backstay } from '../cli/backstay.ts';
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts';
import { until } from '../lab/process.ts';

const test = suite('the webhook before a real API server');
const manifests = join(import.meta.dirname, '../../manifests/base/webhook');
const system = 'backstay-system';
const stop = new AbortController();
let plane: ControlPlane;
let client: Client;
let running: Promise<void>;
let metricsUrl: string;

test.before(async () => {
  plane = await startControlPlane();
  client = plane.client({ qps: 1000, burst: 1000 });
  await installCrds(client);
  for (const name of [system, 'shop', 'vault']) {
    await client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }
  const host = new URL(plane.server).hostname;
  const listening = Promise.withResolvers<{ port: number; metricsPort: number }>();
  const names = {
    namespace: system,
    service: 'backstay-webhook',
    secret: 'backstay-webhook-ca',
    configurations: 'backstay',
  };
  running = runWebhook({
    ...{ ...names, client, host, port: 0, metricsPort: 0, drainMs: 0, log: silent, signal: stop.signal },
    onListening: listening.resolve,
  });
  const ports = await listening.promise;
  metricsUrl = `http://${host}:${ports.metricsPort}`;
  // There are no Pods here: the Service is another name for where the webhook listens.
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'backstay-webhook', namespace: system } };
  await client.create(Services, { ...service, spec: { type: 'ExternalName', externalName: host } } as Loose);
  for (const [type, file] of [
    [MutatingWebhookConfigurations, 'mutating.yaml'],
    [ValidatingWebhookConfigurations, 'validating.yaml'],
  ] as const) {
    const [document] = parseAllDocuments(readFileSync(join(manifests, file), 'utf8'));
    const object = document?.toJS() as Loose;
    for (const webhook of object.webhooks) webhook.clientConfig.service.port = ports.port;
    await client.apply(type, object, { fieldManager: 'flux', force: true });
  }
});

test.after(async () => {
  stop.abort();
  await running;
  await plane?.[Symbol.asyncDispose]();
});

/** A repository as a session asks for it. */
function repositoryOf(name: string): Loose {
  return { name, backend: 's3', directory: name, encryptionSecret: { name: 'restic' } };
}

/** Runs kubectl with objects in a file. */
async function run(args: string[], ...objects: Loose[]) {
  const file = join(plane.folder, 'objects.yaml');
  await writeFile(file, objects.map((object) => stringify(object, { version: '1.1' })).join('---\n'));
  return await kubectl(plane.kubeconfig, [...args, '-f', file]);
}

async function refusal(call: Promise<unknown>): Promise<KubeError> {
  try {
    await call;
  } catch (error) {
    assert.instance(error, KubeError);
    return error as KubeError;
  }
  return assert.unreachable('the API server took it') as never;
}

test('it publishes its authority once the configurations are there, under a field manager of its own', async () => {
  await until(
    'the configurations trust the webhook',
    async () => {
      const live = await client.get(ValidatingWebhookConfigurations, { name: 'backstay' });
      return live?.webhooks?.every(({ clientConfig }) => clientConfig.caBundle !== undefined) === true;
    },
    { timeoutMs: 30_000 },
  );
  for (const type of [MutatingWebhookConfigurations, ValidatingWebhookConfigurations]) {
    const live = await client.get(type, { name: 'backstay' });
    const owners = live?.metadata.managedFields ?? [];
    const mine = owners.find(({ manager }) => manager === 'backstay-webhook-ca');
    assert.match(JSON.stringify(mine?.fieldsV1), 'f:caBundle');
    assert.not.match(JSON.stringify(mine?.fieldsV1), 'f:rules');
    const theirs = owners.find(({ manager }) => manager === 'flux');
    assert.not.match(JSON.stringify(theirs?.fieldsV1), 'f:caBundle');
  }
});

test('the key of the authority lies in a Secret and nowhere else', async () => {
  const secret = await client.get(Secrets, { namespace: system, name: 'backstay-webhook-ca' });
  assert.equal(Object.keys(secret?.data ?? {}).sort(), ['ca.crt', 'tls.crt', 'tls.key']);
});

test('kubectl is told of a wrong cron and a session that is there twice in one answer, by their paths', async () => {
  const object = configuration({ sessions: [session({ scheduler: { schedule: '0 3 * * 7' } }), session()] });
  const { code, stderr } = await run(['apply', '--dry-run=server'], object);
  assert.is(code, 1);
  assert.match(stderr, 'The BackupConfiguration "orders" is invalid:');
  assert.match(stderr, '* spec.sessions[1]: name "nightly" is there already');
  assert.match(stderr, '* spec.sessions[0].scheduler.schedule: day of the week "7" must lie between 0 and 6');
});

test('an unknown field, a wrong cron and a session that is there twice are in one answer', async () => {
  const object = configuration({
    sesions: [],
    sessions: [session({ scheduler: { schedule: '0 3 * * 7' } }), session()],
  });
  const { code, stderr } = await run(['apply', '--dry-run=server'], object);
  assert.is(code, 1);
  assert.match(stderr, '* spec.sesions: unknown field; did you mean sessions');
  assert.match(stderr, '* spec.sessions[1]:');
  assert.match(stderr, '* spec.sessions[0].scheduler.schedule:');
});

test('an unknown field is refused on every road, deep inside as well', async () => {
  const object = configuration({ sessions: [session({ scheduler: { schedule: '@daily', tymeZone: 'UTC' } })] }, 'deep');
  for (const road of [['--server-side'], ['--validate=ignore'], ['--validate=strict']]) {
    const { code, stderr } = await run(['apply', '--dry-run=server', ...road], object);
    assert.is(code, 1, road.join(' '));
    assert.match(stderr, 'spec.sessions[0].scheduler.tymeZone: unknown field; did you mean timeZone');
  }
});

test('a password in a URL is refused before the API server could repeat it', async () => {
  const { stderr } = await run(['apply'], binding({ clientConfig: { url: 'mongodb://me:hunter2@db' } }));
  assert.match(stderr, 'spec.clientConfig.url');
  assert.not.match(stderr, 'hunter2');
});

test('objects may come in any order: what is missing is a warning', async () => {
  const { code, stderr } = await run(['apply'], configuration());
  assert.is(code, 0, stderr);
  assert.match(stderr, 'Warning: spec.backends[0].storageRef: BackupStorage shop/s3 does not exist yet');
  await run(
    ['apply'],
    storage({ default: true }),
    addon({ backupTasks: [{ name: 'logical-backup', function: 'backup' }] }),
  );
  await until('the caches know them', async () => {
    const again = await run(['apply', '--dry-run=server'], configuration({ paused: true }));
    return again.code === 0 && !again.stderr.includes('BackupStorage') && !again.stderr.includes('Addon');
  });
});

test('a storage that is not shared is forbidden to other namespaces', async () => {
  const object = configuration(
    {
      backends: [{ name: 's3', storageRef: { name: 's3', namespace: 'shop' } }],
      sessions: [session({ repositories: [repositoryOf('thief')] })],
    },
    'thief',
    'vault',
  );
  const error = await refusal(client.create(BackupConfigurations, object));
  assert.is(error.status, 403);
  assert.match(error.message, 'BackupStorage shop/s3 does not allow namespace vault');
});

test('the causes of a refusal reach a client field by field', async () => {
  const object = configuration({ sessions: [session({ scheduler: { schedule: 'never' } })] }, 'other');
  const error = await refusal(client.create(BackupConfigurations, object));
  assert.is(error.status, 422);
  assert.equal(
    error.causes.map(({ field, reason }) => ({ field, reason })),
    [{ field: 'spec.sessions[0].scheduler.schedule', reason: 'FieldValueInvalid' }],
  );
});

test('backends that are left out are filled in, and nothing drifts afterwards', async () => {
  const object = configuration({}, 'plain', 'shop');
  delete object.spec.backends;
  object.spec.sessions[0].repositories[0] = {
    ...object.spec.sessions[0].repositories[0],
    name: 'plain',
    directory: 'plain',
  };
  for (const args of [['apply'], ['apply', '--server-side', '--force-conflicts']]) {
    const applied = await run(args, object);
    assert.is(applied.code, 0, applied.stderr);
    const live = await client.get(BackupConfigurations, { namespace: 'shop', name: 'plain' });
    assert.equal(live?.spec.backends, [{ name: 's3', storageRef: { namespace: 'shop', name: 's3' } }]);
    const diff = await run(['diff', ...args.slice(1, 2)], object);
    assert.is(diff.code, 0, diff.stdout);
    const version = live?.metadata.resourceVersion;
    await run(args, object);
    const after = await client.get(BackupConfigurations, { namespace: 'shop', name: 'plain' });
    assert.is(after?.metadata.resourceVersion, version, 'applying it again changes nothing');
  }
});

test('a dry run leaves nothing behind', async () => {
  await client.create(BackupStorages, storage({ storage: { provider: 's3', s3: { bucket: 'x' } } }, 'dry'), {
    dryRun: true,
  });
  assert.is(await client.get(BackupStorages, { namespace: 'shop', name: 'dry' }), undefined);
});

test('a deletion that takes data with it is refused until an annotation confirms it', async () => {
  await run(['apply'], repository({ deletionPolicy: 'WipeOut', path: 'doomed' }, 'doomed'));
  const remove = ['delete', 'repo', 'doomed', '-n', 'shop'];
  const refused = await kubectl(plane.kubeconfig, remove);
  assert.is(refused.code, 1);
  assert.match(refused.stderr, 'set the annotation backstay.dev/confirm-deletion: doomed');
  const note = ['annotate', 'repo', 'doomed', '-n', 'shop', 'backstay.dev/confirm-deletion=doomed'];
  await kubectl(plane.kubeconfig, note);
  const { code, stderr } = await kubectl(plane.kubeconfig, remove);
  assert.is(code, 0, stderr);
  assert.match(stderr, 'Warning: deletionPolicy is WipeOut');
});

test('whoever shortens retention is told how many Snapshots that would cost', async () => {
  await client.create(RetentionPolicies, retention({ maxRetentionPeriod: '100y' }, 'long'));
  const backends = [{ name: 's3', storageRef: { name: 's3' }, retentionPolicy: { name: 'long' } }];
  const repositories = [repositoryOf('kept')];
  const kept = configuration({ backends, sessions: [session({ repositories })] }, 'kept');
  await client.create(BackupConfigurations, kept);
  for (const year of [2020, 2021, 2022]) {
    const object = snapshot({ snapshotID: `${year}`, repository: 'kept', session: 'nightly' });
    const live = await client.create(Snapshots, { ...object, metadata: { ...object.metadata, name: `kept-${year}` } });
    const status = { phase: 'Succeeded', snapshotTime: `${year}-01-01T03:00:00Z` } as const;
    await client.replace(Snapshots, { ...live, status }, { subresource: 'status' });
  }
  let warnings: string[] = [];
  await until('the caches know them', async () => {
    warnings = [];
    const options = { dryRun: true, type: 'merge', onWarning: (text: string) => void warnings.push(text) } as const;
    await client.patch(
      RetentionPolicies,
      { namespace: 'shop', name: 'long' },
      { spec: { maxRetentionPeriod: '1d' } },
      options,
    );
    return warnings.some((text) => text.includes('of 3 '));
  });
  assert.ok(warnings.includes('spec: it would expire 2 of 3 Snapshots with the next backups'), warnings.join('\n'));
});

test('a rule of the organisation is judged by the webhook, the API server and a plan alike, and what was there before stays', async () => {
  await client.create(RetentionPolicies, retention({ maxRetentionPeriod: '7d' }, 'short'));
  const match = { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'shop' } } };
  const house = policyRule({ match, demands: { minRetention: '14d', maxInterval: '6h' }, message: 'ask #platform' });
  const rule = await client.create(BackupPolicyRules, house);
  const message = (than: string): string =>
    `BackupPolicyRule house demands Snapshots of 14d at least, and they are kept no longer than by: ${than}; ask #platform`;
  const refusal = async (call: Promise<unknown>): Promise<string> =>
    await call.then(
      () => '',
      (error: Error) => error.message,
    );
  const shorten = { spec: { maxRetentionPeriod: '3d' } };
  const ref = { namespace: 'shop', name: 'short' };
  const attempt = (): Promise<string> =>
    refusal(client.patch(RetentionPolicies, ref, shorten, { dryRun: true, type: 'merge' }));
  await until('the webhook knows the rule', async () => (await attempt()).includes(message('3d')));
  const rarely = configuration({ sessions: [session({ repositories: [repositoryOf('rarely')] })] }, 'rarely');
  const wanted = [
    { action: 'change', object: 'RetentionPolicy/shop/short', said: '' },
    {
      action: 'refuse',
      object: 'BackupConfiguration/shop/rarely',
      said: 'BackupPolicyRule house demands a backup every 6h',
    },
    { action: 'refuse', object: 'RetentionPolicy/shop/fresh', said: message('1d') },
  ];
  const labelled = retention({ maxRetentionPeriod: '7d' }, 'short');
  labelled.metadata.labels = { team: 'a' };
  const judged = async (): Promise<void> => {
    const { objects } = await plan({}, rarely, labelled, retention({ maxRetentionPeriod: '1d' }, 'fresh'));
    for (const { action, object, said } of wanted) {
      const found = objects.find((one) => one.object === object);
      assert.is(found?.action, action, JSON.stringify(found));
      assert.match(found?.causes.map((cause) => cause.message).join() ?? '', said);
    }
  };
  await judged();
  for (const { policy, binding: inForce } of admissionPolicies(rule)) {
    await client.apply(ValidatingAdmissionPolicies, policy, { fieldManager: 'test' });
    await client.apply(ValidatingAdmissionPolicyBindings, inForce, { fieldManager: 'test' });
  }
  await until('the API server refuses by itself', async () => {
    const said = await attempt();
    return said.includes('ValidatingAdmissionPolicy') && said.includes(message('3d'));
  });
  await judged();
  for (const { policy, binding: inForce } of admissionPolicies(rule)) {
    await client.delete(ValidatingAdmissionPolicyBindings, { name: inForce.metadata.name ?? '' });
    await client.delete(ValidatingAdmissionPolicies, { name: policy.metadata.name ?? '' });
  }
  await client.delete(BackupPolicyRules, { name: 'house' });
  await until('nothing is demanded any more', async () => (await attempt()) === '');
  await client.delete(RetentionPolicies, ref);
});

test('a plan tells what would be created, changed and refused, and changes nothing', async () => {
  await client.apply(RetentionPolicies, retention({}, 'planned'), { fieldManager: 'kubectl' });
  await client.apply(RetentionPolicies, retention({}, 'same'), { fieldManager: 'kubectl' });
  const before = await state();
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'p', namespace: 'new' },
    stringData: { k: 'hunter2' },
  };
  const sessions = (name: string, schedule: string) => [
    session({
      scheduler: { schedule, timeZone: 'Asia/Tokyo' },
      repositories: [{ ...repositoryOf(name), backend: 'b' }],
    }),
  ];
  const backends = [{ name: 'b', storageRef: { name: 'fresh' } }];
  const report = await plan(
    {},
    configuration({ backends, sessions: sessions('p1', '0 3 * * *') }, 'p1'),
    configuration({ backends, sessions: sessions('p2', '0 3 * * 7') }, 'p2'),
    storage({ storage: { provider: 's3', s3: { bucket: 'fresh' } } }, 'fresh'),
    retention({ maxRetentionPeriod: '7d' }, 'planned'),
    retention({}, 'same'),
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'new' } },
    secret,
    retention({}, 'month', 'new'),
    { apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'w' } },
    { apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization' },
  );
  assert.not.match(FORMATS.json(report), 'hunter2');
  const { objects, schedules }: Loose = report;
  assert.equal(objects.map(describe), [
    'refuse Widget/w',
    'refuse Kustomization',
    'create Namespace/new',
    'create Secret/new/p',
    'create BackupStorage/shop/fresh',
    'change RetentionPolicy/shop/planned',
    'unchanged RetentionPolicy/shop/same',
    'create RetentionPolicy/new/month',
    'create BackupConfiguration/shop/p1',
    'refuse BackupConfiguration/shop/p2',
  ]);
  assert.match(objects[1].causes[0].message, 'kustomize build');
  const [change] = objects.filter(({ action }: Loose) => action === 'change');
  assert.ok(change.diff.includes('-  maxRetentionPeriod: 30d') && change.diff.includes('+  maxRetentionPeriod: 7d'));
  assert.ok(change.warnings.some((text: string) => text.startsWith('spec.maxRetentionPeriod: Snapshots were kept')));
  const created = objects.find(({ object }: Loose) => object === 'BackupConfiguration/shop/p1');
  const expected = 'spec.backends[0].storageRef: BackupStorage shop/fresh does not exist yet; this plan creates it';
  assert.ok(created.warnings.includes(expected), JSON.stringify(created.warnings));
  const { file, line, column, field } = objects.at(-1).causes[0];
  assert.is(field, 'spec.sessions[0].scheduler.schedule');
  assert.match(
    readFileSync(file, 'utf8')
      .split('\n')
      [line - 1]?.slice(column - 1) ?? '',
    /^schedule: /,
  );
  assert.equal(
    schedules.map(({ object, timeZone, next }: Loose) => [object, timeZone, next.length]),
    [['BackupConfiguration/shop/p1', 'Asia/Tokyo', 3]],
  );
  assert.match(schedules[0].next[0].local, /03:00 \+09:00$/);
  assert.is(await state(), before);
});

test('a plan tells of conflicts with other field managers', async () => {
  const other = retention({ maxRetentionPeriod: '40d' }, 'same');
  const [conflict] = (await plan({ fieldManager: 'somebody' }, other)).objects;
  assert.is(conflict?.causes[0]?.field, 'spec.maxRetentionPeriod');
  assert.match(conflict?.causes[0]?.message ?? '', 'conflict with "kubectl"');
  const [forced] = (await plan({ fieldManager: 'somebody', force: true }, other)).objects;
  assert.is(forced?.action, 'change');
});

test('backstay plan has exit codes for scripts', async () => {
  const [same, other] = [join(plane.folder, 'same.yaml'), join(plane.folder, 'other.yaml')];
  await writeFile(same, stringify(retention({}, 'same')));
  await writeFile(other, stringify(retention({ maxRetentionPeriod: '40d' }, 'same')));
  const run = (...args: string[]) =>
    backstay(['plan', '--kubeconfig', plane.kubeconfig, '--detailed-exitcode', ...args]);
  const [unchanged, changed, wrong] = await Promise.all([run(same), run('-o', 'json', other), run('--prune', other)]);
  assert.is(unchanged.code, 0, unchanged.stderr);
  assert.is(unchanged.stdout.toString(), 'Plan: 0 to create, 0 to change, 0 to prune, 1 to leave as they are.\n');
  assert.is(changed.code, 2);
  assert.is(JSON.parse(changed.stdout.toString()).objects[0].action, 'change');
  assert.is(wrong.code, 1, 'a wrong command line is no change');
});

test('a plan names what would be pruned by a label, and what may not be', async () => {
  const labelled = (name: string, more: object = {}): Loose => {
    const object = retention({}, name);
    Object.assign(object.metadata, { labels: { team: 'a' }, ...more });
    return object;
  };
  for (const object of [
    labelled('stays'),
    labelled('goes'),
    labelled('kept-on', { annotations: { 'backstay.dev/prune': 'disabled' } }),
  ])
    await client.apply(RetentionPolicies, object, { fieldManager: 'kubectl' });
  const before = await state();
  const { objects } = await plan({ selector: 'team=a' }, labelled('stays'));
  assert.equal(objects.map(describe).sort(), [
    'prune RetentionPolicy/shop/goes',
    'skip RetentionPolicy/shop/kept-on',
    'unchanged RetentionPolicy/shop/stays',
  ]);
  assert.is(await state(), before);
});

test('a plan for a PolicySync goes by its inventory and its mark', async () => {
  const labels = { 'backstay.dev/policysync': 'shop.production' };
  for (const name of ['synced', 'dropped']) {
    const object = retention({}, name);
    object.metadata.labels = labels;
    await client.apply(RetentionPolicies, object, { fieldManager: 'backstay-policysync' });
  }
  const live = await client.create(PolicySyncs, policySync({ suspend: true }));
  const inventory = ['synced', 'dropped'].map((name) => ({
    id: `shop_${name}_backstay.dev_RetentionPolicy`,
    v: 'v1alpha1',
  }));
  const following = { ...live, status: { inventory } };
  await client.replace(PolicySyncs, following, { subresource: 'status' });
  const before = await state();
  const files = [retention({}, 'synced'), retention({}, 'added')];
  const { objects } = await plan({ kind: 'PolicySync', policySync: following, prune: true }, ...files);
  assert.equal(objects.map(describe), [
    'create RetentionPolicy/shop/added',
    'unchanged RetentionPolicy/shop/synced',
    'prune RetentionPolicy/shop/dropped',
  ]);
  assert.match((objects[0]?.diff ?? []).join('\n'), 'backstay.dev/policysync: shop.production');
  const kept = await plan({ kind: 'PolicySync', policySync: following, prune: false }, ...files);
  assert.equal(
    kept.objects.map(({ action }) => action),
    ['create', 'unchanged'],
  );
  assert.is(await state(), before);
});

/** `create RetentionPolicy/shop/month` */
function describe({ action, object }: PlannedObject): string {
  return `${action} ${object}`;
}

/** Plans objects of a file, for a person unless told otherwise. */
async function plan(by: Partial<Applier>, ...objects: Loose[]): Promise<PlanReport> {
  const path = join(plane.folder, 'plan.yaml');
  await writeFile(path, objects.map((object) => stringify(object, { version: '1.1' })).join('---\n'));
  const person = { kind: 'person', fieldManager: 'kubectl', force: false, selector: undefined };
  return await planFiles(await readFiles([path], process.stdin), {
    ...{ client, applier: { ...person, ...by } as Applier, namespace: 'shop', now: new Date(), signal: stop.signal },
  });
}

/** Every object of the kinds that a plan may touch, with its version. */
async function state(): Promise<string> {
  const types: readonly ResourceType[] = [...Object.values(KINDS), Namespaces, Secrets];
  const lists = await Promise.all(types.map(async (type) => await client.listAll(type)));
  return JSON.stringify(
    lists.flat().map(({ kind, metadata }) => [kind, metadata.namespace, metadata.name, metadata.resourceVersion]),
  );
}

test('it is ready, and counts what it answers', async () => {
  assert.is((await fetch(`${metricsUrl}/readyz`)).status, 200);
  const text = await (await fetch(`${metricsUrl}/metrics`)).text();
  assert.match(
    text,
    /backstay_webhook_requests_total\{webhook="validate",kind="BackupConfiguration",operation="CREATE",allowed="false"\} [1-9]/,
  );
  assert.match(text, /backstay_webhook_certificate_expiry_timestamp_seconds \d+/);
});

test('finalizers can be removed, status written and backups recorded while no webhook answers; policies wait for it', async () => {
  const ref = { namespace: 'shop', name: 'plain' };
  await client.patch(
    BackupConfigurations,
    ref,
    { metadata: { finalizers: ['backstay.dev/cleanup'] } },
    { type: 'merge' },
  );
  await client.delete(BackupConfigurations, ref);
  stop.abort();
  await running;
  const gone = await refusal(client.create(BackupConfigurations, configuration({}, 'late')));
  assert.match(gone.message, 'validate.webhook.backstay.dev');
  const status = { phase: 'Ready' };
  await client.patch(
    BackupConfigurations,
    { namespace: 'shop', name: 'orders' },
    { status },
    { type: 'merge', subresource: 'status' },
  );
  const { code, stderr } = await run(['create'], {
    ...{ apiVersion: 'backstay.dev/v1alpha1', kind: 'BackupSession', metadata: { name: 'run', namespace: 'shop' } },
    spec: { invoker: { name: 'orders' }, session: 'nightly' },
  });
  assert.is(code, 0, stderr);
  await client.patch(BackupConfigurations, ref, { metadata: { finalizers: [] } }, { type: 'merge' });
  assert.is(await client.get(BackupConfigurations, ref), undefined);
});

test.run();
