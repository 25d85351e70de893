import { API_VERSION } from '../api/group.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';
import type { Lookup } from '../api/rules/rule.ts';

/** An object that can be looked up. */
export type Named = KubeObject & { apiVersion: string; kind: string; metadata: { name: string } };

/** Objects by their names, as rules look them up. */
export class ObjectSet implements Lookup {
  readonly #complete: boolean;
  readonly #kinds = new Map<string, Map<string, KubeObject>>();

  /** @param complete whether there is nothing else: what is not in the set does not exist */
  constructor(complete: boolean) {
    this.#complete = complete;
  }

  /** Adds an object. @returns the one of the same kind and name that was there, which stays */
  add(object: Named): KubeObject | undefined {
    const { apiVersion, kind: name, metadata } = object;
    const kind = this.#kind(apiVersion, name);
    const key = keyOf(metadata.namespace, metadata.name);
    const twin = kind.get(key);
    if (twin === undefined) kind.set(key, object);
    return twin;
  }

  knows({ apiVersion }: ResourceType): boolean {
    // Namespaces, Secrets and the like are rarely written beside policies.
    return this.#complete && apiVersion === API_VERSION;
  }

  get<T extends KubeObject>(type: ResourceType<T>, namespace: string | undefined, name: string): T | undefined {
    return this.#kind(type.apiVersion, type.kind).get(keyOf(namespace, name)) as T | undefined;
  }

  list<T extends KubeObject>(type: ResourceType<T>, namespace?: string): readonly T[] {
    const all = [...this.#kind(type.apiVersion, type.kind).values()] as T[];
    return namespace === undefined ? all : all.filter(({ metadata }) => metadata.namespace === namespace);
  }

  #kind(apiVersion: string, kind: string): Map<string, KubeObject> {
    const key = `${apiVersion} ${kind}`;
    const found = this.#kinds.get(key) ?? new Map<string, KubeObject>();
    this.#kinds.set(key, found);
    return found;
  }
}

function keyOf(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}
