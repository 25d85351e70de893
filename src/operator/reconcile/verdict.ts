/** What controllers of long-lived kinds have in common: telling a change of verdict, and when to look again. Pure. */
import type { Condition } from '../../api/generated/types.ts';
import type { KubeObject } from '../../kube/resource.ts';
import type { Note } from './plan.ts';
import type { Conditions } from './status.ts';

const FIRST_LOOK_MS = 10_000;
const LONGEST_LOOK_MS = 5 * 60_000;

/** An Event when the verdict changes, none while it stays. */
export function verdictNotes(
  live: KubeObject & { status?: { conditions?: Condition[] } },
  conditions: Conditions,
): Note[] {
  const before = live.status?.conditions?.find(({ type }) => type === 'Ready');
  const after = conditions.get('Ready');
  if (
    after === undefined ||
    after.status === 'Unknown' ||
    (before?.status === after.status && before.reason === after.reason)
  )
    return [];
  return [{ type: after.status === 'True' ? 'Normal' : 'Warning', reason: after.reason, message: after.message }];
}

/** Whether the object was judged in its present generation. */
export function isJudged(live: KubeObject, conditions: Conditions): boolean {
  const ready = conditions.get('Ready');
  return ready !== undefined && ready.status !== 'Unknown' && ready.observedGeneration === live.metadata.generation;
}

/** When to look again for something that nobody tells of (a Secret): the wait grows with the time that it is missing, 10 s to 5 min. */
export function lookAgain(conditions: Conditions, now: Date): number {
  const since = Date.parse(conditions.get('Ready')?.lastTransitionTime ?? now.toISOString());
  return Math.min(LONGEST_LOOK_MS, Math.max(FIRST_LOOK_MS, now.getTime() - since));
}
