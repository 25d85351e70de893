import { BackstayError, describeError } from '../api/errors.ts';
import type { BackupSession, Snapshot, SnapshotStatusComponent } from '../api/generated/types.ts';
import { BackupConfigurations, BackupSessions, Snapshots } from '../api/kinds.ts';
import { resolveTarget } from '../api/references.ts';
import type { NamespaceSelection } from '../mongo/selection.ts';
import { LockRecords, ownPart } from './backup/locks.ts';
import { findManifest } from './backup/manifest.ts';
import type { Wishes } from './backup/plan.ts';
import { SnapshotReport } from './backup/report.ts';
import { type FailedPart, type Part, type RunResult, runBackup } from './backup/run.ts';
import type { Done, JobContext } from './job.ts';
import { pushMetrics, type Samples } from './metrics.ts';
import { requireObject } from './objects.ts';
import { releaseRecords } from './release.ts';
import { openRepository } from './repositories.ts';
import { StatusWriter } from './status-writer.ts';
import { readTarget } from './target.ts';
import { JobFailure } from './termination.ts';
import { guardOf } from './watchdog/guard.ts';

export interface BackupRequest extends Wishes {
  namespace: string;
  /** Name of the BackupSession. */
  session: string;
  lockTimeoutMs: number;
  /** How long a member may be locked, in milliseconds; then the backup fails. */
  maxLockMs: number;
  /** How long a repository may take no byte before it is given up, in milliseconds. */
  stallTimeoutMs: number;
  /** Of a sharded cluster: how long the balancer's round may take to end, in milliseconds. */
  balancerTimeoutMs: number;
  /** Of a sharded cluster: how long to wait until nothing is under way, and until all members have the time of the cut, in milliseconds. */
  cutTimeoutMs: number;
  /** Archives that a component is written as at the same time, each by a restic of its own. */
  streams: number;
  namespaces?: NamespaceSelection;
  /** Record the server's digests of the collections. */
  hashes: boolean;
}

/** How long restic waits for a prune to end before it begins; the database is not locked meanwhile. */
const RETRY_LOCK = '10m';

/**
 * Runs a BackupSession: reads the database once and writes it to the repository of every Snapshot of the session.
 *
 * Killed at any moment it leaves no Snapshot that counts and is not whole, and no lock that is not written down. A second run of the same
 * session releases what the first left, and makes only the Snapshots that are not there.
 */
export async function backup(context: JobContext, request: BackupRequest): Promise<Done> {
  const { client, signal, log, holder } = context;
  const { namespace, session: name } = request;
  const started = performance.now();
  const session = await requireObject(client, BackupSessions, { namespace, name }, { signal, code: 'SessionNotFound' });
  const parts: Part[] = [];
  try {
    const configuration = await requireObject(
      client,
      BackupConfigurations,
      { namespace, name: session.spec.invoker.name },
      { signal, code: 'ConfigurationNotFound' },
    );
    const writer = new StatusWriter(client, BackupSessions, session, ownPart(session.status), log);
    const { endpoint } = await readTarget(context, configuration.spec.target, namespace);
    const locks = new LockRecords(writer, holder, { guard: guardOf(), endpoint });
    await releaseRecords(context, endpoint, locks);
    const failed: FailedPart[] = [];
    for (const snapshot of await wantedSnapshots(context, session)) {
      const report = new SnapshotReport(client, snapshot, log);
      try {
        const part = await openPart(context, snapshot, report);
        if (part !== undefined) parts.push(part);
      } catch (error) {
        log.error({ repository: snapshot.spec.repository, error: describeError(error) }, 'repository left out');
        failed.push({ report, error });
      }
    }
    if (parts.length === 0) {
      await Promise.all(failed.map(({ report, error }) => reportFailure(context, report, error)));
      if (failed.length > 0) throw failed[0]?.error;
      return { message: 'every Snapshot of the session was made by an earlier run', data: {} };
    }
    const target = resolveTarget(configuration.spec.target, namespace);
    const result = await runBackup(context, parts, { ...request, target, endpoint, locks });
    return await conclude(context, session, { ...result, failed: [...failed, ...result.failed] }, started);
  } catch (error) {
    if (error instanceof JobFailure) throw error;
    await Promise.all(parts.map((part) => reportFailure(context, part.report, error)));
    const data = await push(context, session, started, { backstay_backup_success: 0 });
    throw new JobFailure(error, error instanceof Error ? error.message : String(error), data);
  } finally {
    await Promise.all(parts.map(({ restic }) => restic.close()));
  }
}

/** The Snapshots that the operator made for the session and that are not whole yet. */
async function wantedSnapshots({ client, signal, log }: JobContext, session: BackupSession): Promise<Snapshot[]> {
  const { namespace = '', name } = session.metadata;
  const names = session.status?.snapshots?.map((one) => one.name) ?? [];
  if (names.length === 0) {
    throw new BackstayError('SessionNotReady', `BackupSession ${namespace}/${name} names no Snapshots`, {
      remedy: 'see whether the operator runs: it makes them before it starts the Job',
    });
  }
  const missing = { signal, code: 'SnapshotNotFound' };
  const all = await Promise.all(
    names.map((one) => requireObject(client, Snapshots, { namespace, name: one }, missing)),
  );
  const whole = all.filter(({ status }) => status?.manifestID !== undefined);
  for (const { metadata } of whole) log.info({ snapshot: metadata.name }, 'made by an earlier run already');
  return all.filter((snapshot) => !whole.includes(snapshot));
}

/**
 * Opens the repository of a Snapshot. A manifest that is there already means that an earlier run died between writing it and saying so: its
 * Snapshot is noted as whole. An earlier run wrote down its component before it read a byte; where there is none, none is looked for, which
 * spares the half second of a processor that each restic command takes.
 */
async function openPart(context: JobContext, snapshot: Snapshot, report: SnapshotReport): Promise<Part | undefined> {
  const { log, signal } = context;
  const { namespace = '' } = snapshot.metadata;
  const name = snapshot.spec.repository;
  const { restic } = await openRepository(context, { namespace, name }, { retryLock: RETRY_LOCK });
  const { components = [] } = snapshot.status ?? {};
  const found = components.length === 0 ? undefined : await findManifest(restic, snapshot, signal);
  if (found === undefined) return { snapshot, restic, report };
  const { manifestID, manifest } = found;
  const whole = manifest.components.map((component) => ({ ...component, phase: 'Succeeded' as const }));
  const sum = (of: (component: SnapshotStatusComponent) => number | undefined): number =>
    whole.reduce((total, component) => total + (of(component) ?? 0), 0);
  await report.adopt({
    components: whole,
    database: manifest.database,
    snapshotTime: snapshot.status?.snapshotTime ?? manifest.createdAt,
    bytes: sum(({ bytes }) => bytes),
    addedBytes: sum(({ addedBytes }) => addedBytes),
    manifestID,
  });
  await restic.close();
  log.info({ snapshot: snapshot.metadata.name, manifestID }, 'found whole in the repository');
  return undefined;
}

/** The end of a run in which at least the dump succeeded: every Snapshot is accounted for, and what failed fails the Job. */
async function conclude(
  context: JobContext,
  session: BackupSession,
  { dumped, balancerFailure, made, failed }: RunResult,
  started: number,
): Promise<Done> {
  await Promise.all(failed.map(({ report, error }) => reportFailure(context, report, error)));
  const addedBytes = made.reduce((sum, part) => sum + part.addedBytes, 0);
  const bytes = dumped.reduce((sum, component) => sum + component.bytes, 0);
  const documents = dumped.reduce((sum, component) => sum + component.documents, 0);
  const locked = dumped.flatMap(({ lockedSeconds: seconds }) => seconds ?? []);
  const lockedSeconds = locked.length === 0 ? undefined : Math.max(...locked);
  const unlockFailure = dumped.find((component) => component.unlockFailure !== undefined)?.unlockFailure;
  const pushed = await push(context, session, started, {
    backstay_backup_success: failed.length === 0 ? 1 : 0,
    backstay_backup_bytes: bytes,
    backstay_backup_added_bytes: addedBytes,
    backstay_backup_documents: documents,
    backstay_backup_locked_seconds: lockedSeconds ?? 0,
    backstay_backup_last_success_timestamp_seconds: failed.length === 0 ? Math.floor(Date.now() / 1000) : undefined,
  });
  const data = {
    bytes,
    addedBytes,
    documents,
    ...(lockedSeconds === undefined ? {} : { lockedSeconds }),
    // The record of the lock stays in the session, where the operator finds it.
    ...(unlockFailure === undefined ? {} : { unlockFailed: describeError(unlockFailure) }),
    ...(balancerFailure === undefined ? {} : { balancerNotRestored: describeError(balancerFailure) }),
    ...pushed,
  };
  const all = made.length + failed.length;
  const [first] = failed;
  if (first === undefined)
    return { message: `backed up to ${all === 1 ? 'the repository' : `${all} repositories`}`, data };
  const { name } = first.report.snapshot.metadata;
  const why = first.error instanceof Error ? first.error.message : String(first.error);
  throw new JobFailure(first.error, `${failed.length} of ${all} Snapshots failed, ${name} first: ${why}`, data);
}

async function reportFailure({ redact, log }: JobContext, report: SnapshotReport, error: unknown): Promise<void> {
  await report.failed(redact(describeError(error))).catch((cause: unknown) => {
    log.error({ snapshot: report.snapshot.metadata.name, error: String(cause) }, 'the failure could not be written');
  });
}

/** Pushes the metrics of a run. That it failed is part of the result, and no failure of the run. */
async function push(
  { env, log }: JobContext,
  session: BackupSession,
  started: number,
  samples: Samples,
): Promise<{ metricsPushed?: boolean; message?: string }> {
  const { BACKSTAY_PUSHGATEWAY_URL: url } = env;
  if (url === undefined || url === '') return {};
  const { metadata, spec } = session;
  const grouping = {
    namespace: metadata.namespace ?? '',
    configuration: spec.invoker.name,
    session: spec.session,
  };
  try {
    await pushMetrics(url, grouping, {
      ...samples,
      backstay_backup_duration_seconds: (performance.now() - started) / 1000,
      backstay_backup_last_run_timestamp_seconds: Math.floor(Date.now() / 1000),
    });
    return { metricsPushed: true };
  } catch (error) {
    log.warn({ error: describeError(error) }, 'metrics not pushed');
    return { metricsPushed: false, message: describeError(error) };
  }
}
