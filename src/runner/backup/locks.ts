import type {
  BackupSession,
  BackupSessionStatus,
  BackupSessionStatusBalancer,
  BackupSessionStatusLock,
} from '../../api/generated/types.ts';
import { BALANCER } from '../../api/held.ts';
import type { BalancerRecord } from '../../mongo/cluster/balancer.ts';
import type { Router } from '../../mongo/cluster/topology.ts';
import type { MongoEndpoint } from '../../mongo/connection.ts';
import type { Consistency } from '../../mongo/dump.ts';
import type { LockIntent } from '../../mongo/lock.ts';
import type { StatusWriter } from '../status-writer.ts';
import { type Guard, UNGUARDED } from '../watchdog/guard.ts';

/** Who else learns of every lock: the watchdog, with how to reach the members. */
export interface Watched {
  guard: Guard;
  endpoint: MongoEndpoint;
}

/**
 * The records of a BackupSession: locks, and the balancer. Each write replaces all fields of the runner, so the records and the consistency are written
 * together. What is written down is told to the watchdog as well: it is the quicker one, and the record is there when it is gone too.
 */
export class LockRecords {
  readonly #writer: StatusWriter<BackupSession>;
  readonly #holder: string;
  readonly #watched: Watched | undefined;

  constructor(writer: StatusWriter<BackupSession>, holder: string, watched?: Watched) {
    this.#writer = writer;
    this.#holder = holder;
    this.#watched = watched;
  }

  get records(): readonly BackupSessionStatusLock[] {
    return this.#writer.status.locks ?? [];
  }

  /** Writes down what is about to be locked; the lock may be asked for when this has resolved. */
  async requested(component: string, intent: LockIntent): Promise<void> {
    await this.#tell(intent);
    await this.#put(recordOf(intent, { component, state: 'Requested', holder: this.#holder }));
  }

  /** Writes down that the lock is held, and by which operation of the server. */
  async held(component: string, intent: LockIntent): Promise<void> {
    const heldAt = new Date().toISOString();
    await this.#tell(intent);
    await this.#put({ ...recordOf(intent, { component, state: 'Held', holder: this.#holder }), heldAt });
  }

  /** Strikes the record of a member out: its lock is certainly not ours any more. */
  async struck(member: string): Promise<void> {
    this.#guard.given(member);
    await this.#write(this.records.filter((record) => record.member !== member));
  }

  /** What is written down of a balancer that the run stops. */
  get balancer(): BackupSessionStatusBalancer | undefined {
    return this.#writer.status.balancer;
  }

  /** Writes down that the balancer is about to be stopped; it may be when this has resolved. */
  async balancerRequested(router: Router, record: BalancerRecord): Promise<void> {
    await this.#guard.taken(BALANCER, { kind: 'balancer', router, record });
    const { clusterId, autosplit, requestedAt } = record;
    await this.#writeBalancer({
      former: 'full',
      state: 'Requested',
      clusterID: clusterId,
      ...(autosplit === undefined ? {} : { autosplit }),
      requestedAt,
      holder: this.#holder,
    });
  }

  async balancerStopped(): Promise<void> {
    const { balancer } = this;
    if (balancer === undefined) return;
    await this.#writeBalancer({ ...balancer, state: 'Stopped', stoppedAt: new Date().toISOString() });
  }

  /** Strikes it out: the balancer is as it was. */
  async balancerStruck(): Promise<void> {
    this.#guard.given(BALANCER);
    await this.#writeBalancer(undefined);
  }

  async consistency(consistency: Consistency): Promise<void> {
    await this.#writer.write({ ...this.#writer.status, consistency });
  }

  get #guard(): Guard {
    return this.#watched?.guard ?? UNGUARDED;
  }

  async #tell(intent: LockIntent): Promise<void> {
    if (this.#watched === undefined) return;
    await this.#guard.taken(intent.member, { kind: 'lock', endpoint: this.#watched.endpoint, intent });
  }

  async #writeBalancer(balancer: BackupSessionStatusBalancer | undefined): Promise<void> {
    const { balancer: _former, ...rest } = this.#writer.status;
    await this.#writer.write({ ...rest, ...(balancer === undefined ? {} : { balancer }) });
  }

  async #put(record: BackupSessionStatusLock): Promise<void> {
    await this.#write([...this.records.filter(({ member }) => member !== record.member), record]);
  }

  async #write(locks: BackupSessionStatusLock[]): Promise<void> {
    await this.#writer.write({ ...this.#writer.status, locks });
  }
}

/** The runner's part of a BackupSession's status. */
export function ownPart({ locks, balancer, consistency }: BackupSessionStatus = {}): BackupSessionStatus {
  return {
    ...(locks === undefined ? {} : { locks }),
    ...(balancer === undefined ? {} : { balancer }),
    ...(consistency === undefined ? {} : { consistency }),
  };
}

/** What a record says of a balancer that was to be stopped. */
export function balancerRecordOf({
  clusterID = '',
  autosplit,
  requestedAt,
}: BackupSessionStatusBalancer): BalancerRecord {
  return { clusterId: clusterID, autosplit, requestedAt };
}

function recordOf(
  { member, processId, requestedAt, afterOperation, lockOperation, unlocksBefore }: LockIntent,
  more: Pick<BackupSessionStatusLock, 'state'> & { component: string; holder: string },
): BackupSessionStatusLock {
  return {
    member,
    processID: processId,
    requestedAt,
    ...(afterOperation === undefined ? {} : { afterOperation }),
    ...(lockOperation === undefined ? {} : { lockOperation }),
    ...(unlocksBefore === undefined ? {} : { unlocksBefore }),
    ...more,
  };
}

/** What a record says that was asked for. */
export function intentOf(record: BackupSessionStatusLock): LockIntent {
  const { member, processID = '', requestedAt, afterOperation, lockOperation, unlocksBefore } = record;
  return {
    member,
    processId: processID,
    requestedAt,
    ...(afterOperation === undefined ? {} : { afterOperation }),
    ...(lockOperation === undefined ? {} : { lockOperation }),
    ...(unlocksBefore === undefined ? {} : { unlocksBefore }),
  };
}
