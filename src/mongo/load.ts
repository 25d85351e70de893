import type { MongoClient } from 'mongodb';
import { BackstayError } from '../api/errors.ts';
import { type CollectionEntry, isOplog, SPECIAL_NAMESPACES } from './archive/format.ts';
import { type ArchiveEvent, type ReadOptions, readArchive } from './archive/reader.ts';
import { isDumped, readServerFacts, type ServerFacts } from './catalog.ts';
import { endingError, throwIfAborted } from './errors.ts';
import { Gate } from './load/gate.ts';
import { IndexCatalog } from './load/index-catalog.ts';
import { buildIndexes, secondaryIndexes } from './load/indexes.ts';
import { Inserter, type InsertTarget } from './load/inserter.ts';
import { OplogReplay } from './load/oplog.ts';
import { type Prelude, requireWhole } from './load/parts.ts';
import {
  checkNames,
  refuseCaseConflict,
  refuseExisting,
  refuseLostBuckets,
  refuseMerge,
  refuseRival,
  requireFeatures,
  requireRelease,
  requireWritable,
} from './load/preflight.ts';
import type { LoadedNamespace, LoadOptions, LoadResult } from './load/result.ts';
import {
  countDocuments,
  type Destination,
  destinationOf,
  prepareCollection,
  readTarget,
  type TargetCatalog,
} from './load/target.ts';
import { AuthorizationData } from './load/users.ts';
import { type Finished, verifyCount, verifyHashes } from './load/verify.ts';
import { bucketsOf, nameOf } from './namespace.ts';
import { renamer, selects, selectsAll } from './selection.ts';
import { hasViewlessTimeSeries } from './version.ts';

export { loaderName, requireRelease } from './load/preflight.ts';
export type { CheckedLoad, Existing, LoadedNamespace, LoadOptions, LoadProgress, LoadResult } from './load/result.ts';

/** Bytes of one insert. Larger ones were not faster, and every worker holds one. */
const BATCH_BYTES = 4 * 1024 * 1024;
/** With more archives than this their batches are smaller, since each of them fills one. */
const FULL_BATCHES = 2;
/** Index builds at work at the same time, while data of other collections arrives. */
const INDEX_BUILDS = 2;

/**
 * Loads an archive, packed with gzip or not, into a server: collections with their options, documents as the bytes that they are, then
 * indexes, views, and users and roles last.
 *
 * It stops at the first document that cannot be inserted, but for one that is there already in mode merge. In the end the server counts
 * every collection once more.
 *
 * @param client connected to the primary, or to a standalone; its appName is best a `loaderName`
 * @throws BackstayError before anything is written: NotWritable, ServerTooOld, FeatureCompatibilityTooOld, AnotherSessionRunning,
 *   InvalidPattern, DatabaseNameConflict, TargetNotEmpty, TargetDiffers, ArchiveMissing. Then ArchiveTruncated, ArchiveDamaged, LoadFailed,
 *   RestoreIncomplete, HashMismatch
 */
export async function load(
  client: MongoClient,
  input: AsyncIterable<Uint8Array>,
  options: LoadOptions,
): Promise<LoadResult> {
  return loadArchives(client, [input], options);
}

/**
 * Loads several archives at the same time, as one: what is looked at before the first write is looked at for all of them, and nothing is
 * written before each has begun.
 *
 * @throws BackstayError what `load` throws, and ArchivesOverlap before anything is written
 */
export async function loadArchives(
  client: MongoClient,
  inputs: readonly AsyncIterable<Uint8Array>[],
  options: LoadOptions,
): Promise<LoadResult> {
  try {
    const facts = await readServerFacts(client);
    return await new Load(client, inputs.length, facts, options).run(inputs);
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
  readonly #facts: ServerFacts;
  readonly #inserter: Inserter;
  readonly #authorization = new AuthorizationData();
  readonly #indexes = new IndexCatalog();
  readonly #open = new Map<CollectionEntry, Open>();
  readonly #finished: Finished[] = [];
  readonly #namespaces: LoadedNamespace[] = [];
  readonly #notices = new Set<string>();
  readonly #builds = new Set<Promise<void>>();
  readonly #preludes: Prelude[] = [];
  /** Ends the reading of all archives when one fails; what is on its way to the server comes to its end. */
  readonly #stop = new AbortController();
  readonly #batchBytes: number;
  readonly #begun: Gate;
  readonly #ready: Gate;
  readonly #copied: Gate;
  #destinations = new Map<CollectionEntry, Destination>();
  #existing: TargetCatalog = new Map();
  #oplog: OplogReplay | undefined;
  #indexCount = 0;
  #documents = 0;
  #bytes = 0;
  #read = 0;
  #failure: { error: unknown } | undefined;
  #buildFailure: unknown;

  constructor(client: MongoClient, archives: number, facts: ServerFacts, options: LoadOptions) {
    const { existing, workers = 4, keepOrder = true, signal } = options;
    this.#client = client;
    this.#options = options;
    this.#facts = facts;
    this.#inserter = new Inserter(client, facts, {
      workers,
      inOrder: keepOrder,
      tolerateDuplicates: existing === 'merge',
      ...(signal === undefined ? {} : { signal }),
    });
    const share = BATCH_BYTES * Math.min(1, FULL_BATCHES / archives);
    this.#batchBytes = Math.min(share, facts.maxMessageBytes - 1_048_576);
    this.#begun = new Gate(archives, () => this.#begin());
    this.#ready = new Gate(archives, () => this.#makeReady());
    this.#copied = new Gate(archives, () => this.#inserter.drain());
  }

  async run(inputs: readonly AsyncIterable<Uint8Array>[]): Promise<LoadResult> {
    const { signal, onData } = this.#options;
    try {
      await Promise.all(inputs.map((input, index) => this.#readAll(input, index).catch((error) => this.#fail(error))));
    } finally {
      // nothing of this load may be at work on the server when it has failed
      await this.#inserter.settle();
      await Promise.all(this.#builds);
      this.#report('');
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#buildFailure !== undefined) throw this.#buildFailure;
    for (const { namespace, indexes } of this.#indexes.collections()) {
      await buildIndexes(this.#client, namespace, indexes, this.#facts.version, signal);
      this.#indexCount += indexes.length;
    }
    await this.#createViews();
    const hashed = await this.#verify();
    await onData?.();
    const users = await this.#restoreUsers();
    return {
      namespaces: this.#namespaces,
      documents: this.#documents,
      bytes: this.#bytes,
      failed: this.#count('failed'),
      indexes: this.#indexCount,
      ...users,
      hashed,
      notices: Array.from(this.#notices),
      ...(this.#oplog === undefined ? {} : { oplog: { applied: this.#oplog.applied, skipped: this.#oplog.skipped } }),
      serverVersion: this.#preludes[0]?.header.serverVersion ?? '',
    };
  }

  /** The first failure counts; the others follow from it. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    for (const gate of [this.#begun, this.#ready, this.#copied]) gate.fail(error);
    this.#stop.abort(error);
  }

  /** Reads one archive, and waits for the others where all have to be as far. */
  async #readAll(input: AsyncIterable<Uint8Array>, index: number): Promise<void> {
    const { signal } = this.#options;
    const options: ReadOptions = {
      batchBytes: this.#batchBytes,
      batchDocuments: this.#facts.maxWriteBatch,
      signal: signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]),
    };
    const ready = once(() => this.#ready.arrive());
    const copied = once(() => this.#copied.arrive());
    for await (const event of readArchive(this.#counted(input), options)) {
      if (event.kind === 'prelude') {
        this.#preludes[index] = event;
        await this.#begun.arrive();
      } else if (isOplog(event.entry)) {
        await ready();
        // the replay needs every document that was copied before it
        await copied();
        if (event.kind === 'documents') await this.#oplog?.replay(event.pieces);
      } else await this.#take(event, ready);
    }
    await ready();
    await copied();
  }

  async *#counted(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of input) {
      this.#read += chunk.length;
      yield chunk;
    }
  }

  async #take(event: Exclude<ArchiveEvent, { kind: 'prelude' }>, ready: () => Promise<void>): Promise<void> {
    const { entry } = event;
    if (SPECIAL_NAMESPACES.includes(nameOf(entry))) {
      if (event.kind === 'documents') this.#authorization.add(entry.collection, event.pieces);
      return;
    }
    const destination = this.#destinations.get(entry);
    if (destination === undefined || entry.type === 'view') return;
    await ready();
    const open = this.#open.get(entry) ?? (await this.#create(destination));
    if (event.kind === 'documents') {
      await this.#inserter.submit(open.target, event);
      this.#documents += event.documents;
      this.#bytes += event.bytes;
    } else {
      await this.#inserter.drain(open.target);
      await this.#finish(open, event.documents);
    }
    this.#report(nameOf(entry));
  }

  /** Everything that can be found wrong before the first write. */
  async #begin(): Promise<void> {
    const { namespaces, existing, oplogReplay = true, signal } = this.#options;
    requireWhole(this.#preludes);
    const entries = this.#preludes.flatMap((prelude) => prelude.entries);
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
    for (const { header } of this.#preludes) requireRelease(header.serverVersion, this.#facts.version);
    await requireWritable(this.#client);
    await refuseRival(this.#client);
    await refuseCaseConflict(this.#client, destinations);
    this.#existing = await readTarget(this.#client, destinations, signal);
    refuseLostBuckets(destinations, this.#existing);
    if (existing === 'refuse') await refuseExisting(this.#client, destinations, this.#existing);
    if (existing === 'merge') refuseMerge(destinations, this.#existing);
  }

  /** The last of what comes before the first write: the archive's versions come after its prelude. */
  async #makeReady(): Promise<void> {
    await requireFeatures(this.#client, this.#authorization.featureCompatibility);
    await this.#options.onChecked?.({
      namespaces: Array.from(this.#destinations.values(), ({ entry, namespace }) => ({ from: entry, to: namespace })),
    });
  }

  async #create(destination: Destination): Promise<Open> {
    const { entry, namespace, metadata } = destination;
    const { existing, uuidOf } = this.#options;
    const there = this.#existing.get(nameOf(namespace));
    await prepareCollection(this.#client, destination, there, existing, uuidOf?.(namespace));
    const viewless = hasViewlessTimeSeries(this.#facts.version);
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

  /** All documents of a collection were sent: they are counted, and its indexes begin to be built. */
  async #finish({ destination, target, before }: Open, documents: number): Promise<void> {
    const name = nameOf(destination.namespace);
    const { restored, failed } = target;
    if (restored + failed !== documents) {
      throw new BackstayError(
        'RestoreIncomplete',
        `${restored} documents of ${name} were restored and ${failed} were not, of ${documents} in the archive`,
        { remedy: 'load again' },
      );
    }
    const result: LoadedNamespace = { name, documents, restored, failed };
    this.#namespaces.push(result);
    const finished = { destination, expected: before + restored, merged: before > 0, result };
    const indexes = secondaryIndexes(destination);
    if (this.#oplog === undefined) {
      this.#finished.push(finished);
      await this.#build(destination);
      return;
    }
    // the replay changes how many there are, so this is the last moment at which it is known
    const notice = await verifyCount(this.#client, finished, hasViewlessTimeSeries(this.#facts.version));
    if (notice !== undefined) this.#notices.add(notice);
    this.#indexes.add(destination.namespace, indexes);
  }

  /** Builds indexes beside the data of the next collections. */
  async #build(destination: Destination): Promise<void> {
    const indexes = secondaryIndexes(destination);
    if (indexes.length === 0) return;
    while (this.#builds.size >= INDEX_BUILDS) await Promise.race(this.#builds);
    if (this.#buildFailure !== undefined) throw this.#buildFailure;
    const build = buildIndexes(this.#client, destination.namespace, indexes, this.#facts.version, this.#options.signal)
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

  /** Compares counts, and digests where the dump has them. Returns how many digests were right. */
  async #verify(): Promise<number> {
    const { hashes, signal } = this.#options;
    const viewless = hasViewlessTimeSeries(this.#facts.version);
    for (const finished of this.#finished) {
      throwIfAborted(signal);
      const notice = await verifyCount(this.#client, finished, viewless);
      if (notice !== undefined) this.#notices.add(notice);
    }
    if (hashes === undefined) return 0;
    const { compared, notice } = await verifyHashes(this.#client, this.#finished, hashes, viewless, signal);
    if (notice !== undefined) this.#notices.add(notice);
    return compared;
  }

  async #restoreUsers(): Promise<Pick<LoadResult, 'users' | 'roles' | 'kept'>> {
    if (!this.#options.usersAndRoles) return { users: 0, roles: 0, kept: [] };
    return this.#authorization.restore(this.#client, this.#options.existing === 'drop');
  }

  #count(what: 'restored' | 'failed'): number {
    let sum = 0;
    for (const { target } of this.#open.values()) sum += target[what];
    return sum;
  }

  #report(namespace: string): void {
    this.#options.onProgress?.({
      namespace,
      read: this.#read,
      documents: this.#documents,
      bytes: this.#bytes,
      restored: this.#count('restored'),
      failed: this.#count('failed'),
      collections: this.#namespaces.length,
      collectionsInAll: this.#destinations.size,
    });
  }
}

/** The work is done at the first call; later ones wait for the same. */
function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => {
    done ??= work();
    return done;
  };
}
