import { describeError, errorCode } from '../api/errors.ts';
import type { PolicySync } from '../api/generated/types.ts';
import type { Clock } from '../kube/clock.ts';
import type { Result } from '../kube/controller.ts';
import { Deadline } from '../kube/deadline.ts';
import type { Notices } from './notices.ts';
import { intervalsOf, timedOut } from './settings.ts';
import { describeChanges } from './status.ts';
import { removeAll, type Surroundings } from './synchronise.ts';
import { describeFailure } from './wording.ts';

/** How soon a deletion that was refused is tried again. */
const DELETION_RETRY_SECONDS = 15;

/** Deletes what a PolicySync that goes has applied, if it says so; the answer is when to try again, undefined when nothing holds it. */
export async function cleanUp(
  policySync: PolicySync,
  { surroundings, notices, clock }: { surroundings: Surroundings; notices: Notices; clock: Clock },
  signal: AbortSignal,
): Promise<Result | undefined> {
  if (policySync.spec.deletionPolicy !== 'Delete') return undefined;
  const intervals = intervalsOf(policySync);
  using deadline = new Deadline(intervals.timeout, () => timedOut(intervals), signal, clock);
  try {
    const { changes, failures } = await removeAll(policySync, surroundings, deadline.signal);
    const [first] = failures;
    if (first !== undefined) {
      const note = `Its objects cannot be deleted: ${describeFailure(first)}`;
      notices.record(policySync, 'Warning', 'DeletionRefused', note);
      return { requeueAfterSeconds: DELETION_RETRY_SECONDS };
    }
    if (changes.length > 0) notices.record(policySync, 'Normal', 'Deleted', describeChanges(changes));
  } catch (error) {
    // With its namespace the account goes too, in any order; to insist would keep the namespace for ever.
    if (errorCode(error) !== 'ServiceAccountNotFound') throw error;
    notices.record(policySync, 'Warning', 'Orphaned', `Its objects stay: ${describeError(error)}`);
  }
  return undefined;
}
