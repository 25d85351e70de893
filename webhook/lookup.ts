import {
  Addons,
  AppBindings,
  BackupConfigurations,
  BackupStorages,
  Functions,
  Repositories,
  RetentionPolicies,
} from '../src/api/kinds.ts';
import type { KubeObject, ResourceType } from '../src/api/meta.ts';
import { type Lookup, Namespaces } from '../src/api/rules/rule.ts';
import { Cache, type CacheOptions } from '../src/kube/cache.ts';

/** The kinds that rules look up. Snapshots are left out: they may be many, and their one rule is no more than a courtesy. */
const CACHED: readonly ResourceType[] = [
  BackupStorages,
  RetentionPolicies,
  BackupConfigurations,
  Repositories,
  Addons,
  Functions,
  AppBindings,
  Namespaces,
];

/** A lookup that answers from caches. */
export class CachedLookup implements Lookup {
  readonly #caches: ReadonlyMap<string, Cache<KubeObject>>;

  constructor(options: Pick<CacheOptions<KubeObject>, 'client' | 'log' | 'metrics'>) {
    this.#caches = new Map(CACHED.map((type) => [keyOf(type), new Cache({ ...options, type })]));
  }

  /** Kinds whose objects have not all arrived yet. */
  get missing(): string[] {
    return [...this.#caches.values()].filter((cache) => !cache.hasSynced).map((cache) => cache.type.kind);
  }

  /** Keeps the caches up to date until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#caches.values()].map((cache) => cache.run(signal)));
  }

  knows(type: ResourceType): boolean {
    return this.#caches.get(keyOf(type))?.hasSynced === true;
  }

  get<T extends KubeObject>(type: ResourceType<T>, namespace: string | undefined, name: string): T | undefined {
    return this.#caches.get(keyOf(type))?.get(namespace, name) as T | undefined;
  }

  list<T extends KubeObject>(type: ResourceType<T>, namespace?: string): readonly T[] {
    return (this.#caches.get(keyOf(type))?.list(namespace) ?? []) as T[];
  }
}

function keyOf(type: ResourceType): string {
  return `${type.apiVersion}/${type.kind}`;
}
