import { type MongoClient, Timestamp } from 'mongodb';
import type { ReplicaSetTopology } from './topology.ts';

/** What the oplog of a server reaches back to. */
export interface OplogWindow {
  oldest: Timestamp;
  newest: Timestamp;
}

/** The oplog of a replica set, beside the data that is to be read. */
export interface Oplog extends OplogWindow {
  bytes: number;
  /** What it may grow to. */
  maxBytes: number;
  /** Size of all databases on disk. */
  dataBytes: number;
}

/** A locked member is unlocked when this share of the oplog is all that it has left. The server removes up to a tenth at once. */
const RESERVE = 0.25;
/** An oplog that has not been full yet has lost nothing: how far it will reach back is not known. */
const FULL = 0.9;
/** A careful guess at how much of what is on disk is read in a second. */
const BYTES_PER_SECOND = 50e6;

/** Undefined where it cannot be read: a user may lack the right, and a backup does not fail for it. */
async function readOplog(client: MongoClient): Promise<Oplog | undefined> {
  try {
    const window = await readOplogWindow(client);
    if (window === undefined) return undefined;
    const [stats] = await client
      .db('local')
      .collection('oplog.rs')
      .aggregate([{ $collStats: { storageStats: {} } }, { $project: { storageStats: { size: 1, maxSize: 1 } } }])
      .toArray();
    const { totalSize } = await client.db('admin').command({ listDatabases: 1 });
    const { size, maxSize } = stats?.storageStats ?? {};
    return { ...window, bytes: Number(size), maxBytes: Number(maxSize), dataBytes: Number(totalSize) };
  } catch {
    return undefined;
  }
}

/** The topology of a replica set with its oplog, where that can be read. */
export async function withOplog(topology: ReplicaSetTopology, client: MongoClient): Promise<ReplicaSetTopology> {
  const oplog = await readOplog(client);
  return oplog === undefined ? topology : { ...topology, oplog };
}

/** The times of the first and the last entry; undefined when there is none. */
export async function readOplogWindow(client: MongoClient): Promise<OplogWindow | undefined> {
  const oplog = client.db('local').collection('oplog.rs');
  const [first, last] = await Promise.all(
    ([1, -1] as const).map((order) => oplog.findOne({}, { sort: { $natural: order }, projection: { ts: 1 } })),
  );
  const [oldest, newest]: unknown[] = [first?.ts, last?.ts];
  return oldest instanceof Timestamp && newest instanceof Timestamp ? { oldest, newest } : undefined;
}

/**
 * Why the oplog is too short for a lock, undefined when it is not. A member that is locked for longer than the oplogs reach back finds no
 * source any more and must be made anew.
 *
 * @param minSeconds what it must hold; without it what reading the data may take, and a reserve
 */
export function oplogObstacle(oplog: Oplog | undefined, minSeconds?: number): string | undefined {
  if (oplog === undefined || oplog.bytes < FULL * oplog.maxBytes) return undefined;
  const seconds = oplog.newest.t - oplog.oldest.t;
  const needed = minSeconds ?? Math.ceil(oplog.dataBytes / BYTES_PER_SECOND / (1 - RESERVE));
  if (seconds >= needed) return undefined;
  const why = minSeconds === undefined ? `which ${Math.round(oplog.dataBytes / 1e6)} MB may need` : 'the least allowed';
  return `the oplog holds ${seconds} s, less than the ${needed} s ${why}`;
}

/** Whether a member that stands still at the given time is about to be left behind: the oplog loses entries, and is close to it. */
export function isFallingOff(position: Timestamp, before: OplogWindow, now: OplogWindow): boolean {
  if (now.oldest.equals(before.oldest)) return false;
  return position.t - now.oldest.t < RESERVE * (now.newest.t - now.oldest.t);
}
