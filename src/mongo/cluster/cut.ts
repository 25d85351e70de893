import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientSession, Document, MongoClient, Timestamp } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { readServerFacts } from '../catalog.ts';
import { isUnauthorized, mongoFailure, throwIfAborted } from '../errors.ts';

/** A part of the cluster that the cut goes through. */
export interface CutPart {
  name: string;
  /** At the primary. */
  primary: MongoClient;
  /** At the member that is read, host:port. */
  member: string;
  reader: MongoClient;
}

/** How a member stands to a time. */
export type Standing =
  | { ready: true }
  /** It has not learnt yet that a majority has everything up to the time. */
  | { ready: false; why: 'behind'; at: Timestamp | undefined }
  /** A transaction was prepared up to the time and is not decided: whether it is part of the cut cannot be said. */
  | { ready: false; why: 'undecided'; since: Timestamp };

const POLL_MS = 100;
/** A member learns what the majority has with the next operation, or else from the next heartbeat, in 2 s: every so many polls one is made. */
const POLLS_PER_NOTE = 3;

/**
 * Chooses one time for the whole cluster, at which all of it fits together, and waits until every member that is read can be read at it.
 *
 * The time is the newest that a majority of any part has. A shard on which nothing happens is told of it and writes a note, so that it
 * gets there too. A transaction over several shards commits everywhere with one timestamp: it is wholly before the time or wholly after.
 * One that was prepared before it must be decided first. Since a member that has applied everything up to the time sees no older prepare
 * any more, there will be none of these again, and it may be locked.
 *
 * @throws BackstayError CutTimeout; DatabaseError; the signal's reason
 */
export async function chooseCut(
  parts: readonly CutPart[],
  options: { timeoutMS: number; signal?: AbortSignal },
): Promise<Timestamp> {
  const { timeoutMS, signal } = options;
  const deadline = performance.now() + timeoutMS;
  const sessions = parts.map(({ primary }) => primary.startSession({ causalConsistency: false }));
  try {
    const points = await Promise.all(
      parts.map(async (part, index) => majorityPoint(part, sessions[index] as ClientSession, deadline, signal)),
    );
    const time = points.reduce((newest, point) => (point.greaterThan(newest) ? point : newest));
    const leader = sessions[points.indexOf(time)];
    await Promise.all(
      parts.map(async (part, index) => {
        const note = (): Promise<void> => writeNote(part, sessions[index] as ClientSession, leader);
        if (points[index]?.lessThan(time) === true) await note();
        await waitFor(part, time, { ...options, deadline, note });
      }),
    );
    return time;
  } finally {
    await Promise.allSettled(sessions.map((session) => session.endSession()));
  }
}

async function majorityPoint(
  { name, primary }: CutPart,
  session: ClientSession,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<Timestamp> {
  // the session learns the cluster's time, with the signature that other servers ask for
  await primary.db('admin').command({ ping: 1 }, { session, readPreference: 'primary' });
  for (;;) {
    throwIfAborted(signal);
    const { majorityCommitted } = await readServerFacts(primary);
    if (majorityCommitted !== undefined) return majorityCommitted;
    if (performance.now() > deadline) throw tooLate(`a majority of ${name} has nothing yet`);
    await sleep(POLL_MS);
  }
}

/** Has the primary write a note later than the time. Who may not ask for it waits for the note that every primary writes in 10 s. */
async function writeNote(
  { name, primary }: CutPart,
  session: ClientSession,
  leader: ClientSession | undefined,
): Promise<void> {
  const { clusterTime } = leader ?? {};
  if (clusterTime !== undefined) session.advanceClusterTime(clusterTime);
  const note = { appendOplogNote: 1, data: { msg: 'backstay: a cut through the cluster' } };
  try {
    await primary.db('admin').command({ ...note, writeConcern: { w: 1 } }, { session, readPreference: 'primary' });
  } catch (error) {
    if (!isUnauthorized(error)) throw mongoFailure(error, `write a note in the oplog of ${name}`);
  }
}

async function waitFor(
  { name, member, reader }: CutPart,
  time: Timestamp,
  options: { timeoutMS: number; deadline: number; note: () => Promise<void>; signal?: AbortSignal },
): Promise<void> {
  const { timeoutMS, deadline, note, signal } = options;
  for (let poll = 1; ; poll += 1) {
    throwIfAborted(signal);
    const standing = await standingOf(reader, time);
    if (standing.ready) return;
    if (standing.why === 'behind' && poll % POLLS_PER_NOTE === 0) await note();
    if (performance.now() > deadline) {
      throw tooLate(
        standing.why === 'behind'
          ? `${member} of ${name} did not get to the time of the cut within ${timeoutMS / 1000} s`
          : `a transaction on ${name} was prepared ${Math.round(time.t - standing.since.t + timeoutMS / 1000)} s ago and is not decided`,
      );
    }
    await sleep(POLL_MS);
  }
}

/** Whether a member can be read at a time, now and later. */
export async function standingOf(reader: MongoClient, time: Timestamp): Promise<Standing> {
  const { majorityCommitted } = await readServerFacts(reader);
  if (majorityCommitted === undefined || majorityCommitted.lessThan(time)) {
    return { ready: false, why: 'behind', at: majorityCommitted };
  }
  const since = await oldestPrepared(reader);
  return since === undefined || since.greaterThan(time) ? { ready: true } : { ready: false, why: 'undecided', since };
}

/** The time of the oldest prepare that is neither committed nor aborted: the record's last write is the prepare itself. */
async function oldestPrepared(reader: MongoClient): Promise<Timestamp | undefined> {
  const transactions = reader.db('config').collection('transactions');
  try {
    const prepared: Document[] = await transactions
      .find({ state: 'prepared' }, { projection: { 'lastWriteOpTime.ts': 1 }, readConcern: { level: 'local' } })
      .toArray();
    const times = prepared.map(({ lastWriteOpTime }) => lastWriteOpTime.ts as Timestamp);
    return times.length === 0 ? undefined : times.reduce((oldest, one) => (one.lessThan(oldest) ? one : oldest));
  } catch (error) {
    throw mongoFailure(error, 'look for transactions that are not decided', 'the role "backup"');
  }
}

function tooLate(message: string): BackstayError {
  return new BackstayError('CutTimeout', message, {
    remedy: 'look at the replication lag and for transactions that hang, or allow more time for the cut',
  });
}
