import { removeCondition, setCondition } from '../../api/conditions.ts';
import type { PolicySync, PolicySyncStatus } from '../../api/generated/types.ts';
import { sameValue } from '../../api/json.ts';
import { exponential } from '../../kube/backoff.ts';
import type { Drift } from './drift.ts';

/** What is known of an object that had drifted: somebody may be changing it again and again. */
export interface Contest {
  drift: Drift;
  /** How often it was tried to put it right, one time soon after the other. */
  tries: number;
  /** How many of these changed something: the others failed, or the server took the two values for the same. */
  count: number;
  /** When it is tried again without waiting for the interval, in milliseconds of a clock. */
  retryAt: number;
}

export const CONTESTED = 'DriftContested';

/** The first wait after a try, and the longest, in milliseconds. */
export interface ContestBackoff {
  baseMs: number;
  maxMs: number;
}

export const CONTEST_BACKOFF: ContestBackoff = { baseMs: 5000, maxMs: 10 * 60_000 };
/** Left alone for so long after it was due, nobody contests it any more. */
const CALM_MS = 10 * 60_000;
/** Once is a mistake and twice may be a coincidence. */
const CONTESTED_COUNT = 3;
const NAMED = 3;

/** What is known after one more try: the first comes at once, and then the waits grow, whatever comes of it. */
export function contestAfter(
  former: Contest | undefined,
  drift: Drift,
  wasChanged: boolean,
  now: number,
  backoff: ContestBackoff = CONTEST_BACKOFF,
): Contest {
  const { tries, count } = former === undefined || isCalm(former, now) ? { tries: 0, count: 0 } : former;
  const retryAt = now + exponential(tries, backoff);
  return { drift, tries: tries + 1, count: count + (wasChanged ? 1 : 0), retryAt };
}

export function isCalm({ retryAt }: Contest, now: number): boolean {
  return now > retryAt + CALM_MS;
}

export function isContested({ count }: Contest): boolean {
  return count >= CONTESTED_COUNT;
}

/** The status with a condition that names who changes what again and again; the very same one when it says so already. */
export function withContests(
  { metadata }: Pick<PolicySync, 'metadata'>,
  status: PolicySyncStatus,
  contests: readonly Contest[],
  now: Date,
): PolicySyncStatus {
  const contested = contests.filter(isContested);
  const conditions =
    contested.length === 0
      ? removeCondition(status.conditions, CONTESTED)
      : setCondition(
          status.conditions,
          {
            type: CONTESTED,
            status: 'True',
            reason: 'ChangedByOther',
            message: describe(contested),
            observedGeneration: metadata.generation ?? 0,
          },
          now,
        );
  return sameValue(conditions, status.conditions ?? []) ? status : { ...status, conditions };
}

// Without a count: what grows by itself would be a new status each time.
function describe(contests: readonly Contest[]): string {
  const named = contests.slice(0, NAMED).map(({ drift: { object, kind, fields, manager } }) => {
    if (kind === 'deleted') return `${object} is deleted again and again`;
    const who = manager === undefined ? 'somebody' : `field manager ${manager}`;
    const which = fields.length === 0 ? 'it' : fields.slice(0, NAMED).join(', ');
    return `${object}: ${who} sets ${which} to other values again and again`;
  });
  const more = contests.length > NAMED ? ` and ${contests.length - NAMED} more` : '';
  return `${named.join('; ')}${more}; it is put right with growing waits: stop who does it, or remove the field from git`;
}
