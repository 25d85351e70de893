import { setTimeout } from 'node:timers/promises';
import type { MongoClient, Timestamp } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { type CollectionEntry, dataNamespaceOf, SPECIAL_NAMESPACES } from '../archive/format.ts';
import { readCatalog, readServerFacts, type ServerFacts } from '../catalog.ts';
import { isUnauthorized, throwIfAborted } from '../errors.ts';
import { readStatistics } from '../estimate.ts';
import { readHashes } from '../hashes.ts';
import { nameOf } from '../namespace.ts';
import { selects } from '../selection.ts';
import { hasViewlessTimeSeries } from '../version.ts';
import { partition, type SizedNamespace } from './partition.ts';
import type { DumpOptions, DumpResult } from './result.ts';

/** How long a snapshot read waits for the member to learn what the majority has; heartbeats come every 2 s. */
const MAJORITY_WAIT_MS = 10_000;

type Hashes = Pick<DumpResult, 'hashes' | 'hashesMissing'>;

/** What a dump will have, before the first document is read. */
export interface Contents {
  facts: ServerFacts;
  /** The point in time that it shows; undefined for a standalone and in mode none. */
  cutTime: Timestamp | undefined;
  /** The entries of each archive. */
  archives: readonly CollectionEntry[][];
  hashes: Hashes;
}

/**
 * Looks at what a server holds and deals it out to archives. What there is once, users, roles, versions and views, is in the first one.
 *
 * @throws BackstayError SnapshotUnsupported
 */
export async function readContents(client: MongoClient, options: DumpOptions, archives: number): Promise<Contents> {
  const { mode, namespaces, signal } = options;
  throwIfAborted(signal);
  const facts = await readFacts(client, options);
  const cutTime = cutTimeOf(facts, options);
  if (mode === 'snapshot' && cutTime === undefined) {
    const why = facts.lastApplied === undefined ? 'a standalone server has no' : 'the member knows no majority for';
    throw new BackstayError('SnapshotUnsupported', `${why} snapshot reads`, {
      remedy: 'use consistency "lock" or "none"',
    });
  }
  const { configServer } = facts;
  const entries = await readCatalog(client, selects(namespaces), { configServer, signal });
  const hashes = options.hashes === true ? await hashesOf(client, entries, facts, options) : {};
  return { facts, cutTime, archives: await deal(client, entries, facts, archives, signal), hashes };
}

/** A member that has just joined does not know yet what the majority has: a snapshot read waits for that, for a bounded time. */
async function readFacts(client: MongoClient, { mode, atClusterTime, signal }: DumpOptions): Promise<ServerFacts> {
  const giveUpAt = performance.now() + MAJORITY_WAIT_MS;
  for (;;) {
    const facts = await readServerFacts(client);
    const isMember = facts.lastApplied !== undefined;
    const knows = facts.majorityCommitted !== undefined || atClusterTime !== undefined;
    if (mode !== 'snapshot' || !isMember || knows || performance.now() > giveUpAt) return facts;
    await setTimeout(100, undefined, signal === undefined ? {} : { signal });
  }
}

/** What the dump will show: under a lock, when no time is given, all that was applied before it. */
function cutTimeOf(facts: ServerFacts, { mode, atClusterTime }: DumpOptions): Timestamp | undefined {
  if (mode === 'none') return undefined;
  return atClusterTime ?? (mode === 'lock' ? facts.lastApplied : facts.majorityCommitted);
}

/** Users, roles and versions are left out: a restore never makes them equal. */
async function hashesOf(
  client: MongoClient,
  entries: readonly CollectionEntry[],
  { version }: ServerFacts,
  { mode, atClusterTime, signal }: DumpOptions,
): Promise<Hashes> {
  if (mode !== 'lock' || atClusterTime !== undefined) {
    return { hashesMissing: 'only under a lock are they those of the documents that are read' };
  }
  const viewless = hasViewlessTimeSeries(version);
  const collections = entries.filter(isDealt).map((entry) => dataNamespaceOf(entry, viewless));
  const hashes = await readHashes(client, collections, signal);
  return hashes === undefined
    ? { hashesMissing: 'the user may not run dbHash: grant it the role "readAnyDatabase"' }
    : { hashes };
}

function isDealt(entry: CollectionEntry): boolean {
  return entry.type !== 'view' && !SPECIAL_NAMESPACES.includes(nameOf(entry));
}

async function deal(
  client: MongoClient,
  entries: readonly CollectionEntry[],
  { version }: ServerFacts,
  archives: number,
  signal: AbortSignal | undefined,
): Promise<CollectionEntry[][]> {
  if (archives === 1) return [[...entries]];
  const dealt = entries.filter(isDealt);
  const sized = await sizesOf(client, dealt, version, signal);
  const places = new Map(partition(sized, archives).map((place, index) => [dealt[index], place]));
  return Array.from({ length: archives }, (_, archive) =>
    entries.filter((entry) => (places.get(entry) ?? 0) === archive),
  );
}

/** Unknown for a user who may not ask, and where the server is too busy to answer. */
async function sizesOf(
  client: MongoClient,
  entries: readonly CollectionEntry[],
  version: string,
  signal: AbortSignal | undefined,
): Promise<SizedNamespace[]> {
  const viewless = hasViewlessTimeSeries(version);
  const sized: SizedNamespace[] = [];
  let mayAsk = true;
  for (const entry of entries) {
    throwIfAborted(signal);
    let bytes: number | undefined;
    try {
      if (mayAsk) bytes = (await readStatistics(client, dataNamespaceOf(entry, viewless))).size;
    } catch (error) {
      if (isUnauthorized(error)) mayAsk = false;
    }
    sized.push({ name: nameOf(entry), bytes });
  }
  return sized;
}
