import type { BackupSession } from './generated/types.ts';

/** How the balancer is named among what a run holds; every other name is a member's host:port. */
export const BALANCER = 'balancer';

/** What a runner of the session has taken, or may have taken, and not given back: members that are locked, and the balancer. */
export function heldBy({ status }: BackupSession): string[] {
  const members = (status?.locks ?? []).map(({ member }) => member).sort();
  return status?.balancer === undefined ? members : [...members, BALANCER];
}
