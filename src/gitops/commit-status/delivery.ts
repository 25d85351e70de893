import { getCondition, removeCondition, setCondition } from '../../api/conditions.ts';
import type { PolicySync, PolicySyncStatus, PolicySyncStatusCommitStatus } from '../../api/generated/types.ts';
import { sameValue } from '../../api/json.ts';

/** How the telling goes: what was told last, and why it does not go on. */
export interface Delivery {
  told: PolicySyncStatusCommitStatus | undefined;
  failure: { code: string; message: string } | undefined;
}

export const COMMIT_STATUS = 'CommitStatus';

/** The status with what is known of the telling; the very same one when that is in it already. */
export function withDelivery(
  { metadata, spec }: Pick<PolicySync, 'metadata' | 'spec'>,
  status: PolicySyncStatus,
  { told, failure }: Delivery,
  now: Date,
): PolicySyncStatus {
  const { commitStatus, ...rest } = status;
  if (spec.commitStatus === undefined) {
    if (commitStatus === undefined && getCondition(status.conditions, COMMIT_STATUS) === undefined) return status;
    return { ...rest, conditions: removeCondition(status.conditions, COMMIT_STATUS) };
  }
  if (told === undefined && failure === undefined) return status;
  const about = { type: COMMIT_STATUS, observedGeneration: metadata.generation ?? 0 };
  const judgement =
    failure !== undefined
      ? { ...about, status: 'False' as const, reason: failure.code, message: failure.message }
      : { ...about, status: 'True' as const, reason: 'Reported', message: describe(told) };
  const known = told ?? commitStatus;
  const next: PolicySyncStatus = {
    ...rest,
    ...(known === undefined ? {} : { commitStatus: known }),
    conditions: setCondition(status.conditions, judgement, now),
  };
  return sameValue(next, status) ? status : next;
}

function describe(told: PolicySyncStatusCommitStatus | undefined): string {
  return told === undefined ? '' : `${told.state} of ${told.commit.slice(0, 12)} as ${told.context}`;
}
