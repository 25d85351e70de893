/**
 * What a Snapshot needs: its data removed from the repository before it goes, when its deletionPolicy is WipeOut. Pure.
 *
 * Forgetting ends with a prune, which locks the repository: one Snapshot of a repository at a time, and none while a backup writes to it.
 */
import type { BackupSession, Repository, Snapshot, SnapshotStatus } from '../../api/generated/types.ts';
import { labelValue, REPOSITORY_LABEL, SNAPSHOT_LABEL } from '../../api/labels.ts';
import { forgetJobName, repositoryServiceAccountName } from '../../api/names.ts';
import { ownerReference } from '../../kube/apply.ts';
import { type Job, Jobs, type Pod } from '../../kube/builtin.ts';
import { concluded } from '../backupsession/conclusion.ts';
import { readAttempts } from '../jobs/attempts.ts';
import type { JobSettings } from '../jobs/build.ts';
import { maintenanceJob } from '../jobs/maintenance.ts';
import { owned, type Plan } from '../reconcile/plan.ts';
import { Conditions, type StatusOwnership } from '../reconcile/status.ts';
import { describeFailure } from '../reconcile/wording.ts';
import type { StorageFinding } from '../storages.ts';

/** The rest of the status is the session's and the runner's. */
export const FORGET_STATUS: StatusOwnership = { fields: [], conditions: ['Forgotten'] };

const FORGET_DEADLINE_SECONDS = 6 * 3600;
const LOOK_AGAIN_MS = 30_000;

export interface SnapshotWorld {
  snapshot: Snapshot;
  /** Undefined when it does not exist (the server was asked, for one that is being deleted). */
  repository: Repository | undefined;
  storage: StorageFinding | undefined;
  /** The run that makes it; undefined when it does not exist. */
  session: BackupSession | undefined;
  /** Jobs that forget this Snapshot. */
  jobs: readonly Job[];
  pods: readonly Pod[];
  /** What the repository is busy with: the backup or the other forget Job that has to end first. */
  busy: string | undefined;
  settings: JobSettings;
  now: Date;
}

export function planSnapshot(world: SnapshotWorld): Plan<SnapshotStatus> {
  const { snapshot } = world;
  if (snapshot.metadata.deletionTimestamp !== undefined) return planForgetting(world);
  const keep: Plan<SnapshotStatus> = snapshot.spec.deletionPolicy === 'WipeOut' ? { hold: true } : { letGo: true };
  return { ...keep, ...planOrphan(world) };
}

/** A Snapshot whose run was deleted before it ended would say Running for ever. */
function planOrphan({ snapshot, session, now }: SnapshotWorld): Plan<SnapshotStatus> {
  const { backupSession } = snapshot.spec;
  const { phase } = snapshot.status ?? {};
  if (backupSession === undefined || session !== undefined || phase === 'Succeeded' || phase === 'Failed') return {};
  const over = {
    state: 'failed',
    finishedAt: now.getTime(),
    code: 'SessionDisappeared',
    message: `BackupSession ${backupSession} was deleted before it ended`,
    retryable: false,
    data: {},
  } as const;
  return { status: concluded(snapshot, over, now) };
}

function planForgetting(world: SnapshotWorld): Plan<SnapshotStatus> {
  const { snapshot, repository, storage, jobs, pods, busy, settings, now } = world;
  const letGo: Plan<SnapshotStatus> = { letGo: true };
  if (snapshot.spec.deletionPolicy !== 'WipeOut') return letGo;
  // With the Repository goes the means to reach the data; a Repository that is wiped out takes all its data along.
  if (repository === undefined || repository.metadata.deletionTimestamp !== undefined) return letGo;
  // A run that failed before its first component has left nothing.
  if (snapshot.status?.phase === 'Failed' && (snapshot.status.components ?? []).length === 0) return letGo;

  const attempts = readAttempts({ jobs, pods, fingerprint: snapshot.metadata.uid ?? '', now: now.getTime() });
  if (attempts.state === 'ended' && attempts.ok) return letGo;
  const conditions = new Conditions(snapshot, FORGET_STATUS, now);
  const wait = (reason: string, message: string, requeueAfterMs: number): Plan<SnapshotStatus> => {
    const before = conditions.get('Forgotten');
    conditions.set('Forgotten', 'False', reason, message);
    const warn = before?.reason !== reason && reason !== 'Waiting' && reason !== 'Forgetting';
    return {
      status: { conditions: conditions.list },
      ...(warn ? { events: [{ type: 'Warning', reason, message }] } : {}),
      requeueAfterMs,
    };
  };
  const remove = attempts.stale.map((object) => ({ type: Jobs, object }));
  if (attempts.state === 'running')
    return { ...wait('Forgetting', `Job ${attempts.job.metadata.name} removes the data`, LOOK_AGAIN_MS), remove };
  if (attempts.state === 'ended' && !attempts.ok) {
    const message = `the data could not be removed: ${describeFailure(attempts.failure)}`;
    return wait(attempts.failure.code, message, Math.max(0, attempts.nextAt - now.getTime()));
  }
  if (storage?.usable === false)
    return wait(storage.reason, `the data cannot be removed: ${storage.message}`, 2 * LOOK_AGAIN_MS);
  if (busy !== undefined) return wait('Waiting', `the data is removed once ${busy} has ended`, LOOK_AGAIN_MS);
  if (attempts.state !== 'start') return letGo;

  const { namespace = '', name = '' } = snapshot.metadata;
  const owner = ownerReference(snapshot);
  const job = maintenanceJob(
    {
      name: attempts.attempt === 1 ? forgetJobName(name) : forgetJobName(`${name}-${attempts.attempt}`),
      namespace,
      component: 'forget',
      owner,
      serviceAccountName: repositoryServiceAccountName(snapshot.spec.repository),
      args: ['job', 'forget', '--namespace', namespace, '--snapshot', name],
      labels: { [SNAPSHOT_LABEL]: labelValue(name), [REPOSITORY_LABEL]: labelValue(snapshot.spec.repository) },
      deadlineSeconds: FORGET_DEADLINE_SECONDS,
      storages: storage?.storage === undefined ? [] : [storage.storage],
    },
    attempts,
    snapshot.metadata.uid ?? '',
    settings,
  );
  const plan =
    attempts.former === undefined
      ? wait('Forgetting', `Job ${job.metadata.name} removes the data`, LOOK_AGAIN_MS)
      : { requeueAfterMs: LOOK_AGAIN_MS };
  return { ...plan, create: [owned(Jobs, job, owner)], remove };
}

/**
 * What keeps a Snapshot's data from being removed now: a run that writes (or waits to write) to the repository, another forget Job, or a Snapshot
 * whose turn is first. All of them are told apart by facts that every look agrees upon, so that two never start.
 */
export function busyWith(
  snapshot: Snapshot,
  others: { snapshots: readonly Snapshot[]; sessions: readonly BackupSession[]; forgetJobs: readonly Job[] },
): string | undefined {
  const session = others.sessions.find(
    ({ status, metadata }) => !isOver(status?.phase) && metadata.deletionTimestamp === undefined,
  );
  if (session !== undefined) return `BackupSession ${session.metadata.name}`;
  const job = others.forgetJobs.find(
    (one) => !isFinished(one) && !one.metadata.ownerReferences?.some(({ uid }) => uid === snapshot.metadata.uid),
  );
  if (job !== undefined) return `Job ${job.metadata.name}`;
  const turn = ({ metadata }: Snapshot): string => `${metadata.deletionTimestamp} ${metadata.name}`;
  const first = others.snapshots
    .filter(({ metadata, spec }) => metadata.deletionTimestamp !== undefined && spec.deletionPolicy === 'WipeOut')
    .filter(({ metadata }) => metadata.finalizers !== undefined && metadata.finalizers.length > 0)
    .sort((a, b) => (turn(a) < turn(b) ? -1 : 1))
    // One that keeps failing lets the others pass.
    .find((one) => one.metadata.uid === snapshot.metadata.uid || !hasFailed(one));
  return first === undefined || first.metadata.uid === snapshot.metadata.uid
    ? undefined
    : `the removal of Snapshot ${first.metadata.name}`;
}

function hasFailed({ status }: Snapshot): boolean {
  const forgotten = status?.conditions?.find(({ type }) => type === 'Forgotten');
  return forgotten !== undefined && forgotten.reason !== 'Waiting' && forgotten.reason !== 'Forgetting';
}

function isOver(phase: string | undefined): boolean {
  return phase === 'Succeeded' || phase === 'Failed' || phase === 'Skipped';
}

function isFinished({ status }: Job): boolean {
  return (
    status?.conditions?.some(({ type, status: is }) => (type === 'Complete' || type === 'Failed') && is === 'True') ===
    true
  );
}
