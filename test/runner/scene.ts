// A namespace of the lab's cluster with everything that a runner reads, played by this file in the operator's stead.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { MongoClient } from 'mongodb';
import { tool } from '../../scripts/tools/tool.ts';
import type {
  AppBindingSpec,
  BackupSession,
  BackupStorageStorage,
  RestoreSession,
  RestoreSessionSpec,
  Snapshot,
} from '../../src/api/generated/types.ts';
import { BackupSessions, RestoreSessions, Snapshots } from '../../src/api/kinds.ts';
import { snapshotName } from '../../src/api/names.ts';
import { type Client, connect } from '../../src/kube/client.ts';
import type { JobResult } from '../../src/runner/termination.ts';
import type { Cluster } from '../lab/cluster.ts';
import { killBoth, workersOf } from '../lab/family.ts';
import { type Ground, takeGround } from '../lab/ground.ts';
import { makeRepository } from '../lab/restic.ts';
import { type S3, startS3 } from '../lab/s3.ts';
import { sharedLab } from '../lab/shared.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const CRDS = fileURLToPath(new URL('../../manifests/crds/', import.meta.url));
export const PASSWORD = 'the password of the repositories';

/** How a Job ended. */
export interface Ended {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  /** The termination message; undefined when the process was killed before it could write one. */
  result: JobResult | undefined;
  /** Lines of the log, parsed. */
  lines: Record<string, unknown>[];
  /** Everything that was written to standard output and error. */
  output: string;
}

export interface RunningJob {
  /** The process that was started; of a backup it is the watchdog. */
  child: ChildProcess;
  /** Kills everything of the Job at once, as the end of its Pod does; restic is left to notice. */
  kill(): void;
  ended: Promise<Ended>;
  /** Resolves when a line with this message was logged; rejects when the Job ends without it. */
  said(message: string): Promise<Record<string, unknown>>;
}

export interface Scene extends AsyncDisposable {
  lab: Cluster;
  ground: Ground;
  s3: S3;
  client: Client;
  namespace: string;
  apply(objects: object[]): Promise<void>;
  secret(name: string, data: Record<string, string>): Promise<void>;
  /** An AppBinding by the given specification, with a Secret of the same name when there are credentials. */
  binding(
    name: string,
    spec: AppBindingSpec,
    credentials?: { username: string; password: string } | undefined,
  ): Promise<void>;
  /** A BackupStorage; without `place` the bucket `backups` of the S3 service. */
  storage(name: string, place?: BackupStorageStorage): Promise<void>;
  repository(name: string, storage: string, options?: { path?: string; secret?: string }): Promise<void>;
  /** A restic repository where a Repository of the storage `main` has it, as if a Job had made it; gives its identity. */
  made(path: string): Promise<string>;
  /** A BackupConfiguration for the target with one session, `daily`. */
  configuration(name: string, target: string, repositories: string[], more?: object): Promise<void>;
  /** A BackupSession and its Snapshots, as the operator leaves them before it starts the Job. Returns its name. */
  session(configuration: string, repositories: string[]): Promise<string>;
  restoreSession(name: string, spec: Omit<RestoreSessionSpec, 'addon'>, snapshot?: string): Promise<void>;
  start(args: string[], env?: Record<string, string>): Promise<RunningJob>;
  run(args: string[], env?: Record<string, string>): Promise<Ended>;
  backupSession(name: string): Promise<BackupSession>;
  snapshot(repository: string, session: string): Promise<Snapshot>;
  restored(name: string): Promise<RestoreSession>;
  /** The S3 storage with another bucket or endpoint. */
  place(changes?: { bucket?: string; endpoint?: string; secretName?: string; prefix?: string }): BackupStorageStorage;
}

export async function openScene(): Promise<Scene> {
  const lab = await sharedLab();
  const ground = await takeGround();
  const s3 = await startS3({ on: ground });
  const files = (await readdir(CRDS)).filter((file) => file.includes('backstay.dev'));
  await lab.apply((await Promise.all(files.map((file) => readFile(join(CRDS, file), 'utf8')))).join('\n---\n'));
  await lab.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  const namespace = `runner-${randomBytes(3).toString('hex')}`;
  await lab.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }]);
  const client = await connect({ kubeconfig: lab.kubeconfig });
  const restic = await tool('restic');
  let sessions = 0;
  let jobs = 0;
  const object = (kind: string, name: string, spec: object): object => ({
    apiVersion: 'backstay.dev/v1alpha1',
    kind,
    metadata: { namespace, name },
    spec,
  });
  const must = <T>(value: T | undefined): T => {
    if (value === undefined) throw new Error('the object is gone');
    return value;
  };
  const self: Scene = {
    lab,
    ground,
    s3,
    client,
    namespace,
    apply: (objects) => lab.apply(objects),
    secret: (name, data) =>
      lab.apply([{ apiVersion: 'v1', kind: 'Secret', metadata: { namespace, name }, stringData: data }]),
    async binding(name, spec, credentials) {
      if (credentials !== undefined) await self.secret(name, { ...credentials });
      await lab.apply([
        object('AppBinding', name, { ...spec, ...(credentials === undefined ? {} : { secret: { name } }) }),
      ]);
    },
    storage: (name, place = self.place()) => lab.apply([object('BackupStorage', name, { storage: place })]),
    repository: (name, storage, { path = name, secret = 'encryption' } = {}) =>
      lab.apply([
        object('Repository', name, { storageRef: { name: storage }, path, encryptionSecret: { name: secret } }),
      ]),
    made: (path) => makeRepository(join(s3.bucketFolder('backups'), namespace, path), PASSWORD),
    configuration: (name, target, repositories, more = {}) =>
      lab.apply([
        object('BackupConfiguration', name, {
          target: { name: target },
          backends: [{ name: 'main', storageRef: { name: 'main' } }],
          sessions: [
            {
              name: 'daily',
              scheduler: { schedule: '0 3 * * *' },
              addon: { name: 'mongodb', tasks: [{ name: 'dump' }] },
              repositories: repositories.map((repository) => ({
                name: repository,
                backend: 'main',
                directory: `/${repository}`,
                encryptionSecret: { name: 'encryption' },
              })),
            },
          ],
          ...more,
        }),
      ]),
    async session(configuration, repositories) {
      const name = `${configuration}-daily-${++sessions}`;
      const session = await client.create(BackupSessions, {
        apiVersion: 'backstay.dev/v1alpha1',
        kind: 'BackupSession',
        metadata: { namespace, name },
        spec: { invoker: { name: configuration }, session: 'daily' },
      });
      const snapshots = repositories.map((repository) => ({ name: snapshotName(repository, name), repository }));
      for (const { name: snapshot, repository } of snapshots) {
        await client.create(Snapshots, {
          apiVersion: 'backstay.dev/v1alpha1',
          kind: 'Snapshot',
          metadata: { namespace, name: snapshot },
          spec: {
            snapshotID: randomBytes(16).toString('hex'),
            repository,
            session: 'daily',
            backupSession: name,
          },
        });
      }
      await client.applyStatus(
        BackupSessions,
        { metadata: { namespace, name: session.metadata.name ?? '' }, status: { phase: 'Running', snapshots } },
        { fieldManager: 'the-operator', force: true },
      );
      return name;
    },
    async restoreSession(name, spec, snapshot) {
      const addon = { name: 'mongodb', tasks: [{ name: 'restore' }] };
      await client.create(RestoreSessions, {
        apiVersion: 'backstay.dev/v1alpha1',
        kind: 'RestoreSession',
        metadata: { namespace, name },
        spec: { ...spec, addon },
      });
      if (snapshot === undefined) return;
      await client.applyStatus(
        RestoreSessions,
        { metadata: { namespace, name }, status: { snapshot } },
        { fieldManager: 'the-operator', force: true },
      );
    },
    start: async (args, env = {}) => {
      const termination = join(ground.folder, `termination-${++jobs}`);
      const child = spawn(process.execPath, [MAIN, 'job', ...args, '--namespace', namespace], {
        env: ground.environment({
          KUBECONFIG: lab.kubeconfig,
          BACKSTAY_RESTIC: restic,
          BACKSTAY_TERMINATION_LOG: termination,
          POD_NAME: `pod-${jobs}`,
          TMPDIR: ground.folder,
          ...env,
        }),
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      return follow(child, termination);
    },
    run: async (args, env) => (await self.start(args, env)).ended,
    backupSession: async (name) => must(await client.get(BackupSessions, { namespace, name })),
    snapshot: async (repository, session) =>
      must(await client.get(Snapshots, { namespace, name: snapshotName(repository, session) })),
    restored: async (name) => must(await client.get(RestoreSessions, { namespace, name })),
    place: (changes = {}) => ({
      provider: 's3',
      s3: {
        endpoint: s3.endpoint,
        bucket: 'backups',
        region: s3.region,
        secretName: 's3',
        prefix: namespace,
        ...changes,
      },
    }),
    async [Symbol.asyncDispose]() {
      await lab.kubectl(['delete', 'namespace', namespace, '--wait=false']).catch(() => {});
      await ground.stop();
      await lab.stop();
    },
  };
  await self.secret('encryption', { RESTIC_PASSWORD: `${PASSWORD}\n` });
  await self.secret('s3', { AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey });
  await self.storage('main');
  return self;
}

function follow(child: ChildProcess, termination: string): RunningJob {
  let output = '';
  const lines: Record<string, unknown>[] = [];
  const waiting = new Set<() => void>();
  const onText = (line: string): void => {
    output += `${line}\n`;
    if (line.startsWith('{')) lines.push(JSON.parse(line) as Record<string, unknown>);
    for (const wake of waiting) wake();
  };
  if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', onText);
  if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', onText);
  let over = false;
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (exitCode, signal) => {
      void (async () => {
        const text = await readFile(termination, 'utf8').catch(() => undefined);
        const result = text === undefined ? undefined : (JSON.parse(text) as JobResult);
        over = true;
        resolve({ exitCode, signal, result, lines, output });
        for (const wake of waiting) wake();
      })();
    });
  });
  const said = (message: string): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = lines.find(({ msg }) => String(msg).includes(message));
        if (found === undefined && !over) return;
        waiting.delete(look);
        if (found === undefined) reject(new Error(`the Job never said "${message}":\n${output}`));
        else resolve(found);
      };
      waiting.add(look);
      look();
    });
  const kill = (): void => {
    if (workersOf(child).length > 0) killBoth(child);
    else child.kill('SIGKILL');
  };
  return { child, kill, ended, said };
}

/** Fills a database with some `megabytes` of documents that do not compress, an index and a view. */
export async function fill(client: MongoClient, db: string, megabytes: number): Promise<void> {
  const perBatch = 1000;
  for (let batch = 0; batch < megabytes; batch++) {
    await client
      .db(db)
      .collection<{ _id: number; text: string }>(`orders${batch % 3}`)
      .insertMany(
        Array.from({ length: perBatch }, (_, index) => ({
          _id: batch * perBatch + index,
          text: randomBytes(500).toString('hex'),
        })),
        { writeConcern: { w: 1 } },
      );
  }
  await client.db(db).collection('orders0').createIndex({ text: 1 });
  await client.db(db).createCollection('short', { viewOn: 'orders0', pipeline: [{ $limit: 3 }] });
}

/** The server's own digest of a database's collections. */
export async function hashOf(client: MongoClient, db: string): Promise<Record<string, string>> {
  const { collections } = await client.db(db).command({ dbHash: 1 });
  return collections as Record<string, string>;
}
