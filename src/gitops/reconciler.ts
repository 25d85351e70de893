import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { getCondition } from '../api/conditions.ts';
import { applyDefaults } from '../api/defaults.ts';
import { BackstayError, describeError, errorCode } from '../api/errors.ts';
import type { PolicySync, PolicySyncStatus } from '../api/generated/types.ts';
import { PolicySyncs } from '../api/kinds.ts';
import { CLEANUP_FINALIZER } from '../api/labels.ts';
import type { KubeObject } from '../api/meta.ts';
import { review } from '../api/review.ts';
import { applyStatus } from '../kube/apply.ts';
import type { Cache } from '../kube/cache.ts';
import type { Client } from '../kube/client.ts';
import { type Clock, systemClock } from '../kube/clock.ts';
import type { Result } from '../kube/controller.ts';
import { Deadline } from '../kube/deadline.ts';
import type { EventRecorder } from '../kube/events.ts';
import { isNotFound } from '../kube/kube-error.ts';
import { type Log, silent } from '../kube/log.ts';
import type { KubeMetrics } from '../kube/metrics.ts';
import { compareVersions, parseKey, refOf } from '../kube/resource.ts';
import { COMMIT_STATUS, withDelivery } from './commit-status/delivery.ts';
import { reportOf, reportStart } from './commit-status/report.ts';
import { CommitStatusReporter, type ReporterDependencies } from './commit-status/reporter.ts';
import type { KustomizeProgram } from './kustomize/build.ts';
import type { LiveObjects } from './live.ts';
import type { PolicySyncMetrics } from './metrics.ts';
import { markOf } from './ownership.ts';
import { type RevisionTimes, timesAfter, UNKNOWN_TIMES } from './revision-age.ts';
import { type ReadRevision, RevisionReader } from './revision-reader.ts';
import { ServiceAccountClients } from './service-account.ts';
import { type Intervals, intervalsOf, jittered } from './settings.ts';
import type { Commit } from './source/commit.ts';
import { describeChanges, type Outcome, requestOf, statusAfter, statusDuring, statusSuspended } from './status.ts';
import { removeAll, type Surroundings, synchronise } from './synchronise.ts';
import { describeFailure } from './wording.ts';

export interface PolicySyncDependencies {
  client: Client;
  /** All PolicySyncs that are followed. */
  policySyncs: Cache<PolicySync>;
  /** Objects in the cluster, of any kind that a policy repository may hold: `liveFrom` the client, or from caches. */
  live: LiveObjects;
  events: Pick<EventRecorder, 'record'>;
  /** A folder for copies of repositories. It may be emptied between two starts. */
  folder: string;
  /** What builds a folder with a kustomization; `kustomize build` unless given. */
  kustomize?: KustomizeProgram | undefined;
  /** What is wrong with an object that git holds; schema and rules unless given. */
  validate?: Surroundings['validate'];
  /** PolicySyncs at once. */
  concurrency?: number;
  log?: Log;
  clock?: Clock;
  kubeMetrics?: KubeMetrics;
  metrics?: PolicySyncMetrics;
  /** How commit statuses are sent. */
  commitStatus?: Pick<ReporterDependencies, 'limits' | 'backoff'>;
  /** Aborts when this process may not act any more; what goes on beside the reconciliations ends then. */
  signal?: AbortSignal;
}

const STATUS_MANAGER = 'backstay-operator-policysync';
const SECOND_LOOK_MS = 3000;
/** How soon a deletion that was refused is tried again. */
const DELETION_RETRY_SECONDS = 15;

/** Reconciles one PolicySync at a time per key; what it remembers between two times spares work and may be lost. */
export class PolicySyncReconciler {
  readonly #dependencies: PolicySyncDependencies;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #reader = new RevisionReader();
  readonly #accounts: ServiceAccountClients;
  /** When the next reconciliation is due, by uid, in milliseconds of the clock. */
  readonly #due = new Map<string, number>();
  readonly #revisionTimes = new Map<string, RevisionTimes>();
  readonly #uids = new Map<string, string>();
  /** Keys of those that may have something new, until they are looked at. */
  readonly #hinted = new Set<string>();
  /** The version that our last write made, by key: a cache that is behind it is not believed. */
  readonly #written = new Map<string, string>();

  readonly #commitStatuses: CommitStatusReporter;

  /** @param wake called with a key that has something to write */
  constructor(dependencies: PolicySyncDependencies, wake: (key: string) => void = () => {}) {
    this.#dependencies = dependencies;
    this.#clock = dependencies.clock ?? systemClock;
    this.#log = dependencies.log ?? silent;
    this.#accounts = new ServiceAccountClients(dependencies.client, this.#clock);
    const { client, signal, clock, commitStatus } = dependencies;
    this.#commitStatuses = new CommitStatusReporter({ client, wake, signal, clock, ...commitStatus });
  }

  /** Somebody pushed to the repository, or says so: the next reconciliation does not wait for its time. */
  hint(key: string): void {
    if (this.#dependencies.policySyncs.getByKey(key) !== undefined) this.#hinted.add(key);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Result | undefined> {
    const stored = await this.#read(key, signal);
    if (stored === undefined) return this.#forget(key);
    const policySync = applyDefaults('PolicySync', stored);
    const uid = policySync.metadata.uid ?? key;
    this.#uids.set(key, uid);
    if (policySync.metadata.deletionTimestamp !== undefined) return this.#finalize(key, policySync, signal);

    const held = await this.#hold(key, policySync, policySync.spec.deletionPolicy === 'Delete', signal);
    const isHinted = this.#hinted.delete(key);
    if (held.spec.suspend === true) {
      this.#due.delete(uid);
      this.#commitStatuses.forget(uid);
      await this.#writeStatus(key, held, statusSuspended(held, this.#clock.date()), signal);
      return undefined;
    }
    const waitMs = (this.#due.get(uid) ?? 0) - this.#clock.now();
    if (waitMs > 0 && !isRequested(held) && !isHinted) {
      if (held.status !== undefined) await this.#writeStatus(key, held, this.#withDelivery(held, held.status), signal);
      return { requeueAfterSeconds: waitMs / 1000 };
    }
    return this.#synchronise(key, held, isHinted, signal);
  }

  async #synchronise(key: string, policySync: PolicySync, isHinted: boolean, signal: AbortSignal): Promise<Result> {
    const startedAt = this.#clock.now();
    const intervals = intervalsOf(policySync);
    let current = policySync;
    if (current.status?.observedGeneration !== current.metadata.generation) {
      // Without the URL: until it has been checked it may hold a password.
      const progress = { reason: 'Progressing', message: 'Reading the repository' };
      current = await this.#writeStatus(key, current, statusDuring(current, progress, this.#clock.date()), signal);
    }
    let head: string | undefined;
    const announce: Surroundings['announce'] = async (revision, inventory, during) => {
      this.#commitStatuses.report(key, current, reportStart(current, revision));
      const progress = { reason: 'Progressing', message: `Applying ${revision}`, revision, inventory };
      current = await this.#writeStatus(key, current, statusDuring(current, progress, this.#clock.date()), during);
    };
    const noticed = (revision: string): void => {
      head = revision;
    };
    const surroundings = { ...this.#surroundings(), announce, noticed };
    using deadline = new Deadline(intervals.timeout, () => timedOut(intervals), signal, this.#clock);
    const { outcome: ended, read } = await synchronise(current, surroundings, deadline.signal, signal);
    // What could not be read was tried all the same.
    const outcome: Outcome = ended.kind === 'failed' ? { ...ended, revision: ended.revision ?? head } : ended;
    this.#commitStatuses.report(key, current, reportOf(current, outcome), isRequested(policySync));

    const tookMs = this.#clock.now() - startedAt;
    const regular = jittered(outcome.kind === 'applied' ? intervals.interval : intervals.retryInterval, Math.random());
    // A git server may call before all of its parts know the commit: what was announced and is not there is looked for once more soon.
    const isEarly = isHinted && outcome.revision === current.status?.lastAppliedRevision;
    const nextInMs = isEarly ? Math.min(regular, SECOND_LOOK_MS) : regular;
    const former = current;
    const times = { now: this.#clock.date(), tookMs, nextInMs };
    const status = this.#withDelivery(former, statusAfter(former, outcome, times, read?.verified));
    const written = await this.#writeStatus(key, former, status, signal);
    this.#due.set(policySync.metadata.uid ?? key, this.#clock.now() + nextInMs);
    if (JSON.stringify(status.history) !== JSON.stringify(former.status?.history)) this.#tell(written, outcome, read);
    if (outcome.kind === 'applied' && read !== undefined && former.status?.lastAppliedRevision !== outcome.revision)
      this.#warn(written, former.status?.lastAppliedRevision, read);
    this.#measure(policySync, outcome, read, tookMs);
    return { requeueAfterSeconds: nextInMs / 1000 };
  }

  /** Deletes what the PolicySync applied, if it says so, and lets go of it. */
  async #finalize(key: string, policySync: PolicySync, signal: AbortSignal): Promise<Result | undefined> {
    if (policySync.metadata.finalizers?.includes(CLEANUP_FINALIZER) !== true) return this.#forget(key);
    if (policySync.spec.deletionPolicy === 'Delete') {
      using deadline = new Deadline(
        intervalsOf(policySync).timeout,
        () => timedOut(intervalsOf(policySync)),
        signal,
        this.#clock,
      );
      try {
        const { changes, failures } = await removeAll(policySync, this.#surroundings(), deadline.signal);
        const [first] = failures;
        if (first !== undefined) {
          this.#record(
            policySync,
            'Warning',
            'DeletionRefused',
            `Its objects cannot be deleted: ${describeFailure(first)}`,
          );
          return { requeueAfterSeconds: DELETION_RETRY_SECONDS };
        }
        if (changes.length > 0) this.#record(policySync, 'Normal', 'Deleted', describeChanges(changes));
      } catch (error) {
        // With its namespace the account goes too, in any order; to insist would keep the namespace for ever.
        if (errorCode(error) !== 'ServiceAccountNotFound') throw error;
        this.#record(policySync, 'Warning', 'Orphaned', `Its objects stay: ${describeError(error)}`);
      }
    }
    await this.#hold(key, policySync, false, signal);
    return this.#forget(key);
  }

  #surroundings(): Surroundings {
    const { client, live, folder, kustomize, policySyncs, validate = judge } = this.#dependencies;
    const marks = new Set(
      policySyncs
        .list()
        .map(({ metadata }) => markOf({ namespace: metadata.namespace ?? '', name: metadata.name ?? '' })),
    );
    return {
      client,
      live,
      folder,
      kustomize,
      validate,
      announce: async () => {},
      accounts: this.#accounts,
      reader: this.#reader,
      exists: (mark) => marks.has(mark),
    };
  }

  /** The status with how the git server was told, and an Event when that fails in a new way. */
  #withDelivery(policySync: PolicySync, status: PolicySyncStatus): PolicySyncStatus {
    const delivery = this.#commitStatuses.delivery(policySync.metadata.uid ?? '');
    const next = withDelivery(policySync, status, delivery, this.#clock.date());
    const { failure } = delivery;
    const known = getCondition(status.conditions, COMMIT_STATUS);
    if (failure !== undefined && next !== status && known?.message !== failure.message)
      this.#record(policySync, 'Warning', 'CommitStatusFailed', failure.message);
    return next;
  }

  /** The PolicySync, from the cache unless that is behind our own last write: its inventory must not be an old one. */
  async #read(key: string, signal: AbortSignal): Promise<PolicySync | undefined> {
    const cached = this.#dependencies.policySyncs.getByKey(key);
    const written = this.#written.get(key);
    if (cached === undefined || written === undefined) return cached;
    const order = compareVersions(cached.metadata.resourceVersion, written);
    return order !== undefined && order >= 0
      ? cached
      : this.#dependencies.client.get(PolicySyncs, parseKey(key), { signal });
  }

  async #writeStatus(
    key: string,
    policySync: PolicySync,
    status: PolicySyncStatus,
    signal: AbortSignal,
  ): Promise<PolicySync> {
    if (status === policySync.status) return policySync;
    try {
      const written = await applyStatus(this.#dependencies.client, PolicySyncs, policySync, status, {
        fieldManager: STATUS_MANAGER,
        signal,
      });
      this.#remember(key, written);
      return written;
    } catch (error) {
      // It was deleted meanwhile; its deletion is the next thing to look at.
      if (isNotFound(error)) return policySync;
      throw error;
    }
  }

  /** Adds or removes the finalizer. */
  async #hold(key: string, policySync: PolicySync, hold: boolean, signal: AbortSignal): Promise<PolicySync> {
    const { finalizers = [], resourceVersion } = policySync.metadata;
    if (finalizers.includes(CLEANUP_FINALIZER) === hold) return policySync;
    const next = hold ? [...finalizers, CLEANUP_FINALIZER] : finalizers.filter((one) => one !== CLEANUP_FINALIZER);
    try {
      // With the version, so that a finalizer that somebody else added meanwhile is not lost.
      const body = { metadata: { resourceVersion, finalizers: next } };
      const written = await this.#dependencies.client.patch(PolicySyncs, refOf(policySync), body, {
        type: 'merge',
        fieldManager: STATUS_MANAGER,
        signal,
      });
      this.#remember(key, written);
      return applyDefaults('PolicySync', written);
    } catch (error) {
      if (!hold && isNotFound(error)) return policySync;
      throw error;
    }
  }

  #remember(key: string, { metadata }: PolicySync): void {
    if (metadata.resourceVersion !== undefined) this.#written.set(key, metadata.resourceVersion);
  }

  async #forget(key: string): Promise<undefined> {
    const uid = this.#uids.get(key);
    this.#hinted.delete(key);
    this.#written.delete(key);
    this.#uids.delete(key);
    if (uid === undefined) return;
    this.#due.delete(uid);
    this.#revisionTimes.delete(uid);
    this.#commitStatuses.forget(uid);
    this.#reader.forget(uid);
    const { namespace = '', name } = parseKey(key);
    this.#dependencies.metrics?.forgotten({ namespace, name });
    await rm(join(this.#dependencies.folder, uid), { recursive: true, force: true });
  }

  /** Tells that what was applied took the place of something that it does not descend from. */
  #warn(policySync: PolicySync, former: string | undefined, { history, revision, commit }: ReadRevision): void {
    if (history === 'rewritten')
      this.#record(
        policySync,
        'Warning',
        'HistoryRewritten',
        `${revision}${whose(commit)} does not descend from ${former}, which was applied before`,
      );
    if (history === 'moved')
      this.#record(policySync, 'Warning', 'TagMoved', `${revision}${whose(commit)}: the tag led to ${former} before`);
  }

  #tell(policySync: PolicySync, outcome: Outcome, read: ReadRevision | undefined): void {
    const by = read === undefined ? '' : whose(read.commit);
    if (outcome.kind === 'applied') {
      this.#record(
        policySync,
        'Normal',
        'ReconciliationSucceeded',
        `${outcome.revision}${by}: ${describeChanges(outcome.changes)}`,
      );
    } else this.#record(policySync, 'Warning', outcome.code, `${outcome.message}${by}`);
  }

  #record(policySync: KubeObject, type: 'Normal' | 'Warning', reason: string, note: string): void {
    this.#dependencies.events.record(policySync, { type, reason, action: 'Reconcile', note });
    const fields = { policySync: `${policySync.metadata.namespace}/${policySync.metadata.name}`, reason };
    if (type === 'Normal') this.#log.info(fields, note);
    else this.#log.warn(fields, note);
  }

  /** @param before as it was when the reconciliation began */
  #measure(before: PolicySync, outcome: Outcome, read: ReadRevision | undefined, tookMs: number): void {
    const { metrics } = this.#dependencies;
    const { metadata, status } = before;
    const { namespace = '', name = '', uid = '' } = metadata;
    const objects = outcome.kind === 'applied' ? outcome.objects : undefined;
    const now = this.#clock.date();
    metrics?.reconciled({ namespace, name }, outcome.kind, tookMs / 1000, objects, now);
    for (const { action } of outcome.changes) metrics?.changed(action, 1);
    // Nothing new in git or in the spec, and there was something to do.
    if (outcome.revision === status?.lastAppliedRevision && status?.observedGeneration === metadata.generation)
      metrics?.corrected({ namespace, name }, outcome.changes.length);
    const former = this.#revisionTimes.get(uid) ?? UNKNOWN_TIMES;
    const committedAt = read?.commit.committedAt;
    const times = timesAfter(former, outcome, status?.lastAppliedRevision, committedAt, now.getTime());
    this.#revisionTimes.set(uid, times);
    metrics?.revisions({ namespace, name }, times);
  }
}

function whose({ subject, author }: Commit): string {
  return ` (“${subject}” by ${author})`;
}

/** The schema and the rules, as the webhook would judge, over the objects of the commit alone. */
export const judge: Surroundings['validate'] = (kind, object, lookup) => review(kind, object, { lookup }).causes;

/** Whether somebody asks for a reconciliation that has not been made, or changed the spec since the last one. */
function isRequested({ metadata, status }: PolicySync): boolean {
  const requested = requestOf(metadata.annotations);
  return (
    (requested !== undefined && requested !== status?.lastHandledReconcileAt) ||
    status?.observedGeneration !== metadata.generation
  );
}

function timedOut({ timeout }: Intervals): BackstayError {
  return new BackstayError('TimedOut', `The reconciliation took longer than the ${timeout / 1000} s of spec.timeout`, {
    remedy: 'raise spec.timeout, or find out why the git server or the API server is slow',
  });
}
