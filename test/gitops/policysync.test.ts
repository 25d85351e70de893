// needs: cluster
// time-limit: 300s
// A PolicySync against a real API server and a real git server: what a commit does to the cluster, and what it must not do.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tool } from '../../scripts/tools/tool.ts';
import type { PolicySync } from '../../src/api/generated/types.ts';
import { API_VERSION } from '../../src/api/group.ts';
import { AppBindings, PolicySyncs, RestoreSessions, RetentionPolicies } from '../../src/api/kinds.ts';
import { policySyncController } from '../../src/gitops/controller.ts';
import type { KustomizeProgram } from '../../src/gitops/kustomize/build.ts';
import { liveFrom, liveFromCaches } from '../../src/gitops/live.ts';
import { createPolicySyncMetrics } from '../../src/gitops/metrics.ts';
import { Hints } from '../../src/gitops/push/hints.ts';
import { startReceiver } from '../../src/gitops/push/receiver.ts';
import { PolicySyncReconciler } from '../../src/gitops/reconciler.ts';
import { Namespaces, type Secret, Secrets, ServiceAccounts } from '../../src/kube/builtin.ts';
import { Cache } from '../../src/kube/cache.ts';
import type { Client } from '../../src/kube/client.ts';
import type { EventToRecord } from '../../src/kube/events.ts';
import type { KubeObject } from '../../src/kube/resource.ts';
import { backstay } from '../cli/backstay.ts';
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts';
import { until } from '../lab/process.ts';
import { GitServer } from './git-server.ts';
import {
  account,
  condition,
  declare,
  makeNamespace,
  policySyncOf,
  present,
  recording,
  request,
  retention,
  retentions,
  type Scene,
  seen,
  serveKinds,
} from './scene.ts';

interface Context extends Scene {
  plane: ControlPlane;
  stop: AbortController;
  folder: string;
  reconciler: PolicySyncReconciler;
  events: EventToRecord[];
  /** Requests that change something, of the reconciler and of the service accounts it acts as. */
  writes: string[];
}

const test = suite<Context>('policysync');
/** The full measure is 20 kills of a synchronisation of 500 objects. */
const KILLS = Number(process.env.BACKSTAY_ROUNDS ?? 1);
const OBJECTS = process.env.BACKSTAY_ROUNDS === undefined ? 30 : 500;
let serial = 0;

test.before(async (context) => {
  context.plane = await startControlPlane();
  context.client = context.plane.client();
  context.server = await GitServer.start();
  context.folder = mkdtempSync(join(tmpdir(), 'backstay-policysync-'));
  context.stop = new AbortController();
  await serveKinds(context.client);
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
  context.namespace = `test-${serial}`;
  context.repository = context.server.repository(context.namespace);
  context.events = [];
  context.writes = [];
  context.server.intercept = undefined;
  await makeNamespace(context);
  context.reconciler = reconcilerOf(context);
});

function reconcilerOf(context: Context, kustomize?: KustomizeProgram): PolicySyncReconciler {
  const client = recording(context.client, context.writes);
  const { cache: policySyncs, folder, events } = context;
  return new PolicySyncReconciler({
    client,
    policySyncs,
    folder,
    kustomize,
    live: liveFrom(client),
    events: { record: (_object, event) => void events.push(event) },
    signal: context.stop.signal,
  });
}

function statusesIn(writes: readonly string[]): number {
  return writes.filter((write) => write.includes(' PolicySync ')).length;
}

/** Reconciles now, as somebody who sets the annotation does, and gives the PolicySync afterwards. */
async function sync(context: Context, name = 'policies'): Promise<PolicySync> {
  await request(context, name);
  await context.reconciler.reconcile(`${context.namespace}/${name}`, context.stop.signal);
  return policySyncOf(context, name);
}

test('an overlay is applied as kustomize builds it, and a change of its base follows', async (context) => {
  context.reconciler = reconcilerOf(context, [await tool('kubernetes'), 'kubectl', 'kustomize']);
  const { repository } = context;
  repository.commit({
    'base/kustomization.yaml': 'resources: [policies.yaml]\n',
    'base/policies.yaml': retention('daily', 7),
    'paris/kustomization.yaml': 'resources: [../base]\nnamePrefix: eu-\n',
  });
  await declare(context, { path: 'paris' });
  assert.is(condition(await sync(context), 'Ready'), 'True ReconciliationSucceeded');
  assert.equal(await retentions(context), { 'eu-daily': 7 });
  repository.commit({ 'base/policies.yaml': `${retention('daily', 9)}---\n${retention('weekly', -1)}` });
  const refused = await sync(context);
  assert.is(condition(refused, 'Ready'), 'False ValidationFailed');
  const [failure] = refused.status?.failures ?? [];
  assert.is(
    `${failure?.file}:${failure?.line} ${failure?.field}`,
    'base/policies.yaml:15 spec.successfulSnapshots.last',
  );
  assert.is(failure?.object, `RetentionPolicy/${context.namespace}/eu-weekly`);
  repository.commit({ 'base/policies.yaml': retention('daily', 9) });
  await sync(context);
  assert.equal(await retentions(context), { 'eu-daily': 9 });
});

test('the first reconciliation applies the commit and says so in the status', async (context) => {
  const oid = context.repository.commit(
    { 'a.yaml': retention('daily', 7), 'b/c.yaml': `${retention('weekly', 4)}---\n${retention('monthly', 12)}` },
    'Keep backups',
  );
  await declare(context);
  const after = await sync(context);
  assert.equal(await retentions(context), { daily: 7, monthly: 12, weekly: 4 });
  assert.equal(
    ['Ready', 'Reconciling', 'Stalled'].map((type) => condition(after, type)?.split(' ')[0]),
    ['True', 'False', 'False'],
  );
  assert.is(after.status?.lastAppliedRevision, `main@sha1:${oid}`);
  assert.is(after.status?.lastAttemptedRevision, `main@sha1:${oid}`);
  assert.is(after.status?.observedGeneration, 1);
  assert.is(after.status?.objects, 3);
  assert.equal(
    after.status?.inventory?.map(({ id, v }) => `${id} ${v}`),
    ['daily', 'monthly', 'weekly'].map((name) => `${context.namespace}_${name}_backstay.dev_RetentionPolicy v1alpha1`),
  );
  assert.is(after.status?.history?.length, 1);
  assert.match(after.status?.history?.[0]?.message ?? '', 'Created 3');
  const daily = present(await context.client.get(RetentionPolicies, { namespace: context.namespace, name: 'daily' }));
  assert.is(daily.metadata.labels?.['backstay.dev/policysync'], `${context.namespace}.policies`);
  assert.equal(
    context.events.map(({ type, reason }) => `${type} ${reason}`),
    ['Normal ReconciliationSucceeded'],
  );
  assert.match(context.events[0]?.note ?? '', /“Keep backups” by Ada Author/);
});

test('a settled PolicySync writes nothing at all', async (context) => {
  context.repository.commit({ 'a.yaml': retention('daily', 7), 'b.yaml': retention('weekly', 4) });
  await declare(context);
  await sync(context);
  const { namespace, client, writes } = context;
  const versions = async (): Promise<string> => {
    const objects = [
      ...(await client.listAll(RetentionPolicies, { namespace })),
      ...(await client.listAll(PolicySyncs, { namespace })),
    ];
    return objects.map(({ metadata }) => metadata.resourceVersion).join();
  };
  const before = await versions();
  writes.length = 0;
  context.server.requests.length = 0;
  // A new process: nothing is remembered, and it is due at once.
  for (let times = 0; times < 3; times += 1)
    await reconcilerOf(context).reconcile(`${namespace}/policies`, context.stop.signal);
  assert.equal(writes, []);
  assert.is(await versions(), before);
  assert.is(context.server.requests.length, 3, 'one request each');
});

test('a changed file changes its object alone, and a removed one is pruned', async (context) => {
  context.repository.commit({
    'a.yaml': retention('daily', 7),
    'b.yaml': retention('weekly', 4),
    'c.yaml': retention('yearly', 1),
  });
  await declare(context);
  await sync(context);
  context.repository.commit({ 'a.yaml': retention('daily', 8), 'c.yaml': null });
  context.writes.length = 0;
  const after = await sync(context);
  assert.equal(await retentions(context), { daily: 8, weekly: 4 });
  assert.equal(
    context.writes.filter((write) => write.includes('RetentionPolicy')),
    ['apply RetentionPolicy daily', 'delete RetentionPolicy yearly'],
  );
  assert.is(statusesIn(context.writes), 1, 'all of it is on record before, so that one status is enough');
  assert.is(after.status?.inventory?.length, 2);
});

test('a field that is no longer in the file is removed from the object', async (context) => {
  context.repository.commit({ 'a.yaml': `${retention('daily', 7)}    monthly: 3\n` });
  await declare(context);
  await sync(context);
  context.repository.commit({ 'a.yaml': retention('daily', 7) });
  await sync(context);
  const daily = present(await context.client.get(RetentionPolicies, { namespace: context.namespace, name: 'daily' }));
  assert.equal(daily.spec.successfulSnapshots, { last: 7 });
});

test('a rename creates the new object before it prunes the old one', async (context) => {
  context.repository.commit({ 'a.yaml': retention('old', 7) });
  await declare(context);
  await sync(context);
  context.writes.length = 0;
  context.repository.commit({ 'a.yaml': retention('new', 7) });
  await sync(context);
  assert.equal(
    context.writes.filter((write) => write.includes('RetentionPolicy')),
    ['apply RetentionPolicy new', 'delete RetentionPolicy old'],
  );
  assert.is(statusesIn(context.writes), 2, 'a new object is on record before it is made');
});

test('one bad file, and nothing of the commit is applied or pruned; every failure has its file, line and field', async (context) => {
  context.repository.commit({ 'a.yaml': retention('daily', 7), 'b.yaml': retention('weekly', 4) });
  await declare(context);
  const good = await sync(context);
  context.repository.commit({
    'a.yaml': retention('daily', 99),
    'b.yaml': null,
    'bad/schema.yaml': retention('x', 7).replace('last: 7', 'last: many\n    dialy: 3'),
    'bad/syntax.yaml': 'a: [1\n',
    'bad/twice.yaml': `${retention('x', 7)}  successfulSnapshots: {}\n`,
    'bad/pod.yaml': 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\n',
    'bad/run.yaml': `apiVersion: ${API_VERSION}\nkind: BackupSession\nmetadata:\n  name: x\nspec: {}\n`,
  });
  const after = await sync(context);
  assert.equal(await retentions(context), { daily: 7, weekly: 4 });
  assert.is(condition(after, 'Ready'), 'False ValidationFailed');
  assert.is(condition(after, 'Stalled'), 'True ValidationFailed');
  assert.is(after.status?.lastAppliedRevision, good.status?.lastAppliedRevision);
  assert.is.not(after.status?.lastAttemptedRevision, good.status?.lastAttemptedRevision);
  assert.equal(after.status?.inventory, good.status?.inventory);
  const failures = after.status?.failures ?? [];
  assert.equal([...new Set(failures.map(({ file }) => file))].sort(), [
    'bad/pod.yaml',
    'bad/run.yaml',
    'bad/schema.yaml',
    'bad/syntax.yaml',
    'bad/twice.yaml',
  ]);
  assert.ok(failures.every(({ line }) => line !== undefined && line > 0));
  const last = failures.find(({ field }) => field === 'spec.successfulSnapshots.last');
  assert.equal(
    [last?.file, last?.line, last?.object],
    ['bad/schema.yaml', 7, `RetentionPolicy/${context.namespace}/x`],
  );
  assert.is(failures.find(({ field }) => field === 'spec.successfulSnapshots.dialy')?.line, 8);
  assert.is(failures.find(({ file }) => file === 'bad/twice.yaml')?.line, 8);
  const [, event] = context.events;
  assert.is(event?.reason, 'ValidationFailed');

  context.writes.length = 0;
  await sync(context);
  assert.is(context.events.length, 2, 'the same failure is told once');
});

test('a path that vanishes or loses its last policy prunes nothing', async (context) => {
  context.repository.commit({ 'shop/a.yaml': retention('daily', 7), 'other.txt': '' });
  await declare(context, { path: 'shop' });
  await sync(context);
  context.repository.commit({ 'shop/a.yaml': null, 'shop/README.md': '#' });
  const emptied = await sync(context);
  assert.is(condition(emptied, 'Ready'), 'False EmptyRevision');
  context.repository.commit({ shop: null });
  const vanished = await sync(context);
  assert.is(condition(vanished, 'Ready'), 'False PathNotFound');
  assert.equal(await retentions(context), { daily: 7 });
  assert.is(vanished.status?.inventory?.length, 1);
});

test('a server that is away changes nothing but the condition, and the way back is told', async (context) => {
  context.repository.commit({ 'a.yaml': retention('daily', 7) });
  await declare(context);
  await sync(context);
  context.server.intercept = (request) => {
    request.socket.destroy();
    return true;
  };
  const away = await sync(context);
  assert.is(condition(away, 'Ready'), 'False Unreachable');
  assert.is(condition(away, 'Stalled'), 'False Unreachable');
  context.server.intercept = undefined;
  const back = await sync(context);
  assert.is(condition(back, 'Ready'), 'True ReconciliationSucceeded');
  assert.equal(
    context.events.map(({ reason }) => reason),
    ['ReconciliationSucceeded', 'Unreachable', 'ReconciliationSucceeded'],
  );
  assert.equal(await retentions(context), { daily: 7 });
});

test('an account without rights is told with the object, and nothing is applied by half', async (context) => {
  await account(context, 'weak', [
    { apiGroups: ['backstay.dev'], resources: ['retentionpolicies'], verbs: ['get', 'create', 'patch'] },
  ]);
  context.repository.commit({ 'a.yaml': retention('daily', 7), 'z.yaml': appBinding('shop') });
  await declare(context, { serviceAccountName: 'weak' });
  const after = await sync(context);
  assert.is(condition(after, 'Ready'), 'False ApplyRefused');
  assert.equal(await retentions(context), {});
  const [failure] = after.status?.failures ?? [];
  assert.equal([failure?.file, failure?.object], ['z.yaml', `AppBinding/${context.namespace}/shop`]);
  assert.match(failure?.message ?? '', /forbidden/i);
  assert.is(after.status?.inventory, undefined);

  // It may not delete either, so a commit that prunes is not begun.
  context.repository.commit({ 'z.yaml': null, 'b.yaml': retention('weekly', 4) });
  await sync(context);
  context.repository.commit({ 'b.yaml': null, 'a.yaml': retention('daily', 8) });
  const pruning = await sync(context);
  assert.is(condition(pruning, 'Ready'), 'False ApplyRefused');
  assert.match(pruning.status?.failures?.[0]?.message ?? '', 'cannot be pruned');
  assert.equal(await retentions(context), { daily: 7, weekly: 4 });
});

test('an account that is not there is named', async (context) => {
  context.repository.commit({ 'a.yaml': retention('daily', 7) });
  await declare(context, { serviceAccountName: 'nobody' });
  assert.is(condition(await sync(context), 'Ready'), 'False ServiceAccountNotFound');
});

test('an object in another namespace is refused to an account that has no rights there', async (context) => {
  context.repository.commit({ 'a.yaml': retention('daily', 7, '  namespace: default\n') });
  await declare(context);
  const after = await sync(context);
  assert.is(condition(after, 'Ready'), 'False ApplyRefused');
  assert.is(after.status?.failures?.[0]?.object, 'RetentionPolicy/default/daily');
});

test('what somebody changes or deletes in the cluster is put right', async (context) => {
  context.repository.commit({ 'a.yaml': retention('daily', 7), 'b.yaml': retention('weekly', 4) });
  await declare(context);
  await sync(context);
  const { client, namespace } = context;
  await client.patch(
    RetentionPolicies,
    { namespace, name: 'daily' },
    { spec: { successfulSnapshots: { last: 1 } } },
    { type: 'merge', fieldManager: 'kubectl-edit' },
  );
  await client.delete(RetentionPolicies, { namespace, name: 'weekly' });
  const after = await sync(context);
  assert.equal(await retentions(context), { daily: 7, weekly: 4 });
  assert.match(after.status?.history?.[0]?.message ?? '', 'Created 1, changed 1');
});

test('what others add beside the written fields stays, and is no drift', async (context) => {
  context.repository.commit({ 'a.yaml': retention('daily', 7) });
  await declare(context);
  await sync(context);
  const { client, namespace, writes } = context;
  await client.patch(
    RetentionPolicies,
    { namespace, name: 'daily' },
    { metadata: { labels: { team: 'shop' } } },
    { type: 'merge', fieldManager: 'kubectl-label' },
  );
  writes.length = 0;
  await sync(context);
  assert.equal(
    writes.filter((write) => write.includes('RetentionPolicy')),
    [],
  );
});

test('an object that Flux or another PolicySync manages is a conflict, until spec.force says otherwise', async (context) => {
  const { client, namespace, repository } = context;
  repository.commit({ 'a.yaml': retention('daily', 7), 'b.yaml': retention('weekly', 4) });
  const metadata = { name: 'daily', namespace, labels: { 'kustomize.toolkit.fluxcd.io/name': 'apps' } };
  await client.apply(
    RetentionPolicies,
    { metadata, spec: { successfulSnapshots: { last: 1 } } },
    { fieldManager: 'kustomize-controller' },
  );
  await declare(context);
  const refused = await sync(context);
  assert.is(condition(refused, 'Ready'), 'False ManagedByOther');
  assert.match(refused.status?.failures?.[0]?.message ?? '', 'Flux (Kustomization apps)');
  assert.equal(await retentions(context), { daily: 1 });
  await declare(context, { force: true });
  await sync(context);
  assert.equal(await retentions(context), { daily: 7, weekly: 4 });

  await declare(context, {}, 'second');
  const second = await sync(context, 'second');
  assert.is(condition(second, 'Ready'), 'False ManagedByOther');
  assert.match(second.status?.failures?.[1]?.message ?? '', `PolicySync ${namespace}/policies`);
});

test('an unmanaged object is adopted where it agrees, and told field by field where it does not', async (context) => {
  const { client, namespace, repository } = context;
  const make = (name: string, last: number): Promise<KubeObject> =>
    client.apply(
      RetentionPolicies,
      { metadata: { name, namespace }, spec: { successfulSnapshots: { last } } },
      { fieldManager: 'kubectl' },
    );
  await make('same', 7);
  repository.commit({ 'a.yaml': retention('same', 7) });
  await declare(context);
  assert.is(condition(await sync(context), 'Ready'), 'True ReconciliationSucceeded');
  await make('other', 1);
  repository.commit({ 'b.yaml': retention('other', 7) });
  const refused = await sync(context);
  assert.is(condition(refused, 'Ready'), 'False ApplyRefused');
  assert.match(refused.status?.failures?.[0]?.message ?? '', /spec\.successfulSnapshots\.last.*kubectl.*spec\.force/s);
  assert.is(refused.status?.failures?.[0]?.file, 'b.yaml');
});

test('an object that says so is not pruned, nor is one that lost our mark', async (context) => {
  const { client, namespace, repository } = context;
  repository.commit({
    'a.yaml': retention('kept', 7, '  annotations:\n    backstay.dev/prune: disabled\n'),
    'b.yaml': retention('taken', 7),
    'c.yaml': retention('rest', 1),
  });
  await declare(context);
  await sync(context);
  await client.patch(
    RetentionPolicies,
    { namespace, name: 'taken' },
    { metadata: { labels: { 'backstay.dev/policysync': null } } },
    { type: 'merge', fieldManager: 'test' },
  );
  repository.commit({ 'a.yaml': null, 'b.yaml': null });
  await sync(context);
  assert.equal(await retentions(context), { kept: 7, rest: 1, taken: 7 });
});

test('a suspended PolicySync does nothing, and goes on when it is resumed', async (context) => {
  context.repository.commit({ 'a.yaml': retention('daily', 7) });
  await declare(context);
  await sync(context);
  await declare(context, { suspend: true });
  context.repository.commit({ 'a.yaml': retention('daily', 8) });
  context.server.requests.length = 0;
  const asleep = await sync(context);
  assert.equal(context.server.requests, []);
  assert.equal(await retentions(context), { daily: 7 });
  assert.is(asleep.status?.observedGeneration, asleep.metadata.generation);
  await declare(context, { suspend: false });
  await context.reconciler.reconcile(`${context.namespace}/policies`, context.stop.signal);
  assert.equal(await retentions(context), { daily: 8 });
});

test('the reconcile annotation is acted upon once, and echoed', async (context) => {
  context.repository.commit({ 'a.yaml': retention('daily', 7) });
  await declare(context);
  await sync(context);
  const before = context.server.requests.length;
  const after = await sync(context);
  assert.is(after.status?.lastHandledReconcileAt, after.metadata.annotations?.['backstay.dev/reconcile']);
  const asked = context.server.requests.length;
  assert.ok(asked > before);
  await seen(context.cache, after);
  const result = await context.reconciler.reconcile(`${context.namespace}/policies`, context.stop.signal);
  assert.is(context.server.requests.length, asked);
  assert.ok((result?.requeueAfterSeconds ?? 0) > 30);
});

test('a restore in git runs once: deleted, it is not made again', async (context) => {
  const { client, namespace, repository } = context;
  repository.commit({ 'a.yaml': retention('daily', 7), 'r.yaml': restore('back') });
  await declare(context);
  const first = await sync(context);
  assert.is(condition(first, 'Ready'), 'True ReconciliationSucceeded', JSON.stringify(first.status?.failures));
  await client.delete(RestoreSessions, { namespace, name: 'back' });
  const after = await sync(context);
  assert.is(await client.get(RestoreSessions, { namespace, name: 'back' }), undefined);
  assert.match(
    after.status?.conditions?.find(({ type }) => type === 'Ready')?.message ?? '',
    'rename it to restore again',
  );
});

test('deleting a PolicySync leaves its objects, unless it says Delete', async (context) => {
  const { client, namespace, repository, reconciler, cache } = context;
  repository.commit({
    'a.yaml': retention('daily', 7),
    'b.yaml': retention('kept', 1, '  annotations:\n    backstay.dev/prune: disabled\n'),
  });
  const gone = async (name: string): Promise<void> => {
    await client.delete(PolicySyncs, { namespace, name });
    const left = await client.get(PolicySyncs, { namespace, name });
    if (left !== undefined) {
      await seen(cache, left);
      await reconciler.reconcile(`${namespace}/${name}`, context.stop.signal);
    }
    await until(
      'the PolicySync is gone',
      async () => (await client.get(PolicySyncs, { namespace, name })) === undefined,
    );
    await until('the cache knows', async () => cache.getByKey(`${namespace}/${name}`) === undefined);
    await reconciler.reconcile(`${namespace}/${name}`, context.stop.signal);
  };
  const orphaning = await declare(context);
  await sync(context);
  assert.ok(readdirSync(context.folder).includes(orphaning.metadata.uid ?? ''));
  await gone('policies');
  assert.equal(await retentions(context), { daily: 7, kept: 1 });
  assert.not.ok(readdirSync(context.folder).includes(orphaning.metadata.uid ?? ''));

  // What the first one left behind is free for the second.
  await declare(context, { deletionPolicy: 'Delete' }, 'second');
  const second = await sync(context, 'second');
  assert.is(condition(second, 'Ready'), 'True ReconciliationSucceeded');
  assert.equal(second.metadata.finalizers, ['backstay.dev/cleanup']);
  await gone('second');
  assert.equal(await retentions(context), { kept: 1 });
});

test('a PolicySync whose account is gone lets go of its objects, so that its namespace can end', async (context) => {
  const { client, namespace, repository, cache, events } = context;
  repository.commit({ 'a.yaml': retention('daily', 7) });
  await declare(context, { deletionPolicy: 'Delete' });
  await sync(context);
  await client.delete(ServiceAccounts, { namespace, name: 'git' });
  await client.delete(PolicySyncs, { namespace, name: 'policies' });
  await seen(cache, present(await client.get(PolicySyncs, { namespace, name: 'policies' })));
  await reconcilerOf(context).reconcile(`${namespace}/policies`, context.stop.signal);
  assert.is(await client.get(PolicySyncs, { namespace, name: 'policies' }), undefined);
  assert.ok(events.some(({ reason }) => reason === 'Orphaned'));
});

test('a process that dies between two writes leaves nothing that the next one does not know of', async (context) => {
  const { namespace, repository, client, cache, folder, stop } = context;
  repository.commit({ 'a.yaml': retention('first', 1) });
  await declare(context);
  await sync(context);
  repository.commit({ 'b.yaml': retention('half', 2), 'c.yaml': appBinding('shop') });
  const death = new AbortController();
  const dying = new Proxy(client, {
    get: (target, name) => {
      if (name !== 'withToken') return Reflect.get(target, name, target).bind(target);
      return (token: never) => {
        const as = target.withToken(token);
        return new Proxy(as, {
          get: (inner, method) => {
            if (method !== 'apply') return Reflect.get(inner, method, inner).bind(inner);
            return async (...args: Parameters<Client['apply']>) => {
              const done = await inner.apply(...args);
              if (args[2].dryRun !== true) death.abort(new Error('killed'));
              return done;
            };
          },
        });
      };
    },
  });
  const dead = new PolicySyncReconciler({
    client: dying,
    policySyncs: cache,
    folder,
    live: liveFrom(client),
    events: { record: () => {} },
  });
  await until(
    'the cache is up to date',
    async () => cache.getByKey(`${namespace}/policies`)?.status?.inventory?.length === 1,
  );
  let reason: unknown;
  await dead.reconcile(`${namespace}/policies`, death.signal).catch((error: unknown) => {
    reason = error;
  });
  assert.match(String(reason), 'killed');
  const between = present(await client.get(PolicySyncs, { namespace, name: 'policies' }));
  assert.is(between.status?.inventory?.length, 3, 'what is begun is on record');
  assert.is(condition(between, 'Ready'), 'Unknown Progressing');

  // The commit after it no longer has the object that was made last.
  repository.commit({ 'b.yaml': null, 'c.yaml': null, 'a.yaml': retention('first', 3) });
  await seen(cache, between);
  await reconcilerOf(context).reconcile(`${namespace}/policies`, stop.signal);
  assert.equal(await retentions(context), { first: 3 });
  assert.equal(await client.listAll(AppBindings, { namespace }), []);
  const after = present(await client.get(PolicySyncs, { namespace, name: 'policies' }));
  assert.is(after.status?.inventory?.length, 1);
});

test('two hundred policies arrive in one reconciliation, and the next one asks for nothing', async (context) => {
  context.repository.commit(
    Object.fromEntries(
      Array.from({ length: 200 }, (_, index) => [`p/${index}.yaml`, retention(`r${index}`, index + 1)]),
    ),
  );
  await declare(context);
  const after = await sync(context);
  assert.is(after.status?.objects, 200);
  assert.is(Object.keys(await retentions(context)).length, 200);
  context.writes.length = 0;
  await sync(context);
  assert.equal(context.writes, [`applyStatus PolicySync policies`]);
});

test(`a process that is killed at ${KILLS} random moments, with creations and deletions on the way, ends where the commit is`, async (context) => {
  const { client, namespace, repository, plane, folder } = context;
  const names = Array.from({ length: OBJECTS }, (_, index) => `r${index}`);
  let wanted: Record<string, number> = {};
  let child: ChildProcess | undefined;
  const start = (): void => {
    const env = { ...process.env, KUBECONFIG: plane.kubeconfig };
    child = spawn(process.execPath, [join(import.meta.dirname, 'follower.ts'), folder], { env, stdio: 'ignore' });
  };
  const kill = async (): Promise<void> => {
    const dead = new Promise((resolve) => child?.once('exit', resolve));
    child?.kill('SIGKILL');
    await dead;
  };
  try {
    for (let round = 0; round < KILLS; round += 1) {
      wanted = Object.fromEntries(names.filter(() => Math.random() < 0.6).map((name) => [name, round + 1]));
      repository.commit(
        Object.fromEntries(
          names.map((name) => [`p/${name}.yaml`, name in wanted ? retention(name, round + 1) : '# none\n']),
        ),
      );
      // Beside it stands what nobody wrote to git: it has to stay.
      if (round === 0) {
        await client.apply(
          RetentionPolicies,
          { metadata: { name: 'foreign', namespace }, spec: { successfulSnapshots: { last: 99 } } },
          { fieldManager: 'kubectl' },
        );
        await declare(context, { interval: '5s' });
      }
      start();
      // A start takes about a second, a synchronisation about as long.
      await setTimeout(500 + Math.random() * 2500);
      await kill();
    }
    start();
    await until('the cluster says what the commit says', async () => {
      const { foreign, ...live } = await retentions(context);
      const same = JSON.stringify(Object.entries(live).sort()) === JSON.stringify(Object.entries(wanted).sort());
      return same && foreign === 99;
    });
    await until('it is on record', async () => {
      const { status } = present(await client.get(PolicySyncs, { namespace, name: 'policies' }));
      return status?.inventory?.length === Object.keys(wanted).length && status.inventory.every(({ digest }) => digest);
    });
  } finally {
    await kill();
  }
});

test('the command line shows what is followed, what would change, and has it done', async (context) => {
  const { client, namespace, repository, cache: policySyncs, folder, plane } = context;
  const run = async (...args: string[]): Promise<{ code: number | null; said: string }> => {
    const { code, stdout, stderr } = await backstay(['sync', ...args, '--kubeconfig', plane.kubeconfig]);
    return { code, said: `${stdout}${stderr}` };
  };
  repository.commit({ 'a.yaml': retention('daily', 7), 'b.yaml': retention('weekly', 4) });
  await declare(context);
  await sync(context);
  repository.commit({ 'a.yaml': retention('daily', 8), 'b.yaml': null, 'c.yaml': retention('yearly', 1) }, 'Keep less');
  const diff = await run('diff', 'policies', '-n', namespace);
  assert.is(diff.code, 1, diff.said);
  assert.match(diff.said, /“Keep less” by Ada Author/);
  assert.match(diff.said, `+ RetentionPolicy/${namespace}/yearly  (c.yaml:1)`);
  assert.match(diff.said, `- RetentionPolicy/${namespace}/weekly`);
  assert.match(diff.said, 'spec.successfulSnapshots.last: 7 -> 8');
  assert.equal(await retentions(context), { daily: 7, weekly: 4 });

  const stop = new AbortController();
  const dependencies = { client, policySyncs, folder, live: liveFrom(client), events: { record: () => {} } };
  const running = policySyncController(dependencies).run(stop.signal);
  try {
    const done = await run('reconcile', 'policies', '-n', namespace, '--wait');
    assert.is(done.code, 0, done.said);
    assert.match(done.said, 'Applied revision main@sha1:');
    assert.equal(await retentions(context), { daily: 8, yearly: 1 });
    assert.is((await run('diff', 'policies', '-n', namespace)).code, 0);
    assert.is((await run('suspend', 'policies', '-n', namespace)).code, 0);
    const status = await run('status', 'policies', '-n', namespace);
    assert.match(status.said, /Suspended/);
    assert.match(status.said, /Applied main@sha1:[0-9a-f]{12} in .* Created 1, changed 1, pruned 1/);
    assert.match((await run('status', '-A')).said, new RegExp(`${namespace} +policies +Suspended`));
    const refused = await run('reconcile', 'policies', '-n', namespace);
    assert.match(refused.said, 'is suspended; resume it first');
    assert.is((await run('resume', 'policies', '-n', namespace)).code, 0);
    const missing = await run('status', 'nothing', '-n', namespace);
    assert.is(missing.code, 1);
    assert.match(missing.said, `PolicySync ${namespace}/nothing does not exist`);
  } finally {
    stop.abort();
    await running;
  }
});

test('git servers that do not answer leave room for others, and say that they are waited for', async (context) => {
  const { client, namespace, server, repository, cache: policySyncs, folder } = context;
  const stuck = server.repository(`${namespace}-stuck`);
  let [open, most, asked] = [0, 0, 0];
  server.intercept = ({ url = '' }, response) => {
    if (!url.includes(`${namespace}-stuck`)) return false;
    open += 1;
    asked += 1;
    most = Math.max(most, open);
    response.on('close', () => {
      open -= 1;
    });
    return true;
  };
  const stop = new AbortController();
  const events = { record: () => {} };
  const running = policySyncController({
    ...{ client, policySyncs, folder, live: liveFrom(client), events, concurrency: 2 },
  }).run(stop.signal);
  const names = ['one', 'two', 'three'];
  const reasons = (): (string | undefined)[] =>
    names.map((name) => {
      const { status } = policySyncs.getByKey(`${namespace}/${name}`) ?? {};
      return status?.conditions?.find(({ type }) => type === 'Ready')?.reason;
    });
  try {
    for (const name of names) await declare(context, { url: server.urlOf(stuck), timeout: '1s' }, name);
    await until('all of them have timed out', async () => reasons().every((reason) => reason === 'TimedOut'));
    [most, asked] = [open, 0];
    repository.commit({ 'a.yaml': retention('daily', 7) });
    await declare(context, { timeout: '30s' });
    await until('the one that is answered is applied', async () => (await retentions(context)).daily === 7);
    await until('the others were tried again', async () => asked >= names.length);
    assert.is(most, 1, 'one of two workers waits for those that timed out');

    server.intercept = undefined;
    stuck.commit({ 'b.yaml': retention('weekly', 4) });
    // Two of the three find that the first has it.
    await until('they go on by themselves', async () => (await retentions(context)).weekly === 4);
  } finally {
    stop.abort();
    await running;
    for (const name of names) await client.delete(PolicySyncs, { namespace, name });
  }
});

test('the controller follows the branch by itself, and puts drift right at its interval', async (context) => {
  const { client, namespace, repository, cache: policySyncs, folder, events } = context;
  const registry = new Registry();
  const stop = new AbortController();
  const controller = policySyncController({
    ...{ client, policySyncs, folder, live: liveFrom(client), metrics: createPolicySyncMetrics(registry) },
    events: { record: (_object, event) => void events.push(event) },
  });
  const running = controller.run(stop.signal);
  try {
    repository.commit({ 'a.yaml': retention('daily', 7) });
    await declare(context, { interval: '5s' });
    await until('the first commit is there', async () => (await retentions(context)).daily === 7);
    repository.commit({ 'a.yaml': retention('daily', 8) });
    await until('the second commit is there', async () => (await retentions(context)).daily === 8);
    await client.delete(RetentionPolicies, { namespace, name: 'daily' });
    await until('what was deleted is there again', async () => (await retentions(context)).daily === 8);
    const drift = `backstay_policysync_drift_corrected_total{namespace="${namespace}",name="policies"} 1`;
    await until('the drift is counted', async () => (await registry.metrics()).includes(drift));
    const text = await registry.metrics();
    assert.match(text, `backstay_policysync_ready{namespace="${namespace}",name="policies"} 1`);
    assert.match(text, `backstay_policysync_objects{namespace="${namespace}",name="policies"} 1`);
    assert.match(text, `backstay_policysync_revision_age_seconds{namespace="${namespace}",name="policies"}`);
    await client.delete(PolicySyncs, { namespace, name: 'policies' });
    await until(
      'its metrics are gone',
      async () => !(await registry.metrics()).includes(`_ready{namespace="${namespace}"`),
    );
  } finally {
    stop.abort();
    await running;
  }
});

test('what is changed or deleted in the cluster is put right at once; who does it again and again is named and followed more slowly', async (context) => {
  const { client, namespace, repository, cache: policySyncs, folder, server, stop: end } = context;
  const stop = new AbortController();
  const retentionPolicies = new Cache({ client, type: RetentionPolicies });
  void retentionPolicies.run(AbortSignal.any([stop.signal, end.signal]));
  const noted: string[] = [];
  const controller = policySyncController(
    {
      ...{ client, policySyncs, folder, signal: stop.signal },
      live: liveFromCaches([retentionPolicies as unknown as Cache<KubeObject>], liveFrom(client)),
      contestBackoff: { baseMs: 300, maxMs: 1200 },
      events: { record: (_object, { reason, note }) => void noted.push(`${reason}: ${note}`) },
    },
    { watched: [retentionPolicies as unknown as Cache<KubeObject>] },
  );
  const running = controller.run(stop.signal);
  const edit = (last: number): Promise<unknown> =>
    client.patch(
      RetentionPolicies,
      { namespace, name: 'daily' },
      { spec: { successfulSnapshots: { last } } },
      { type: 'merge', fieldManager: 'rogue' },
    );
  try {
    repository.commit({ 'a.yaml': retention('daily', 7), 'b.yaml': retention('weekly', 4) });
    await declare(context, { interval: '1h' });
    await until('the commit is there', async () => (await retentions(context)).weekly === 4);
    await setTimeout(400);
    // The controller follows what earlier tests left, too.
    const ours = (): number => server.requests.filter(({ url }) => url.includes(`/${namespace}`)).length;
    const asked = ours();
    await client.delete(RetentionPolicies, { namespace, name: 'weekly' });
    await until('what was deleted is there again', async () => (await retentions(context)).weekly === 4);
    await setTimeout(400);
    assert.is(ours(), asked + 1, 'its own writes wake nobody');

    const contested = async (): Promise<string | undefined> =>
      present(await client.get(PolicySyncs, { namespace, name: 'policies' })).status?.conditions?.find(
        ({ type, status }) => type === 'DriftContested' && status === 'True',
      )?.message;
    let rounds = 0;
    const fight = async (): Promise<void> => {
      if ((await retentions(context)).daily !== 7) return;
      await edit(1);
      rounds += 1;
    };
    await until('the condition says so', async () => {
      await fight();
      return (await contested()) !== undefined;
    });
    assert.ok(rounds >= 3 && rounds <= 4, `${rounds} rounds`);
    const slow = performance.now();
    while (performance.now() - slow < 1000) await fight();
    assert.ok(rounds <= 5, `${rounds} rounds`);
    await until('the fight is over', async () => (await retentions(context)).daily === 7);
    assert.match(
      (await contested()) ?? '',
      `RetentionPolicy/${namespace}/daily: field manager rogue sets spec.successfulSnapshots.last`,
    );
    assert.is(noted.filter((note) => note.startsWith('DriftContested')).length, 1);
  } finally {
    stop.abort();
    await running;
  }
});

test('a push that the git server announces is applied at once, and the announcement alone changes nothing', async (context) => {
  const { client, namespace, repository, cache: policySyncs, folder } = context;
  const stop = new AbortController();
  const hints = new Hints();
  await client.apply(Secrets, secret(context, 'hook', { token: 's3cret' }), { fieldManager: 'test' });
  const controller = policySyncController(
    { client, policySyncs, folder, live: liveFrom(client), events: { record: () => {} } },
    { hints },
  );
  await using receiver = await startReceiver(
    { host: '127.0.0.1', port: 0 },
    { client, policySync: (key) => policySyncs.getByKey(key), hint: (key) => hints.give(key) },
  );
  const running = controller.run(stop.signal);
  const announce = (body: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${receiver.port}/hook/${namespace}/policies`, {
      method: 'POST',
      body,
      headers: { 'x-signature': `sha256=${createHmac('sha256', 's3cret').update(body).digest('hex')}` },
    });
  try {
    repository.commit({ 'a.yaml': retention('daily', 7) });
    await declare(context, { interval: '1h', receiver: { type: 'Generic', secretRef: { name: 'hook' } } });
    await until('the first commit is there', async () => (await retentions(context)).daily === 7);
    repository.commit({ 'a.yaml': retention('daily', 8) });
    assert.is((await announce('{"commit":"0000"}')).status, 200);
    await until('the second commit is there', async () => (await retentions(context)).daily === 8);
  } finally {
    stop.abort();
    await running;
  }
});

test('a rewritten branch is refused where fast-forward is required, and told where it is not', async (context) => {
  const { repository, events } = context;
  const first = repository.commit({ 'a.yaml': retention('daily', 7) });
  repository.commit({ 'a.yaml': retention('daily', 8) });
  await declare(context, { requireFastForward: true });
  await sync(context);
  repository.git('reset', '--quiet', '--hard', first);
  repository.commit({ 'a.yaml': retention('daily', 9) });
  const refused = await sync(context);
  assert.is(condition(refused, 'Ready'), 'False HistoryRewritten');
  assert.is(condition(refused, 'Stalled'), 'True HistoryRewritten');
  assert.equal(await retentions(context), { daily: 8 });
  await declare(context, { requireFastForward: false });
  await sync(context);
  assert.equal(await retentions(context), { daily: 9 });
  assert.ok(events.some(({ reason, note }) => reason === 'HistoryRewritten' && note.includes('does not descend')));
});

test('the git server is told how each commit went, once; and when it takes no status, the policies are applied all the same', async (context) => {
  const { client, namespace, server, cache, events, stop } = context;
  context.repository = server.repository(`shop/${namespace}`);
  const { repository } = context;
  const told: string[] = [];
  let status = 201;
  server.intercept = (request, response) => {
    const sha = new RegExp(`^/api/v1/repos/shop/${namespace}/statuses/([0-9a-f]{40})$`).exec(request.url ?? '')?.[1];
    if (sha === undefined) return false;
    void json(request).then(({ state, description }) => {
      told.push(`${request.headers.authorization} ${sha} ${state}: ${description}`);
      response.writeHead(status, { 'content-type': 'application/json' }).end('{"message":"no"}');
    });
    return true;
  };
  const settle = async (count: number): Promise<PolicySync> => {
    await until(`${count} statuses were sent`, async () => told.length >= count);
    const type = 'CommitStatus';
    const key = `${namespace}/policies`;
    let now = present(await client.get(PolicySyncs, { namespace, name: 'policies' }));
    await until('the status says so', async () => {
      await seen(cache, now);
      await context.reconciler.reconcile(key, stop.signal);
      now = present(await client.get(PolicySyncs, { namespace, name: 'policies' }));
      return condition(now, type) !== undefined && (condition(now, type)?.startsWith('True') ?? false) === status < 300;
    });
    return now;
  };
  await client.apply(Secrets, secret(context, 'status', { token: 's3cret' }), { fieldManager: 'test' });
  const first = repository.commit({ 'a.yaml': retention('daily', 7) });
  await declare(context, { commitStatus: { provider: 'Gitea', context: 'backups', secretRef: { name: 'status' } } });
  await sync(context);
  await sync(context);
  const good = await settle(2);
  await sync(context);
  assert.equal(told, [
    `token s3cret ${first} pending: Applying`,
    `token s3cret ${first} success: Applied: Created 1: RetentionPolicy/${namespace}/daily`,
  ]);
  assert.equal(good.status?.commitStatus, { commit: first, state: 'Success', context: 'backups' });

  const bad = repository.commit({ 'b.yaml': retention('weekly', -1) });
  assert.is(condition(await sync(context), 'Ready'), 'False ValidationFailed');
  await until('the failure is told', async () => told.length === 3);
  assert.match(told[2] ?? '', `${bad} failure: b.yaml:7: RetentionPolicy/${namespace}/weekly: spec.`);
  const lost = repository.commit({ 'a.yaml': null, 'b.yaml': null });
  assert.is(condition(await sync(context), 'Ready'), 'False EmptyRevision');
  await until('the failure is told', async () => told.length === 4);
  assert.match(told[3] ?? '', `${lost} failure: ${'main@sha1:'}${lost.slice(0, 8)} holds no policies`);

  status = 403;
  repository.commit({ 'a.yaml': retention('daily', 8) });
  assert.is(condition(await sync(context), 'Ready'), 'True ReconciliationSucceeded');
  const refused = await settle(5);
  assert.is(condition(refused, 'CommitStatus'), 'False Forbidden');
  assert.equal(await retentions(context), { daily: 8 });
  const event = events.find(({ reason }) => reason === 'CommitStatusFailed');
  assert.match(event?.note ?? '', 'give it write:repository');
  assert.not.match(JSON.stringify([refused, events]), 's3cret');
});

test('an unsigned commit is not applied where a signature is asked for, and SourceVerified says so', async (context) => {
  const { client, repository, folder } = context;
  const key = join(folder, 'signing-key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const trusted = { 'ada.sshpub': readFileSync(`${key}.pub`, 'utf8') };
  await client.apply(Secrets, secret(context, 'keys', trusted), { fieldManager: 'test' });
  repository.commit({ 'a.yaml': retention('daily', 7) });
  await declare(context, { verify: { mode: 'HEAD', secretRef: { name: 'keys' } } });
  const refused = await sync(context);
  assert.is(condition(refused, 'Ready'), 'False SignatureMissing');
  assert.is(condition(refused, 'SourceVerified'), 'False SignatureMissing');
  assert.is(refused.status?.lastAttemptedRevision, `main@sha1:${repository.git('rev-parse', 'HEAD')}`);
  assert.equal(await retentions(context), {});
  const signing = ['-c', 'gpg.format=ssh', '-c', `user.signingKey=${key}`];
  repository.git(...signing, 'commit', '--quiet', '--amend', '--no-edit', '-S');
  const taken = await sync(context);
  assert.is(condition(taken, 'SourceVerified'), 'True Succeeded');
  assert.equal(await retentions(context), { daily: 7 });
});

test('a repository reaches no Secret, no role and no namespace beyond those of its account', async (context) => {
  const { client, namespace, repository } = context;
  const other = `${namespace}-operator`;
  await client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: other } });
  const hidden = { ...secret(context, 'hidden', { password: 'hunter2' }) };
  await client.apply(Secrets, { ...hidden, metadata: { name: 'hidden', namespace: other } }, { fieldManager: 'test' });
  // The name is looked up beside the PolicySync, whatever it is.
  repository.commit({ 'a.yaml': retention('daily', 7) });
  await declare(context, { secretRef: { name: 'hidden' } });
  const secretless = await sync(context);
  assert.is(condition(secretless, 'Ready'), 'False SecretNotFound');
  await declare(context);
  repository.commit({ 'b.yaml': retention('there', 1, `  namespace: ${other}\n`) });
  const away = await sync(context);
  assert.is(condition(away, 'Ready'), 'False ApplyRefused');
  const role =
    'apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: all}\nrules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]\n';
  repository.commit({ 'b.yaml': role });
  const ruling = await sync(context);
  assert.is(condition(ruling, 'Ready'), 'False ValidationFailed');
  const addon = `apiVersion: ${API_VERSION}\nkind: Function\nmetadata: {name: x}\nspec: {image: x}\n`;
  repository.commit({ 'b.yaml': addon });
  const cluster = await sync(context);
  assert.match(JSON.stringify(cluster.status?.failures), /forbidden|ValidationFailed|Function/i);
  assert.equal(await retentions(context), {});
  assert.not.match(JSON.stringify([secretless, away, ruling, cluster]), 'hunter2');
});

test('a commit with an alias bomb or a link says so, and leaves the rest of the process alone', async (context) => {
  const bomb = [
    'a: &a [x, x, x, x, x, x, x, x, x]',
    ...[...'bcdefgh'].map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefg'[index]}`).join(', ')}]`),
  ];
  context.repository.commit({ 'bomb.yaml': bomb.join('\n'), 'a.yaml': retention('daily', 7) });
  symlinkSync('/etc/passwd', join(context.repository.folder, 'link.yaml'));
  context.repository.commit({});
  await declare(context);
  const after = await sync(context);
  assert.is(condition(after, 'Ready'), 'False ValidationFailed');
  assert.equal(after.status?.failures?.map(({ file }) => file).sort(), ['bomb.yaml', 'link.yaml']);
  assert.equal(await retentions(context), {});
});

function secret({ namespace }: Context, name: string, texts: Record<string, string>): Secret {
  const data = Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')] as const);
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, data: Object.fromEntries(data) };
}

async function json(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = '';
  for await (const part of request) text += part;
  return JSON.parse(text);
}

function appBinding(name: string): string {
  return `apiVersion: ${API_VERSION}\nkind: AppBinding\nmetadata:\n  name: ${name}\nspec:\n  type: mongodb\n  clientConfig:\n    url: mongodb://db:27017\n`;
}

function restore(name: string): string {
  return [
    `apiVersion: ${API_VERSION}`,
    'kind: RestoreSession',
    'metadata:',
    `  name: ${name}`,
    'spec:',
    '  target: {name: shop}',
    '  dataSource: {repository: shop}',
    '  addon: {name: mongodb-addon, tasks: [{name: logical-backup-restore}]}',
    '',
  ].join('\n');
}

test.run();
