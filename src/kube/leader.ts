/**
 * Leader election on a Lease (coordination.k8s.io), with the rules of client-go: 15 s lease, 10 s to renew it, a try every 2 s.
 *
 * Time is judged locally. A candidate counts the lease's duration from the moment at which it saw the record change, never from the
 * `renewTime` in it, which a clock somewhere else wrote. A holder counts from the moment before it sent its last successful renewal.
 *
 * A holder that cannot renew for 10 s stops leading, 5 s before anybody else may start. A holder that was paused (SIGSTOP, a frozen
 * machine) finds out when it asks: `isLeader` and `guard` compute from the clock and do not wait for a timer to fire. What no lease can
 * exclude is a request that was already on the wire when the pause began.
 */
import { BackstayError } from '../api/errors.ts';
import { type Lease, Leases } from './builtin.ts';
import type { Client } from './client.ts';
import { type Clock, microTime, sleep, systemClock } from './clock.ts';
import { Deadline } from './deadline.ts';
import { isAlreadyExists, isConflict } from './kube-error.ts';
import { type Log, silent } from './log.ts';
import type { KubeMetrics } from './metrics.ts';
import { keyFor } from './resource.ts';

export interface LeaderElectionOptions {
  client: Pick<Client, 'get' | 'create' | 'replace'>;
  namespace: string;
  name: string;
  /** Who this process is, unique among the candidates: the name of its Pod, with something random for a process that restarts in it. */
  identity: string;
  /** Default 15. */
  leaseSeconds?: number | undefined;
  /** Default 10; less than the lease. */
  renewDeadlineSeconds?: number | undefined;
  /** Default 2; less than the deadline. */
  retrySeconds?: number | undefined;
  clock?: Clock | undefined;
  random?: (() => number) | undefined;
  log?: Log | undefined;
  metrics?: Pick<KubeMetrics, 'leader'> | undefined;
}

/** This process held the lease and lost it. What it was doing may be done by another now: end the process. */
export class LeadershipLostError extends BackstayError {
  constructor(lease: string, cause?: unknown) {
    super('LeadershipLost', `Lease ${lease} could not be renewed in time`, cause === undefined ? {} : { cause });
  }

  override get name(): string {
    return 'LeadershipLostError';
  }
}

export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #key: string;
  readonly #leaseMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryMs: number;
  /** The Lease as last read or written, and the local time at which it was seen to change. */
  #observed: Lease | undefined;
  #observedAt = 0;
  /** Times before the last successful renewal was sent, by the monotonic and by the wall clock; undefined while not leading. */
  #renewed: { at: number; date: number } | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silent;
    this.#key = keyFor(options.namespace, options.name);
    this.#leaseMs = (options.leaseSeconds ?? 15) * 1000;
    this.#renewDeadlineMs = (options.renewDeadlineSeconds ?? 10) * 1000;
    this.#retryMs = (options.retrySeconds ?? 2) * 1000;
    if (!(this.#retryMs < this.#renewDeadlineMs && this.#renewDeadlineMs < this.#leaseMs)) {
      throw new RangeError('Leader election needs retrySeconds < renewDeadlineSeconds < leaseSeconds');
    }
  }

  /** Whether this process may act as the leader now. Cheap: ask before every action. */
  isLeader(): boolean {
    if (this.#renewed === undefined) return false;
    // The monotonic clock of a virtual machine can stand still while the machine does; the wall clock then jumps. The larger gap counts.
    const elapsed = Math.max(this.#clock.now() - this.#renewed.at, this.#clock.date().getTime() - this.#renewed.date);
    return elapsed < this.#renewDeadlineMs;
  }

  /** Throws unless this process is the leader: for `Client.withGuard`. */
  readonly guard = (): void => {
    if (!this.isLeader()) throw new BackstayError('NotLeader', `This process does not hold lease ${this.#key}`);
  };

  /** Who holds the lease, as far as known. */
  get holder(): string | undefined {
    return this.#observed?.spec?.holderIdentity || undefined;
  }

  /**
   * Waits for the lease, calls `lead` while holding it, and gives it back when `lead` has ended or `signal` aborts.
   * The signal given to `lead` aborts when the lease is lost (`run` then rejects with `LeadershipLostError`) or when `signal` does.
   * The lease is given back only after `lead` has settled.
   */
  async run(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    while (!(await this.#round(signal))) {
      // Jitter keeps candidates from colliding in every round.
      await sleep(this.#retryMs * (1 + 0.2 * this.#random()), signal, this.#clock).catch(() => {});
      if (signal.aborted) return;
    }
    this.#log.info({ lease: this.#key, identity: this.#options.identity }, 'became the leader');
    this.#options.metrics?.leader(this.#options.name, true);
    const lost = () => new LeadershipLostError(this.#key);
    using term = new Deadline(this.#renewDeadlineMs, lost, undefined, this.#clock);
    term.extendFrom(this.#renewed?.at ?? this.#clock.now());
    const ended = new AbortController();
    const renewing = this.#keepRenewing(term, ended.signal);
    try {
      await lead(AbortSignal.any([term.signal, signal]));
    } catch (error) {
      if (!term.expired && error !== signal.reason) throw error;
    } finally {
      ended.abort();
      await renewing;
      this.#options.metrics?.leader(this.#options.name, false);
      if (this.isLeader()) await this.#release();
      this.#renewed = undefined;
    }
    if (term.expired) throw term.signal.reason;
  }

  /** Renews until `ended`, also while `lead` finishes its work after an abort. */
  async #keepRenewing(term: Deadline, ended: AbortSignal): Promise<void> {
    const stop = AbortSignal.any([term.signal, ended]);
    while (!stop.aborted) {
      await sleep(this.#retryMs, stop, this.#clock).catch(() => {});
      if (stop.aborted) return;
      // After a pause the timers are late: what matters is the time that has passed.
      if (!this.isLeader()) {
        term.expire();
        return;
      }
      if (await this.#round(stop)) term.extendFrom(this.#renewed?.at ?? this.#clock.now());
      else if (this.holder !== undefined && this.holder !== this.#options.identity) {
        // Somebody else wrote its name: there is nothing left to renew.
        this.#renewed = undefined;
        term.expire();
      }
    }
  }

  /** One try to take or renew the lease. Never rejects. */
  async #round(signal: AbortSignal): Promise<boolean> {
    const startedAt = { at: this.#clock.now(), date: this.#clock.date().getTime() };
    const slow = () => new BackstayError('LeaseTimeout', `No answer about lease ${this.#key}`);
    using limit = new Deadline(this.#renewDeadlineMs, slow, signal, this.#clock);
    try {
      if (!(await this.#tryToHold(limit.signal))) return false;
      this.#renewed = startedAt;
      return true;
    } catch (error) {
      if (!signal.aborted) {
        const fields = { lease: this.#key, error: error instanceof Error ? error.message : String(error) };
        if (isConflict(error) || isAlreadyExists(error)) this.#log.debug(fields, 'somebody else wrote the lease first');
        else this.#log.warn(fields, 'the lease could not be read or written');
      }
      return false;
    }
  }

  async #tryToHold(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, identity } = this.#options;
    // No retries in the client: the next round is one, and a round must not outlast the lease.
    const options = { signal, retries: 0 };
    if (this.#observed !== undefined && this.isLeader()) {
      try {
        this.#observe(await client.replace(Leases, this.#claim(this.#observed), options));
        return true;
      } catch {
        // Written or deleted by somebody: look at it before anything else.
      }
    }
    const lease = await client.get(Leases, { namespace, name }, options);
    if (lease === undefined) {
      this.#observe(await client.create(Leases, this.#claim(undefined), options));
      return true;
    }
    if (lease.metadata.resourceVersion !== this.#observed?.metadata.resourceVersion) this.#observe(lease);
    const holder = lease.spec?.holderIdentity ?? '';
    const durationMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1000;
    if (holder !== '' && holder !== identity && this.#clock.now() < this.#observedAt + durationMs) return false;
    this.#observe(await client.replace(Leases, this.#claim(lease), options));
    return true;
  }

  /** Gives the lease back, so that the next leader need not wait for it to expire. */
  async #release(): Promise<void> {
    if (this.#observed === undefined || this.holder !== this.#options.identity) return;
    const now = microTime(this.#clock.date());
    const spec = {
      ...this.#observed.spec,
      holderIdentity: '',
      leaseDurationSeconds: 1,
      renewTime: now,
      acquireTime: now,
    };
    const slow = () => new BackstayError('LeaseTimeout', `No answer about lease ${this.#key}`);
    using limit = new Deadline(this.#retryMs, slow, undefined, this.#clock);
    try {
      this.#observe(
        await this.#options.client.replace(Leases, { ...this.#observed, spec }, { signal: limit.signal, retries: 0 }),
      );
      this.#log.info({ lease: this.#key }, 'gave the lease back');
    } catch (error) {
      // It expires by itself.
      this.#log.warn(
        { lease: this.#key, error: error instanceof Error ? error.message : String(error) },
        'the lease was not given back',
      );
    }
  }

  /** The Lease with this process as its holder. The resource version in it makes the write conditional. */
  #claim(lease: Lease | undefined): Lease {
    const { namespace, name, identity } = this.#options;
    const now = microTime(this.#clock.date());
    const before = lease?.spec;
    const same = before?.holderIdentity === identity;
    return {
      apiVersion: Leases.apiVersion,
      kind: Leases.kind,
      metadata: lease?.metadata ?? { namespace, name },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(this.#leaseMs / 1000),
        acquireTime: same ? (before.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: (before?.leaseTransitions ?? 0) + (same || lease === undefined ? 0 : 1),
      },
    };
  }

  #observe(lease: Lease): void {
    this.#observed = lease;
    this.#observedAt = this.#clock.now();
  }

  #random(): number {
    return (this.#options.random ?? Math.random)();
  }
}
