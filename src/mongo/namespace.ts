/** A collection's full name. `db` is empty for the oplog of an archive only. */
export interface Namespace {
  db: string;
  collection: string;
}

/** The name as people write it: "shop.orders". */
export function nameOf({ db, collection }: Namespace): string {
  return `${db}.${collection}`;
}

/** Splits "shop.orders.old" into database "shop" and collection "orders.old": names of databases have no dot. */
export function parseNamespace(name: string): Namespace {
  const dot = name.indexOf('.');
  return dot === -1 ? { db: name, collection: '' } : { db: name.slice(0, dot), collection: name.slice(dot + 1) };
}

/** Order of namespaces in an archive: by the bytes of their names, which no locale changes. */
export function compareNamespaces(a: Namespace, b: Namespace): number {
  return Buffer.compare(Buffer.from(nameOf(a)), Buffer.from(nameOf(b)));
}

export const BUCKETS_PREFIX = 'system.buckets.';

/** The raw data of time series X before 8.3 lies in system.buckets.X. */
export function bucketsOf(collection: string): string {
  return `${BUCKETS_PREFIX}${collection}`;
}
