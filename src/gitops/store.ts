import { applyDefaults } from '../api/defaults.ts';
import type { PolicySync, PolicySyncStatus } from '../api/generated/types.ts';
import { PolicySyncs } from '../api/kinds.ts';
import { CLEANUP_FINALIZER } from '../api/labels.ts';
import { applyStatus } from '../kube/apply.ts';
import type { Cache } from '../kube/cache.ts';
import type { Client } from '../kube/client.ts';
import { isNotFound } from '../kube/kube-error.ts';
import { compareVersions, parseKey, refOf } from '../kube/resource.ts';

const STATUS_MANAGER = 'backstay-operator-policysync';

/** Reads PolicySyncs, and writes what the operator has to say on them. */
export class PolicySyncStore {
  readonly #client: Client;
  readonly #cache: Cache<PolicySync>;
  /** The version that our last write made, by key: a cache that is behind it is not believed. */
  readonly #written = new Map<string, string>();

  constructor(client: Client, cache: Cache<PolicySync>) {
    this.#client = client;
    this.#cache = cache;
  }

  /** The PolicySync, from the cache unless that is behind our own last write: its inventory must not be an old one. */
  async read(key: string, signal: AbortSignal): Promise<PolicySync | undefined> {
    const cached = this.#cache.getByKey(key);
    const written = this.#written.get(key);
    if (cached === undefined || written === undefined) return cached;
    const order = compareVersions(cached.metadata.resourceVersion, written);
    return order !== undefined && order >= 0 ? cached : this.#client.get(PolicySyncs, parseKey(key), { signal });
  }

  async writeStatus(
    key: string,
    policySync: PolicySync,
    status: PolicySyncStatus,
    signal: AbortSignal,
  ): Promise<PolicySync> {
    if (status === policySync.status) return policySync;
    try {
      const written = await applyStatus(this.#client, PolicySyncs, policySync, status, {
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
  async hold(key: string, policySync: PolicySync, hold: boolean, signal: AbortSignal): Promise<PolicySync> {
    const { finalizers = [], resourceVersion } = policySync.metadata;
    if (finalizers.includes(CLEANUP_FINALIZER) === hold) return policySync;
    const next = hold ? [...finalizers, CLEANUP_FINALIZER] : finalizers.filter((one) => one !== CLEANUP_FINALIZER);
    try {
      // With the version, so that a finalizer that somebody else added meanwhile is not lost.
      const body = { metadata: { resourceVersion, finalizers: next } };
      const written = await this.#client.patch(PolicySyncs, refOf(policySync), body, {
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

  forget(key: string): void {
    this.#written.delete(key);
  }

  #remember(key: string, { metadata }: PolicySync): void {
    if (metadata.resourceVersion !== undefined) this.#written.set(key, metadata.resourceVersion);
  }
}
