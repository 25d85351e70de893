import { isRecord } from '../api/json.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';
import type { Client } from '../kube/client.ts';
import { isNotFound } from '../kube/kube-error.ts';

const API_VERSION = /^(?:[a-z0-9]+|[a-z0-9]+(?:[-.][a-z0-9]+)*\/[a-z0-9]+)$/;

/** The kinds that a cluster serves, asked for once for each apiVersion. */
export class KindsOfCluster {
  readonly #client: Pick<Client, 'getText'>;
  readonly #signal: AbortSignal;
  readonly #versions = new Map<string, Promise<readonly ResourceType[]>>();

  constructor(client: Pick<Client, 'getText'>, signal: AbortSignal) {
    this.#client = client;
    this.#signal = signal;
  }

  /** The kind of an object; undefined when the cluster does not serve it. */
  async find({ apiVersion, kind }: Pick<KubeObject, 'apiVersion' | 'kind'>): Promise<ResourceType | undefined> {
    if (!API_VERSION.test(apiVersion)) return undefined;
    let version = this.#versions.get(apiVersion);
    if (version === undefined) {
      version = this.#list(apiVersion);
      this.#versions.set(apiVersion, version);
    }
    return (await version).find((type) => type.kind === kind);
  }

  /** An APIResourceList of meta/v1; resources with a slash are subresources. */
  async #list(apiVersion: string): Promise<readonly ResourceType[]> {
    const path = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    try {
      const list: unknown = JSON.parse(await this.#client.getText(path, { signal: this.#signal }));
      const resources: readonly unknown[] = isRecord(list) && Array.isArray(list.resources) ? list.resources : [];
      return resources.flatMap((resource) => {
        if (!isRecord(resource)) return [];
        const { name, kind, namespaced } = resource;
        if (typeof name !== 'string' || typeof kind !== 'string' || name.includes('/')) return [];
        return { apiVersion, kind, plural: name, namespaced: namespaced === true };
      });
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  }
}
