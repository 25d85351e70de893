/**
 * Keeps a copy of one kind in step with the API server: LIST once, WATCH from there, and come back from every fault.
 *
 *     list ──► watch ──► (ended, silent, broken, refused) ──► wait ──► watch from the last version
 *       ▲                                                                      │
 *       └───────────── 410 Gone, or a version that makes no sense ─────────────┘
 *
 * The rules, each of which stands for a way in which watches are known to go blind:
 * - The first LIST asks for the most recent state, page by page; so a copy never goes back in time.
 * - Bookmarks move the version along on quiet kinds, and are signs of life: a watch that says nothing for three of the server's bookmark
 *   periods is taken for dead (a half-open connection looks just like a quiet cluster).
 * - The server is asked to end every watch after 5 to 10 minutes, at a random time, so that clients spread over its replicas.
 * - Waits grow exponentially with full jitter; Retry-After is kept. They are short again only after a watch has delivered something or has
 *   lasted: a server that accepts and closes at once would otherwise be asked in a tight loop.
 * - Events at or below the version already seen are doubles. One that is late and not a double means that order was lost: list again.
 * - Nothing ends the loop but its signal. A kind that does not exist (yet) is asked for again and again.
 */
import { Backoff } from './backoff.ts';
import type { Client, WatchEvent } from './client.ts';
import { type Clock, sleep, systemClock } from './clock.ts';
import { Deadline } from './deadline.ts';
import { isGone, isNotFound, isVersionTooLarge, KubeError } from './kube-error.ts';
import { type Log, silent } from './log.ts';
import type { ReflectorMetrics } from './metrics.ts';
import { compareVersions, type KubeObject, type ResourceType } from './resource.ts';

/** Where the copy is kept. */
export interface ReflectorSink<T> {
  /** The complete state as of `resourceVersion`. What is not in it is gone. */
  replace(objects: T[]): void;
  upsert(object: T): void;
  remove(object: T): void;
  /** The resource version of the copy of an object, undefined if there is none. */
  versionOf(object: T): string | undefined;
}

export interface ReflectorOptions<T extends KubeObject> {
  client: Pick<Client, 'pages' | 'list' | 'watch'>;
  type: ResourceType<T>;
  sink: ReflectorSink<T>;
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** A kind that does not exist counts as one without objects (a kind of somebody else's that may never be installed). */
  optional?: boolean | undefined;
  /** How long a watch may say nothing, in milliseconds. Default 180 000: the server sends bookmarks once a minute. */
  inactivityMs?: number | undefined;
  /** How old the last LIST may get, in milliseconds, before the copy is checked against a new one. Default one hour. */
  auditMs?: number | undefined;
  backoff?: { baseMs: number; maxMs: number } | undefined;
  clock?: Clock | undefined;
  random?: (() => number) | undefined;
  log?: Log | undefined;
  metrics?: ReflectorMetrics | undefined;
}

/** A watch that lasted this long counts as a working one, even if nothing happened. */
const LASTING_MS = 10_000;

export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #log: Log;
  readonly #backoff: Backoff;
  /** Where the next watch resumes; undefined before the first LIST and after 410. */
  #version: string | undefined;
  /** The version that the copy has reached, kept across a forced LIST to tell missed events from new ones. */
  #reached: string | undefined;
  #listedAt = 0;
  #lastError: unknown;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#log = options.log ?? silent;
    this.#backoff = new Backoff({ baseMs: 800, maxMs: 30_000, ...options.backoff, random: this.#random });
  }

  /** What went wrong last, undefined while all is well. */
  get lastError(): unknown {
    return this.#lastError;
  }

  /** The version that the copy has reached. */
  get resourceVersion(): string | undefined {
    return this.#reached;
  }

  /** Runs until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let retryAfterMs = 0;
      try {
        if (this.#version === undefined || this.#auditDue()) await this.#list(signal);
        await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) return;
        retryAfterMs = this.#fault(error);
      }
      await sleep(this.#backoff.next(retryAfterMs), signal, this.#clock).catch(() => {});
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, type, sink, namespace, labelSelector, fieldSelector, optional, metrics } = this.#options;
    const query = { namespace, labelSelector, fieldSelector };
    const startedAt = this.#clock.now();
    let objects: T[] = [];
    let version: string | undefined;
    try {
      for await (const page of client.pages(type, query, { signal, retries: 0 })) {
        objects.push(...page.items);
        version = page.metadata.resourceVersion;
      }
    } catch (error) {
      if (isGone(error)) {
        // The continue token expired between two pages of a large and busy kind: the whole list in one answer cannot.
        const whole = await client.list(type, query, { signal, retries: 0 });
        objects = whole.items;
        version = whole.metadata.resourceVersion;
      } else if (isNotFound(error) && optional === true) {
        this.#reached = undefined;
        sink.replace([]);
        throw error;
      } else throw error;
    }
    this.#countMissed(objects);
    sink.replace(objects);
    this.#version = version;
    this.#reached = version;
    this.#listedAt = this.#clock.now();
    this.#lastError = undefined;
    metrics?.listed((this.#clock.now() - startedAt) / 1000);
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, type, namespace, labelSelector, fieldSelector, inactivityMs = 180_000, metrics } = this.#options;
    const resourceVersion = this.#version;
    if (resourceVersion === undefined) return;
    const timeoutSeconds = 290 + Math.floor(this.#random() * 291);
    const query = {
      namespace,
      labelSelector,
      fieldSelector,
      resourceVersion,
      allowWatchBookmarks: true,
      timeoutSeconds,
    };
    const silence = () =>
      new KubeError(`The watch of ${type.plural} was silent for ${inactivityMs / 1000} s`, {
        status: 0,
        reason: 'WatchSilent',
      });
    const startedAt = this.#clock.now();
    let delivered = 0;
    using activity = new Deadline(inactivityMs, silence, signal, this.#clock);
    try {
      metrics?.watched();
      for await (const event of client.watch(type, query, activity.signal)) {
        activity.extend();
        metrics?.event();
        this.#take(event);
        delivered += 1;
        this.#lastError = undefined;
        this.#backoff.reset();
      }
      metrics?.reconnected('closed');
    } finally {
      if (delivered > 0 || this.#clock.now() - startedAt >= LASTING_MS) this.#backoff.reset();
    }
  }

  #take(event: WatchEvent<T>): void {
    const { sink } = this.#options;
    const version = event.object.metadata.resourceVersion;
    const order = compareVersions(version, this.#version);
    if (event.type === 'BOOKMARK') {
      if (order === undefined || order > 0) this.#advance(version);
      return;
    }
    if (order !== undefined && order <= 0) {
      this.#takeLate(event.type, event.object);
      return;
    }
    if (event.type === 'DELETED') sink.remove(event.object);
    else sink.upsert(event.object);
    this.#advance(version);
  }

  /** An event from before the version that was reached: a double that changes nothing, or a sign that order was lost. */
  #takeLate(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: T): void {
    const known = this.#options.sink.versionOf(object);
    if (known === undefined && type === 'DELETED') return;
    if (known !== undefined && (compareVersions(object.metadata.resourceVersion, known) ?? 1) <= 0) return;
    throw new KubeError(`The watch of ${this.#options.type.plural} lost its order`, {
      status: 0,
      reason: 'OutOfOrder',
    });
  }

  #advance(version: string | undefined): void {
    if (version === undefined) return;
    this.#version = version;
    this.#reached = version;
  }

  /** Decides how to go on after an error; returns how long the server wants to be left alone, in milliseconds. */
  #fault(error: unknown): number {
    const { type, namespace, optional, metrics } = this.#options;
    const gone = isGone(error) || isVersionTooLarge(error);
    const status = error instanceof KubeError ? error.status : 0;
    const reason = error instanceof KubeError ? error.reason : 'Unknown';
    // A refusal that no waiting can mend (the kind was removed, the version is malformed) is mended by a new LIST, or named by it.
    const refused = status >= 400 && status < 500 && status !== 429;
    if (gone || refused || reason === 'OutOfOrder') this.#version = undefined;
    const expected = reason === 'WatchSilent' || (optional === true && isNotFound(error));
    if (!expected) this.#lastError = error;
    metrics?.reconnected(reason);
    const fields = {
      kind: type.kind,
      namespace,
      reason,
      error: error instanceof Error ? error.message : String(error),
    };
    // One lost connection or an expired version is everyday life; a second failure in a row is worth a warning.
    if (gone || expected || this.#backoff.attempts === 0) this.#log.debug(fields, 'watch interrupted');
    else this.#log.warn(fields, 'watch interrupted');
    return ((error instanceof KubeError ? error.retryAfterSeconds : undefined) ?? 0) * 1000;
  }

  #auditDue(): boolean {
    return this.#clock.now() - this.#listedAt >= (this.#options.auditMs ?? 3_600_000);
  }

  /** Objects that a LIST shows in a version which the watch has passed, but never delivered: each one is an event that got lost. */
  #countMissed(objects: T[]): void {
    if (this.#reached === undefined || this.#version === undefined) return;
    let missed = 0;
    for (const object of objects) {
      const passed = (compareVersions(object.metadata.resourceVersion, this.#reached) ?? 1) <= 0;
      if (passed && this.#options.sink.versionOf(object) !== object.metadata.resourceVersion) missed += 1;
    }
    if (missed === 0) return;
    this.#options.metrics?.missed(missed);
    this.#log.error({ kind: this.#options.type.kind, missed }, 'events were missed; the copy was corrected');
  }
}
