import { BackstayError, describeError, errorCode } from '../api/errors.ts';
import type { RestoreSession } from '../api/generated/types.ts';
import { RestoreSessions } from '../api/kinds.ts';
import { loadCluster } from '../mongo/cluster/load.ts';
import { CONFIG_SERVER } from '../mongo/cluster/topology.ts';
import { type MongoEndpoint, openClient } from '../mongo/connection.ts';
import { type Existing, type LoadOptions, type LoadResult, loadArchives, loaderName } from '../mongo/load.ts';
import type { ResticRepository } from '../restic/repository.ts';
import type { ManifestComponent } from './backup/manifest.ts';
import type { Done, JobContext } from './job.ts';
import { megabytesPerSecond, secondsSince } from './log.ts';
import { pushMetrics } from './metrics.ts';
import { requireObject } from './objects.ts';
import { openRepository, passwordRefOf } from './repositories.ts';
import { RestoreBalancer } from './restore/balancer.ts';
import { type Expected, RestoreReport } from './restore/report.ts';
import { chosenComponents, openArchives, snapshotOf } from './restore/source.ts';
import { type RestoreTarget, readRestoreTarget, requireFit } from './restore/target.ts';
import { StatusWriter } from './status-writer.ts';
import { readTarget } from './target.ts';
import { JobFailure } from './termination.ts';
import { guardOf } from './watchdog/guard.ts';

export interface RestoreRequest {
  namespace: string;
  /** Name of the RestoreSession. */
  session: string;
  workers: number;
  usersAndRoles: boolean;
  /** How long a round of a cluster's balancer may take to end, in milliseconds. */
  balancerTimeoutMs: number;
}

const EXISTING: Readonly<Record<'Refuse' | 'Drop' | 'Merge', Existing>> = {
  Refuse: 'refuse',
  Drop: 'drop',
  Merge: 'merge',
};

/** One component that was restored. */
interface Restored {
  name: string;
  result: LoadResult;
}

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
  const { balancer: leftover } = session.status ?? {};
  const initial = leftover === undefined ? {} : { balancer: leftover };
  const report = new RestoreReport(new StatusWriter(client, RestoreSessions, session, initial, log), log);
  try {
    const { endpoint } = await readTarget(context, session.spec.target, namespace);
    const balancer = new RestoreBalancer(context, report, guardOf());
    await balancer.restoreLeftover(endpoint);
    const snapshot = await snapshotOf(context, session);
    const source = snapshot.metadata.namespace ?? namespace;
    const encryptionSecret = passwordRefOf(session.spec.dataSource.encryptionSecret, namespace);
    const { restic } = await openRepository(
      context,
      { namespace: source, name: snapshot.spec.repository },
      encryptionSecret === undefined ? {} : { encryptionSecret },
    );
    try {
      const { manifest, components } = await chosenComponents(restic, snapshot, session, signal);
      const target = await readRestoreTarget(endpoint, signal);
      requireFit(
        target,
        manifest,
        components.map((component) => component.name),
      );
      const bytes = components.reduce((sum, component) => sum + (component.bytes ?? 0), 0);
      log.info({ snapshot: snapshot.metadata.name, components: components.length, bytes }, 'restore begins');
      const restored = await loadAll(context, request, {
        session,
        restic,
        components,
        endpoint,
        target,
        report,
        balancer,
      });
      return await conclude(context, session, report, restored, started);
    } finally {
      await restic.close();
    }
  } catch (error) {
    if (error instanceof JobFailure) throw error;
    const message = `${error instanceof Error ? error.message : String(error)}${soFar(report)}`;
    await writeFailure(context, report, error);
    const { restored: documents, failed } = report.counts;
    const pushed = await push(context, session, started, { success: 0, documents, failed });
    throw new JobFailure(error, message, { documents, failedDocuments: failed, ...pushed });
  }
}

/** What had been written when it failed. */
function soFar({ counts: { restored, failed } }: RestoreReport): string {
  return restored + failed === 0 ? '' : `; restored ${restored}, failed ${failed} until then`;
}

interface Loading {
  session: RestoreSession;
  restic: ResticRepository;
  components: ManifestComponent[];
  endpoint: MongoEndpoint;
  target: RestoreTarget;
  report: RestoreReport;
  balancer: RestoreBalancer;
}

async function loadAll(context: JobContext, request: RestoreRequest, loading: Loading): Promise<Restored[]> {
  const { target, report } = loading;
  const started = performance.now();
  const loaded =
    target.kind === 'cluster' ? await loadShards(context, request, loading) : await loadOne(context, request, loading);
  for (const { name, result } of loaded) {
    const { bytes, documents, failed, indexes, users, roles, kept, hashed, notices } = result;
    const seconds = secondsSince(started);
    const speed = megabytesPerSecond(bytes, seconds);
    context.log.info(
      {
        component: name,
        bytes,
        documents,
        failed,
        indexes,
        users,
        roles,
        kept,
        hashed,
        seconds,
        megabytesPerSecond: speed,
      },
      'load finished',
    );
    for (const notice of notices) context.log.warn({ component: name }, notice);
    await report.done(name, result, failed > 0 ? incomplete([{ name, result }]).message : undefined);
  }
  return loaded;
}

/** A standalone or a replica set: one component, to the member that takes writes. */
async function loadOne(
  { signal }: JobContext,
  request: RestoreRequest,
  { session, restic, components, endpoint, target, report }: Loading,
): Promise<Restored[]> {
  const [component] = components;
  if (component === undefined || target.kind !== 'server') throw new Error('requireFit asked for it');
  const { name, hashes } = component;
  const { member } = target;
  await report.begin(new Map([[name, expectedOf(component, session, member)]]));
  const connect = { signal, appName: loaderName() };
  const client = await openClient(endpoint, member === undefined ? connect : { ...connect, member });
  try {
    const result = await loadArchives(client, openArchives(restic, component, signal), {
      ...loadOptions(session, request),
      ...(hashes === undefined ? {} : { hashes }),
      signal,
      onProgress: (progress) => report.progress(name, progress),
    });
    return [{ name, result }];
  } finally {
    await client.close();
  }
}

/** A sharded cluster: each shard's component to the shard of that name. */
async function loadShards(
  { log, signal }: JobContext,
  request: RestoreRequest,
  { session, restic, components, target, report, balancer }: Loading,
): Promise<Restored[]> {
  if (target.kind !== 'cluster') throw new Error('loadAll asked for it');
  const { cluster } = target;
  const { shards = [] } = session.spec.dataSource;
  const primaries = new Map(
    [cluster.configServer, ...cluster.shards].map(({ name, topology }) => [name, topology.primary]),
  );
  const placeOf = (name: string): string =>
    name === CONFIG_SERVER ? name : (shards.find(({ from }) => from === name)?.to ?? name);
  await report.begin(
    new Map(
      components.map((component) => {
        const { name } = component;
        return [name, expectedOf(component, session, primaries.get(placeOf(name)))];
      }),
    ),
  );
  try {
    const sources = components.map((component) => ({
      name: component.name,
      open: () => openArchives(restic, component, signal),
      ...(component.hashes === undefined ? {} : { hashes: component.hashes }),
    }));
    const {
      components: loaded,
      routing,
      notices,
    } = await loadCluster(cluster, sources, {
      ...loadOptions(session, request),
      shards,
      signal,
      onChecked: () => balancer.stop(cluster, request.balancerTimeoutMs),
      onProgress: (name, progress) => report.progress(name, progress),
    });
    log.info(routing, 'the cluster finds its data');
    for (const notice of notices) log.warn({}, notice);
    return loaded;
  } finally {
    await balancer.restore();
  }
}

/** How many of the documents are in chosen namespaces is not known before they are read. */
function expectedOf(
  { bytes, documents }: ManifestComponent,
  { spec }: RestoreSession,
  member: string | undefined,
): Expected {
  const { include = [], exclude = [] } = spec.dataSource.namespaces ?? {};
  return { member, bytes, documents: include.length + exclude.length > 0 ? undefined : documents };
}

function loadOptions(
  session: RestoreSession,
  { workers, usersAndRoles }: RestoreRequest,
): Pick<LoadOptions, 'existing' | 'namespaces' | 'usersAndRoles' | 'workers'> {
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

async function conclude(
  context: JobContext,
  session: RestoreSession,
  report: RestoreReport,
  loaded: Restored[],
  started: number,
): Promise<Done> {
  const sum = (of: (result: LoadResult) => number): number =>
    loaded.reduce((total, { result }) => total + of(result), 0);
  const { restored: documents, failed } = report.counts;
  const pushed = await push(context, session, started, { success: failed === 0 ? 1 : 0, documents, failed });
  const data = {
    bytes: sum(({ bytes }) => bytes),
    documents,
    failedDocuments: failed,
    indexes: sum(({ indexes }) => indexes),
    hashedCollections: sum(({ hashed }) => hashed),
    ...pushed,
  };
  if (failed > 0) {
    const error = incomplete(loaded);
    throw new JobFailure(error, error.message, data);
  }
  const collections = sum(({ namespaces }) => namespaces.length);
  return { message: `restored ${documents}, failed 0, in ${collections} collections`, data };
}

function incomplete(loaded: Restored[]): BackstayError {
  const namespaces = loaded.flatMap(({ result }) => result.namespaces);
  const sum = (of: 'restored' | 'failed'): number => namespaces.reduce((total, one) => total + one[of], 0);
  const worst = namespaces.reduce((most, one) => (one.failed > most.failed ? one : most));
  return new BackstayError(
    'RestoreIncomplete',
    `restored ${sum('restored')}, failed ${sum('failed')}, ${worst.failed} of them in ${worst.name}`,
    { remedy: 'they exist in the target already; restore under other names, or with guards.existingData Drop' },
  );
}

async function writeFailure({ redact, log }: JobContext, report: RestoreReport, error: unknown): Promise<void> {
  const text = redact(`${errorCode(error)}: ${describeError(error)}`).slice(0, 4096);
  await report.failed(text).catch((cause: unknown) => {
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
