/** What the benchmarks run on: an API server with the webhook in its path, a git server, and the process that follows it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from '../../scripts/tools/cache.ts';
import type { PolicySyncSpec } from '../../src/api/generated/types.ts';
import { PolicySyncs } from '../../src/api/kinds.ts';
import { Namespaces, RoleBindings, Secrets, ServiceAccounts } from '../../src/kube/builtin.ts';
import type { Client } from '../../src/kube/client.ts';
import { installCrds } from '../../test/api/crds.ts';
import { GitServer } from '../../test/gitops/git-server.ts';
import { startControlPlane } from '../../test/kube/control-plane.ts';
import { takeGround } from '../../test/lab/ground.ts';
import { SYSTEM, startFleet } from '../../test/webhook/fleet.ts';

/** Signs what is announced to the receiver. */
export const TOKEN = 'token';
const LIMIT_MS = 10 * 60_000;

/** One field for one figure: what another has left in the cluster or in a process would count. */
export interface Field extends AsyncDisposable {
  client: Client;
  server: GitServer;
  /** Of the receiver, on loopback. */
  port: number;
  /** Bytes that the process that follows git took at most so far. */
  peak(): Promise<number>;
}

/** @param home namespace of the PolicySyncs */
export async function openField(home: string): Promise<Field> {
  const stack = new AsyncDisposableStack();
  try {
    const [plane, ground, server] = await Promise.all([startControlPlane(), takeGround(), GitServer.start()]);
    const folder = await mkdtemp(join(tmpdir(), 'backstay-bench-'));
    stack.defer(async () => {
      await server.stop();
      await Promise.all([ground.stop(), plane[Symbol.asyncDispose](), rm(folder, { recursive: true, force: true })]);
    });
    const client = plane.client({ qps: 1e6, burst: 1e6 });
    await installCrds(client);
    for (const name of [SYSTEM, home]) await namespace(client, name);
    stack.use(await startFleet(plane, ground, 2));
    const child = fork(join(import.meta.dirname, 'follower.ts'), [folder], {
      env: { ...process.env, ...(await operatorEnvironment()), KUBECONFIG: plane.kubeconfig },
    });
    stack.defer(() => void child.kill('SIGKILL'));
    const port = (await answerOf<{ port: number }>(child)).port;
    const peak = async (): Promise<number> => {
      child.send('peak');
      return (await answerOf<{ peak: number }>(child)).peak;
    };
    const all = stack.move();
    return { client, server, port, peak, [Symbol.asyncDispose]: () => all.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** NODE_OPTIONS of the operator's Deployment: memory is what it takes there. */
async function operatorEnvironment(): Promise<{ NODE_OPTIONS: string }> {
  const file = join(ROOT, 'manifests', 'base', 'operator', 'deployment.yaml');
  const [, value] = /- name: NODE_OPTIONS\n\s+value: (.+)/.exec(await readFile(file, 'utf8')) ?? [];
  if (value === undefined) throw new Error(`${file} has no NODE_OPTIONS`);
  return { NODE_OPTIONS: value };
}

async function answerOf<T>(child: ChildProcess): Promise<T> {
  const [answer] = await once(child, 'message');
  return answer as T;
}

/** A namespace whose default account may write policies, and the Secret of its receiver. */
async function namespace(client: Client, name: string): Promise<void> {
  await client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  const metadata = { name: 'default', namespace: name };
  await client.apply(ServiceAccounts, { metadata }, { fieldManager: 'bench' });
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' };
  const subjects = [{ kind: 'ServiceAccount', name: 'default', namespace: name }];
  await client.apply(RoleBindings, { metadata, roleRef, subjects }, { fieldManager: 'bench' });
  const data = { token: Buffer.from(TOKEN).toString('base64') };
  await client.apply(Secrets, { metadata: { name: 'hook', namespace: name }, data }, { fieldManager: 'bench' });
}

/** Milliseconds until all of these PolicySyncs say that they are applied. */
export async function applied(
  client: Client,
  home: string,
  specs: readonly [string, PolicySyncSpec][],
): Promise<number> {
  const startedAt = performance.now();
  for (const [name, spec] of specs)
    await client.apply(PolicySyncs, { metadata: { name, namespace: home }, spec }, { fieldManager: 'bench' });
  await holds(async () => {
    const all = await client.listAll(PolicySyncs, { namespace: home });
    for (const { status } of all) {
      const stalled = status?.conditions?.find(({ type, status: is }) => type === 'Stalled' && is === 'True');
      if (stalled !== undefined) throw new Error(stalled.message);
    }
    return all.every(({ status }) => status?.lastAppliedRevision !== undefined);
  }, 250);
  return performance.now() - startedAt;
}

export async function holds(check: () => boolean | Promise<boolean>, everyMs = 1): Promise<void> {
  const giveUp = performance.now() + LIMIT_MS;
  while (!(await check())) {
    if (performance.now() > giveUp) throw new Error('it took too long');
    await sleep(everyMs);
  }
}
