/**
 * A local copy of one kind: what controllers and webhooks read instead of asking the server.
 *
 * Objects in a cache are frozen, all the way down: everybody is handed the same ones. Write a copy (`structuredClone`) or, better, apply
 * the fields that should change.
 *
 * Reading is synchronous and never fails; before `synced` resolves the copy is incomplete. Handlers run after the copy has changed, in the
 * order of the changes. One that throws is logged and counted, and disturbs neither the others nor the watch.
 */
import type { Client } from './client.ts';
import { type Clock, systemClock } from './clock.ts';
import { type Log, silent } from './log.ts';
import type { CacheMetrics, KubeMetrics } from './metrics.ts';
import { Reflector, type ReflectorOptions } from './reflector.ts';
import { type KubeObject, keyFor, keyOf, type ResourceType } from './resource.ts';

export type CacheEvent<T> =
  | { type: 'added'; object: T }
  | { type: 'updated'; object: T; previous: T }
  /** `object` is its last known state: the true last one was not seen if it vanished while the watch was down. */
  | { type: 'deleted'; object: T };

export type CacheHandler<T> = (event: CacheEvent<T>) => void;

/** The values under which an object is found with `byIndex`. */
export type IndexFunction<T> = (object: T) => readonly string[];

export interface CacheOptions<T extends KubeObject>
  extends Pick<
    ReflectorOptions<T>,
    'labelSelector' | 'fieldSelector' | 'optional' | 'inactivityMs' | 'auditMs' | 'backoff' | 'random'
  > {
  client: Pick<Client, 'pages' | 'list' | 'watch'>;
  type: ResourceType<T>;
  /** These namespaces only, each with a watch of its own: for a service account without rights on the whole cluster. */
  namespaces?: readonly string[] | undefined;
  indexes?: Record<string, IndexFunction<T>> | undefined;
  clock?: Clock | undefined;
  log?: Log | undefined;
  metrics?: KubeMetrics | undefined;
}

export class Cache<T extends KubeObject> {
  readonly type: ResourceType<T>;
  /** Resolves when every object that existed at the start has arrived. */
  readonly synced: Promise<void>;
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, Index<T>>();
  readonly #handlers = new Set<CacheHandler<T>>();
  readonly #reflectors: readonly Reflector<T>[];
  readonly #log: Log;
  readonly #metrics: CacheMetrics | undefined;
  readonly #resolveSynced: () => void;
  /** Scopes whose first LIST has not come yet. */
  readonly #missing = new Set<string | undefined>();

  constructor(options: CacheOptions<T>) {
    const { namespaces, indexes = {}, log = silent, clock = systemClock, metrics, ...shared } = options;
    this.type = options.type;
    this.#log = log;
    this.#metrics = metrics?.cache(options.type, clock);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.synced = promise;
    this.#resolveSynced = resolve;
    for (const [name, values] of Object.entries(indexes)) this.addIndex(name, values);
    const scopes: readonly (string | undefined)[] = namespaces ?? [undefined];
    this.#reflectors = scopes.map((namespace) => {
      this.#missing.add(namespace);
      const sink = {
        replace: (objects: T[]) => this.#replace(namespace, objects),
        upsert: (object: T) => this.#upsert(object),
        remove: (object: T) => this.#remove(keyOf(object), object),
        versionOf: (object: T) => this.#objects.get(keyOf(object))?.metadata.resourceVersion,
      };
      return new Reflector({ ...shared, namespace, sink, clock, log, metrics: this.#metrics });
    });
  }

  /** Lists and watches until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.run(signal)));
  }

  get hasSynced(): boolean {
    return this.#missing.size === 0;
  }

  /** Why the copy may be behind, undefined while all is well: for readiness and diagnosis. */
  get lastError(): unknown {
    return this.#reflectors.find((reflector) => reflector.lastError !== undefined)?.lastError;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(keyFor(namespace, name));
  }

  /** By the key that `keyOf` makes. */
  getByKey(key: string): T | undefined {
    return this.#objects.get(key);
  }

  /** In no particular order. */
  list(namespace?: string): T[] {
    const all = [...this.#objects.values()];
    return namespace === undefined ? all : all.filter((object) => object.metadata.namespace === namespace);
  }

  /** Adds an index over all objects, those already here included. */
  addIndex(name: string, values: IndexFunction<T>): void {
    const index = new Index(values);
    for (const [key, object] of this.#objects) index.put(key, object);
    this.#indexes.set(name, index);
  }

  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new TypeError(`The cache of ${this.type.plural} has no index ${name}`);
    return index.keys(value).flatMap((key) => this.#objects.get(key) ?? []);
  }

  /** Calls the handler for each change from now on, and first with `added` for each object already here. Returns how to stop it. */
  on(handler: CacheHandler<T>): () => void {
    for (const object of this.#objects.values()) this.#call(handler, { type: 'added', object });
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  #replace(namespace: string | undefined, objects: T[]): void {
    const present = new Set<string>();
    for (const object of objects) {
      present.add(keyOf(object));
      this.#upsert(object);
    }
    for (const [key, object] of [...this.#objects]) {
      const inScope = namespace === undefined || object.metadata.namespace === namespace;
      if (inScope && !present.has(key)) this.#remove(key, object);
    }
    if (this.#missing.delete(namespace) && this.#missing.size === 0) this.#resolveSynced();
    this.#metrics?.synced(this.hasSynced);
  }

  #upsert(object: T): void {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (previous !== undefined && previous.metadata.uid !== object.metadata.uid) {
      // Deleted and made again while nobody looked: two objects, two events.
      this.#remove(key, previous);
    } else if (previous !== undefined && previous.metadata.resourceVersion === object.metadata.resourceVersion) {
      return;
    }
    freeze(object);
    this.#objects.set(key, object);
    for (const index of this.#indexes.values()) index.put(key, object);
    const current = previous?.metadata.uid === object.metadata.uid ? previous : undefined;
    this.#emit(current === undefined ? { type: 'added', object } : { type: 'updated', object, previous: current });
  }

  #remove(key: string, object: T): void {
    if (!this.#objects.delete(key)) return;
    for (const index of this.#indexes.values()) index.drop(key);
    this.#emit({ type: 'deleted', object: freeze(object) });
  }

  #emit(event: CacheEvent<T>): void {
    this.#metrics?.objects(this.#objects.size);
    for (const handler of [...this.#handlers]) this.#call(handler, event);
  }

  #call(handler: CacheHandler<T>, event: CacheEvent<T>): void {
    try {
      handler(event);
    } catch (error) {
      this.#metrics?.handlerFailed();
      this.#log.error({ kind: this.type.kind, key: keyOf(event.object), error }, 'a handler of a cache failed');
    }
  }
}

/** From the values of an index function to keys, and back to take an object out again. */
class Index<T> {
  readonly #values: IndexFunction<T>;
  readonly #keysByValue = new Map<string, Set<string>>();
  readonly #valuesByKey = new Map<string, readonly string[]>();

  constructor(values: IndexFunction<T>) {
    this.#values = values;
  }

  put(key: string, object: T): void {
    this.drop(key);
    const values = this.#values(object);
    if (values.length === 0) return;
    this.#valuesByKey.set(key, values);
    for (const value of values) {
      const keys = this.#keysByValue.get(value);
      if (keys === undefined) this.#keysByValue.set(value, new Set([key]));
      else keys.add(key);
    }
  }

  drop(key: string): void {
    for (const value of this.#valuesByKey.get(key) ?? []) {
      const keys = this.#keysByValue.get(value);
      keys?.delete(key);
      if (keys?.size === 0) this.#keysByValue.delete(value);
    }
    this.#valuesByKey.delete(key);
  }

  keys(value: string): string[] {
    return [...(this.#keysByValue.get(value) ?? [])];
  }
}

function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const child of Object.values(value)) freeze(child);
  return Object.freeze(value);
}
