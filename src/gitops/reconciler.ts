import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { applyDefaults } from '../api/defaults.ts';
import type { PolicySync, PolicySyncStatus } from '../api/generated/types.ts';
import { CLEANUP_FINALIZER } from '../api/labels.ts';
import { type Clock, systemClock } from '../kube/clock.ts';
import type { Result } from '../kube/controller.ts';
import { Deadline } from '../kube/deadline.ts';
import { silent } from '../kube/log.ts';
import { parseKey } from '../kube/resource.ts';
import { cleanUp } from './clean-up.ts';
import { withDelivery } from './commit-status/delivery.ts';
import { reportOf, reportStart } from './commit-status/report.ts';
import { CommitStatusReporter } from './commit-status/reporter.ts';
import type { PolicySyncDependencies } from './dependencies.ts';
import { withContests } from './drift/contest.ts';
import type { Drift } from './drift/drift.ts';
import { DriftTracker } from './drift/tracker.ts';
import { judge } from './judge.ts';
import type { LiveObjects } from './live.ts';
import { Measures } from './measures.ts';
import { Notices } from './notices.ts';
import type { ObjectID } from './object-id.ts';
import { markOf } from './ownership.ts';
import { RevisionReader } from './revision-reader.ts';
import { isRequested, Schedule } from './schedule.ts';
import { ServiceAccountClients } from './service-account.ts';
import { intervalsOf, jittered, timedOut } from './settings.ts';
import { SlowLane } from './slow-lane.ts';
import { type Outcome, statusAfter, statusDuring, statusSuspended } from './status.ts';
import { PolicySyncStore } from './store.ts';
import { type Surroundings, synchronise } from './synchronise.ts';

const SECOND_LOOK_MS = 3000;
/** How soon a PolicySync that found no room among the slow ones asks again. */
const NO_ROOM_SECONDS = 1;
/** PolicySyncs at once, unless the dependencies say otherwise. */
export const CONCURRENCY = 4;

/** Reconciles one PolicySync at a time per key; what it remembers between two times spares work and may be lost. */
export class PolicySyncReconciler {
  readonly #dependencies: PolicySyncDependencies;
  readonly #clock: Clock;
  readonly #reader = new RevisionReader();
  readonly #accounts: ServiceAccountClients;
  readonly #schedule: Schedule;
  readonly #store: PolicySyncStore;
  readonly #notices: Notices;
  readonly #measures: Measures;
  readonly #drift: DriftTracker;
  readonly #commitStatuses: CommitStatusReporter;
  readonly #lane: SlowLane;
  readonly #uids = new Map<string, string>();

  /** @param wake called with a key that has something to write */
  constructor(dependencies: PolicySyncDependencies, wake: (key: string) => void = () => {}) {
    this.#dependencies = dependencies;
    this.#clock = dependencies.clock ?? systemClock;
    const { client, policySyncs, events, log = silent, signal, clock, commitStatus, metrics } = dependencies;
    this.#accounts = new ServiceAccountClients(client, this.#clock);
    this.#schedule = new Schedule(this.#clock);
    this.#lane = new SlowLane(dependencies.concurrency ?? CONCURRENCY);
    this.#store = new PolicySyncStore(client, policySyncs);
    this.#notices = new Notices(events, log);
    this.#measures = new Measures(metrics);
    this.#drift = new DriftTracker(dependencies.contestBackoff);
    this.#commitStatuses = new CommitStatusReporter({ client, wake, signal, clock, ...commitStatus });
  }

  /** Somebody pushed to the repository, or says so: the next reconciliation does not wait for its time. */
  hint(key: string): void {
    if (this.#dependencies.policySyncs.getByKey(key) !== undefined) this.#schedule.hint(key);
  }

  /** Somebody touched an object of the PolicySync: the next time it is looked at, whether that was drift. */
  suspect(key: string, id: ObjectID): void {
    this.#drift.suspect(key, id);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Result | undefined> {
    const stored = await this.#store.read(key, signal);
    if (stored === undefined) return this.#forget(key);
    const policySync = applyDefaults('PolicySync', stored);
    const uid = policySync.metadata.uid ?? key;
    // Made anew under the name of one that is gone: nothing of that is true of it.
    if ((this.#uids.get(key) ?? uid) !== uid) await this.#forget(key);
    this.#uids.set(key, uid);
    if (policySync.metadata.deletionTimestamp !== undefined) return this.#finalize(key, policySync, signal);

    const held = await this.#store.hold(key, policySync, policySync.spec.deletionPolicy === 'Delete', signal);
    const isHinted = this.#schedule.takeHint(key);
    if (held.spec.suspend === true) {
      this.#schedule.reset(key);
      this.#commitStatuses.forget(uid);
      await this.#store.writeStatus(key, held, statusSuspended(held, this.#clock.date()), signal);
      return undefined;
    }
    const waitMs = this.#schedule.waitMs(key, uid);
    if (waitMs <= 0 || isHinted || isRequested(held)) {
      using place = this.#lane.enter(key);
      if (place !== undefined) return await this.#synchronise(key, held, { isHinted, drifts: [] }, signal);
      if (isHinted) this.#schedule.hint(key);
      return { requeueAfterSeconds: NO_ROOM_SECONDS };
    }
    const { drifts, nextInMs = waitMs } = await this.#look(key, held, signal);
    if (drifts.length > 0) return this.#synchronise(key, held, { isHinted, drifts }, signal);
    if (held.status !== undefined)
      await this.#store.writeStatus(key, held, this.#withConditions(key, held, held.status), signal);
    return { requeueAfterSeconds: Math.min(waitMs, nextInMs) / 1000 };
  }

  /** What has drifted of that which was touched. */
  #look(key: string, policySync: PolicySync, signal: AbortSignal): ReturnType<DriftTracker['look']> {
    const { namespace = '', name = '' } = policySync.metadata;
    const find = (ids: ObjectID[]): ReturnType<LiveObjects> =>
      this.#dependencies.live(ids, markOf({ namespace, name }), signal);
    return this.#drift.look(key, find, this.#clock.now());
  }

  async #synchronise(
    key: string,
    policySync: PolicySync,
    { isHinted, drifts }: { isHinted: boolean; drifts: readonly Drift[] },
    signal: AbortSignal,
  ): Promise<Result> {
    this.#drift.clear(key);
    const startedAt = this.#clock.now();
    const intervals = intervalsOf(policySync);
    let current = policySync;
    if (current.status?.observedGeneration !== current.metadata.generation) {
      // Without the URL: until it has been checked it may hold a password.
      const progress = { reason: 'Progressing', message: 'Reading the repository' };
      current = await this.#store.writeStatus(
        key,
        current,
        statusDuring(current, progress, this.#clock.date()),
        signal,
      );
    }
    let head: string | undefined;
    const announce: Surroundings['announce'] = async (revision, inventory, during) => {
      this.#commitStatuses.report(key, current, reportStart(current, revision));
      if (inventory === undefined) return;
      const progress = { reason: 'Progressing', message: `Applying ${revision}`, revision, inventory };
      current = await this.#store.writeStatus(
        key,
        current,
        statusDuring(current, progress, this.#clock.date()),
        during,
      );
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
    this.#drift.ended(key, outcome, read?.objects, drifts, this.#clock.now());

    const tookMs = this.#clock.now() - startedAt;
    this.#lane.ended(key, outcome, tookMs);
    const regular = jittered(outcome.kind === 'applied' ? intervals.interval : intervals.retryInterval, Math.random());
    // A git server may call before all of its parts know the commit: what was announced and is not there is looked for once more soon.
    const isEarly = isHinted && outcome.revision === current.status?.lastAppliedRevision;
    const nextInMs = isEarly ? Math.min(regular, SECOND_LOOK_MS) : regular;
    const former = current;
    const times = { now: this.#clock.date(), tookMs, nextInMs };
    const status = this.#withConditions(key, former, statusAfter(former, outcome, times, read?.verified));
    const written = await this.#store.writeStatus(key, former, status, signal);
    this.#schedule.next(key, policySync.metadata.uid ?? key, nextInMs);
    if (JSON.stringify(status.history) !== JSON.stringify(former.status?.history))
      this.#notices.outcome(written, outcome, read);
    if (outcome.kind === 'applied' && read !== undefined && former.status?.lastAppliedRevision !== outcome.revision)
      this.#notices.succession(written, former.status?.lastAppliedRevision, read);
    this.#measures.ended(policySync, outcome, read?.commit.committedAt, times);
    return { requeueAfterSeconds: nextInMs / 1000 };
  }

  /** Lets go of a PolicySync that is deleted. */
  async #finalize(key: string, policySync: PolicySync, signal: AbortSignal): Promise<Result | undefined> {
    if (policySync.metadata.finalizers?.includes(CLEANUP_FINALIZER) !== true) return this.#forget(key);
    const surroundings = this.#surroundings();
    const again = await cleanUp(policySync, { surroundings, notices: this.#notices, clock: this.#clock }, signal);
    if (again !== undefined) return again;
    await this.#store.hold(key, policySync, false, signal);
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

  /** The status with what is known beside the reconciliations, and an Event where that is news of trouble. */
  #withConditions(key: string, policySync: PolicySync, status: PolicySyncStatus): PolicySyncStatus {
    const now = this.#clock.date();
    const delivery = this.#commitStatuses.delivery(policySync.metadata.uid ?? key);
    const told = withDelivery(policySync, status, delivery, now);
    const next = withContests(policySync, told, this.#drift.contests(key), now);
    this.#notices.troubles(policySync, status.conditions, next.conditions);
    return next;
  }

  async #forget(key: string): Promise<undefined> {
    const uid = this.#uids.get(key);
    this.#schedule.forget(key);
    this.#store.forget(key);
    this.#drift.forget(key);
    this.#lane.forget(key);
    this.#uids.delete(key);
    if (uid === undefined) return;
    this.#commitStatuses.forget(uid);
    this.#reader.forget(uid);
    const { namespace = '', name } = parseKey(key);
    this.#measures.forget({ namespace, name });
    await rm(join(this.#dependencies.folder, uid), { recursive: true, force: true });
  }
}
