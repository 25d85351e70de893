import {
  Addons,
  AppBindings,
  BackupConfigurations,
  BackupPolicyRules,
  BackupStorages,
  Functions,
  Repositories,
  RetentionPolicies,
  Snapshots,
} from '../src/api/kinds.ts';
import type { KubeObject, ResourceType } from '../src/api/meta.ts';
import { type Lookup, Namespaces } from '../src/api/rules/rule.ts';
import { Cache, type CacheOptions } from '../src/kube/cache.ts';

/** The kinds that rules look up. */
const CACHED: readonly ResourceType[] = [
  BackupStorages,
  RetentionPolicies,
  BackupConfigurations,
  BackupPolicyRules,
  Repositories,
  Addons,
  Functions,
  AppBindings,
  Namespaces,
];
// They may be many, and what is said of them is no more than a warning: nobody waits for them.
const COURTESY: readonly ResourceType[] = [Snapshots];

/** A lookup that answers from caches. */
export class CachedLookup implements Lookup {
  readonly #caches: ReadonlyMap<string, Cache<KubeObject>>;

  constructor(options: Pick<CacheOptions<KubeObject>, 'client' | 'log' | 'metrics'>) {
    this.#caches = new Map([...CACHED, ...COURTESY].map((type) => [keyOf(type), new Cache({ ...options, type })]));
  }

  /** Kinds without which nothing can be judged, and whose objects have not all arrived yet. */
  get missing(): string[] {
    return CACHED.filter((type) => !this.knows(type)).map(({ kind }) => kind);
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
