import { setTimeout as sleep } from 'node:timers/promises';
import type { Document, MongoClient, Timestamp } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { mongoFailure, throwIfAborted } from '../errors.ts';

/** A client of a part of the cluster, at its primary. */
export interface Primary {
  /** Of the part. */
  name: string;
  client: MongoClient;
}

const POLL_MS = 200;
const PRIVILEGE = 'the roles "clusterMonitor" and "backup"';

/**
 * Waits until no chunk is moved, no collection is resharded, and no command that changes collections on several shards goes on: halfway
 * they leave different shards with different ideas of what there is. What the balancer does is not among it, which was stopped before.
 *
 * @throws BackstayError ClusterBusy with what goes on
 */
export async function waitUntilQuiet(
  configServer: Primary,
  shards: readonly Primary[],
  options: { timeoutMS: number; signal?: AbortSignal },
): Promise<void> {
  const { timeoutMS, signal } = options;
  const deadline = performance.now() + timeoutMS;
  for (;;) {
    throwIfAborted(signal);
    const busy = await underWay(configServer, shards);
    if (busy.length === 0) return;
    if (performance.now() > deadline) {
      throw new BackstayError('ClusterBusy', `${busy.join('; ')}, still after ${timeoutMS / 1000} s`, {
        remedy: 'run the backup when it has ended, or allow more time for the cut',
      });
    }
    await sleep(POLL_MS);
  }
}

/** What goes on in the cluster that a cut must not go through, for people. */
export async function underWay(configServer: Primary, shards: readonly Primary[]): Promise<string[]> {
  const found = await Promise.all([
    documentsOf(configServer, 'migrations', ({ ns }) => `a chunk of ${ns} is being moved`),
    documentsOf(configServer, 'reshardingOperations', ({ ns }) => `${ns} is being resharded`),
    ...shards.map((shard) =>
      documentsOf(shard, 'migrationCoordinators', ({ nss }) => `a chunk of ${nss} is being moved from ${shard.name}`),
    ),
    ...[configServer, ...shards].map(coordinatorsOf),
  ]);
  return [...new Set(found.flat())];
}

async function documentsOf(
  { name, client }: Primary,
  collection: string,
  say: (document: Document) => string,
): Promise<string[]> {
  try {
    const some = client.db('config').collection(collection).find({}, { limit: 10, readPreference: 'primary' });
    return (await some.toArray()).map(say);
  } catch (error) {
    throw mongoFailure(error, `read config.${collection} of ${name}`, PRIVILEGE);
  }
}

/**
 * Commands that the primary of a shard coordinates. They show in $currentOp from before their document is written, which in
 * config.system.sharding_ddl_coordinators only a superuser may read. A "transaction coordinator" is something else.
 */
async function coordinatorsOf({ name, client }: Primary): Promise<string[]> {
  const pipeline = [
    { $currentOp: { allUsers: true, localOps: true } },
    { $match: { desc: /(?<!Transaction)Coordinator/, active: true } },
    { $project: { desc: 1, ns: 1 } },
  ];
  try {
    const found = await client.db('admin').aggregate(pipeline, { readPreference: 'primary' }).toArray();
    return found.map(({ desc, ns }) => `${String(desc).replace(/Coordinator.*$/, '')} of ${ns} goes on`);
  } catch (error) {
    throw mongoFailure(error, `see what goes on at ${name}`, PRIVILEGE);
  }
}

/** Where the servers of a cluster note changes of what is where. */
const CLUSTER_NAMESPACES = [
  'config.system.sharding_ddl_coordinators',
  'config.migrationCoordinators',
  'config.collections',
  'config.databases',
  'config.chunks',
  'config.tags',
];

/**
 * What has changed in the catalogue of a part since a time: a collection that came, went or changed, or where something lies. A cut at
 * that time may go through the middle of it, and a collection that is listed now may not be there at the time. Undefined when nothing
 * has. Every command of several steps notes its end, so that one which has ended meanwhile is seen.
 */
export async function changedSince({ name, client }: Primary, time: Timestamp): Promise<string | undefined> {
  const filter = {
    ts: { $gt: time },
    $or: [
      {
        op: 'c',
        ns: { $ne: 'config.$cmd' },
        ...not('o.applyOps'),
        ...not('o.commitTransaction'),
        ...not('o.abortTransaction'),
      },
      { op: 'c', 'o.applyOps.op': 'c' },
      { ns: { $in: CLUSTER_NAMESPACES } },
    ],
  };
  try {
    const oplog = client.db('local').collection('oplog.rs');
    const options = { projection: { ns: 1, op: 1, o: 1 }, readPreference: 'primary' as const };
    const entry = await oplog.findOne(filter, options);
    if (entry === null) return undefined;
    const what = entry.op === 'c' ? Object.keys(entry.o).at(0) : 'a change';
    return `${what} in ${String(entry.ns).replace(/\.\$cmd$/, '')} on ${name}`;
  } catch (error) {
    throw mongoFailure(error, `read the oplog of ${name}`, PRIVILEGE);
  }
}

function not(field: string): Document {
  return { [field]: { $exists: false } };
}
