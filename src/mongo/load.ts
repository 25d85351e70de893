import type { MongoClient } from 'mongodb';
import { BackstayError } from '../api/errors.ts';
import { type ArchiveHeader, type CollectionEntry, isOplog, SPECIAL_NAMESPACES } from './archive/format.ts';
import { type ArchiveEvent, readArchive } from './archive/reader.ts';
import { isDumped, readServerFacts, type ServerFacts } from './catalog.ts';
import { endingError } from './errors.ts';
import { IndexCatalog } from './load/index-catalog.ts';
import { buildIndexes, secondaryIndexes } from './load/indexes.ts';
import { Inserter, type InsertTarget } from './load/inserter.ts';
import { OplogReplay } from './load/oplog.ts';
import type { LoadedNamespace, LoadOptions, LoadResult } from './load/result.ts';
import {
  countDocuments,
  type Destination,
  destinationOf,
  prepareCollection,
  readTarget,
  refuseExisting,
  type TargetCatalog,
} from './load/target.ts';
import { AuthorizationData } from './load/users.ts';
import { bucketsOf, nameOf } from './namespace.ts';
import { renamer, selects, selectsAll } from './selection.ts';
import { hasViewlessTimeSeries } from './version.ts';

export type { Existing, LoadedNamespace, LoadOptions, LoadProgress, LoadResult } from './load/result.ts';

/** Bytes of one insert. Larger ones were not faster, and every worker holds one. */
const BATCH_BYTES = 4 * 1024 * 1024;
/** Index builds at work at the same time, while data of other collections arrives. */
const INDEX_BUILDS = 2;

/**
 * Loads an archive, packed with gzip or not, into a server: collections with their options, documents as the bytes that they are, then
 * indexes, views, and users and roles last.
 *
 * @param client connected to the primary, or to a standalone
 * @throws BackstayError TargetNotEmpty before anything is written; ArchiveTruncated, ArchiveDamaged; LoadFailed; RestoreIncomplete
 */
export async function load(
  client: MongoClient,
  input: AsyncIterable<Uint8Array>,
  options: LoadOptions,
): Promise<LoadResult> {
  const run = new Load(client, options);
  try {
    return await run.run(input);
  } catch (error) {
    throw endingError(error, 'load the archive', options.signal);
  }
}

/** A namespace that has begun. */
interface Open {
  destination: Destination;
  target: InsertTarget;
  /** Documents that were there before; more may only be there in mode merge. */
  before: number;
}

class Load {
  readonly #client: MongoClient;
  readonly #options: LoadOptions;
  readonly #authorization = new AuthorizationData();
  readonly #indexes = new IndexCatalog();
  readonly #open = new Map<CollectionEntry, Open>();
  readonly #namespaces: LoadedNamespace[] = [];
  readonly #builds = new Set<Promise<void>>();
  #destinations = new Map<CollectionEntry, Destination>();
  #existing: TargetCatalog = new Map();
  #oplog: OplogReplay | undefined;
  #header: ArchiveHeader | undefined;
  #indexCount = 0;
  #documents = 0;
  #bytes = 0;
  #buildFailure: unknown;

  constructor(client: MongoClient, options: LoadOptions) {
    this.#client = client;
    this.#options = options;
  }

  async run(input: AsyncIterable<Uint8Array>): Promise<LoadResult> {
    const { existing, workers = 4, signal } = this.#options;
    const facts = await readServerFacts(this.#client);
    const inserter = new Inserter(this.#client, facts, {
      workers,
      tolerateDuplicates: existing === 'merge',
      ...(signal === undefined ? {} : { signal }),
    });
    const limits = {
      batchBytes: Math.min(BATCH_BYTES, facts.maxMessageBytes - 1_048_576),
      batchDocuments: facts.maxWriteBatch,
    };
    try {
      for await (const event of readArchive(input, { ...limits, ...(signal === undefined ? {} : { signal }) })) {
        await this.#take(event, inserter, facts);
      }
      await inserter.drain();
    } finally {
      // nothing of this load may be at work on the server when it has failed
      await inserter.settle();
      await Promise.all(this.#builds);
    }
    if (this.#buildFailure !== undefined) throw this.#buildFailure;
    for (const { namespace, indexes } of this.#indexes.collections()) {
      await buildIndexes(this.#client, namespace, indexes, facts.version, signal);
      this.#indexCount += indexes.length;
    }
    await this.#createViews();
    const users = await this.#restoreUsers();
    return {
      namespaces: this.#namespaces,
      documents: this.#documents,
      bytes: this.#bytes,
      failed: this.#namespaces.reduce((sum, { failed }) => sum + failed, 0),
      indexes: this.#indexCount,
      ...users,
      ...(this.#oplog === undefined ? {} : { oplog: { applied: this.#oplog.applied, skipped: this.#oplog.skipped } }),
      serverVersion: this.#header?.serverVersion ?? '',
    };
  }

  async #take(event: ArchiveEvent, inserter: Inserter, facts: ServerFacts): Promise<void> {
    if (event.kind === 'prelude') {
      await this.#begin(event.header, event.entries);
      return;
    }
    const { entry } = event;
    if (isOplog(entry)) {
      // the replay needs every document that was copied before it
      await inserter.drain();
      if (event.kind === 'documents') await this.#oplog?.replay(event.pieces);
      return;
    }
    if (SPECIAL_NAMESPACES.includes(nameOf(entry))) {
      if (event.kind === 'documents') this.#authorization.add(entry.collection, event.pieces);
      return;
    }
    const destination = this.#destinations.get(entry);
    if (destination === undefined || entry.type === 'view') return;
    const open = this.#open.get(entry) ?? (await this.#create(destination, facts));
    if (event.kind === 'documents') {
      await inserter.submit(open.target, event);
      this.#documents += event.documents;
      this.#bytes += event.bytes;
    } else {
      await inserter.drain(open.target);
      await this.#finish(open, event.documents, facts);
    }
    this.#report(entry);
  }

  /** Everything that can be found wrong before the first write. */
  async #begin(header: ArchiveHeader, entries: CollectionEntry[]): Promise<void> {
    const { namespaces, existing, oplogReplay = true, signal } = this.#options;
    this.#header = header;
    const whole = selectsAll(namespaces) && (namespaces?.rename ?? []).length === 0;
    if (oplogReplay && entries.some(isOplog)) {
      if (!whole) {
        throw new BackstayError(
          'OplogWithSelection',
          'the archive has an oplog, which cannot be replayed for chosen namespaces',
          {
            remedy: 'load everything, or load without the oplog: the collections then show different moments',
          },
        );
      }
      this.#oplog = new OplogReplay(this.#client, this.#indexes, signal);
    }
    const selected = selects(namespaces);
    const rename = renamer(namespaces?.rename);
    const chosen = entries.filter(
      (entry) => !isOplog(entry) && !SPECIAL_NAMESPACES.includes(nameOf(entry)) && isDumped(entry) && selected(entry),
    );
    this.#destinations = new Map(chosen.map((entry) => [entry, destinationOf(entry, rename)]));
    const destinations = Array.from(this.#destinations.values());
    checkNames(destinations);
    this.#existing = await readTarget(this.#client, destinations, signal);
    if (existing === 'refuse') await refuseExisting(this.#client, destinations, this.#existing);
  }

  async #create(destination: Destination, facts: ServerFacts): Promise<Open> {
    const { entry, namespace, metadata } = destination;
    const { existing } = this.#options;
    const there = this.#existing.get(nameOf(namespace));
    await prepareCollection(this.#client, destination, there, existing);
    const viewless = hasViewlessTimeSeries(facts.version);
    const series = entry.type === 'timeseries';
    const open: Open = {
      destination,
      target: {
        namespace: series && !viewless ? { db: namespace.db, collection: bucketsOf(namespace.collection) } : namespace,
        ordered: metadata.options.get('capped') === true,
        rawData: series && viewless,
        restored: 0,
        failed: 0,
      },
      before:
        there !== undefined && existing === 'merge'
          ? ((await countDocuments(this.#client, destination, viewless)) ?? 0)
          : 0,
    };
    this.#open.set(entry, open);
    return open;
  }

  /** All documents of a collection are on the server: they are counted, and its indexes begin to be built. */
  async #finish({ destination, target, before }: Open, documents: number, facts: ServerFacts): Promise<void> {
    const { namespace, metadata } = destination;
    const { restored, failed } = target;
    // the server itself removes documents of these
    const shrinks = metadata.options.get('capped') === true || metadata.options.has('expireAfterSeconds');
    const counted = shrinks
      ? undefined
      : await countDocuments(this.#client, destination, hasViewlessTimeSeries(facts.version));
    if (restored + failed !== documents || (counted !== undefined && counted < before + restored)) {
      throw new BackstayError(
        'RestoreIncomplete',
        `${nameOf(namespace)} has ${counted ?? restored} documents after the load, and ${documents} are in the archive`,
        { remedy: 'see that nothing else writes to the target, and load again' },
      );
    }
    this.#namespaces.push({ name: nameOf(namespace), documents, restored, failed });
    const indexes = secondaryIndexes(destination);
    if (this.#oplog !== undefined) this.#indexes.add(namespace, indexes);
    else await this.#build(destination, facts);
  }

  /** Builds indexes beside the data of the next collections. */
  async #build(destination: Destination, facts: ServerFacts): Promise<void> {
    const indexes = secondaryIndexes(destination);
    if (indexes.length === 0) return;
    while (this.#builds.size >= INDEX_BUILDS) await Promise.race(this.#builds);
    if (this.#buildFailure !== undefined) throw this.#buildFailure;
    const build = buildIndexes(this.#client, destination.namespace, indexes, facts.version, this.#options.signal)
      .then(() => {
        this.#indexCount += indexes.length;
      })
      .catch((error: unknown) => {
        this.#buildFailure ??= error;
      });
    this.#builds.add(build);
    build.finally(() => this.#builds.delete(build));
  }

  /** Views come last: they show collections that are there then. */
  async #createViews(): Promise<void> {
    for (const destination of this.#destinations.values()) {
      if (destination.entry.type !== 'view') continue;
      const name = nameOf(destination.namespace);
      await prepareCollection(this.#client, destination, this.#existing.get(name), this.#options.existing);
      this.#namespaces.push({ name, documents: 0, restored: 0, failed: 0 });
    }
  }

  async #restoreUsers(): Promise<Pick<LoadResult, 'users' | 'roles' | 'kept'>> {
    if (!this.#options.usersAndRoles) return { users: 0, roles: 0, kept: [] };
    return this.#authorization.restore(this.#client, this.#options.existing === 'drop');
  }

  #report(entry: CollectionEntry): void {
    this.#options.onProgress?.({
      namespace: nameOf(entry),
      documents: this.#documents,
      bytes: this.#bytes,
      collections: this.#namespaces.length,
      collectionsInAll: this.#destinations.size,
    });
  }
}

/** Two namespaces that a rename sends to one place, or a name that no server takes. */
function checkNames(destinations: Destination[]): void {
  const seen = new Set<string>();
  for (const { entry, namespace } of destinations) {
    const name = nameOf(namespace);
    if (namespace.db === '' || namespace.collection === '') {
      throw new BackstayError(
        'InvalidPattern',
        `${nameOf(entry)} would be renamed to ${JSON.stringify(name)}, which is no namespace`,
      );
    }
    if (seen.has(name)) throw new BackstayError('InvalidPattern', `two namespaces of the archive would become ${name}`);
    seen.add(name);
  }
}
