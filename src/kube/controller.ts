/**
 * A controller: changes in caches become keys in a queue, and workers call `reconcile` for each key until the world is as it should be.
 *
 *     cache ──handler──► queue ──► worker ──► reconcile(key) ──► done, again later, back-off, or stalled
 *
 * `reconcile` is told a key, never an event: it reads the present state and acts on the difference, so nothing is lost if events are
 * merged, doubled or missed. How it ends decides what happens to the key:
 *
 * | it …                          | the key comes back                                             | result label  |
 * |-------------------------------|----------------------------------------------------------------|---------------|
 * | returns nothing               | when something changes, or at the next resync                  | success       |
 * | returns `requeueAfterSeconds` | then                                                           | requeue_after |
 * | throws `StallingError`        | as after a success: only a person or a change can help         | stalled       |
 * | throws `RetryAfterError`      | after the time it names                                        | requeue_after |
 * | throws a conflict (409)       | at once with a short wait, quietly: somebody else was faster   | requeue       |
 * | throws anything else          | after a back-off that doubles from failure to failure          | error         |
 */
import { BackstayError, describeError } from '../api/errors.ts';
import type { Cache, CacheEvent } from './cache.ts';
import { type Clock, systemClock } from './clock.ts';
import { Deadline } from './deadline.ts';
import { isConflict } from './kube-error.ts';
import { type Log, silent } from './log.ts';
import type { ControllerMetrics, KubeMetrics, ReconcileResult } from './metrics.ts';
import { WorkQueue, type WorkQueueOptions } from './queue.ts';
import { controllerOf, groupOf, type KubeObject, keyFor, keyOf, type ResourceType } from './resource.ts';

export interface Result {
  requeueAfterSeconds?: number | undefined;
}

/** Trying again will not help: the object has to change, or a person has to act. */
export class StallingError extends BackstayError {
  override get name(): string {
    return 'StallingError';
  }
}

/** Not now, but in so many seconds. */
export class RetryAfterError extends BackstayError {
  readonly seconds: number;

  constructor(code: string, message: string, seconds: number, details: { remedy?: string; cause?: unknown } = {}) {
    super(code, message, details);
    this.seconds = seconds;
  }

  override get name(): string {
    return 'RetryAfterError';
  }
}

/** The keys to look at after a change. */
export type Mapper<T extends KubeObject> = (event: CacheEvent<T>) => Iterable<string>;

/** The object itself. */
export const enqueueSelf: Mapper<KubeObject> = (event) => [keyOf(event.object)];

/** The owner that controls the object, if it is of this kind (in any version). An object that changed hands wakes both owners. */
export function enqueueOwner(owner: ResourceType): Mapper<KubeObject> {
  const ownerKey = (object: KubeObject) => {
    const reference = controllerOf(object);
    if (reference === undefined || reference.kind !== owner.kind || groupOf(reference) !== groupOf(owner)) return [];
    return [keyFor(owner.namespaced ? object.metadata.namespace : undefined, reference.name)];
  };
  return (event) => [...ownerKey(event.object), ...(event.type === 'updated' ? ownerKey(event.previous) : [])];
}

/** Whatever the function says about the object, before and after the change: who refers to it, who is selected by it. */
export function enqueueFor<T extends KubeObject>(keys: (object: T) => Iterable<string>): Mapper<T> {
  return (event) => new Set([...keys(event.object), ...(event.type === 'updated' ? keys(event.previous) : [])]);
}

/**
 * Passes everything but updates that touch nothing except the status: the controller's own writes. Labels and annotations count (a
 * reconcile is requested by annotation), and so do finalizers and deletion.
 */
export function specChanged<T extends KubeObject>(event: CacheEvent<T>): boolean {
  if (event.type !== 'updated') return true;
  const [now, before] = [event.object.metadata, event.previous.metadata];
  return (
    now.generation === undefined ||
    now.generation !== before.generation ||
    now.deletionTimestamp !== before.deletionTimestamp ||
    JSON.stringify([now.labels, now.annotations, now.finalizers]) !==
      JSON.stringify([before.labels, before.annotations, before.finalizers])
  );
}

export interface ControllerOptions {
  /** Lower case, stable: it is in metrics, logs and the field manager. */
  name: string;
  /** @param signal aborts at the deadline of this reconciliation and when the process stops or is no longer the leader. */
  reconcile(key: string, signal: AbortSignal): Promise<Result | undefined>;
  /** Workers. Default 2. */
  concurrency?: number | undefined;
  /** How long one reconciliation may take, in seconds. Default 120. */
  deadlineSeconds?: number | undefined;
  /** How often every key of the first watched cache is looked at without a change, in seconds. Default 10 hours; 0 is never. */
  resyncSeconds?: number | undefined;
  /** How long running reconciliations are waited for when the controller stops, in seconds. Default 20. */
  drainSeconds?: number | undefined;
  queue?: Pick<WorkQueueOptions, 'baseMs' | 'maxMs' | 'qps' | 'burst'> | undefined;
  clock?: Clock | undefined;
  log?: Log | undefined;
  metrics?: KubeMetrics | undefined;
}

interface Watched {
  synced: Promise<void>;
  start(): () => void;
  keys(): string[];
}

export class Controller {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly #options: ControllerOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: ControllerMetrics | undefined;
  readonly #watched: Watched[] = [];
  #active = 0;

  constructor(options: ControllerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silent;
    this.#metrics = options.metrics?.controller(options.name);
    this.queue = new WorkQueue({ ...options.queue, clock: this.#clock, metrics: options.metrics?.queue(options.name) });
  }

  /** Lets changes in a cache wake keys. The first cache is the controller's own kind: its keys are the ones that are resynced. */
  watch<T extends KubeObject>(cache: Cache<T>, mapper: Mapper<T>, filter?: (event: CacheEvent<T>) => boolean): this {
    this.#watched.push({
      synced: cache.synced,
      start: () =>
        cache.on((event) => {
          if (filter !== undefined && !filter(event)) return;
          for (const key of mapper(event)) this.queue.add(key);
        }),
      keys: () => cache.list().map(keyOf),
    });
    return this;
  }

  /** Works until the signal aborts and the running reconciliations are finished. The caches run on their own. */
  async run(signal: AbortSignal): Promise<void> {
    const synced = Promise.all(this.#watched.map((each) => each.synced));
    const aborted = Promise.withResolvers<void>();
    const abort = () => aborted.resolve();
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    await Promise.race([synced, aborted.promise]);
    if (signal.aborted) return;

    const stops = this.#watched.map((each) => each.start());
    const resync = this.#startResync();
    const concurrency = this.#options.concurrency ?? 2;
    const workers = Array.from({ length: concurrency }, () => this.#work(signal, concurrency));
    this.#log.info({ controller: this.name, workers: concurrency }, 'controller started');
    await aborted.promise;
    for (const stop of stops) stop();
    resync();
    const drained = await this.queue.drain((this.#options.drainSeconds ?? 20) * 1000);
    if (drained) await Promise.all(workers);
    else this.#log.warn({ controller: this.name }, 'reconciliations were still running at the deadline');
  }

  async #work(signal: AbortSignal, concurrency: number): Promise<void> {
    for (let key = await this.queue.take(); key !== undefined; key = await this.queue.take()) {
      this.#metrics?.workers(++this.#active, concurrency);
      const startedAt = this.#clock.now();
      const result = await this.#reconcile(key, signal);
      this.queue.done(key);
      this.#metrics?.reconciled(result, (this.#clock.now() - startedAt) / 1000);
      this.#metrics?.workers(--this.#active, concurrency);
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const seconds = this.#options.deadlineSeconds ?? 120;
    const late = () => new BackstayError('DeadlineExceeded', `Reconciling ${key} took longer than ${seconds} s`);
    using deadline = new Deadline(seconds * 1000, late, signal, this.#clock);
    try {
      const result = await this.#options.reconcile(key, deadline.signal);
      this.queue.forget(key);
      if (result?.requeueAfterSeconds === undefined) return 'success';
      this.queue.addAfter(key, result.requeueAfterSeconds * 1000);
      return 'requeue_after';
    } catch (error) {
      return this.#failed(key, deadline.expired ? deadline.signal.reason : error, signal);
    }
  }

  #failed(key: string, error: unknown, signal: AbortSignal): ReconcileResult {
    const fields = { controller: this.name, key, error: describeError(error) };
    if (signal.aborted) {
      // Cut short from outside; the next process or the next leader begins anew.
      this.#log.debug(fields, 'reconciliation interrupted');
      return 'requeue';
    }
    if (error instanceof StallingError) {
      this.queue.forget(key);
      this.#log.warn(fields, 'stalled until something changes');
      return 'stalled';
    }
    if (error instanceof RetryAfterError) {
      this.queue.forget(key);
      this.queue.addAfter(key, error.seconds * 1000);
      this.#log.info(fields, 'postponed');
      return 'requeue_after';
    }
    this.queue.addLimited(key);
    if (isConflict(error)) {
      this.#log.debug(fields, 'conflict');
      return 'requeue';
    }
    this.#log.error({ ...fields, failures: this.queue.failures(key) }, 'reconciliation failed');
    return 'error';
  }

  /** Adds every key again and again, spread over a tenth of the interval so that the objects do not come all at once. */
  #startResync(): () => void {
    const [own] = this.#watched;
    const intervalMs = (this.#options.resyncSeconds ?? 36_000) * 1000;
    if (own === undefined || intervalMs === 0) return () => {};
    const tick = () => {
      for (const key of own.keys()) this.queue.addAfter(key, Math.random() * intervalMs * 0.1);
      timer = this.#clock.after(intervalMs, tick);
    };
    let timer = this.#clock.after(intervalMs, tick);
    return () => timer.cancel();
  }
}
