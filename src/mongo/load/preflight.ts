import { randomBytes } from 'node:crypto';
import type { MongoClient } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { SPECIAL_NAMESPACES } from '../archive/format.ts';
import { databaseNames, isDumped } from '../catalog.ts';
import { isUnauthorized, mongoFailure } from '../errors.ts';
import { bucketsOf, type Namespace, nameOf } from '../namespace.ts';
import { parseVersion } from '../version.ts';
import { type Destination, sameOptions, type TargetCatalog } from './target.ts';

const LOADER = 'backstay-load';

/** What the connections of one load are called on the server (appName), so that another load sees them. */
export function loaderName(): string {
  return `${LOADER}-${randomBytes(6).toString('hex')}`;
}

/** Most bytes of a database's name and of a collection's full name. Source: MongoDB manual, "Limits and Thresholds". */
const MAX_DATABASE_BYTES = 63;
const MAX_NAMESPACE_BYTES = 255;

/** Refuses a server that takes no writes. @throws BackstayError NotWritable */
export async function requireWritable(client: MongoClient): Promise<void> {
  const { isWritablePrimary, me } = await client.db('admin').command({ hello: 1 });
  if (isWritablePrimary === true) return;
  throw new BackstayError('NotWritable', `${me ?? 'the server'} takes no writes: it is not the primary`, {
    remedy: 'connect to the whole replica set, or to its primary',
  });
}

/**
 * Refuses a server of an older release than the one that was dumped: what a newer one stores, an older one may not understand.
 *
 * @param dumped empty when it is not known
 * @throws BackstayError ServerTooOld
 */
export function requireRelease(dumped: string, target: string): void {
  if (dumped === '' || compareReleases(dumped, target) <= 0) return;
  throw new BackstayError('ServerTooOld', `the dump is of MongoDB ${dumped}, and the target is ${target}`, {
    remedy: 'restore into a server of the same or a newer release',
  });
}

/** Before 5.0 the first two numbers were the release, since then it is the first. */
function compareReleases(a: string, b: string): number {
  const [[major, minor], [otherMajor, otherMinor]] = [parseVersion(a), parseVersion(b)];
  if (major !== otherMajor) return major - otherMajor;
  return major < 5 ? minor - otherMinor : 0;
}

/**
 * Refuses a server that still behaves like an older release than the dumped one did.
 *
 * @param dumped featureCompatibilityVersion of the dump, "6.0"; undefined when it is not known
 * @throws BackstayError FeatureCompatibilityTooOld
 */
export async function requireFeatures(client: MongoClient, dumped: string | undefined): Promise<void> {
  if (dumped === undefined) return;
  let target: string;
  try {
    const reply = await client.db('admin').command({ getParameter: 1, featureCompatibilityVersion: 1 });
    target = String(reply.featureCompatibilityVersion?.version ?? '');
  } catch (error) {
    if (isUnauthorized(error)) return;
    throw mongoFailure(error, "ask for the target's featureCompatibilityVersion");
  }
  const [[major, minor], [otherMajor, otherMinor]] = [parseVersion(dumped), parseVersion(target)];
  if (target === '' || major < otherMajor || (major === otherMajor && minor <= otherMinor)) return;
  throw new BackstayError(
    'FeatureCompatibilityTooOld',
    `the dump is of featureCompatibilityVersion ${dumped}, and the target's is ${target}`,
    { remedy: `raise it with setFeatureCompatibilityVersion ${dumped}` },
  );
}

/**
 * Refuses a server that another load is connected to. It is what protects from a runner of another Kubernetes cluster; one that may not see
 * other people's connections sees nothing.
 *
 * @throws BackstayError AnotherSessionRunning
 */
export async function refuseRival(client: MongoClient): Promise<void> {
  const own = client.options.appName;
  try {
    const { inprog } = await client
      .db('admin')
      .command({ currentOp: 1, $all: true, appName: { $regex: `^${LOADER}` } });
    const rival = (inprog as { appName?: string; client?: string }[]).find(({ appName }) => appName !== own);
    if (rival === undefined) return;
    throw new BackstayError(
      'AnotherSessionRunning',
      `another load is connected to the target, from ${rival.client ?? 'somewhere'}`,
      { remedy: 'wait for its end; the server forgets one that was lost after some minutes' },
    );
  } catch (error) {
    if (error instanceof BackstayError) throw error;
    if (!isUnauthorized(error)) throw mongoFailure(error, 'see who else is connected to the target');
  }
}

/**
 * Two namespaces that a rename sends to one place, a name that no server takes, or one that is the server's own.
 *
 * @throws BackstayError InvalidPattern
 */
export function checkNames(destinations: readonly Destination[]): void {
  const seen = new Set<string>();
  for (const { entry, namespace } of destinations) {
    const name = nameOf(namespace);
    const refuse = (what: string): BackstayError =>
      new BackstayError('InvalidPattern', `${nameOf(entry)} would be renamed to ${JSON.stringify(name)}, ${what}`);
    const { db, collection } = namespace;
    if (db === '' || collection === '') throw refuse('which is no namespace');
    if (/[/\\. "$\0]/u.test(db) || collection.includes('\0')) throw refuse('a name that no server takes');
    if (Buffer.byteLength(db) > MAX_DATABASE_BYTES || Buffer.byteLength(name) > MAX_NAMESPACE_BYTES) {
      throw refuse('which is too long');
    }
    if (!isDumped(namespace) || SPECIAL_NAMESPACES.includes(name)) throw refuse("which is the server's own");
    if (seen.has(name)) throw new BackstayError('InvalidPattern', `two namespaces of the archive would become ${name}`);
    seen.add(name);
  }
}

/**
 * A server takes no two databases whose names differ in case alone.
 *
 * @throws BackstayError DatabaseNameConflict
 */
export async function refuseCaseConflict(client: MongoClient, destinations: readonly Destination[]): Promise<void> {
  const known = new Map<string, string>();
  if (destinations.length === 0) return;
  for (const name of await databaseNames(client)) known.set(name.toLowerCase(), name);
  for (const { namespace } of destinations) {
    const other = known.get(namespace.db.toLowerCase()) ?? namespace.db;
    known.set(namespace.db.toLowerCase(), other);
    if (other === namespace.db) continue;
    throw new BackstayError(
      'DatabaseNameConflict',
      `${nameOf(namespace)} cannot be beside the database ${other}: the names differ in case alone`,
      { remedy: 'give one of them another name' },
    );
  }
}

/**
 * Refuses a target that holds data, before anything is written to it. A collection that is there and empty is used when it has the
 * options that it should have.
 *
 * @throws BackstayError TargetNotEmpty with the first names
 */
export async function refuseExisting(
  client: MongoClient,
  destinations: readonly Destination[],
  catalog: TargetCatalog,
): Promise<void> {
  const taken: string[] = [];
  for (const destination of destinations) {
    const existing = catalog.get(nameOf(destination.namespace));
    if (existing === undefined) continue;
    if (!sameOptions(existing, destination)) taken.push(`${nameOf(existing)} (other options)`);
    else if (existing.type !== 'view' && (await holdsData(client, existing))) taken.push(nameOf(existing));
  }
  if (taken.length === 0) return;
  throw new BackstayError('TargetNotEmpty', `the target already has ${first(taken)}`, {
    remedy: 'drop them, choose other namespaces, or allow the load to drop or merge',
  });
}

/**
 * Refuses to add documents where they would mean something else: a collection to a view, or buckets to another time series.
 *
 * @throws BackstayError TargetDiffers
 */
export function refuseMerge(destinations: readonly Destination[], catalog: TargetCatalog): void {
  const other = destinations.filter((destination) => {
    const existing = catalog.get(nameOf(destination.namespace));
    if (existing === undefined) return false;
    if (existing.type !== destination.entry.type) return true;
    return existing.type !== 'collection' && !sameOptions(existing, destination);
  });
  if (other.length === 0) return;
  const names = other.map(({ entry, namespace }) => `${nameOf(namespace)} (no such ${entry.type})`);
  throw new BackstayError('TargetDiffers', `the target has something else under ${first(names)}`, {
    remedy: 'leave them out, or restore them under other names',
  });
}

/** Buckets that lost their time series stand in the way of a new one. @throws BackstayError TargetNotEmpty */
export function refuseLostBuckets(destinations: readonly Destination[], catalog: TargetCatalog): void {
  for (const { entry, namespace } of destinations) {
    const buckets: Namespace = { db: namespace.db, collection: bucketsOf(namespace.collection) };
    if (entry.type !== 'timeseries' || catalog.has(nameOf(namespace)) || !catalog.has(nameOf(buckets))) continue;
    throw new BackstayError('TargetNotEmpty', `the target has ${nameOf(buckets)} without its time series`, {
      remedy: 'drop it',
    });
  }
}

function first(names: readonly string[]): string {
  const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
  return `${names.slice(0, 5).join(', ')}${more}`;
}

async function holdsData(client: MongoClient, { db, collection }: Namespace): Promise<boolean> {
  try {
    return (
      (await client
        .db(db)
        .collection(collection)
        .findOne({}, { projection: { _id: 1 } })) !== null
    );
  } catch (error) {
    // who may not look must not write into it either
    if (isUnauthorized(error)) return true;
    throw mongoFailure(error, `look into ${db}.${collection}`);
  }
}
