import { readFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { Registry } from 'prom-client';
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
import { listenTls } from '../../webhook/server.ts';
import { installCrds } from '../api/crds.ts';
import { type Loose, SAMPLES } from '../api/objects.ts';
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts';
import { until } from '../lab/process.ts';
import { SERVICE } from '../webhook/https.ts';
import { CASE_TIME } from './load.ts';

/** A real API server whose webhooks are ours, in this process. */
export interface GuardedServer extends AsyncDisposable {
  readonly plane: ControlPlane;
  readonly client: Client;
  /** What the webhooks find when they look something up; nothing at first. */
  lookup: Lookup;
  /** Runs with webhooks that let everything pass. */
  unguarded<T>(work: () => Promise<T>): Promise<T>;
}

export async function startGuardedServer(): Promise<GuardedServer> {
  const plane = await startControlPlane();
  const client = plane.client({ qps: 10_000, burst: 10_000 });
  await installCrds(client);
  const host = new URL(plane.server).hostname;
  const authority = await makeAuthority(new Date());
  let unguarded = 0;
  const self = {
    plane,
    client,
    lookup: new ObjectSet(true) as Lookup,
    unguarded: async <T>(work: () => Promise<T>): Promise<T> => {
      unguarded++;
      try {
        return await work();
      } finally {
        unguarded--;
      }
    },
  };
  const app = createApp({
    lookup: {
      knows: (type) => self.lookup.knows(type),
      get: (type, namespace, name) => self.lookup.get(type, namespace, name),
      list: (type, namespace) => self.lookup.list(type, namespace),
    },
    missing: () => [],
    metrics: createWebhookMetrics(new Registry()),
    log: silent,
    now: () => CASE_TIME,
  });
  const guard: RequestListener = (request, response) =>
    unguarded > 0 ? allow(request, response) : app(request, response);
  const webhook = await listenTls(guard, await makeLeaf(authority, [SERVICE], new Date()), { host, port: 0 });
  const server: GuardedServer = Object.assign(self, {
    [Symbol.asyncDispose]: async () => {
      webhook.server.close();
      webhook.server.closeAllConnections();
      await plane[Symbol.asyncDispose]();
    },
  });
  // There are no Pods here: the Service is another name for where the webhook listens.
  const [name = '', namespace = ''] = SERVICE.split('.');
  for (const one of [namespace, 'shop', 'vault'])
    await client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: one } });
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace } };
  await client.create(Services, { ...service, spec: { type: 'ExternalName', externalName: host } } as Loose);
  await register(server, { port: webhook.port, caBundle: Buffer.from(authority.cert).toString('base64') });
  return server;
}

async function allow(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { apiVersion, kind, request: asked } = (await json(request)) as Loose;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ apiVersion, kind, response: { uid: asked.uid, allowed: true } }));
}

/** Registers the webhooks as their manifests do, at another port, and waits until the API server asks them. */
async function register(
  { client, unguarded }: GuardedServer,
  { port, caBundle }: { port: number; caBundle: string },
): Promise<void> {
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
