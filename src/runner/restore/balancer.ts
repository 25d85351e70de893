import { describeError } from '../../api/errors.ts';
import type { RestoreSessionStatusBalancer } from '../../api/generated/types.ts';
import { BALANCER } from '../../api/held.ts';
import { type BalancerRecord, restoreBalancer, stopBalancer } from '../../mongo/cluster/balancer.ts';
import { type ClusterTopology, findRouter, type Router } from '../../mongo/cluster/topology.ts';
import type { MongoEndpoint } from '../../mongo/connection.ts';
import { balancerRecordOf } from '../backup/locks.ts';
import type { JobContext } from '../job.ts';
import type { Guard } from '../watchdog/guard.ts';
import type { RestoreReport } from './report.ts';

/**
 * The balancer of a cluster that is restored: off while it is, and as it was afterwards. It is written down before it is stopped and told
 * to the watchdog, and struck out when it is as it was.
 */
export class RestoreBalancer {
  readonly #context: JobContext;
  readonly #report: RestoreReport;
  readonly #guard: Guard;
  #stopped: { router: Router; record: BalancerRecord } | undefined;

  constructor(context: JobContext, report: RestoreReport, guard: Guard) {
    this.#context = context;
    this.#report = report;
    this.#guard = guard;
  }

  async stop({ router, clusterId }: ClusterTopology, timeoutMS: number): Promise<void> {
    const { holder, log, signal } = this.#context;
    const record = await stopBalancer(router, clusterId, {
      timeoutMS,
      onIntent: async (intent) => {
        this.#stopped = { router, record: intent };
        await this.#guard.taken(BALANCER, { kind: 'balancer', router, record: intent });
        await this.#report.setBalancer(statusOf(intent, holder, 'Requested'));
      },
      onRestored: () => this.#struck(),
      signal,
    });
    if (record === undefined) {
      log.info({ balancer: 'off' }, 'the balancer is off, and stays so');
      return;
    }
    log.info({ balancer: 'off' }, 'balancer stopped');
    await this.#report.setBalancer({ ...statusOf(record, holder, 'Stopped'), stoppedAt: new Date().toISOString() });
  }

  /** Also when the run was asked to end: it is put back in any case. @throws BackstayError BalancerNotRestored */
  async restore(): Promise<void> {
    if (this.#stopped === undefined) return;
    const outcome = await restoreBalancer(this.#stopped.router, this.#stopped.record);
    this.#context.log.info({ outcome }, 'balancer put back');
    await this.#struck();
  }

  /** Puts back what an earlier run of the session left. */
  async restoreLeftover(endpoint: MongoEndpoint): Promise<void> {
    const { balancer } = this.#report;
    if (balancer === undefined) return;
    const { log, signal } = this.#context;
    const { router } = await findRouter(endpoint, { signal });
    const outcome = await restoreBalancer(router, balancerRecordOf(balancer), { signal });
    log.info({ outcome, requestedAt: balancer.requestedAt }, 'leftover balancer looked after');
    await this.#struck();
  }

  async #struck(): Promise<void> {
    this.#stopped = undefined;
    this.#guard.given(BALANCER);
    await this.#report.setBalancer(undefined).catch((error: unknown) => {
      this.#context.log.warn({ error: describeError(error) }, 'the record of the balancer could not be struck out');
    });
  }
}

function statusOf(
  { clusterId, autosplit, requestedAt }: BalancerRecord,
  holder: string,
  state: RestoreSessionStatusBalancer['state'],
): RestoreSessionStatusBalancer {
  return {
    former: 'full',
    state,
    clusterID: clusterId,
    ...(autosplit === undefined ? {} : { autosplit }),
    requestedAt,
    holder,
  };
}
