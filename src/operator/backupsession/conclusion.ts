/** How a run ended, from its Job and its Snapshots. Pure. */
import { timestamp } from '../../api/conditions.ts';
import type {
  BackupSession,
  BackupSessionStatusSnapshot,
  Snapshot,
  SnapshotStatus,
} from '../../api/generated/types.ts';
import { Snapshots } from '../../api/kinds.ts';
import type { Failure, Outcome } from '../jobs/outcome.ts';
import type { StatusWrite } from '../reconcile/plan.ts';
import { Conditions, ownStatus } from '../reconcile/status.ts';
import { describeFailure } from '../reconcile/wording.ts';
import { type Ending, SNAPSHOT_STATUS } from './status.ts';

/** What a Job came to that is over. */
export type Over = Exclude<Outcome, { state: 'running' }>;

/** A Snapshot counts when every component succeeded and the manifest, which is written last, is there. */
export function isWhole({ status }: Snapshot): boolean {
  const components = status?.components ?? [];
  return (
    components.length > 0 && components.every(({ phase }) => phase === 'Succeeded') && (status?.manifestID ?? '') !== ''
  );
}

/** The end of the session. Its data decide, not its Job: a runner that fails after the last manifest has made a backup. */
export function endingOf(session: BackupSession, snapshots: readonly Snapshot[], over: Over): Ending {
  const wanted = session.status?.totalSnapshots ?? snapshots.length;
  const whole = snapshots.filter(isWhole);
  if (wanted > 0 && whole.length >= wanted) return { phase: 'Succeeded' };
  const failure = failureOf(snapshots, over, wanted);
  return { phase: 'Failed', ...failure };
}

/** The final status of each Snapshot that has none yet. */
export function concludeSnapshots(snapshots: readonly Snapshot[], over: Over, now: Date): StatusWrite[] {
  return snapshots
    .filter(({ status }) => status?.phase !== 'Succeeded' && status?.phase !== 'Failed')
    .map((object) => ({ type: Snapshots, object, status: concluded(object, over, now) }));
}

/** What the session says of its Snapshots. */
export function snapshotSummary(snapshots: readonly Snapshot[], final: boolean): BackupSessionStatusSnapshot[] {
  return [...snapshots]
    .sort((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1))
    .map((snapshot) => ({
      name: snapshot.metadata.name ?? '',
      repository: snapshot.spec.repository,
      phase: final ? (isWhole(snapshot) ? 'Succeeded' : 'Failed') : (snapshot.status?.phase ?? 'Pending'),
      // Sizes while it runs would be a write for every one of the runner's.
      ...(final && snapshot.status?.bytes !== undefined ? { bytes: snapshot.status.bytes } : {}),
      ...(final && snapshot.status?.addedBytes !== undefined ? { addedBytes: snapshot.status.addedBytes } : {}),
    }));
}

/** The status of a Snapshot that is begun: Pending, or Running once the Job is. */
export function begunSnapshot(snapshot: Snapshot, phase: 'Pending' | 'Running', now: Date): SnapshotStatus {
  const conditions = new Conditions(snapshot, SNAPSHOT_STATUS, now).ready(
    'Reconciling',
    phase,
    'the backup is not over',
  );
  return {
    ...ownStatus<SnapshotStatus>(snapshot, SNAPSHOT_STATUS),
    observedGeneration: snapshot.metadata.generation ?? 0,
    phase,
    conditions: conditions.list,
  };
}

/** The status of a Snapshot whose run is over. */
export function concluded(snapshot: Snapshot, over: Over, now: Date): SnapshotStatus {
  const conditions = new Conditions(snapshot, SNAPSHOT_STATUS, now);
  const components = snapshot.status?.components ?? [];
  const whole = isWhole(snapshot);
  if (whole) conditions.ready('Ready', 'Succeeded', 'the backup is whole in the repository');
  else {
    const failure = failureOf([snapshot], over, 1);
    conditions.ready('Stalled', failure.code, describeFailure(failure));
  }
  return {
    ...ownStatus<SnapshotStatus>(snapshot, SNAPSHOT_STATUS),
    observedGeneration: snapshot.metadata.generation ?? 0,
    phase: whole ? 'Succeeded' : 'Failed',
    completionTime: timestamp(now),
    totalComponents: components.length,
    conditions: conditions.list,
  };
}

function failureOf(snapshots: readonly Snapshot[], over: Over, wanted: number): Failure {
  if (over.state === 'failed') {
    const { state: _, finishedAt: __, ...failure } = over;
    return failure;
  }
  const errors = snapshots.flatMap(({ metadata, status }) =>
    (status?.components ?? [])
      .filter(({ phase }) => phase === 'Failed')
      .map(({ name, error }) => `${metadata.name}, component ${name}: ${error ?? 'failed'}`),
  );
  const common = { remedy: 'see the log of the Job', retryable: true, data: {} };
  if (errors.length > 0) return { code: 'SnapshotFailed', message: errors.join('; '), ...common };
  const lacking = snapshots.filter((snapshot) => !isWhole(snapshot)).map(({ metadata }) => metadata.name);
  const gone = wanted > snapshots.length ? `${wanted - snapshots.length} of ${wanted} Snapshots are gone` : '';
  const message = lacking.length > 0 ? `the runner ended well, but ${lacking.join(' and ')} has no manifest` : gone;
  return { code: 'SnapshotIncomplete', message, ...common };
}
