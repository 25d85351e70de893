/** `npm run bench:gitops`: how long a commit takes into the cluster, see USAGE. */
import { type ChildProcess, fork } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readOptions } from '../../scripts/options.ts';
import { ROOT } from '../../scripts/tools/cache.ts';
import { describeError } from '../../src/api/errors.ts';
import type { PolicySyncSpec } from '../../src/api/generated/types.ts';
import { PolicySyncs, RetentionPolicies } from '../../src/api/kinds.ts';
import { Namespaces, RoleBindings, Secrets, ServiceAccounts } from '../../src/kube/builtin.ts';
import { Cache } from '../../src/kube/cache.ts';
import type { Client } from '../../src/kube/client.ts';
import { installCrds } from '../../test/api/crds.ts';
import { GitServer } from '../../test/gitops/git-server.ts';
import { startControlPlane } from '../../test/kube/control-plane.ts';
import { takeGround } from '../../test/lab/ground.ts';
import { SYSTEM, startFleet } from '../../test/webhook/fleet.ts';
import { percentiles } from '../webhook/percentiles.ts';
import { OBJECTS_EACH, policy } from './policies.ts';
import { page, type Report } from './report.ts';

const USAGE = `usage: npm run bench:gitops [-- OPTIONS]

How long a commit takes into the cluster: the first one of a large repository, and a change of one file after it that is pushed and
announced to the receiver; through a real API server with the webhook in its path.

  --policies NUMBER  files of the large repository (default 1000)
  --pushes NUMBER    changes that are pushed (default 40)
  --syncs NUMBER     PolicySyncs that begin at the same time (default 100)
  --write            write docs/benchmarks-gitops.md
`;

const TOKEN = 'token';
const LIMIT_MS = 10 * 60_000;

interface Sizes {
  policies: number;
  pushes: number;
  syncs: number;
}

async function measure(
  { policies, pushes, syncs }: Sizes,
  say: (line: string) => void,
): Promise<Omit<Report, 'machine'>> {
  const [plane, ground, server] = await Promise.all([startControlPlane(), takeGround(), GitServer.start()]);
  const folder = await mkdtemp(join(tmpdir(), 'backstay-bench-'));
  const client = plane.client({ qps: 1e6, burst: 1e6 });
  let child: ChildProcess | undefined;
  try {
    await installCrds(client);
    for (const name of [SYSTEM, 'shop', 'many']) await namespace(client, name);
    await using _fleet = await startFleet(plane, ground, 2);
    child = fork(join(import.meta.dirname, 'follower.ts'), [folder], {
      env: { ...process.env, KUBECONFIG: plane.kubeconfig },
    });
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    const peak = async (): Promise<number> => {
      child?.send('peak');
      const [answer] = (await once(child as ChildProcess, 'message')) as [{ peak: number }];
      return answer.peak;
    };

    const repository = server.repository('shop');
    repository.commit(
      Object.fromEntries(Array.from({ length: policies }, (_, index) => [`p/${index}.yaml`, policy(index)])),
    );
    const spec: PolicySyncSpec = {
      url: server.urlOf(repository),
      ...{ interval: '1h', retryInterval: '5s', timeout: '10m' },
      receiver: { type: 'Generic', secretRef: { name: 'hook' } },
    };
    const firstSync = (await applied(client, 'shop', [['policies', spec]])) / 1000;
    say(`first sync: ${firstSync.toFixed(1)} s`);

    const stop = new AbortController();
    const live = new Cache({ client, type: RetentionPolicies, namespaces: ['shop'] });
    void live.run(stop.signal);
    await live.synced;
    const announce = async (body: string): Promise<void> => {
      const signature = createHmac('sha256', TOKEN).update(body).digest('hex');
      const headers = { 'x-signature': `sha256=${signature}` };
      await fetch(`http://127.0.0.1:${port}/hook/shop/policies`, { method: 'POST', body, headers });
    };
    const times: number[] = [];
    for (let push = 0; push < pushes; push += 1) {
      const index = Math.floor(Math.random() * policies);
      const last = 100 + push;
      repository.commit({ [`p/${index}.yaml`]: policy(index, last) });
      const startedAt = performance.now();
      await announce(String(push));
      await holds(() => live.getByKey(`shop/db-${index}`)?.spec.successfulSnapshots?.last === last);
      times.push(performance.now() - startedAt);
      await sleep(300);
    }
    stop.abort();
    const push = percentiles(times);
    say(`push to applied: median ${push.median.toFixed(0)} ms, p95 ${push.p95.toFixed(0)} ms`);
    await sleep(1000);
    server.requests.length = 0;
    await announce('nothing new');
    await sleep(2000);
    const unchanged = server.requests.length;
    const one = await peak();

    const each = 10;
    const specs = Array.from({ length: syncs }, (_, number): [string, PolicySyncSpec] => {
      const small = server.repository(`many-${number}`);
      const first = policies + number * each;
      small.commit(
        Object.fromEntries(Array.from({ length: each }, (_, index) => [`${index}.yaml`, policy(first + index)])),
      );
      return [`policies-${number}`, { url: server.urlOf(small), interval: '1h', retryInterval: '5s', timeout: '10m' }];
    });
    const seconds = (await applied(client, 'many', specs)) / 1000;
    say(`${syncs} PolicySyncs: ${seconds.toFixed(1)} s`);
    const objects = policies * OBJECTS_EACH;
    const many = { syncs, policies: each, seconds };
    return { policies, objects, firstSync, push, unchanged, many, peak: { one, many: await peak() } };
  } finally {
    child?.kill('SIGKILL');
    await server.stop();
    await Promise.all([ground.stop(), plane[Symbol.asyncDispose](), rm(folder, { recursive: true, force: true })]);
  }
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
async function applied(client: Client, home: string, specs: readonly [string, PolicySyncSpec][]): Promise<number> {
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

async function holds(check: () => boolean | Promise<boolean>, everyMs = 1): Promise<void> {
  const giveUp = performance.now() + LIMIT_MS;
  while (!(await check())) {
    if (performance.now() > giveUp) throw new Error('it took too long');
    await sleep(everyMs);
  }
}

async function main(): Promise<void> {
  const values = readOptions(USAGE, {
    policies: { type: 'string', default: '1000' },
    pushes: { type: 'string', default: '40' },
    syncs: { type: 'string', default: '100' },
    write: { type: 'boolean', default: false },
  });
  const whole = (text: string): number => {
    const number = Number(text);
    if (!Number.isInteger(number) || number < 1) throw new Error(`${text} is no whole number above 0`);
    return number;
  };
  const sizes = { policies: whole(values.policies), pushes: whole(values.pushes), syncs: whole(values.syncs) };
  const machine = `${availableParallelism()} processors (${cpus()[0]?.model ?? 'unknown'}), Node.js ${process.versions.node}`;
  const text = page({ machine, ...(await measure(sizes, (line) => console.error(line))) });
  console.log(text);
  if (values.write) await writeFile(join(ROOT, 'docs', 'benchmarks-gitops.md'), text);
}

await main().catch((error: unknown) => {
  console.error(describeError(error));
  process.exitCode = 1;
});
process.exit();
