import { BackstayError, describeError } from '../../api/errors.ts';
import type { Snapshot, SnapshotStatusComponent } from '../../api/generated/types.ts';
import type { ResolvedTarget } from '../../api/references.ts';
import type { MongoEndpoint } from '../../mongo/connection.ts';
import { nowAndThen } from '../../mongo/pace.ts';
import type { NamespaceSelection } from '../../mongo/selection.ts';
import type { ResticRepository } from '../../restic/repository.ts';
import type { BackupStream } from '../../restic/stream.ts';
import type { JobContext } from '../job.ts';
import { LOG_PROGRESS_MS, secondsSince } from '../log.ts';
import { hostOf, snapshotTags } from '../tags.ts';
import { BACKSTAY_VERSION } from '../version.ts';
import { archiveNames, archivesFor, archivesOf } from './archives.ts';
import { type ComponentDump, dumpComponent, type LockResult } from './component.ts';
import { type BranchResult, Fan, type FanOptions } from './fan.ts';
import { figuresOf, rfc3339, runningComponent, succeeded } from './figures.ts';
import type { LockRecords } from './locks.ts';
import { type Manifest, writeManifest } from './manifest.ts';
import { type BackupPlan, type ComponentPlan, planReading, type Wishes } from './plan.ts';
import { openReading } from './reading.ts';
import type { SnapshotReport } from './report.ts';

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
  maxLockMs: number;
  stallTimeoutMs: number;
  balancerTimeoutMs: number;
  cutTimeoutMs: number;
  /** Archives that each component is written as, see `archivesFor`. */
  streams: number;
  namespaces?: NamespaceSelection;
  /** Record the server's digests of the collections. */
  hashes: boolean;
}

export interface FailedPart {
  report: SnapshotReport;
  error: unknown;
}

/** What a run came to: the dumps, and what became of each Snapshot. */
export interface RunResult {
  dumped: (ComponentDump & LockResult)[];
  /** Why the balancer is not as it was; its record stays for the operator. */
  balancerFailure?: unknown;
  made: { part: Part; addedBytes: number }[];
  failed: FailedPart[];
}

/** A component on its way to the repositories of all parts. */
interface Stream {
  plan: ComponentPlan;
  /** One for each archive. */
  fans: readonly Fan[];
  running: SnapshotStatusComponent;
}

/**
 * Reads the database once and makes every part of it. Repositories that fail are in the result, as long as one does not.
 *
 * The order is what keeps it safe: repositories are opened before the database is locked, so that a slow one locks nothing; the archives
 * become snapshots after all of them were read and every lock was found to have held; the manifest, which makes them count, is written
 * last.
 */
export async function runBackup(context: JobContext, parts: readonly Part[], request: RunRequest): Promise<RunResult> {
  const { log, signal } = context;
  const { endpoint, locks, target, streams: perComponent } = request;
  const plan = await planReading(endpoint, request, signal);
  for (const { name, memberName, memberReason, consistency, consistencyReason } of plan.components) {
    log.info({ ...plan.database, component: name, member: memberName, reason: memberReason }, 'member chosen');
    log.info({ component: name, consistency, reason: consistencyReason }, 'consistency decided');
  }
  const startTime = new Date();
  const failed = new Map<Part, unknown>();
  const opened = await openStreams(context, parts, plan, { target, streams: perComponent }, failed);
  const open = [...opened.keys()];
  const streams = streamsOf(plan, opened, startTime, {
    streams: perComponent,
    stallMs: request.stallTimeoutMs,
    log,
  });
  try {
    await locks.consistency(plan.consistency);
    const begin = { snapshotTime: rfc3339(startTime), database: plan.database };
    await Promise.all(
      open.map((part) =>
        part.report.components(
          streams.map(({ running }) => running),
          begin,
        ),
      ),
    );
    const started = performance.now();
    const { dumped, balancerFailure } = await dumpAll(context, plan, streams, open, request);
    const completed = await completeAll(context, streams);
    log.info({}, 'archives written');
    const made: RunResult['made'] = [];
    await Promise.all(
      open.map(async (part) => {
        const { repository } = part.snapshot.spec;
        try {
          const components = streams.map(({ running }, index) => {
            const summaries = (completed[index] ?? []).map((archive) => {
              const result = archive.find((one) => one.repository === repository);
              if (result === undefined || 'error' in result) throw result?.error;
              return result.summary;
            });
            return succeeded(running, dumped[index] as ComponentDump & LockResult, summaries, started);
          });
          const hashes = dumped.map((one) => one.hashes);
          await commit(context, part, plan, components, hashes, target);
          made.push({ part, addedBytes: components.reduce((sum, { addedBytes = 0 }) => sum + addedBytes, 0) });
        } catch (error) {
          failed.set(part, error);
        }
      }),
    );
    return { dumped, balancerFailure, made, failed: [...failed].map(([{ report }, error]) => ({ report, error })) };
  } finally {
    // After a success there is nothing left to give up.
    await Promise.all(streams.flatMap(({ fans }) => fans).map((fan) => fan.abort()));
  }
}

/**
 * Waits until restic has stored what was read, which may take longer than the reading. The database is not locked any more.
 *
 * @returns what became of each archive of each component
 */
async function completeAll({ log }: JobContext, streams: readonly Stream[]): Promise<BranchResult[][][]> {
  const waiting = setInterval(() => {
    for (const { running, fans } of streams) {
      log.info({ component: running.name, processed: processedBy(fans) }, 'repositories take in what was read');
    }
  }, LOG_PROGRESS_MS);
  try {
    return await Promise.all(streams.map(({ fans }) => Promise.all(fans.map((fan) => fan.complete()))));
  } finally {
    clearInterval(waiting);
  }
}

/** Bytes that restic has worked off for each repository, in all archives. */
function processedBy(fans: readonly Fan[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { processed } of fans) {
    for (const [repository, bytes] of Object.entries(processed)) sums[repository] = (sums[repository] ?? 0) + bytes;
  }
  return sums;
}

/** One fan for each archive of each component. A repository that fails in one has failed in all. */
function streamsOf(
  plan: BackupPlan,
  opened: ReadonlyMap<Part, readonly (readonly BackupStream[])[]>,
  startTime: Date,
  { streams: perComponent, ...options }: Omit<FanOptions, 'onCutOff'> & { streams: number },
): Stream[] {
  const streams: Stream[] = [];
  const onCutOff = (repository: string, error: unknown): void => {
    for (const fan of streams.flatMap(({ fans }) => fans)) fan.drop(repository, error);
  };
  plan.components.forEach((component, index) => {
    const archives = archivesFor(component.name, perComponent);
    const fans = Array.from({ length: archives }, (_, archive) => {
      const branches = [...opened].flatMap(([part, ofPart]) => {
        const stream = ofPart[index]?.[archive];
        return stream === undefined ? [] : [{ repository: part.snapshot.spec.repository, stream }];
      });
      return new Fan(branches, { ...options, onCutOff });
    });
    streams.push({ plan: component, fans, running: runningComponent(component, archives, startTime) });
  });
  return streams;
}

/** Opens the database and reads all of its components side by side. When one fails the others are stopped, and its error counts. */
async function dumpAll(
  { log, signal }: JobContext,
  plan: BackupPlan,
  streams: readonly Stream[],
  parts: readonly Part[],
  request: RunRequest,
): Promise<Pick<RunResult, 'dumped' | 'balancerFailure'>> {
  const { locks, lockTimeoutMs, maxLockMs, balancerTimeoutMs, cutTimeoutMs } = request;
  const { streams: perComponent, namespaces, hashes } = request;
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const onGivenUp = (reason: BackstayError): void => stop.abort(reason);
  const bounds = { lockTimeoutMs, maxLockMs, balancerTimeoutMs, cutTimeoutMs, streams: perComponent };
  const reading = await openReading(plan, { locks, log, signal: either, onGivenUp, ...bounds });
  let balancerFailure: unknown;
  let first: { error: unknown } | undefined;
  const dumped: ComponentDump[] = [];
  try {
    const started = performance.now();
    await Promise.all(
      reading.components.map(async (component, index) => {
        const { fans, running } = streams[index] as Stream;
        const logDue = nowAndThen(LOG_PROGRESS_MS);
        try {
          dumped[index] = await dumpComponent(component, {
            fans,
            namespaces,
            hashes,
            log,
            signal: either,
            onProgress: (progress) => {
              const now = { ...running, ...figuresOf(progress, started) };
              for (const { report } of parts) report.progress(now);
              if (!logDue()) return;
              const figures = figuresOf(progress, started);
              log.info({ component: running.name, ...figures, processed: processedBy(fans) }, 'progress');
            },
          });
        } catch (error) {
          first ??= { error };
          stop.abort(error);
        }
      }),
    );
  } finally {
    await reading.close().catch((error: unknown) => {
      balancerFailure = error;
      log.error({ error: describeError(error) }, 'the balancer is not as it was');
    });
  }
  if (first !== undefined) throw first.error;
  return {
    dumped: dumped.map((one, index) => ({ ...one, ...reading.lockOf(streams[index]?.plan.name ?? '') })),
    balancerFailure,
  };
}

/** Starts restic for each archive of each component of each part. Parts that cannot begin are put among the failed; it throws when none can. */
async function openStreams(
  { log, signal }: JobContext,
  parts: readonly Part[],
  plan: BackupPlan,
  { target, streams: perComponent }: Pick<RunRequest, 'target' | 'streams'>,
  failed: Map<Part, unknown>,
): Promise<Map<Part, BackupStream[][]>> {
  const started = performance.now();
  const streams = new Map<Part, BackupStream[][]>();
  await Promise.all(
    parts.map(async (part) => {
      const { snapshot, restic } = part;
      const opening = await Promise.all(
        plan.components.map(({ name }) => {
          const options = {
            host: hostOf(target),
            tags: snapshotTags(identityOf(snapshot), { component: name }),
            signal,
          };
          const names = archiveNames(name, archivesFor(name, perComponent));
          return Promise.allSettled(names.map((filename) => restic.startBackup({ filename, ...options })));
        }),
      );
      const opened = opening.map((ofComponent) =>
        ofComponent.filter((one) => one.status === 'fulfilled').map(({ value }) => value),
      );
      const broken = opening.flat().find((one) => one.status === 'rejected');
      if (broken === undefined) {
        streams.set(part, opened);
        return;
      }
      await Promise.all(opened.flat().map((stream) => stream.abort()));
      failed.set(part, broken.reason);
      const error = describeError(broken.reason);
      log.error({ repository: snapshot.spec.repository, error }, 'repository left out');
    }),
  );
  if (signal.aborted) await Promise.all([...streams.values()].flat(2).map((stream) => stream.abort()));
  signal.throwIfAborted();
  const [first] = failed.values();
  if (streams.size === 0) throw first ?? new BackstayError('SessionNotReady', 'there is no Snapshot to make');
  log.info({ repositories: streams.size, seconds: secondsSince(started) }, 'repositories opened');
  return streams;
}

/** The archives are restic snapshots: notes them, writes the manifest, and notes that the Snapshot is whole. */
async function commit(
  { log, signal }: JobContext,
  part: Part,
  plan: BackupPlan,
  components: SnapshotStatusComponent[],
  hashes: readonly ComponentDump['hashes'][],
  target: ResolvedTarget,
): Promise<void> {
  const { snapshot, restic, report } = part;
  const sum = (of: (component: SnapshotStatusComponent) => number | undefined): number =>
    components.reduce((total, component) => total + (of(component) ?? 0), 0);
  const addedBytes = sum((component) => component.addedBytes);
  await report.components(components, { bytes: sum(({ bytes }) => bytes), addedBytes });
  const identity = identityOf(snapshot);
  const manifest: Manifest = {
    snapshotID: identity.snapshotID,
    name: identity.name,
    namespace: identity.namespace,
    session: identity.session,
    appRef: target,
    database: plan.database,
    components: components.map((component, index) => ({
      ...component,
      ...(hashes[index] === undefined ? {} : { hashes: hashes[index] }),
    })),
    createdAt: rfc3339(new Date()),
    backstayVersion: BACKSTAY_VERSION,
  };
  const tags = snapshotTags(identity, 'manifest');
  const manifestID = await writeManifest(restic, manifest, { host: hostOf(target), tags, signal });
  await report.write({ manifestID });
  const resticSnapshotIDs = components.flatMap(archivesOf).map(({ resticSnapshotID }) => resticSnapshotID);
  log.info({ repository: snapshot.spec.repository, resticSnapshotIDs, addedBytes, manifestID }, 'Snapshot is whole');
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
