// time-limit: 240s
// The API server on a bad day: what a PolicySync says meanwhile, and that it goes on by itself, with nothing half done and nothing told twice.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PolicySync } from '../../src/api/generated/types.ts';
import { PolicySyncs, RetentionPolicies } from '../../src/api/kinds.ts';
import { policySyncController } from '../../src/gitops/controller.ts';
import { liveFrom } from '../../src/gitops/live.ts';
import { ValidatingWebhookConfigurations, type WebhookConfiguration } from '../../src/kube/builtin.ts';
import { Cache } from '../../src/kube/cache.ts';
import type { EventToRecord } from '../../src/kube/events.ts';
import type { KubeObject } from '../../src/kube/resource.ts';
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts';
import { type ApiProxy, type Fault, refusal, startApiProxy } from '../lab/api-proxy.ts';
import { until } from '../lab/process.ts';
import { GitServer } from './git-server.ts';
import {
  condition,
  declare,
  makeNamespace,
  policySyncOf,
  request,
  retention,
  retentions,
  type Scene,
  serveKinds,
} from './scene.ts';

interface Context extends Scene {
  plane: ControlPlane;
  proxy: ApiProxy;
  stop: AbortController;
  folder: string;
  /** Of all PolicySyncs: `namespace/name reason: note`. */
  events: string[];
}

const test = suite<Context>('bad days of the API server');
let serial = 0;

/** The operator runs as it does in a cluster, behind the proxy; the test itself talks to the server directly. */
test.before(async (context) => {
  context.plane = await startControlPlane();
  context.client = context.plane.client();
  await serveKinds(context.client);
  context.server = await GitServer.start();
  context.folder = mkdtempSync(join(tmpdir(), 'backstay-api-bad-days-'));
  context.stop = new AbortController();
  context.events = [];
  const { plane, folder, events, stop } = context;
  context.proxy = await startApiProxy(new URL(plane.server).hostname, plane.server, plane.authority);
  const client = plane.client({ qps: 1000, burst: 1000 }, context.proxy.url);
  context.cache = new Cache({ client, type: PolicySyncs });
  const note = ({ metadata }: KubeObject, { reason, note }: EventToRecord): void =>
    void events.push(`${metadata.namespace}/${metadata.name} ${reason}: ${note}`);
  void context.cache.run(stop.signal);
  void policySyncController({
    ...{ client, policySyncs: context.cache, folder, live: liveFrom(client), signal: stop.signal },
    events: { record: note },
  }).run(stop.signal);
});

test.after(async ({ stop, server, proxy, plane, folder }) => {
  stop.abort();
  await server.stop();
  await proxy[Symbol.asyncDispose]();
  await plane[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

test.before.each(async (context) => {
  serial += 1;
  context.namespace = `bad-${serial}`;
  context.repository = context.server.repository(context.namespace);
  context.proxy.intercept = undefined;
  context.events.length = 0;
  await makeNamespace(context);
});

/** Waits until the PolicySync says so of itself. */
async function when(context: Scene, ready: string, name = 'policies'): Promise<PolicySync> {
  let last: PolicySync | undefined;
  try {
    return await until(`${name} is ${ready}`, async () => {
      last = await policySyncOf(context, name);
      return condition(last, 'Ready') === ready && last.status?.observedGeneration === last.metadata.generation
        ? last
        : undefined;
    });
  } catch (error) {
    throw new Error(`${String(error)}; last ${JSON.stringify(last?.status)}`);
  }
}

const APPLIED = 'True ReconciliationSucceeded';
/** A request of the account that writes the policies of a namespace. */
const writesPolicies = ({ method, path }: { method: string; path: string }, { namespace }: Scene): boolean =>
  method === 'PATCH' && path.includes(`/namespaces/${namespace}/retentionpolicies/`);

for (const { name, fault, code, says } of [
  {
    name: 'throttles',
    fault: refusal(429, 'TooManyRequests', 'too many requests, please try again later', 0),
    code: 'APIServerThrottled',
    says: /too much to do/,
  },
  {
    name: 'fails inside',
    fault: refusal(500, 'InternalError', 'etcdserver: request timed out'),
    code: 'APIServerUnavailable',
    says: /fails \(500 InternalError\)/,
  },
  { name: 'ends connections', fault: { kind: 'broken' }, code: 'APIServerUnavailable', says: /does not answer/ },
  {
    name: 'sees the same object written by others',
    fault: refusal(409, 'Conflict', 'the object has been modified; please apply your changes to the latest version'),
    code: 'WriteConflict',
    says: /in the same moment/,
  },
] as { name: string; fault: Fault; code: string; says: RegExp }[])
  test(`an API server that ${name} is named as ${code}, and asked again`, async (context) => {
    const { proxy, repository, events, namespace } = context;
    let isBad = true;
    proxy.intercept = (asked) => (isBad && writesPolicies(asked, context) ? fault : undefined);
    repository.commit({ 'a.yaml': retention('daily', 7), 'b.yaml': retention('weekly', 4) });
    await declare(context);
    const bad = await when(context, `False ${code}`);
    assert.is(condition(bad, 'Stalled'), `False ${code}`);
    const message = bad.status?.conditions?.find(({ type }) => type === 'Ready')?.message ?? '';
    assert.match(message, says);
    assert.match(message, /nothing was changed, and it is tried again by itself/);
    assert.equal(bad.status?.failures ?? [], [], 'no file is to blame');
    assert.equal(await retentions(context), {});
    // Once more in vain: whichever object was the first to fail, it is the same trouble.
    const before = proxy.requests.length;
    await request(context);
    await until('it was tried again', async () =>
      proxy.requests.slice(before).some((line) => line.startsWith('PATCH') && line.includes('/retentionpolicies/')),
    );
    await when(context, `False ${code}`);
    isBad = false;
    const good = await when(context, APPLIED);
    assert.is(good.status?.lastAppliedRevision, good.status?.lastAttemptedRevision);
    assert.equal(await retentions(context), { daily: 7, weekly: 4 });
    assert.equal(
      events.filter((line) => line.startsWith(`${namespace}/`)).map((line) => line.split(/[ :]/)[1]),
      [code, 'ReconciliationSucceeded'],
    );
  });

test('a webhook that does not answer is named, is not taken for a refusal, and stops nobody who does not need it', async (context) => {
  const webhook: WebhookConfiguration = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: context.namespace },
    webhooks: [
      {
        name: 'policies.example.com',
        // a port of the lab that nobody listens on
        clientConfig: { url: 'https://127.0.0.1:1/validate' },
        rules: [
          {
            ...{ apiGroups: ['backstay.dev'], apiVersions: ['*'], operations: ['*'] },
            resources: ['retentionpolicies'],
          },
        ],
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': context.namespace } },
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  };
  const { client, repository } = context;
  await client.apply(ValidatingWebhookConfigurations, webhook, { fieldManager: 'test' });
  repository.commit({ 'a.yaml': retention('daily', 7) });
  await until('the webhook is in force', async () =>
    client
      .apply(
        RetentionPolicies,
        { metadata: { name: 'probe', namespace: context.namespace }, spec: {} },
        { fieldManager: 'test', dryRun: true },
      )
      .then(
        () => false,
        () => true,
      ),
  );
  await declare(context);
  const bad = await when(context, 'False AdmissionUnavailable');
  const message = bad.status?.conditions?.find(({ type }) => type === 'Ready')?.message ?? '';
  assert.match(message, /policies\.example\.com.*\(connection refused\)/);
  assert.is(condition(bad, 'Stalled'), 'False AdmissionUnavailable');

  const other = { ...context, namespace: `${context.namespace}-other` };
  other.repository = context.server.repository(other.namespace);
  other.repository.commit({ 'a.yaml': retention('daily', 9) });
  await makeNamespace(other);
  await declare(other);
  await when(other, APPLIED);
  assert.equal(await retentions(other), { daily: 9 });

  await client.delete(ValidatingWebhookConfigurations, { name: context.namespace });
  await when(context, APPLIED);
  assert.equal(await retentions(context), { daily: 7 });
});

test('what is wrong with an object stays a refusal on a bad day, and is not tried for ever', async (context) => {
  const { proxy, repository } = context;
  proxy.intercept = (asked) =>
    writesPolicies(asked, context) && asked.path.endsWith('/weekly')
      ? refusal(403, 'Forbidden', 'retentionpolicies "weekly" is forbidden: not today')
      : undefined;
  repository.commit({ 'a.yaml': retention('daily', 7), 'b.yaml': retention('weekly', 4) });
  await declare(context);
  const bad = await when(context, 'False ApplyRefused');
  assert.is(condition(bad, 'Stalled'), 'True ApplyRefused');
  assert.is(bad.status?.failures?.[0]?.file, 'b.yaml');
  assert.equal(await retentions(context), {});
});

test('a server that goes away in the middle of the writes leaves a part, says so, and the rest follows by itself', async (context) => {
  const { proxy, repository } = context;
  const wanted = Array.from({ length: 40 }, (_, index) => [`p-${String(index).padStart(2, '0')}`, 3] as const);
  repository.commit(Object.fromEntries(wanted.map(([name, last]) => [`${name}.yaml`, retention(name, last)])));
  let writes = 0;
  let isBad = true;
  proxy.intercept = (asked) => {
    if (!isBad || !writesPolicies(asked, context) || asked.query.has('dryRun')) return undefined;
    writes += 1;
    // One answer is lost on the way: whether it was written is not known.
    if (writes === 10) return { kind: 'lost answer' };
    return writes > 10 ? { kind: 'broken' } : undefined;
  };
  await declare(context);
  const bad = await when(context, 'False APIServerUnavailable');
  assert.match(bad.status?.conditions?.find(({ type }) => type === 'Ready')?.message ?? '', /a part of the commit/);
  const part = Object.keys(await retentions(context)).length;
  assert.ok(part >= 9 && part < 40, `${part} of 40 are there`);
  assert.is(bad.status?.inventory?.length, 40, 'what may have been written is on record');
  isBad = false;
  const good = await when(context, APPLIED);
  assert.equal(await retentions(context), Object.fromEntries(wanted));
  assert.is(good.status?.inventory?.length, 40);
});

test('a status that cannot be written is written later, and says what is true then', async (context) => {
  const { proxy, repository } = context;
  const path = `/namespaces/${context.namespace}/policysyncs/policies/status`;
  let isBad = true;
  let refused = 0;
  proxy.intercept = (asked) => {
    if (!isBad || !asked.path.endsWith(path)) return undefined;
    refused += 1;
    return refusal(500, 'InternalError', 'etcdserver: leader changed');
  };
  const oid = repository.commit({ 'a.yaml': retention('daily', 7) });
  await declare(context);
  await until('the status was refused', async () => refused > 1);
  assert.is((await policySyncOf(context)).status, undefined);
  isBad = false;
  const good = await when(context, APPLIED);
  assert.is(good.status?.lastAppliedRevision, `main@sha1:${oid}`);
  assert.equal(await retentions(context), { daily: 7 });
});

test('a token that is not issued is said, and waited for no longer than spec.timeout', async (context) => {
  const { proxy, repository, namespace } = context;
  let isBad = true;
  proxy.intercept = ({ method, path }) =>
    isBad && method === 'POST' && path.endsWith(`/namespaces/${namespace}/serviceaccounts/git/token`)
      ? { kind: 'silence' }
      : undefined;
  repository.commit({ 'a.yaml': retention('daily', 7) });
  await declare(context, { timeout: '2s' });
  await when(context, 'False TimedOut');
  isBad = false;
  await when(context, APPLIED);
});

test('an API server that is killed and comes back finds everybody where the commits are', async (context) => {
  const { plane, repository, events, namespace } = context;
  repository.commit({ 'a.yaml': retention('daily', 7) });
  await declare(context, { interval: '5s' });
  await when(context, APPLIED);
  await plane.killApiServer();
  const oid = repository.commit({ 'a.yaml': retention('daily', 8), 'b.yaml': retention('weekly', 4) });
  await plane.startApiServer();
  const good = await until('the new commit is applied', async () => {
    const now = await policySyncOf(context);
    return now.status?.lastAppliedRevision === `main@sha1:${oid}` ? now : undefined;
  });
  assert.is(condition(good, 'Ready'), APPLIED);
  assert.equal(await retentions(context), { daily: 8, weekly: 4 });
  const own = events.filter((line) => line.startsWith(`${namespace}/`));
  assert.ok(own.length <= 3, `few Events: ${own.join(' | ')}`);
});

test.run();
