import type { OrderedDocument } from '../bson/extended-json.ts';
import { type Namespace, nameOf } from '../namespace.ts';

/**
 * The indexes that wait to be built, by collection. While an oplog is replayed the collections have none but their _id index, so what
 * the oplog says about indexes changes this list.
 */
export class IndexCatalog {
  readonly #waiting = new Map<string, { namespace: Namespace; indexes: Map<string, OrderedDocument> }>();

  add(namespace: Namespace, indexes: OrderedDocument[]): void {
    const collection = this.#of(namespace);
    for (const index of indexes) collection.set(String(index.get('name')), index);
  }

  /** @param which a name, "*", a list of names, or a key pattern, as dropIndexes takes them */
  drop(namespace: Namespace, which: unknown): void {
    const collection = this.#of(namespace);
    if (which === '*') collection.clear();
    else if (Array.isArray(which)) for (const name of which) collection.delete(String(name));
    else if (which instanceof Map) collection.delete(this.#named(collection, which) ?? '');
    else collection.delete(String(which));
  }

  /** What collMod says of one index: {name | keyPattern, expireAfterSeconds, hidden, …}. */
  modify(namespace: Namespace, change: OrderedDocument): void {
    const collection = this.#of(namespace);
    const pattern = change.get('keyPattern');
    const name = pattern instanceof Map ? this.#named(collection, pattern) : change.get('name');
    const index = collection.get(String(name));
    if (index === undefined) return;
    for (const [field, value] of change) if (field !== 'name' && field !== 'keyPattern') index.set(field, value);
  }

  dropCollection(namespace: Namespace): void {
    this.#waiting.delete(nameOf(namespace));
  }

  dropDatabase(db: string): void {
    for (const [name, { namespace }] of this.#waiting) if (namespace.db === db) this.#waiting.delete(name);
  }

  rename(from: Namespace, to: Namespace): void {
    const moved = this.#waiting.get(nameOf(from));
    this.#waiting.delete(nameOf(from));
    this.#waiting.delete(nameOf(to));
    if (moved !== undefined) this.#waiting.set(nameOf(to), { namespace: to, indexes: moved.indexes });
  }

  *collections(): Generator<{ namespace: Namespace; indexes: OrderedDocument[] }> {
    for (const { namespace, indexes } of this.#waiting.values())
      yield { namespace, indexes: Array.from(indexes.values()) };
  }

  #of(namespace: Namespace): Map<string, OrderedDocument> {
    const known = this.#waiting.get(nameOf(namespace)) ?? { namespace, indexes: new Map<string, OrderedDocument>() };
    this.#waiting.set(nameOf(namespace), known);
    return known.indexes;
  }

  #named(collection: Map<string, OrderedDocument>, pattern: OrderedDocument): string | undefined {
    const wanted = keyText(pattern);
    for (const [name, index] of collection) {
      const key = index.get('key');
      if (key instanceof Map && keyText(key) === wanted) return name;
    }
    return undefined;
  }
}

function keyText(key: OrderedDocument): string {
  return JSON.stringify(Array.from(key, ([field, order]) => [field, String(order)]));
}
