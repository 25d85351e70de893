import { setTimeout as sleep } from 'node:timers/promises';
import type { Collection, Document, MongoClient } from 'mongodb';
import { BackstayError, describeError } from '../../api/errors.ts';
import { openClient } from '../connection.ts';
import { isUnauthorized, mongoFailure, serverErrorCode, throwIfAborted } from '../errors.ts';
import type { Router } from './topology.ts';

/** What must be written down before the balancer is stopped, to be put back by whoever finds it. */
export interface BalancerRecord {
  /** Identity of the cluster, hexadecimal: no other one's balancer is started. */
  clusterId: string;
  /** The setting that stopping and starting changes besides (6.0); undefined when config.settings says nothing. */
  autosplit: boolean | undefined;
  /** RFC 3339. */
  requestedAt: string;
}

export interface BalancerState {
  /** `off` is also what only splits: nothing is moved. */
  mode: 'full' | 'off';
  inRound: boolean;
}

export interface StopBalancerOptions {
  /** How long a round that goes on may take, in milliseconds. */
  timeoutMS: number;
  /** Called and awaited before the balancer is stopped: what it stores must outlive this process. */
  onIntent: (record: BalancerRecord) => Promise<void>;
  /** Called and awaited when it could not be stopped and is as it was again. */
  onRestored: () => Promise<void>;
  signal?: AbortSignal;
}

/** Commands without a writeConcern: the config server refuses one. */
const COMMANDS = {
  mongos: { status: 'balancerStatus', stop: 'balancerStop', start: 'balancerStart' },
  configServer: {
    status: '_configsvrBalancerStatus',
    stop: '_configsvrBalancerStop',
    start: '_configsvrBalancerStart',
  },
} as const;
const PRIVILEGE = {
  mongos: 'the role "clusterManager"',
  configServer: 'the action internal on the cluster (role "__system"), or use the address of a mongos',
} as const;

const MAX_TIME_EXPIRED = 50;
const POLL_MS = 200;
/** How long putting it back is tried, over an election for instance; whoever keeps the record tries for longer. */
const RESTORE_MS = 30_000;

/** Asks for the balancer's state. @throws BackstayError MissingPrivilege, DatabaseError */
export async function readBalancer(client: MongoClient, kind: Router['kind']): Promise<BalancerState> {
  try {
    const { inBalancerRound } = await client.db('admin').command({ [COMMANDS[kind].status]: 1 });
    return { mode: modeOf(await readSetting(client, 'balancer')), inRound: inBalancerRound === true };
  } catch (error) {
    throw mongoFailure(error, 'ask for the state of the balancer', PRIVILEGE[kind]);
  }
}

/** The settings themselves: the command tells what the balancer knew of them before its last round. */
function modeOf(balancer: Document | null): BalancerState['mode'] {
  const { stopped = false, mode = 'full' } = balancer ?? {};
  return stopped !== true && mode === 'full' ? 'full' : 'off';
}

/**
 * Stops the balancer and waits until no round goes on. One that is off already is left alone, and stays off. When it cannot be stopped in
 * time, it is put back.
 *
 * @returns what was written down, for restoreBalancer; undefined when the balancer was off before
 * @throws BackstayError BalancerBusy when a round did not end in time; MissingPrivilege; DatabaseError; the signal's reason
 */
export async function stopBalancer(
  router: Router,
  clusterId: string,
  options: StopBalancerOptions,
): Promise<BalancerRecord | undefined> {
  const { timeoutMS, onIntent, onRestored, signal } = options;
  const connect = signal === undefined ? {} : { signal };
  const { kind } = router;
  const deadline = performance.now() + timeoutMS;
  const client = await openClient(router.endpoint, connect);
  try {
    const before = await readBalancer(client, kind);
    if (before.mode === 'off') {
      await noRound(client, kind, deadline, options);
      return undefined;
    }
    const record = { clusterId, autosplit: await readAutosplit(client), requestedAt: new Date().toISOString() };
    throwIfAborted(signal);
    await onIntent(record);
    throwIfAborted(signal);
    try {
      await client.db('admin').command({ [COMMANDS[kind].stop]: 1, maxTimeMS: timeoutMS }, connect);
      await noRound(client, kind, deadline, options);
    } catch (error) {
      await restoreBalancer(router, record);
      await onRestored();
      throw error;
    }
    return record;
  } catch (error) {
    if (error instanceof BackstayError && error.code === 'BalancerNotRestored') throw error;
    throwIfAborted(signal);
    if (serverErrorCode(error) === MAX_TIME_EXPIRED) throw busy(timeoutMS);
    throw mongoFailure(error, 'stop the balancer', PRIVILEGE[kind]);
  } finally {
    await client.close();
  }
}

async function noRound(
  client: MongoClient,
  kind: Router['kind'],
  deadline: number,
  { timeoutMS, signal }: StopBalancerOptions,
): Promise<void> {
  for (;;) {
    throwIfAborted(signal);
    const { mode, inRound } = await readBalancer(client, kind);
    if (mode === 'full') {
      throw new BackstayError('BalancerBusy', 'the balancer was started again while it was being stopped', {
        remedy: 'see who else starts it, and run the backup again',
      });
    }
    if (!inRound) return;
    if (performance.now() > deadline) throw busy(timeoutMS);
    await sleep(POLL_MS);
  }
}

function busy(timeoutMS: number): BackstayError {
  return new BackstayError('BalancerBusy', `a round of the balancer did not end within ${timeoutMS / 1000} s`, {
    remedy: 'run the backup when no chunk is moved, or allow more time for the balancer to stop',
  });
}

async function readAutosplit(client: MongoClient): Promise<boolean | undefined> {
  const document = await readSetting(client, 'autosplit');
  return document === null ? undefined : document.enabled !== false;
}

function readSetting(client: MongoClient, _id: string): Promise<Document | null> {
  return settingsOf(client).findOne({ _id }, { readPreference: 'primary', readConcern: { level: 'majority' } });
}

function settingsOf(client: MongoClient): Collection<{ _id: string } & Document> {
  return client.db('config').collection('settings');
}

export type BalancerOutcome = 'restored' | 'wasOn' | 'otherCluster';

/**
 * Puts a balancer that was stopped back: everything in config.settings is as it was before. It can be called again, and from a process
 * that did not stop it. Tried for a while when the cluster cannot be reached.
 *
 * @returns wasOn when it runs already; otherCluster when the cluster is not the one of the record, whose balancer is not touched
 * @throws BackstayError BalancerNotRestored
 */
export async function restoreBalancer(
  router: Router,
  record: BalancerRecord,
  options: { signal?: AbortSignal } = {},
): Promise<BalancerOutcome> {
  const deadline = performance.now() + RESTORE_MS;
  for (;;) {
    try {
      return await restoreOnce(router, record, options);
    } catch (error) {
      throwIfAborted(options.signal);
      const final = error instanceof BackstayError && error.code === 'MissingPrivilege';
      if (final || performance.now() > deadline) {
        throw new BackstayError(
          'BalancerNotRestored',
          `the balancer could not be started again: ${describeError(error)}`,
          {
            remedy: 'run sh.startBalancer()',
            cause: error,
          },
        );
      }
      await sleep(POLL_MS);
    }
  }
}

async function restoreOnce(
  { kind, endpoint }: Router,
  { clusterId, autosplit }: BalancerRecord,
  options: { signal?: AbortSignal },
): Promise<BalancerOutcome> {
  const client = await openClient(endpoint, options);
  try {
    const version = await client.db('config').collection('version').findOne({}, { readPreference: 'primary' });
    if (String(version?.clusterId) !== clusterId) return 'otherCluster';
    const { mode } = await readBalancer(client, kind);
    if (mode === 'off') await client.db('admin').command({ [COMMANDS[kind].start]: 1 });
    if ((await readAutosplit(client)) !== autosplit) await writeAutosplit(client, autosplit);
    return mode === 'off' ? 'restored' : 'wasOn';
  } catch (error) {
    throw mongoFailure(error, 'start the balancer', PRIVILEGE[kind]);
  } finally {
    await client.close();
  }
}

async function writeAutosplit(client: MongoClient, autosplit: boolean | undefined): Promise<void> {
  const settings = settingsOf(client);
  const writeConcern = { w: 'majority' as const };
  try {
    if (autosplit === undefined) await settings.deleteOne({ _id: 'autosplit' }, { writeConcern });
    else
      await settings.updateOne({ _id: 'autosplit' }, { $set: { enabled: autosplit } }, { upsert: true, writeConcern });
  } catch (error) {
    // true is what nothing written means
    if (autosplit !== false && isUnauthorized(error)) return;
    throw error;
  }
}
