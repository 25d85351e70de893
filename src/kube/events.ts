/**
 * Events on objects (events.k8s.io/v1): what `kubectl describe` shows below an object.
 *
 * The same event again (object, type, reason, action, note) does not make a second object but a series on the first: its count is written
 * at most once per `seriesSeconds`. Each object has an allowance, so that one in trouble cannot flood the cluster; client-go's numbers.
 * Recording is for the reader's comfort: it never waits, never throws, and what cannot be recorded is counted and logged.
 */

import { TokenBucket } from './bucket.ts';
import { type Event, Events } from './builtin.ts';
import type { Client } from './client.ts';
import { type Clock, microTime, systemClock, type Timer } from './clock.ts';
import { isNotFound } from './kube-error.ts';
import { type Log, silent } from './log.ts';
import type { KubeMetrics } from './metrics.ts';
import { type KubeObject, keyOf } from './resource.ts';

export interface EventToRecord {
  type: 'Normal' | 'Warning';
  /** CamelCase, stable: what people filter by. */
  reason: string;
  /** What was being done: `Reconcile`, `Backup`. */
  action: string;
  /** A sentence, at most 1 kB; the rest is cut off. No secrets: everybody who may list Events reads it. */
  note: string;
}

export interface EventRecorderOptions {
  client: Pick<Client, 'create' | 'patch'>;
  /** Qualified name of the controller: `backstay.dev/backupsession`. */
  reportingController: string;
  /** This process: the name of its Pod. */
  reportingInstance: string;
  /** How often at most the count of a repeated event is written, in seconds. Default 60. */
  seriesSeconds?: number | undefined;
  clock?: Clock | undefined;
  log?: Log | undefined;
  metrics?: Pick<KubeMetrics, 'eventDropped'> | undefined;
}

interface Series {
  event: Event;
  count: number;
  writtenCount: number;
  lastSeen: Date;
  lastWriteAt: number;
  timer: Timer | undefined;
  /** The last write, which the next one waits for: a count cannot be written before there is an Event. */
  written: Promise<void>;
}

/** Limits of the API (events.k8s.io/v1). */
const LONGEST_NOTE = 1024;
/** Of several thousand series and allowances the oldest are forgotten; their next event starts a new one. */
const MOST_REMEMBERED = 4096;
/** client-go's EventSourceObjectSpamFilter: 25 at once, then one in five minutes. */
const BURST_PER_OBJECT = 25;
const QPS_PER_OBJECT = 1 / 300;

export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #series = new Map<string, Series>();
  readonly #allowances = new Map<string, TokenBucket>();
  readonly #pending = new Set<Promise<void>>();
  #serial = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silent;
  }

  /** Records an event on an object, some time soon. */
  record(object: KubeObject, event: EventToRecord): void {
    const note = truncate(event.note);
    const id = JSON.stringify([object.metadata.uid ?? keyOf(object), event.type, event.reason, event.action, note]);
    const series = this.#series.get(id);
    if (series !== undefined) {
      this.#repeat(id, series);
      return;
    }
    if (!this.#allowance(object).tryTake()) {
      this.#options.metrics?.eventDropped('RateLimited');
      return;
    }
    const first = this.#newEvent(object, { ...event, note });
    const recorded: Series = {
      event: first,
      count: 1,
      writtenCount: 1,
      lastSeen: this.#clock.date(),
      lastWriteAt: this.#clock.now(),
      timer: undefined,
      written: Promise.resolve(),
    };
    remember(this.#series, id, recorded);
    this.#send(recorded, async () => {
      await this.#options.client.create(Events, first, { retries: 2 });
    });
  }

  /** Writes the counts that are not written yet and waits until nothing is under way. */
  async flush(): Promise<void> {
    for (const [id, series] of this.#series) if (series.count > series.writtenCount) this.#writeSeries(id, series);
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  /** Like `flush`, and starts nothing any more by itself. */
  async close(): Promise<void> {
    await this.flush();
    for (const series of this.#series.values()) series.timer?.cancel();
    this.#series.clear();
  }

  #repeat(id: string, series: Series): void {
    series.count += 1;
    series.lastSeen = this.#clock.date();
    if (series.timer !== undefined) return;
    const wait = series.lastWriteAt + (this.#options.seriesSeconds ?? 60) * 1000 - this.#clock.now();
    series.timer = this.#clock.after(wait, () => this.#writeSeries(id, series));
  }

  #writeSeries(id: string, series: Series): void {
    series.timer?.cancel();
    series.timer = undefined;
    series.lastWriteAt = this.#clock.now();
    series.writtenCount = series.count;
    const { namespace, name = '' } = series.event.metadata;
    const body = { series: { count: series.count, lastObservedTime: microTime(series.lastSeen) } };
    this.#send(series, async () => {
      try {
        await this.#options.client.patch(Events, { namespace, name }, body, { type: 'merge', retries: 2 });
      } catch (error) {
        if (!isNotFound(error)) throw error;
        // The server forgets Events after an hour; the next one of this kind is a first one.
        this.#series.delete(id);
      }
    });
  }

  #send(series: Series, write: () => Promise<void>): void {
    const done: Promise<void> = series.written
      .then(write)
      .catch((error: unknown) => {
        this.#options.metrics?.eventDropped('Failed');
        this.#log.debug({ error: error instanceof Error ? error.message : String(error) }, 'an Event was not recorded');
      })
      .finally(() => this.#pending.delete(done));
    series.written = done;
    this.#pending.add(done);
  }

  #newEvent(object: KubeObject, { type, reason, action, note }: EventToRecord): Event {
    const { namespace = 'default', name = '', uid, resourceVersion } = object.metadata;
    const now = this.#clock.date();
    // Unique without asking the server for a name: when, and which one in this process.
    const suffix = `${now.getTime().toString(16)}.${(this.#serial++).toString(16)}`;
    return {
      apiVersion: Events.apiVersion,
      kind: Events.kind,
      metadata: { namespace, name: `${name.slice(0, 220)}.${suffix}` },
      eventTime: microTime(now),
      reportingController: this.#options.reportingController,
      reportingInstance: this.#options.reportingInstance.slice(0, 128),
      type,
      reason: reason.slice(0, 128),
      action: action.slice(0, 128),
      note,
      regarding: {
        apiVersion: object.apiVersion,
        kind: object.kind,
        name,
        ...(object.metadata.namespace === undefined ? {} : { namespace }),
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
    };
  }

  #allowance(object: KubeObject): TokenBucket {
    const id = object.metadata.uid ?? keyOf(object);
    const allowance = this.#allowances.get(id) ?? new TokenBucket(QPS_PER_OBJECT, BURST_PER_OBJECT, this.#clock);
    remember(this.#allowances, id, allowance);
    return allowance;
  }
}

/** Cuts to the limit in bytes of UTF-8, at a character. */
function truncate(note: string): string {
  if (Buffer.byteLength(note) <= LONGEST_NOTE) return note;
  const cut = Buffer.from(note).subarray(0, LONGEST_NOTE - 3);
  return `${new TextDecoder().decode(cut, { stream: true })}…`;
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= MOST_REMEMBERED) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
