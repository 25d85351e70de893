/**
 * An operator in this process against a real API server, in namespaces of its own, with its Jobs' Pods played by the test: no scheduler takes
 * them, and what a runner would do is done by a function. So every outcome is at hand, in milliseconds.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { API_VERSION } from '../../src/api/group.ts';
import { BackupSessions, RestoreSessions, Snapshots } from '../../src/api/kinds.ts';
import { COMPONENT_LABEL } from '../../src/api/labels.ts';
import { type Job, Jobs, Namespaces, type Pod, Pods } from '../../src/kube/builtin.ts';
import { Cache } from '../../src/kube/cache.ts';
import { type Client, connect } from '../../src/kube/client.ts';
import { silent } from '../../src/kube/log.ts';
import { controllerOf, type KubeObject } from '../../src/kube/resource.ts';
import { operatorRegistry, runOperator } from '../../src/operator/main.ts';
import { until } from '../lab/process.ts';
import { sharedLab } from '../lab/shared.ts';

/** What a Job's container leaves behind. `stay` leaves it running. */
export interface Ending {
  exitCode?: number;
  reason?: string;
  code?: string;
  message?: string;
  remedy?: string;
  retryable?: boolean;
  data?: Record<string, unknown>;
  stay?: true;
}

export type Play = (component: string, job: Job, pod: Pod) => Promise<Ending | undefined> | Ending | undefined;

let serial = 0;

export class OperatorLab implements AsyncDisposable {
  readonly client: Client;
  readonly namespace: string;
  readonly namespaces: readonly string[];
  /** Replaces what the runners do; undefined from it means the usual good end. */
  play: Play = () => undefined;
  readonly #stop = new AbortController();
  readonly #operatorClient: Client;
  readonly #folder: string;
  #operator: { stop: AbortController; done: Promise<void> } | undefined;
  #players: Promise<void> | undefined;

  private constructor(client: Client, operatorClient: Client, namespaces: readonly string[], folder: string) {
    this.client = client;
    this.#operatorClient = operatorClient;
    this.namespaces = namespaces;
    this.namespace = namespaces[0] ?? '';
    this.#folder = folder;
  }

  /** A lab with so many namespaces, the CRDs and the catalogue; the operator runs unless told otherwise. */
  static async start({
    namespaces = 1,
    operator = true,
  }: {
    namespaces?: number;
    operator?: boolean;
  } = {}): Promise<OperatorLab> {
    const cluster = await sharedLab();
    await install(cluster.kubectl.bind(cluster));
    const client = await connect({ kubeconfig: cluster.kubeconfig, qps: 1000, burst: 1000 });
    const names = Array.from({ length: namespaces }, () => `operator-${process.pid}-${++serial}`);
    for (const name of names)
      await client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    // The operator has the rights of its ClusterRole and no more: what that forgets fails here.
    const token = await cluster.tokenFor('backstay-system', 'backstay-operator');
    const lab = new OperatorLab(client, client.withToken(token), names, await mkdtemp(join(tmpdir(), 'operator-')));
    // Nobody schedules the Pods, so that the test alone says what becomes of them.
    await writeFile(join(lab.#folder, 'pod.yaml'), 'spec: {schedulerName: nobody}\n');
    lab.#players = lab.#playPods();
    if (operator) await lab.startOperator();
    return lab;
  }

  async startOperator(): Promise<void> {
    const stop = new AbortController();
    const { registry, metrics } = operatorRegistry();
    const options = {
      namespace: this.namespace,
      identity: `test-${++serial}`,
      image: 'localhost/backstay:dev',
      podTemplate: join(this.#folder, 'pod.yaml'),
      metricsPort: 0,
      leaderElect: false,
      concurrency: 4,
      watchNamespaces: this.namespaces,
    };
    const done = runOperator(options, { client: this.#operatorClient, log: silent, registry, metrics }, stop.signal);
    this.#operator = { stop, done };
    done.catch((error: unknown) => console.error(error));
    await Promise.resolve();
  }

  async stopOperator(): Promise<void> {
    this.#operator?.stop.abort(new Error('the test stops the operator'));
    await this.#operator?.done;
    this.#operator = undefined;
  }

  /** Applies objects as a user would. */
  async apply(...objects: KubeObject[]): Promise<void> {
    const { resourceFor } = await import('./resources.ts');
    for (const object of objects) {
      await this.client.apply(resourceFor(object), object, { fieldManager: 'user', force: true });
    }
  }

  async #playPods(): Promise<void> {
    const pods = new Cache<Pod>({
      client: this.client,
      type: Pods,
      namespaces: this.namespaces,
      labelSelector: 'app.kubernetes.io/managed-by=backstay',
    });
    const played = new Set<string>();
    pods.on((event) => {
      const { uid = '' } = event.object.metadata;
      if (event.type === 'deleted' || played.has(uid)) return;
      played.add(uid);
      this.#playPod(event.object).catch((error: unknown) => {
        if (!this.#stop.signal.aborted) console.error('a Pod could not be played', error);
      });
    });
    await pods.run(this.#stop.signal);
  }

  async #playPod(pod: Pod): Promise<void> {
    const component = pod.metadata.labels?.[COMPONENT_LABEL] ?? '';
    const job = await this.client.get(Jobs, { namespace: pod.metadata.namespace, name: controllerOf(pod)?.name ?? '' });
    if (job === undefined) return;
    const ending = (await this.play(component, job, pod)) ?? (await this.succeed(component, job));
    if (ending.stay === true) return;
    await this.endPod(pod, ending);
  }

  /** What a Pod looks like to the Job controller when its container has ended. */
  async endPod(pod: Pod, ending: Ending): Promise<void> {
    const { exitCode = 0, reason, code = 'Succeeded', message = '', remedy, retryable = true, data = {} } = ending;
    const text = JSON.stringify({ code, message, ...(remedy === undefined ? {} : { remedy }), retryable, data });
    const terminated = {
      exitCode,
      reason: reason ?? (exitCode === 0 ? 'Completed' : 'Error'),
      message: reason === 'OOMKilled' ? '' : text,
      startedAt: now(),
      finishedAt: now(),
    };
    const status = {
      phase: exitCode === 0 ? 'Succeeded' : 'Failed',
      containerStatuses: [
        { name: 'backstay', image: 'x', imageID: 'x', ready: false, restartCount: 0, state: { terminated } },
      ],
    };
    await this.client.patch(
      Pods,
      { namespace: pod.metadata.namespace, name: pod.metadata.name ?? '' },
      { status },
      { type: 'merge', subresource: 'status' },
    );
  }

  /** The usual good end of each kind of Job. */
  async succeed(component: string, job: Job): Promise<Ending> {
    const { namespace = '' } = job.metadata;
    const owner = controllerOf(job)?.name ?? '';
    switch (component) {
      case 'storage':
        return { data: { storageID: 'storage-1' } };
      case 'repository':
        return { data: { resticID: 'restic-1', created: true } };
      case 'backup':
        await this.writeSnapshots(namespace, owner);
        return {};
      case 'forget':
        return { data: { removed: 1 } };
      default:
        return {};
    }
  }

  /** What a backup runner writes into its Snapshots, as its own field manager. */
  async writeSnapshots(namespace: string, session: string): Promise<void> {
    const all = await this.client.listAll(Snapshots, { namespace });
    for (const { metadata, spec } of all.filter((snapshot) => snapshot.spec.backupSession === session)) {
      const status = {
        components: [
          { name: 'dump', phase: 'Succeeded' as const, bytes: 1000, addedBytes: 100, resticSnapshotID: 'abc' },
        ],
        manifestID: `manifest-${spec.snapshotID.slice(0, 8)}`,
        snapshotTime: now(),
        bytes: 1000,
        addedBytes: 100,
      };
      const object = {
        apiVersion: API_VERSION,
        kind: 'Snapshot' as const,
        metadata: { namespace, name: metadata.name ?? '' },
        status,
      };
      await this.client.applyStatus(Snapshots, object, { fieldManager: 'backstay-runner', force: true });
    }
  }

  /** Creates a BackupSession as the trigger would, without an owner. */
  async trigger(name: string, session = 'daily', configuration = 'orders', spec: object = {}): Promise<void> {
    await this.client.create(BackupSessions, {
      apiVersion: API_VERSION,
      kind: 'BackupSession',
      metadata: { name, namespace: this.namespace },
      spec: { invoker: { name: configuration }, session, ...spec },
    });
  }

  async session(name: string) {
    return await this.client.get(BackupSessions, { namespace: this.namespace, name });
  }

  async phase(name: string, ...phases: string[]) {
    return await until(
      `BackupSession ${name} to be ${phases.join(' or ')}`,
      async () => {
        const session = await this.session(name);
        return session !== undefined && phases.includes(session.status?.phase ?? '') ? session : undefined;
      },
      { timeoutMs: 20_000 },
    );
  }

  async restorePhase(name: string, ...phases: string[]) {
    return await until(
      `RestoreSession ${name} to be ${phases.join(' or ')}`,
      async () => {
        const restore = await this.client.get(RestoreSessions, { namespace: this.namespace, name });
        return restore !== undefined && phases.includes(restore.status?.phase ?? '') ? restore : undefined;
      },
      { timeoutMs: 20_000 },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopOperator();
    this.#stop.abort(new Error('the lab is closed'));
    await this.#players;
    for (const name of this.namespaces) await this.client.delete(Namespaces, { name });
    await rm(this.#folder, { recursive: true });
  }
}

/** RFC 3339 in whole seconds. */
export function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}

let installed: Promise<unknown> | undefined;

function install(kubectl: (args: string[]) => Promise<unknown>): Promise<unknown> {
  const folder = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
  installed ??= (async () => {
    await kubectl(['create', 'namespace', 'backstay-system']).catch(() => {});
    for (const file of ['serviceaccount.yaml', 'clusterrole.yaml', 'leader-election.yaml']) {
      const path = folder(`manifests/base/operator/${file}`);
      await kubectl(['apply', '--server-side', '--force-conflicts', '--namespace', 'backstay-system', '-f', path]);
    }
    await kubectl(['apply', '--server-side', '--force-conflicts', '-k', folder('manifests/crds')]);
    await kubectl([
      'wait',
      '--for=condition=Established',
      '--timeout=60s',
      'crd',
      '-l',
      'app.kubernetes.io/name=backstay',
    ]).catch(() => {});
    await until('the catalogue to be taken', async () => {
      try {
        await kubectl(['apply', '--server-side', '--force-conflicts', '-k', folder('policies/catalogue')]);
        return true;
      } catch {
        return undefined;
      }
    });
  })();
  return installed;
}
