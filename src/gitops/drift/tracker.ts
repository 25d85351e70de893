import type { KubeObject } from '../../api/meta.ts';
import type { ObjectID } from '../object-id.ts';
import type { DesiredObject } from '../prepare.ts';
import type { Outcome } from '../status.ts';
import { CONTEST_BACKOFF, type Contest, type ContestBackoff, contestAfter, isCalm } from './contest.ts';
import { type Drift, driftOf } from './drift.ts';

/** What is known of the objects of one PolicySync. */
interface Tracked {
  /** Objects that somebody touched since they were last looked at. */
  suspects: Set<ObjectID>;
  /** What git says, as it was last applied; empty while that is not known. */
  desired: ReadonlyMap<ObjectID, DesiredObject>;
  contests: Map<ObjectID, Contest>;
}

/** Remembers which objects may have drifted, and how often each was tried to be put right. All of it may be lost: the interval finds drift too. */
export class DriftTracker {
  readonly #backoff: ContestBackoff;
  readonly #tracked = new Map<string, Tracked>();

  constructor(backoff: ContestBackoff = CONTEST_BACKOFF) {
    this.#backoff = backoff;
  }

  /** An object of the PolicySync with this key was touched, by whomever: it is looked at later. */
  suspect(key: string, id: ObjectID): void {
    // Before the first reconciliation has ended there is nothing to compare with, and everything is looked at anyway.
    this.#tracked.get(key)?.suspects.add(id);
  }

  /** A reconciliation begins, which looks at everything. */
  clear(key: string): void {
    this.#of(key).suspects.clear();
  }

  /**
   * What has drifted of that which was touched, and may be put right now.
   *
   * @param find the objects in the cluster by their ids
   * @param now milliseconds of a clock
   * @returns also how long the next one has to wait that was tried just before
   */
  async look(
    key: string,
    find: (ids: ObjectID[]) => Promise<ReadonlyMap<ObjectID, KubeObject>>,
    now: number,
  ): Promise<{ drifts: Drift[]; nextInMs: number | undefined }> {
    const { suspects, desired, contests } = this.#of(key);
    const touched = [...suspects].flatMap((id) => desired.get(id) ?? []);
    suspects.clear();
    if (touched.length === 0) return { drifts: [], nextInMs: undefined };
    const live = await find(touched.map(({ id }) => id)).catch((error: unknown) => {
      // They are looked at again when the server can be asked.
      for (const { id } of touched) suspects.add(id);
      throw error;
    });
    const drifts = touched.flatMap((one) => driftOf(one, live.get(one.id)) ?? []);
    const waits = drifts.map(({ id }) => (contests.get(id)?.retryAt ?? now) - now);
    const ready = drifts.filter((_, index) => (waits[index] ?? 0) <= 0);
    // Those that have to wait are looked at again.
    for (const { id } of drifts) suspects.add(id);
    const later = waits.filter((wait) => wait > 0);
    return { drifts: ready, nextInMs: later.length === 0 ? undefined : Math.min(...later) };
  }

  /**
   * A reconciliation has ended.
   *
   * @param objects what git says
   * @param drifts what it was to put right
   */
  ended(
    key: string,
    { kind, changes }: Outcome,
    objects: readonly DesiredObject[] | undefined,
    drifts: readonly Drift[],
    now: number,
  ): void {
    const tracked = this.#of(key);
    // After a failure what was applied before stays what the cluster has.
    if (kind === 'applied' && objects !== undefined)
      // Nobody watches Secrets, and what is held of them here is encrypted: the interval finds their drift.
      tracked.desired = new Map(objects.flatMap((one) => (one.encrypted === undefined ? [[one.id, one]] : [])));
    const changed = new Set(changes.map(({ id }) => id));
    for (const drift of drifts) {
      const former = tracked.contests.get(drift.id);
      tracked.contests.set(drift.id, contestAfter(former, drift, changed.has(drift.id), now, this.#backoff));
    }
    for (const [id, contest] of tracked.contests) if (isCalm(contest, now)) tracked.contests.delete(id);
  }

  contests(key: string): Contest[] {
    return [...(this.#tracked.get(key)?.contests.values() ?? [])];
  }

  forget(key: string): void {
    this.#tracked.delete(key);
  }

  #of(key: string): Tracked {
    const tracked: Tracked = this.#tracked.get(key) ?? { suspects: new Set(), desired: new Map(), contests: new Map() };
    this.#tracked.set(key, tracked);
    return tracked;
  }
}
