import { BackstayError, describeError } from '../../api/errors.ts';
import type { Snapshot, SnapshotStatusComponent } from '../../api/generated/types.ts';
import type { ResolvedTarget } from '../../api/references.ts';
import type { MongoEndpoint } from '../../mongo/connection.ts';
import type { DumpProgress } from '../../mongo/dump.ts';
import type { NamespaceSelection } from '../../mongo/selection.ts';
import type { ResticRepository } from '../../restic/repository.ts';
import type { BackupStream, StreamSummary } from '../../restic/stream.ts';
import type { JobContext } from '../job.ts';
import { secondsSince } from '../log.ts';
import { archiveName, hostOf, snapshotTags } from '../tags.ts';
import { BACKSTAY_VERSION } from '../version.ts';
import { type ComponentDump, dumpComponent } from './component.ts';
import { Fan } from './fan.ts';
import type { LockRecords } from './locks.ts';
import { type Manifest, type ManifestComponent, writeManifest } from './manifest.ts';
import { planReading, type ReadingPlan, type Wishes } from './plan.ts';
import { type SnapshotReport, WHOLE } from './report.ts';

/** A Snapshot to be made, and the repository that it is made in. */
export interface Part {
  snapshot: Snapshot;
  restic: ResticRepository;
  report: SnapshotReport;
}

export interface RunRequest extends Wishes {
  target: ResolvedTarget;
  endpoint: MongoEndpoint;
  locks: LockRecords;
  lockTimeoutMs: number;
  stallTimeoutMs: number;
  namespaces?: NamespaceSelection;
}

export interface FailedPart {
  report: SnapshotReport;
  error: unknown;
}

/** What a run came to: the dump, and what became of each Snapshot. */
export interface RunResult {
  dumped: ComponentDump;
  made: { part: Part; summary: StreamSummary }[];
  failed: FailedPart[];
}

/**
 * Reads the database once and makes every part of it. Repositories that fail are in the result, as long as one does not.
 *
 * The order is what keeps it safe: repositories are opened before the database is locked, so that a slow one locks nothing; the archives
 * become snapshots after the lock was found to have held; the manifest, which makes them count, is written last.
 */
export async function runBackup(context: JobContext, parts: readonly Part[], request: RunRequest): Promise<RunResult> {
  const { log, signal } = context;
  const { endpoint, locks, target } = request;
  const plan = await planReading(endpoint, request, signal);
  log.info({ ...plan.database, member: plan.memberName, reason: plan.memberReason }, 'member chosen');
  log.info({ consistency: plan.consistency, reason: plan.consistencyReason }, 'consistency decided');
  const startTime = new Date();
  const failed = new Map<Part, unknown>();
  const streams = await openStreams(context, parts, target, failed);
  const fan = new Fan(
    [...streams].map(([part, stream]) => ({ repository: part.snapshot.spec.repository, stream })),
    { stallMs: request.stallTimeoutMs, log },
  );
  try {
    await locks.consistency(plan.consistency);
    const running = runningComponent(plan, startTime);
    const begin = { snapshotTime: rfc3339(startTime), database: plan.database };
    await Promise.all([...streams.keys()].map((part) => part.report.component(running, begin)));
    const started = performance.now();
    const dumped = await dumpComponent(
      {
        name: WHOLE,
        endpoint,
        consistency: plan.consistency,
        ...(plan.member === undefined ? {} : { member: plan.member }),
        ...(request.namespaces === undefined ? {} : { namespaces: request.namespaces }),
      },
      {
        fan,
        locks,
        log,
        signal,
        lockTimeoutMs: request.lockTimeoutMs,
        onProgress: (progress) => {
          const component = withProgress(running, progress, started);
          for (const part of streams.keys()) part.report.progress(component);
        },
      },
    );
    const results = new Map((await fan.complete()).map((result) => [result.repository, result]));
    const made: RunResult['made'] = [];
    await Promise.all(
      [...streams.keys()].map(async (part) => {
        const result = results.get(part.snapshot.spec.repository);
        try {
          if (result === undefined || 'error' in result) throw result?.error;
          const component = succeeded(running, dumped, result.summary, started);
          await commit(context, part, plan, component, request.target);
          made.push({ part, summary: result.summary });
        } catch (error) {
          failed.set(part, error);
        }
      }),
    );
    return { dumped, made, failed: [...failed].map(([{ report }, error]) => ({ report, error })) };
  } finally {
    // After a success there is nothing left to give up.
    await fan.abort();
  }
}

/** Starts restic for each part. Parts that cannot begin are put among the failed; it throws when none can. */
async function openStreams(
  { log, signal }: JobContext,
  parts: readonly Part[],
  target: ResolvedTarget,
  failed: Map<Part, unknown>,
): Promise<Map<Part, BackupStream>> {
  const started = performance.now();
  const streams = new Map<Part, BackupStream>();
  await Promise.all(
    parts.map(async (part) => {
      const { snapshot, restic } = part;
      const tags = snapshotTags(identityOf(snapshot), { component: WHOLE });
      try {
        const options = { filename: archiveName(WHOLE), host: hostOf(target), tags, signal };
        streams.set(part, await restic.startBackup(options));
      } catch (error) {
        failed.set(part, error);
        log.error({ repository: snapshot.spec.repository, error: describeError(error) }, 'repository left out');
      }
    }),
  );
  signal.throwIfAborted();
  const [first] = failed.values();
  if (streams.size === 0) throw first ?? new BackstayError('SessionNotReady', 'there is no Snapshot to make');
  log.info({ repositories: streams.size, seconds: secondsSince(started) }, 'repositories opened');
  return streams;
}

/** The archive is a restic snapshot: notes it, writes the manifest, and notes that the Snapshot is whole. */
async function commit(
  { log, signal }: JobContext,
  part: Part,
  plan: ReadingPlan,
  component: SnapshotStatusComponent & ManifestComponent,
  target: ResolvedTarget,
): Promise<void> {
  const { snapshot, restic, report } = part;
  const { bytes = 0, addedBytes = 0 } = component;
  await report.component(component, { bytes, addedBytes });
  const identity = identityOf(snapshot);
  const manifest: Manifest = {
    snapshotID: identity.snapshotID,
    name: identity.name,
    namespace: identity.namespace,
    session: identity.session,
    appRef: target,
    database: plan.database,
    components: [component],
    createdAt: rfc3339(new Date()),
    backstayVersion: BACKSTAY_VERSION,
  };
  const tags = snapshotTags(identity, 'manifest');
  const manifestID = await writeManifest(restic, manifest, { host: hostOf(target), tags, signal });
  await report.write({ manifestID });
  log.info(
    { repository: snapshot.spec.repository, resticSnapshotID: component.resticSnapshotID, addedBytes, manifestID },
    'Snapshot is whole',
  );
}

function identityOf({ metadata, spec }: Snapshot): {
  namespace: string;
  name: string;
  snapshotID: string;
  session: string;
} {
  const { namespace = '', name = '' } = metadata;
  return { namespace, name, snapshotID: spec.snapshotID, session: spec.session ?? '' };
}

function runningComponent(plan: ReadingPlan, startTime: Date): SnapshotStatusComponent {
  const { memberName, memberReason, consistency, consistencyReason } = plan;
  return {
    name: WHOLE,
    phase: 'Running',
    file: archiveName(WHOLE),
    member: memberName,
    ...(memberReason === undefined ? {} : { memberReason }),
    consistency,
    ...(consistencyReason === undefined ? {} : { consistencyReason }),
    startTime: rfc3339(startTime),
  };
}

function withProgress(
  component: SnapshotStatusComponent,
  { bytes, documents, collections, collectionsInAll }: DumpProgress,
  started: number,
): SnapshotStatusComponent {
  return {
    ...component,
    bytes,
    documents,
    collectionsDone: collections,
    collectionsTotal: collectionsInAll,
    bytesPerSecond: perSecond(bytes, started),
  };
}

function succeeded(
  component: SnapshotStatusComponent,
  { bytes, documents, collections, hash, cutTime, lockedSeconds }: ComponentDump,
  { snapshotID, bytesAdded }: StreamSummary,
  started: number,
): SnapshotStatusComponent & ManifestComponent {
  return {
    ...component,
    phase: 'Succeeded',
    file: archiveName(WHOLE),
    resticSnapshotID: snapshotID,
    bytes,
    documents,
    collectionsDone: collections,
    collectionsTotal: collections,
    addedBytes: bytesAdded,
    bytesPerSecond: perSecond(bytes, started),
    hash,
    ...(cutTime === undefined ? {} : { cutTime }),
    ...(lockedSeconds === undefined ? {} : { lockedSeconds }),
    completionTime: rfc3339(new Date()),
    durationSeconds: Math.round((performance.now() - started) / 1000),
  };
}

function perSecond(bytes: number, started: number): number {
  return Math.round(bytes / Math.max(0.001, (performance.now() - started) / 1000));
}

function rfc3339(date: Date): string {
  return date.toISOString().replace(/\.\d{3}Z$/, 'Z');
}
