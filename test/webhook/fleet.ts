import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { MutatingWebhookConfigurations, Services, ValidatingWebhookConfigurations } from '../../src/kube/builtin.ts';
import type { Client } from '../../src/kube/client.ts';
import type { Loose } from '../api/objects.ts';
import type { ControlPlane } from '../kube/control-plane.ts';
import type { Ground } from '../lab/ground.ts';
import { type LabProcess, startProcess, until } from '../lab/process.ts';
import { type Backend, startService } from '../lab/service.ts';

const REPLICA = join(import.meta.dirname, 'replica.ts');
const MANIFESTS = join(import.meta.dirname, '../../manifests/base/webhook');
export const SYSTEM = 'backstay-system';
// Half of what it is in a cluster. A connection that nothing came through for as long is not likely to be used just when it is closed.
const DRAIN_MS = 2500;

export interface Replica {
  process: LabProcess;
  backend: Backend;
}

/** Replicas of the webhook behind one address, and the API server in front of it, by the project's manifests. */
export interface Fleet extends AsyncDisposable {
  readonly replicas: readonly Replica[];
  /** Replicas that connections go to. */
  readonly reached: number;
  /** Another replica; resolves when connections go to it. */
  add(): Promise<Replica>;
  /** Ends a replica as the end of its Pod does (SIGTERM), or without a word (SIGKILL). */
  remove(replica: Replica, signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

export async function startFleet(plane: ControlPlane, ground: Ground, size: number): Promise<Fleet> {
  const host = ground.address();
  const service = await startService(host, await ground.port());
  const client = plane.client();
  let replicas: Replica[] = [];
  let made = 0;
  const self: Fleet = {
    get replicas() {
      return replicas;
    },
    get reached() {
      return service.ready.length;
    },
    async add() {
      const [port, metricsPort] = [await ground.port(), await ground.port()];
      const args = [plane.kubeconfig, host, port, metricsPort, SYSTEM, DRAIN_MS].map(String);
      const process = startProcess(ground, `replica-${++made}`, globalThis.process.execPath, [REPLICA, ...args]);
      const isReady = async (): Promise<boolean> =>
        (await fetch(`http://${host}:${metricsPort}/readyz`, { signal: AbortSignal.timeout(2000) })).ok;
      const replica = { process, backend: { host, port, isReady } };
      replicas = [...replicas, replica];
      service.backends = replicas.map(({ backend }) => backend);
      await until('the replica is ready', async () => service.ready.includes(replica.backend), { process });
      return replica;
    },
    async remove(replica, signal) {
      await replica.process.end(signal, 30_000);
      replicas = replicas.filter((one) => one !== replica);
      service.backends = replicas.map(({ backend }) => backend);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(replicas.map(({ process }) => process.end('SIGKILL')));
      await service[Symbol.asyncDispose]();
    },
  };
  await register(client, host, service.port);
  for (let index = 0; index < size; index += 1) await self.add();
  await until('the API server trusts it', async () => {
    const live: Loose = await client.get(ValidatingWebhookConfigurations, { name: 'backstay' });
    return live.webhooks.every(({ clientConfig }: Loose) => clientConfig.caBundle !== undefined);
  });
  return self;
}

/** There are no Pods here: the Service is another name for where the replicas are reached. */
async function register(client: Client, host: string, port: number): Promise<void> {
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'backstay-webhook', namespace: SYSTEM } };
  await client.create(Services, { ...service, spec: { type: 'ExternalName', externalName: host } } as Loose);
  for (const [type, file] of [
    [MutatingWebhookConfigurations, 'mutating.yaml'],
    [ValidatingWebhookConfigurations, 'validating.yaml'],
  ] as const) {
    const object = parseAllDocuments(readFileSync(join(MANIFESTS, file), 'utf8'))[0]?.toJS() as Loose;
    for (const webhook of object.webhooks) webhook.clientConfig.service.port = port;
    await client.apply(type, object, { fieldManager: 'flux', force: true });
  }
}
