import type { MongoClient, Timestamp } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { openClient } from '../connection.ts';
import type { Consistency } from '../dump.ts';
import { throwIfAborted } from '../errors.ts';
import { readLockState, requireFree } from '../lock/state.ts';
import { type BalancerRecord, restoreBalancer, stopBalancer } from './balancer.ts';
import { type CutPart, chooseCut, standingOf } from './cut.ts';
import { changedSince, type Primary, underWay, waitUntilQuiet } from './quiet.ts';
import type { ClusterPart, ClusterTopology } from './topology.ts';

/** How a part of the cluster is to be read. */
export interface PartPlan {
  part: ClusterPart;
  /** host:port. */
  member: string;
  mode: Consistency;
}

/** A member that stands still. */
export interface PartLock {
  /** Connected before the lock. */
  client: MongoClient;
  /** @throws BackstayError LockLost */
  verify(): Promise<void>;
  /** Unlocks and strikes the record out. It never throws, and can be called again. */
  release(): Promise<void>;
}

export interface ClusterReadingOptions {
  configServer: PartPlan;
  shards: readonly PartPlan[];
  /** Locks the member of a plan; writes the intent down before. */
  lock: (plan: PartPlan) => Promise<PartLock>;
  balancer: {
    timeoutMS: number;
    /** See StopBalancerOptions. */
    onIntent: (record: BalancerRecord) => Promise<void>;
    onStopped: () => Promise<void>;
    onRestored: () => Promise<void>;
  };
  /** How long it may take until nothing is under way, and again until all members are at the time of the cut, in milliseconds. */
  cutTimeoutMS: number;
  signal?: AbortSignal;
  onEvent?: (message: string, details: Record<string, unknown>) => void;
}

/** A part that is ready to be dumped. */
export interface PartReading {
  plan: PartPlan;
  /** For dump(), with `atClusterTime` and `onLastRead`. */
  client: MongoClient;
  atClusterTime: Timestamp | undefined;
  onLastRead(): Promise<void>;
}

export interface ClusterReading {
  /** Undefined in mode none. */
  cutTime: Timestamp | undefined;
  /** The config server first. */
  parts: readonly PartReading[];
  /**
   * Unlocks what is locked still and puts the balancer back. It can be called again.
   *
   * @throws BackstayError BalancerNotRestored
   */
  close(): Promise<void>;
}

/** A change of collections between the time of the cut and the locks costs a new cut; a cluster in which they never end has none. */
const ATTEMPTS = 5;

/**
 * Makes a sharded cluster ready to be dumped as of one moment: the balancer is stopped, nothing is under way, a time for the cut is
 * chosen, the config server is locked and then the shards. Each shard is unlocked the moment its last byte is read, the config server
 * after the last of them, and then the balancer is as it was. When anything fails all is released in that order.
 *
 * In mode none nothing is locked and there is no common time, but the balancer is stopped all the same: a chunk that moves while it is
 * read would be there twice or not at all.
 *
 * @throws BackstayError BalancerBusy, ClusterBusy, CutTimeout, LockLost, and what locking throws
 */
export async function openClusterReading(
  cluster: ClusterTopology,
  options: ClusterReadingOptions,
): Promise<ClusterReading> {
  const reading = new Session(cluster, options);
  try {
    await reading.open();
    return reading;
  } catch (error) {
    // the first error counts; what is not put back has its record
    await reading.close().catch(() => {});
    throw error;
  }
}

interface OpenPart {
  plan: PartPlan;
  primary: MongoClient;
  reader: MongoClient;
  lock: PartLock | undefined;
}

class Session implements ClusterReading {
  readonly #cluster: ClusterTopology;
  readonly #options: ClusterReadingOptions;
  #parts: OpenPart[] = [];
  #unread = new Set<PartPlan>();
  #balancer: BalancerRecord | undefined;
  #closing: Promise<void> | undefined;
  cutTime: Timestamp | undefined;

  constructor(cluster: ClusterTopology, options: ClusterReadingOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  get parts(): PartReading[] {
    return this.#parts.map((part) => ({
      plan: part.plan,
      client: part.lock?.client ?? part.reader,
      atClusterTime: this.cutTime,
      onLastRead: () => this.#wasRead(part),
    }));
  }

  async open(): Promise<void> {
    const { configServer, shards } = this.#options;
    await this.#connect([configServer, ...shards]);
    await this.#requireFree();
    await this.#stopBalancer();
    const [config, ...others] = this.#parts.map(primaryOf);
    if (config === undefined) throw new Error('a cluster has a config server');
    await waitUntilQuiet(config, others, this.#bounds());
    if (this.#parts.every(({ plan }) => plan.mode === 'none')) return;
    for (let attempt = 1; ; attempt += 1) {
      throwIfAborted(this.#options.signal);
      const time = await chooseCut(this.#parts.map(cutPartOf), this.#bounds());
      this.#tell('time of the cut chosen', { cutTime: `${time.t}.${time.i}`, attempt });
      await this.#lockAll();
      const reason = await this.#whyTorn(config, others, time);
      await this.#verifyLocks();
      if (reason === undefined) {
        this.cutTime = time;
        return;
      }
      this.#tell('the cut went through a change', { reason, attempt });
      await this.#unlockAll();
      if (attempt === ATTEMPTS) {
        throw new BackstayError('ClusterBusy', `no cut without a change in it, last ${reason}`, {
          remedy: 'run the backup when no collections are made, dropped or moved',
        });
      }
      await waitUntilQuiet(config, others, this.#bounds());
    }
  }

  /** First everything is connected: whoever cannot be reached locks nothing. */
  async #connect(plans: readonly PartPlan[]): Promise<void> {
    const { signal } = this.#options;
    const connect = signal === undefined ? {} : { signal };
    const opened = await Promise.allSettled(
      plans.map(async (plan): Promise<OpenPart> => {
        const { part, member } = plan;
        const primary = await openClient(part.endpoint, connect);
        try {
          return { plan, primary, reader: await openClient(part.endpoint, { member, ...connect }), lock: undefined };
        } catch (error) {
          await primary.close();
          throw error;
        }
      }),
    );
    this.#parts = opened.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
    this.#unread = new Set(plans);
    const failed = opened.find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** A member that somebody else has locked would not get to the time of the cut. */
  async #requireFree(): Promise<void> {
    const toLock = this.#parts.filter(({ plan }) => plan.mode === 'lock');
    await Promise.all(toLock.map(async ({ plan, reader }) => requireFree(plan.member, await readLockState(reader))));
  }

  async #stopBalancer(): Promise<void> {
    const { balancer, signal } = this.#options;
    const { clusterId, router } = this.#cluster;
    const { timeoutMS, onIntent, onRestored } = balancer;
    const cancel = signal === undefined ? {} : { signal };
    const record = await stopBalancer(router, clusterId, { timeoutMS, onIntent, onRestored, ...cancel });
    this.#balancer = record;
    this.#tell(record === undefined ? 'the balancer is off already' : 'balancer stopped', {});
    if (record !== undefined) await balancer.onStopped();
  }

  /** The config server first, so that nothing is noted there that shards which are locked do not have. */
  async #lockAll(): Promise<void> {
    const [config, ...shards] = this.#parts;
    if (config !== undefined) await this.#lock(config);
    const locked = await Promise.allSettled(shards.map((part) => this.#lock(part)));
    const failed = locked.find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async #lock(part: OpenPart): Promise<void> {
    throwIfAborted(this.#options.signal);
    if (part.plan.mode === 'lock') part.lock = await this.#options.lock(part.plan);
  }

  async #unlockAll(): Promise<void> {
    await Promise.all(this.#parts.map((part) => this.#unlock(part)));
  }

  async #unlock(part: OpenPart): Promise<void> {
    await part.lock?.release();
    part.lock = undefined;
  }

  /**
   * A member that restarted since it was locked may be behind the time for a moment, which looks like a cut with a change in it. Or it
   * would be read for hours before its lost lock is found at the end.
   */
  async #verifyLocks(): Promise<void> {
    await Promise.all(this.#parts.map(({ lock }) => lock?.verify()));
  }

  /** Asked when all members stand still: from now on nothing changes what the cut shows. */
  async #whyTorn(config: Primary, shards: readonly Primary[], time: Timestamp): Promise<string | undefined> {
    const [busy, changes, standings] = await Promise.all([
      underWay(config, shards),
      Promise.all([config, ...shards].map((primary) => changedSince(primary, time))),
      Promise.all(
        this.#parts.map(async ({ plan, lock, reader }) => ({
          plan,
          ...(await standingOf(lock?.client ?? reader, time)),
        })),
      ),
    ]);
    const unready = standings.find(({ ready }) => !ready);
    return (
      busy[0] ??
      changes.find((change) => change !== undefined) ??
      (unready === undefined ? undefined : `${unready.plan.member} went back behind the time`)
    );
  }

  async #wasRead(part: OpenPart): Promise<void> {
    const [config] = this.#parts;
    await part.lock?.verify();
    this.#tell('read to its end', { component: part.plan.part.name, member: part.plan.member });
    if (part !== config) await this.#unlock(part);
    this.#unread.delete(part.plan);
    if (this.#unread.size === 0) await this.close().catch(() => {});
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#unlockAll();
    await Promise.allSettled(this.#parts.flatMap(({ primary, reader }) => [primary.close(), reader.close()]));
    if (this.#balancer === undefined) return;
    const outcome = await restoreBalancer(this.#cluster.router, this.#balancer);
    this.#tell('the balancer is as it was', { outcome });
    await this.#options.balancer.onRestored();
  }

  #bounds(): { timeoutMS: number; signal?: AbortSignal } {
    const { cutTimeoutMS, signal } = this.#options;
    return { timeoutMS: cutTimeoutMS, ...(signal === undefined ? {} : { signal }) };
  }

  #tell(message: string, details: Record<string, unknown>): void {
    this.#options.onEvent?.(message, details);
  }
}

function primaryOf({ plan, primary }: OpenPart): Primary {
  return { name: plan.part.name, client: primary };
}

function cutPartOf({ plan, primary, reader }: OpenPart): CutPart {
  return { name: plan.part.name, member: plan.member, primary, reader };
}
