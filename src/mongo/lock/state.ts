import { type Document, type MongoClient, ObjectId } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { isUnauthorized, mongoFailure } from '../errors.ts';
import { atLeast } from '../version.ts';

/** What a server says about its lock. */
export interface LockState {
  /** Identity of the running process: another one after a restart. */
  processId: string;
  /** Somebody holds the lock. The server does not say who, nor how many times. */
  locked: boolean;
  /** Somebody has asked for the lock and does not have it yet. */
  waiting: boolean;
  /** Number of the newest operation of this connection's user. Numbers of a process only go up. */
  operation: number | undefined;
  /**
   * Number of the operation that holds the lock or waits for it. It begins with the first lock and ends with the last unlock; undefined
   * when there is none, or when the user may not see it.
   */
  worker: number | undefined;
  /** By the server's clock, RFC 3339. */
  localTime: string;
}

/** Asks for the state of the lock. @throws BackstayError UnsupportedServer, DatabaseError */
export async function readLockState(client: MongoClient): Promise<LockState> {
  try {
    const admin = client.db('admin');
    const hello = await admin.command({ hello: 1 });
    const processId: unknown = hello.topologyVersion?.processId;
    if (!(processId instanceof ObjectId)) {
      throw new BackstayError('UnsupportedServer', 'the server does not tell its process identity', {
        remedy: 'use MongoDB 4.4 or newer, or a consistency without locks',
      });
    }
    // $ownOps needs no privilege, and the state of the lock comes with any form of the command
    const { fsyncLock, inprog } = await admin.command({ currentOp: 1, $ownOps: true });
    const numbers = (inprog as Document[]).map(({ opid }) => opid).filter((opid) => typeof opid === 'number');
    const worker = await lockWorker(client);
    // the server says "locked" from the moment that the lock is asked for
    const waiting = fsyncLock === true && worker?.waitingForLock === true;
    return {
      processId: processId.toHexString(),
      locked: fsyncLock === true && !waiting,
      waiting,
      operation: numbers.length === 0 ? undefined : Math.max(...numbers),
      worker: typeof worker?.opid === 'number' ? worker.opid : undefined,
      localTime: (hello.localTime as Date).toISOString(),
    };
  } catch (error) {
    throw mongoFailure(error, 'ask for the state of the lock');
  }
}

/**
 * How many unlocks have succeeded since the server's process began, whoever asked for them; undefined when the user may not see it. (Source:
 * serverStatus, metrics.commands.)
 */
export async function countUnlocks(client: MongoClient): Promise<number | undefined> {
  try {
    // Sections that cost something, or wait, are left out.
    const status = { serverStatus: 1, repl: 0, locks: 0, wiredTiger: 0, tcmalloc: 0, sharding: 0, transactions: 0 };
    const { metrics } = await client.db('admin').command(status);
    const { total, failed } = metrics?.commands?.fsyncUnlock ?? {};
    return total === undefined ? undefined : Number(total) - Number(failed ?? 0);
  } catch (error) {
    if (isUnauthorized(error)) return undefined;
    throw mongoFailure(error, 'ask how often the server was unlocked');
  }
}

/** @throws BackstayError LockRefused when somebody holds the lock of a member, or waits for it */
export function requireFree(member: string, { locked, waiting }: LockState): void {
  if (!locked && !waiting) return;
  throw new BackstayError('LockRefused', `${member} is locked by somebody else already`, {
    remedy: 'wait for the other backup, or unlock the member with db.fsyncUnlock() when nobody needs the lock',
  });
}

async function lockWorker(client: MongoClient): Promise<Document | undefined> {
  // one that waits does not count as active
  const everything = { $currentOp: { allUsers: true, idleConnections: true, localOps: true } };
  const pipeline = [everything, { $match: { desc: 'fsyncLockWorker' } }, { $project: { opid: 1, waitingForLock: 1 } }];
  try {
    const [worker] = await client.db('admin').aggregate(pipeline).toArray();
    return worker;
  } catch (error) {
    if (isUnauthorized(error)) return undefined;
    throw error;
  }
}

/**
 * The server bounds the wait for the lock itself when it is told forBackup and a time.
 * Source: SERVER-78793, in 5.0.22, 6.0.11, 7.0.2 and everything newer.
 */
export function boundsAcquisition(version: string): boolean {
  if (atLeast(version, 7, 0)) return atLeast(version, 7, 0, 2);
  if (atLeast(version, 6, 0)) return atLeast(version, 6, 0, 11) && !atLeast(version, 6, 1);
  return atLeast(version, 5, 0, 22) && !atLeast(version, 5, 1);
}

/** Unlocks once. @returns how many locks are left */
export async function unlockOnce(client: MongoClient): Promise<number> {
  const reply = await client.db('admin').command({ fsyncUnlock: 1 });
  return Number(reply.lockCount ?? 0);
}
