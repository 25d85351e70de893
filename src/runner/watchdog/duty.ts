import { type BalancerOutcome, type BalancerRecord, restoreBalancer } from '../../mongo/cluster/balancer.ts';
import type { Router } from '../../mongo/cluster/topology.ts';
import type { MongoEndpoint } from '../../mongo/connection.ts';
import { type LeftoverOutcome, type LockIntent, releaseLeftover } from '../../mongo/lock.ts';

/** Something that must be given back, and all that is needed to do so. It crosses a pipe between two processes, never a command line. */
export type Duty =
  | { kind: 'lock'; endpoint: MongoEndpoint; intent: LockIntent }
  | { kind: 'balancer'; router: Router; record: BalancerRecord };

/** What a worker tells its watchdog. */
export type Word =
  /** Said before the thing is taken. */
  | { said: 'taken'; key: string; duty: Duty }
  /** Said when it is certainly not ours any more. */
  | { said: 'given'; key: string };

/** What became of a duty whose worker is gone. */
export type DutyOutcome = LeftoverOutcome | BalancerOutcome;

/** Gives back what a worker that is gone had taken, or may have taken. */
export async function fulfil(duty: Duty, signal: AbortSignal): Promise<DutyOutcome> {
  if (duty.kind === 'balancer') return restoreBalancer(duty.router, duty.record, { signal });
  return releaseLeftover(duty.endpoint, duty.intent, { signal });
}
