/** What the controller of BackupSessions owns in statuses, and the words of an ended one. Pure. */
import { timestamp } from '../../api/conditions.ts';
import type { BackupSession, BackupSessionStatus } from '../../api/generated/types.ts';
import type { Failure } from '../jobs/outcome.ts';
import { type Conditions, ownStatus, READINESS, type StatusOwnership } from '../reconcile/status.ts';
import { describeFailure } from '../reconcile/wording.ts';

/** Locks and consistency are the runner's. */
export const SESSION_STATUS: StatusOwnership = {
  fields: [
    'observedGeneration',
    'phase',
    'startTime',
    'completionTime',
    'durationSeconds',
    'backupDeadline',
    'job',
    'totalSnapshots',
    'snapshots',
    'retention',
    'retried',
    'nextRetry',
  ],
  conditions: [
    ...READINESS,
    'Complete',
    'Failed',
    'RunnerStarted',
    'RunnerSucceeded',
    'LocksReleased',
    'RetentionApplied',
    'MetricsPushed',
  ],
};

/** Of Snapshots that a session made: components, database, manifest and sizes are the runner's. */
export const SNAPSHOT_STATUS: StatusOwnership = {
  fields: ['observedGeneration', 'phase', 'completionTime', 'totalComponents'],
  conditions: READINESS,
};

export type Ending =
  | { phase: 'Succeeded' }
  | ({ phase: 'Failed' } & Pick<Failure, 'code' | 'message' | 'remedy' | 'retryable'>)
  | { phase: 'Skipped'; reason: string; message: string };

export function isEnded({ status }: BackupSession): boolean {
  const { phase } = status ?? {};
  return phase === 'Succeeded' || phase === 'Failed' || phase === 'Skipped';
}

/** The status of a session that has ended so. */
export function endedStatus(
  session: BackupSession,
  ending: Ending,
  conditions: Conditions,
  now: Date,
): BackupSessionStatus {
  const former = ownStatus<BackupSessionStatus>(session, SESSION_STATUS);
  const startTime = former.startTime ?? timestamp(now);
  const message =
    ending.phase === 'Succeeded'
      ? 'every Snapshot is whole'
      : ending.phase === 'Skipped'
        ? ending.message
        : describeFailure(ending);
  const reason = ending.phase === 'Succeeded' ? 'Succeeded' : ending.phase === 'Skipped' ? ending.reason : ending.code;
  // A run that was skipped made no backup: whoever waits for it must not take it for one.
  conditions.ready(ending.phase === 'Succeeded' ? 'Ready' : 'Stalled', reason, message);
  conditions.set('Complete', ending.phase === 'Succeeded' ? 'True' : 'False', reason, message);
  conditions.set('Failed', ending.phase === 'Failed' ? 'True' : 'False', reason, message);
  return {
    ...former,
    observedGeneration: session.metadata.generation ?? 0,
    phase: ending.phase,
    startTime,
    completionTime: timestamp(now),
    durationSeconds: Math.max(0, Math.round((now.getTime() - Date.parse(startTime)) / 1000)),
    conditions: conditions.list,
  };
}
