/**
 * What this library counts, in a prom-client registry of the caller.
 *
 * Controllers, queues, requests and leader election carry the names of controller-runtime and client-go, so that dashboards made for any
 * other operator work. The caches have names of their own (`backstay_cache_…`), for client-go has nothing that tells how stale one is.
 * The parts of the library depend on the interfaces below; only a program that wants metrics loads prom-client.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Clock } from './clock.ts';
import { groupOf, type ResourceType } from './resource.ts';

export interface ReflectorMetrics {
  listed(seconds: number): void;
  watched(): void;
  /** Anything arrived, bookmarks included. */
  event(): void;
  reconnected(reason: string): void;
  missed(count: number): void;
}

export interface CacheMetrics extends ReflectorMetrics {
  objects(count: number): void;
  synced(yes: boolean): void;
  handlerFailed(): void;
}

export interface QueueMetrics {
  depth(count: number): void;
  added(): void;
  retried(): void;
  /** An item left the queue after this many seconds. */
  started(waitedSeconds: number): void;
  finished(workedSeconds: number): void;
  /** Asked for when metrics are collected: since when each item in work has been worked on, in seconds. */
  watchUnfinished(secondsSinceStart: () => number[]): void;
}

export type ReconcileResult = 'success' | 'requeue_after' | 'requeue' | 'error' | 'stalled';

export interface ControllerMetrics {
  workers(active: number, most: number): void;
  reconciled(result: ReconcileResult, seconds: number): void;
}

export interface KubeMetrics {
  cache(type: ResourceType, clock: Clock): CacheMetrics;
  queue(name: string): QueueMetrics;
  controller(name: string): ControllerMetrics;
  leader(name: string, leading: boolean): void;
  eventDropped(reason: string): void;
  /** Fits `ConnectOptions.onResponse`. */
  response(attempt: { method: string; host: string; status: number }): void;
}

/** Registers every metric of this library; once per registry. */
export function createMetrics(registry: Registry): KubeMetrics {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[]) =>
    new Counter({ name, help, labelNames, registers });
  const gauge = (name: string, help: string, labelNames: string[]) => new Gauge({ name, help, labelNames, registers });
  // client-go's buckets for queues: 10 ns to 10 s there; a JavaScript process has no use for the first four.
  const queueBuckets = [1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100, 1000];
  const reconcileBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
  const histogram = (name: string, help: string, labelNames: string[], buckets: number[]) =>
    new Histogram({ name, help, labelNames, buckets, registers });

  const cache = {
    lists: counter('backstay_cache_lists_total', 'Complete lists read from the API server', ['kind']),
    listSeconds: histogram(
      'backstay_cache_list_duration_seconds',
      'How long a complete list took',
      ['kind'],
      queueBuckets,
    ),
    watches: counter('backstay_cache_watches_total', 'Watches opened', ['kind']),
    reconnects: counter('backstay_cache_reconnects_total', 'Watches and lists that ended, by why', ['kind', 'reason']),
    events: counter('backstay_cache_events_total', 'Events received, bookmarks included', ['kind']),
    missed: counter('backstay_cache_missed_events_total', 'Changes that a watch should have delivered and did not', [
      'kind',
    ]),
    handlerErrors: counter('backstay_cache_handler_errors_total', 'Event handlers that failed', ['kind']),
    objects: gauge('backstay_cache_objects', 'Objects in the cache', ['kind']),
    synced: gauge('backstay_cache_synced', 'Whether the first list is complete', ['kind']),
  };
  const lastEvents = new Map<string, () => number>();
  new Gauge({
    name: 'backstay_cache_last_event_age_seconds',
    help: 'Time since the API server last said anything about this kind, bookmarks included',
    labelNames: ['kind'],
    registers,
    collect() {
      for (const [kind, age] of lastEvents) this.set({ kind }, age());
    },
  });

  const queue = {
    depth: gauge('workqueue_depth', 'Current depth of the queue', ['name', 'controller']),
    adds: counter('workqueue_adds_total', 'Adds handled by the queue', ['name', 'controller']),
    retries: counter('workqueue_retries_total', 'Retries handled by the queue', ['name', 'controller']),
    waited: histogram(
      'workqueue_queue_duration_seconds',
      'How long an item stays in the queue',
      ['name', 'controller'],
      queueBuckets,
    ),
    worked: histogram(
      'workqueue_work_duration_seconds',
      'How long processing an item takes',
      ['name', 'controller'],
      queueBuckets,
    ),
  };
  const unfinished = new Map<string, () => number[]>();
  const collectUnfinished = (name: string, help: string, summarise: (seconds: number[]) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['name', 'controller'],
      registers,
      collect() {
        for (const [queueName, seconds] of unfinished)
          this.set({ name: queueName, controller: queueName }, summarise(seconds()));
      },
    });
  collectUnfinished(
    'workqueue_unfinished_work_seconds',
    'Seconds of work in progress that is not yet in work_duration',
    (seconds) => seconds.reduce((sum, each) => sum + each, 0),
  );
  collectUnfinished(
    'workqueue_longest_running_processor_seconds',
    'Seconds that the longest running worker has been at it',
    (seconds) => Math.max(0, ...seconds),
  );

  const reconcile = {
    total: counter('controller_runtime_reconcile_total', 'Reconciliations per controller and result', [
      'controller',
      'result',
    ]),
    errors: counter('controller_runtime_reconcile_errors_total', 'Reconciliations that failed', ['controller']),
    seconds: histogram(
      'controller_runtime_reconcile_time_seconds',
      'Time per reconciliation',
      ['controller'],
      reconcileBuckets,
    ),
    active: gauge('controller_runtime_active_workers', 'Workers in use per controller', ['controller']),
    most: gauge('controller_runtime_max_concurrent_reconciles', 'Workers per controller', ['controller']),
  };
  const leader = gauge('leader_election_master_status', 'Whether this process is the leader', ['name']);
  const dropped = counter('backstay_events_dropped_total', 'Events that were not recorded, by why', ['reason']);
  const requests = counter('rest_client_requests_total', 'Requests to the API server', ['code', 'method', 'host']);

  return {
    cache: (type, clock) => {
      // Kinds of the same name in two groups exist: our AppBinding and the one of appcatalog.appscode.com.
      const group = groupOf(type);
      const labels = { kind: group === '' ? type.kind : `${type.kind}.${group}` };
      let lastEventAt = clock.now();
      lastEvents.set(labels.kind, () => (clock.now() - lastEventAt) / 1000);
      return {
        listed: (seconds) => {
          cache.lists.inc(labels);
          cache.listSeconds.observe(labels, seconds);
          lastEventAt = clock.now();
        },
        watched: () => cache.watches.inc(labels),
        event: () => {
          cache.events.inc(labels);
          lastEventAt = clock.now();
        },
        reconnected: (reason) => cache.reconnects.inc({ ...labels, reason }),
        missed: (count) => cache.missed.inc(labels, count),
        objects: (count) => cache.objects.set(labels, count),
        synced: (yes) => cache.synced.set(labels, yes ? 1 : 0),
        handlerFailed: () => cache.handlerErrors.inc(labels),
      };
    },
    queue: (name) => {
      const labels = { name, controller: name };
      return {
        depth: (count) => queue.depth.set(labels, count),
        added: () => queue.adds.inc(labels),
        retried: () => queue.retries.inc(labels),
        started: (seconds) => queue.waited.observe(labels, seconds),
        finished: (seconds) => queue.worked.observe(labels, seconds),
        watchUnfinished: (seconds) => unfinished.set(name, seconds),
      };
    },
    controller: (controller) => ({
      workers: (active, most) => {
        reconcile.active.set({ controller }, active);
        reconcile.most.set({ controller }, most);
      },
      reconciled: (result, seconds) => {
        reconcile.total.inc({ controller, result });
        if (result === 'error') reconcile.errors.inc({ controller });
        reconcile.seconds.observe({ controller }, seconds);
      },
    }),
    leader: (name, leading) => leader.set({ name }, leading ? 1 : 0),
    eventDropped: (reason) => dropped.inc({ reason }),
    response: ({ method, host, status }) =>
      requests.inc({ code: status === 0 ? '<error>' : String(status), method, host }),
  };
}
