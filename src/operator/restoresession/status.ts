/** What the controller of RestoreSessions owns in their status, and the words of an ended one. Pure. */
import { timestamp } from '../../api/conditions.ts';
import type { RestoreSession, RestoreSessionStatus } from '../../api/generated/types.ts';
import type { Failure } from '../jobs/outcome.ts';
import { type Conditions, READINESS, type StatusOwnership } from '../reconcile/status.ts';
import { describeFailure } from '../reconcile/wording.ts';

/** Components are the runner's. */
export const RESTORE_STATUS: StatusOwnership = {
  fields: [
    'observedGeneration',
    'phase',
    'targetFound',
    'snapshot',
    'job',
    'startTime',
    'completionTime',
    'durationSeconds',
    'restoreDeadline',
    'totalComponents',
    'pausedBackups',
  ],
  conditions: [...READINESS, 'Complete', 'Failed', 'RunnerStarted', 'MetricsPushed'],
};

export type RestoreEnding =
  | { phase: 'Succeeded' }
  | ({ phase: 'Failed' | 'Invalid' } & Pick<Failure, 'code' | 'message' | 'remedy'>);

export function isRestoreEnded({ status }: RestoreSession): boolean {
  const { phase } = status ?? {};
  return phase === 'Succeeded' || phase === 'Failed' || phase === 'Invalid';
}

/** Whether a restore works on its target, or is about to: backups of the target rest meanwhile. */
export function holdsTarget(restore: RestoreSession): boolean {
  if (isRestoreEnded(restore)) return false;
  const reason = restore.status?.conditions?.find(({ type }) => type === 'Reconciling')?.reason;
  return restore.status?.phase === 'Running' || reason === 'BackupRunning';
}

/** The status of a restore that has ended so. */
export function endedRestore(
  restore: RestoreSession,
  former: RestoreSessionStatus,
  ending: RestoreEnding,
  conditions: Conditions,
  now: Date,
): RestoreSessionStatus {
  const startTime = former.startTime ?? timestamp(now);
  const reason = ending.phase === 'Succeeded' ? 'Succeeded' : ending.code;
  const message = ending.phase === 'Succeeded' ? restoredMessage(restore) : describeFailure(ending);
  conditions.ready(ending.phase === 'Succeeded' ? 'Ready' : 'Stalled', reason, message);
  conditions.set('Complete', ending.phase === 'Succeeded' ? 'True' : 'False', reason, message);
  conditions.set('Failed', ending.phase === 'Succeeded' ? 'False' : 'True', reason, message);
  const { pausedBackups: _, ...rest } = former;
  return {
    ...rest,
    observedGeneration: restore.metadata.generation ?? 0,
    phase: ending.phase,
    startTime,
    completionTime: timestamp(now),
    durationSeconds: Math.max(0, Math.round((now.getTime() - Date.parse(startTime)) / 1000)),
    conditions: conditions.list,
  };
}

/** What the runner counted, in all components. */
function restoredMessage({ status }: RestoreSession): string {
  const components = status?.components ?? [];
  const sum = (field: 'documents' | 'failedDocuments'): number =>
    components.reduce((total, component) => total + (component[field] ?? 0), 0);
  const failed = sum('failedDocuments');
  return `every component was restored: restored ${sum('documents') - failed}, failed ${failed}`;
}
