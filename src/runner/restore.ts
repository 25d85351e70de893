import { createHash } from 'node:crypto';
import { BackstayError, describeError } from '../api/errors.ts';
import type { RestoreSession, RestoreSessionStatusComponent, Snapshot } from '../api/generated/types.ts';
import { RestoreSessions, Snapshots } from '../api/kinds.ts';
import { formatName } from '../api/references.ts';
import { type MongoEndpoint, openClient } from '../mongo/connection.ts';
import { type Existing, type LoadOptions, type LoadProgress, type LoadResult, load } from '../mongo/load.ts';
import { readTopology } from '../mongo/topology.ts';
import type { ResticRepository } from '../restic/repository.ts';
import { findManifest, type ManifestComponent } from './backup/manifest.ts';
import type { Done, JobContext } from './job.ts';
import { megabytesPerSecond, secondsSince } from './log.ts';
import { pushMetrics } from './metrics.ts';
import { requireObject } from './objects.ts';
import { openRepository, passwordRefOf } from './repositories.ts';
import { StatusWriter } from './status-writer.ts';
import { readTarget } from './target.ts';
import { JobFailure } from './termination.ts';

export interface RestoreRequest {
  namespace: string;
  /** Name of the RestoreSession. */
  session: string;
  workers: number;
  usersAndRoles: boolean;
}

const EXISTING: Readonly<Record<'Refuse' | 'Drop' | 'Merge', Existing>> = {
  Refuse: 'refuse',
  Drop: 'drop',
  Merge: 'merge',
};

/** Restores the Snapshot of a RestoreSession into its target. */
export async function restore(context: JobContext, request: RestoreRequest): Promise<Done> {
  const { client, signal, log } = context;
  const { namespace, session: name } = request;
  const started = performance.now();
  const session = await requireObject(
    client,
    RestoreSessions,
    { namespace, name },
    { signal, code: 'SessionNotFound' },
  );
  const writer = new StatusWriter(client, RestoreSessions, session, {}, log);
  try {
    const snapshot = await snapshotOf(context, session);
    const source = snapshot.metadata.namespace ?? namespace;
    const encryptionSecret = passwordRefOf(session.spec.dataSource.encryptionSecret, namespace);
    const { restic } = await openRepository(
      context,
      { namespace: source, name: snapshot.spec.repository },
      encryptionSecret === undefined ? {} : { encryptionSecret },
    );
    try {
      const component = await componentOf(restic, snapshot, session, signal);
      const { endpoint } = await readTarget(context, session.spec.target, namespace);
      const member = await primaryOf(endpoint, signal);
      log.info({ snapshot: snapshot.metadata.name, bytes: component.bytes, member }, 'restore begins');
      const result = await loadComponent(context, request, { session, restic, component, endpoint, member, writer });
      return await conclude(context, session, result, started);
    } finally {
      await restic.close();
    }
  } catch (error) {
    if (error instanceof JobFailure) throw error;
    await writeFailure(context, writer, error);
    const data = await push(context, session, started, { success: 0 });
    throw new JobFailure(error, error instanceof Error ? error.message : String(error), data);
  }
}

/** The Snapshot that the session names, or that the operator found to be the latest. */
async function snapshotOf({ client, signal }: JobContext, session: RestoreSession): Promise<Snapshot> {
  const { dataSource } = session.spec;
  const { namespace: home = '' } = session.metadata;
  const { namespace = home, repository } = dataSource;
  const named = dataSource.snapshot === undefined || dataSource.snapshot === 'latest' ? undefined : dataSource.snapshot;
  const name = session.status?.snapshot ?? named;
  if (name === undefined) {
    throw new BackstayError(
      'SnapshotNotFound',
      `no Snapshot of Repository ${namespace}/${repository} was chosen for RestoreSession ${home}/${session.metadata.name}`,
      { remedy: 'name one in spec.dataSource.snapshot, or see whether the operator runs: it finds the latest' },
    );
  }
  const snapshot = await requireObject(client, Snapshots, { namespace, name }, { signal, code: 'SnapshotNotFound' });
  if (snapshot.spec.repository !== repository) {
    throw new BackstayError(
      'SnapshotInvalid',
      `Snapshot ${namespace}/${name} is in Repository ${snapshot.spec.repository}, not in ${repository}`,
      { remedy: 'correct spec.dataSource' },
    );
  }
  return snapshot;
}

/** The one component to restore, as the manifest in the repository has it. */
async function componentOf(
  restic: ResticRepository,
  snapshot: Snapshot,
  session: RestoreSession,
  signal: AbortSignal,
): Promise<ManifestComponent> {
  const { namespace = '', name = '' } = snapshot.metadata;
  const where = `Snapshot ${formatName({ namespace, name })}`;
  const found = await findManifest(restic, snapshot, signal);
  if (found === undefined) {
    throw new BackstayError('SnapshotNotFound', `${where} has no manifest in ${restic.location}: it is not whole`, {
      remedy: 'restore another Snapshot',
    });
  }
  const { components } = found.manifest;
  const wanted = session.spec.dataSource.components ?? [];
  const missing = wanted.find((each) => !components.some((component) => component.name === each));
  if (missing !== undefined) {
    const names = components.map((component) => component.name).join(', ');
    throw new BackstayError('ComponentNotFound', `${where} has no component ${missing}`, {
      remedy: `use one of ${names} in spec.dataSource.components`,
    });
  }
  const chosen = components.filter((component) => wanted.length === 0 || wanted.includes(component.name));
  const [first, second] = chosen;
  if (first === undefined || second !== undefined) {
    throw new BackstayError('UnsupportedTopology', `${where} has ${chosen.length} components to restore`, {
      remedy: 'name the one to restore in spec.dataSource.components, with a target of its own',
    });
  }
  return first;
}

/** host:port of the member that takes writes; undefined for a standalone. */
async function primaryOf(endpoint: MongoEndpoint, signal: AbortSignal): Promise<string | undefined> {
  const client = await openClient(endpoint, { signal });
  try {
    const topology = await readTopology(client);
    if (topology.kind === 'standalone') return undefined;
    if (topology.kind === 'mongos') {
      throw new BackstayError('UnsupportedTopology', `${topology.host} is a mongos, which is not restored into`, {
        remedy: 'restore into a standalone or a replica set',
      });
    }
    if (topology.primary !== undefined) return topology.primary;
    throw new BackstayError('NoPrimary', `replica set ${topology.name} has no primary`, {
      remedy: 'bring a majority of its members up',
    });
  } finally {
    await client.close();
  }
}

interface Loading {
  session: RestoreSession;
  restic: ResticRepository;
  component: ManifestComponent;
  endpoint: MongoEndpoint;
  member: string | undefined;
  writer: StatusWriter<RestoreSession>;
}

async function loadComponent(
  { log, signal }: JobContext,
  request: RestoreRequest,
  { session, restic, component, endpoint, member, writer }: Loading,
): Promise<LoadResult> {
  const started = performance.now();
  const running: RestoreSessionStatusComponent = {
    name: component.name,
    phase: 'Running',
    ...(member === undefined ? {} : { member }),
    startTime: rfc3339(new Date()),
  };
  await writer.write({ components: [running] });
  const client = await openClient(endpoint, { signal, ...(member === undefined ? {} : { member }) });
  try {
    const input = verified(
      restic.dump(component.resticSnapshotID, component.file, { signal }),
      component,
      restic.location,
    );
    const result = await load(client, input, {
      ...loadOptions(session, request),
      signal,
      onProgress: (progress) => writer.progress({ components: [withProgress(running, progress, started)] }),
    });
    const seconds = secondsSince(started);
    const { bytes, documents, failed, indexes, users, roles, kept } = result;
    const speed = megabytesPerSecond(bytes, seconds);
    log.info(
      { bytes, documents, failed, indexes, users, roles, kept, seconds, megabytesPerSecond: speed },
      'load finished',
    );
    const done: RestoreSessionStatusComponent = {
      ...running,
      phase: failed > 0 ? 'Failed' : 'Succeeded',
      bytes,
      documents,
      failedDocuments: failed,
      indexes,
      collectionsDone: result.namespaces.length,
      collectionsTotal: result.namespaces.length,
      bytesPerSecond: Math.round(bytes / Math.max(0.001, (performance.now() - started) / 1000)),
      completionTime: rfc3339(new Date()),
      durationSeconds: Math.round((performance.now() - started) / 1000),
      ...(failed > 0 ? { error: incomplete(result).message } : {}),
    };
    await writer.write({ components: [done] });
    return result;
  } finally {
    await client.close();
  }
}

function loadOptions(session: RestoreSession, { workers, usersAndRoles }: RestoreRequest): LoadOptions {
  const { include, exclude, rename } = session.spec.dataSource.namespaces ?? {};
  return {
    existing: EXISTING[session.spec.guards?.existingData ?? 'Refuse'],
    namespaces: {
      ...(include === undefined ? {} : { include }),
      ...(exclude === undefined ? {} : { exclude }),
      ...(rename === undefined ? {} : { rename }),
    },
    usersAndRoles,
    workers,
  };
}

/** Passes an archive on and compares its hash at the end: the reader of the archive sees the end only if it is the archive that was made. */
async function* verified(
  input: AsyncIterable<Uint8Array>,
  { name, hash: expected }: ManifestComponent,
  location: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  for await (const chunk of input) {
    hash.update(chunk);
    yield chunk;
  }
  if (expected === undefined || hash.digest('hex') === expected) return;
  throw new BackstayError(
    'ArchiveDamaged',
    `component ${name} in ${location} is not what was backed up: its hash differs`,
    {
      remedy: 'restore another Snapshot, and check the repository with restic check --read-data',
    },
  );
}

async function conclude(
  context: JobContext,
  session: RestoreSession,
  result: LoadResult,
  started: number,
): Promise<Done> {
  const { documents, failed, indexes, bytes } = result;
  const pushed = await push(context, session, started, { success: failed === 0 ? 1 : 0, documents, failed });
  const data = { bytes, documents, failedDocuments: failed, indexes, ...pushed };
  if (failed > 0) {
    const error = incomplete(result);
    throw new JobFailure(error, error.message, data);
  }
  return { message: `restored ${documents} documents in ${result.namespaces.length} collections`, data };
}

function incomplete({ failed, documents, namespaces }: LoadResult): BackstayError {
  const worst = namespaces.reduce((most, one) => (one.failed > most.failed ? one : most));
  return new BackstayError(
    'RestoreIncomplete',
    `${failed} of ${documents} documents were not restored, ${worst.failed} of them in ${worst.name}`,
    { remedy: 'they exist in the target already; restore under other names, or with guards.existingData Drop' },
  );
}

async function writeFailure(
  { redact, log }: JobContext,
  writer: StatusWriter<RestoreSession>,
  error: unknown,
): Promise<void> {
  const { components = [] } = writer.status;
  if (components.length === 0) return;
  const text = redact(describeError(error)).slice(0, 4096);
  const failed = components.map((component) => ({ ...component, phase: 'Failed' as const, error: text }));
  await writer.write({ components: failed }).catch((cause: unknown) => {
    log.error({ error: String(cause) }, 'the failure could not be written');
  });
}

async function push(
  { env, log }: JobContext,
  session: RestoreSession,
  started: number,
  numbers: { success: 0 | 1; documents?: number; failed?: number },
): Promise<{ metricsPushed?: boolean; message?: string }> {
  const { BACKSTAY_PUSHGATEWAY_URL: url } = env;
  if (url === undefined || url === '') return {};
  const { namespace = '', name = '' } = session.metadata;
  try {
    await pushMetrics(
      url,
      { namespace, restoresession: name },
      {
        backstay_restore_success: numbers.success,
        backstay_restore_duration_seconds: (performance.now() - started) / 1000,
        backstay_restore_documents: numbers.documents,
        backstay_restore_failed_documents: numbers.failed,
      },
    );
    return { metricsPushed: true };
  } catch (error) {
    log.warn({ error: describeError(error) }, 'metrics not pushed');
    return { metricsPushed: false, message: describeError(error) };
  }
}

function withProgress(
  component: RestoreSessionStatusComponent,
  { bytes, documents, collections, collectionsInAll }: LoadProgress,
  started: number,
): RestoreSessionStatusComponent {
  return {
    ...component,
    bytes,
    documents,
    collectionsDone: collections,
    collectionsTotal: collectionsInAll,
    bytesPerSecond: Math.round(bytes / Math.max(0.001, (performance.now() - started) / 1000)),
  };
}

function rfc3339(date: Date): string {
  return date.toISOString().replace(/\.\d{3}Z$/, 'Z');
}
