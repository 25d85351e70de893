// needs: cluster
// time-limit: 180s
// Every case of this folder before a real API server, whose webhooks are ours: what else there is each case brings with it.
import { readFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { Registry } from 'prom-client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { KINDS } from '../../src/api/kinds.ts';
import type { Lookup } from '../../src/api/rules/rule.ts';
import {
  MutatingWebhookConfigurations,
  Namespaces,
  Services,
  ValidatingWebhookConfigurations,
} from '../../src/kube/builtin.ts';
import type { Client } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import { silent } from '../../src/kube/log.ts';
import type { KubeObject, ResourceType } from '../../src/kube/resource.ts';
import { ObjectSet } from '../../src/validate/object-set.ts';
import { createApp } from '../../webhook/app.ts';
import { makeAuthority, makeLeaf } from '../../webhook/certificates.ts';
import { createWebhookMetrics } from '../../webhook/metrics.ts';
import { type Listening, listenTls } from '../../webhook/server.ts';
import { installCrds } from '../api/crds.ts';
import { type Loose, SAMPLES } from '../api/objects.ts';
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts';
import { until } from '../lab/process.ts';
import { SERVICE } from '../webhook/https.ts';
import { areWarnings, CASE_TIME, type Case, causesOf, loadCases } from './load.ts';

const test = suite('the cases before a real API server');
let plane: ControlPlane;
let client: Client;
let webhook: Listening;
let lookup: Lookup = new ObjectSet(true);
let unguardedNow = false;

test.before(async () => {
  plane = await startControlPlane();
  client = plane.client({ qps: 10_000, burst: 10_000 });
  await installCrds(client);
  for (const name of ['backstay-system', 'shop', 'vault']) {
    await client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }
  const host = new URL(plane.server).hostname;
  const authority = await makeAuthority(new Date());
  const app = createApp({
    lookup: {
      knows: (type) => lookup.knows(type),
      get: (type, namespace, name) => lookup.get(type, namespace, name),
      list: (type, namespace) => lookup.list(type, namespace),
    },
    missing: () => [],
    metrics: createWebhookMetrics(new Registry()),
    log: silent,
    now: () => CASE_TIME,
  });
  const guard: RequestListener = (request, response) =>
    unguardedNow ? allow(request, response) : app(request, response);
  webhook = await listenTls(guard, await makeLeaf(authority, [SERVICE], new Date()), { host, port: 0 });
  // There are no Pods here: the Service is another name for where the webhook listens.
  const [name = '', namespace = ''] = SERVICE.split('.');
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace } };
  await client.create(Services, { ...service, spec: { type: 'ExternalName', externalName: host } } as Loose);
  await register({ port: webhook.port, caBundle: Buffer.from(authority.cert).toString('base64') });
});
test.after(async () => {
  webhook?.server.close();
  webhook?.server.closeAllConnections();
  await plane?.[Symbol.asyncDispose]();
});

for (const one of loadCases().filter(({ offline }) => !offline)) {
  test(one.title, async () => {
    const { causes, warnings } = await answer(one);
    assert.equal(causes, one.causes);
    if (one.operation !== 'delete') assert.ok(areWarnings(warnings, one.warnings), JSON.stringify(warnings));
  });
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
    lookup = set;
    return await outcome((onWarning) => client.create(type, object, { dryRun: true, onWarning }));
  }
  const before = operation === 'delete' ? object : old;
  const live = await store(type, before);
  try {
    lookup = set;
    if (operation === 'delete') return await outcome(() => client.delete(type, { namespace, name }, { dryRun: true }));
    const { resourceVersion, uid } = live.metadata;
    const changed = { ...object, metadata: { ...object.metadata, resourceVersion, uid } };
    return await outcome((onWarning) => client.replace(type, changed, { dryRun: true, onWarning }));
  } finally {
    await unguarded(() => client.delete(type, { namespace, name }));
  }
}

/** Stores an object as it is, whatever our rules say of it. */
async function store(type: ResourceType<KubeObject>, object: Loose): Promise<KubeObject> {
  const { status, ...rest } = object;
  return await unguarded(async () => {
    const live = await client.create(type, rest);
    if (status === undefined) return live;
    return await client.replace(type, { ...live, status } as KubeObject, { subresource: 'status' });
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

/** Runs with webhooks that let everything pass. */
async function unguarded<T>(work: () => Promise<T>): Promise<T> {
  unguardedNow = true;
  try {
    return await work();
  } finally {
    unguardedNow = false;
  }
}

async function allow(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { apiVersion, kind, request: asked } = (await json(request)) as Loose;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ apiVersion, kind, response: { uid: asked.uid, allowed: true } }));
}

/** Registers the webhooks as their manifests do, at another port, and waits until the API server asks them. */
async function register({ port, caBundle }: { port: number; caBundle: string }): Promise<void> {
  const folder = join(import.meta.dirname, '../../manifests/base/webhook');
  for (const [type, file] of [
    [MutatingWebhookConfigurations, 'mutating.yaml'],
    [ValidatingWebhookConfigurations, 'validating.yaml'],
  ] as const) {
    const object = parse(readFileSync(join(folder, file), 'utf8'));
    for (const one of object.webhooks) {
      one.clientConfig.caBundle = caBundle;
      one.clientConfig.service.port = port;
    }
    await client.create(type, object);
  }
  const refused = SAMPLES.BackupConfiguration?.();
  refused.spec.sessions[0].scheduler.schedule = 'never';
  const deletable = SAMPLES.Repository?.();
  deletable.spec.deletionPolicy = 'WipeOut';
  const type = KINDS.Repository as ResourceType<KubeObject>;
  await unguarded(() => client.create(type, deletable));
  const ref = { namespace: 'shop', name: 'orders' };
  const asked = async (call: () => Promise<unknown>): Promise<boolean> => {
    return await call().then(
      () => false,
      (error: unknown) => error instanceof KubeError && error.causes.length > 0,
    );
  };
  await until('the API server asks the webhooks', async () => {
    const creation = await asked(() => client.create(KINDS.BackupConfiguration, refused, { dryRun: true }));
    const deletion = await asked(() => client.delete(type, ref, { dryRun: true }));
    return creation && deletion;
  });
  await unguarded(() => client.delete(type, ref));
}

test.run();
