/**
 * One look at a BackupSession: from the request to its end, and what follows. Pure.
 *
 *     Pending ──► Skipped
 *        │  └──► Failed ◄─────────────┐
 *        └──► Running ──► Succeeded   │ deadline, Job gone, runner dead, Snapshot not whole
 *                  └──────────────────┘
 *
 * Where it stands is read from the status, the Job and the Snapshots every time; nothing is remembered in between.
 */
import { timestamp } from '../../api/conditions.ts';
import { parseDuration } from '../../api/durations.ts';
import { describeError, errorCode } from '../../api/errors.ts';
import type { BackupSessionStatus } from '../../api/generated/types.ts';
import { heldBy } from '../../api/held.ts';
import { Snapshots } from '../../api/kinds.ts';
import { backupJobName } from '../../api/names.ts';
import { ownerReference } from '../../kube/apply.ts';
import { Jobs } from '../../kube/builtin.ts';
import { deadlineFailure, disappeared, jobOutcome } from '../jobs/outcome.ts';
import { type Note, owned, type Plan } from '../reconcile/plan.ts';
import { Conditions, ownStatus } from '../reconcile/status.ts';
import { admit } from './admission.ts';
import { begunSnapshot, concludeSnapshots, endingOf, type Over, snapshotSummary } from './conclusion.ts';
import { configOf, nextRetry, planHistory, planRetentionOf, planRetry, sooner } from './housekeeping.ts';
import { describeHeld, planRelease, remedyFor, runnerAlive } from './locks.ts';
import { backupJob, snapshotFor } from './start.ts';
import { type Ending, endedStatus, isEnded, SESSION_STATUS } from './status.ts';
import type { SessionWorld } from './world.ts';

/** How long a run may take when neither it nor its configuration says so. */
export const DEFAULT_TIMEOUT = '24h';
const LOOK_AT_POD_MS = 10_000;

type SessionPlan = Plan<BackupSessionStatus>;

export function planBackupSession(world: SessionWorld): SessionPlan {
  const { session, now } = world;
  const conditions = new Conditions(session, SESSION_STATUS, now);
  if (session.metadata.deletionTimestamp !== undefined) return planDeletion(world, conditions);
  if (isEnded(session)) return planAftermath(world, conditions);
  const started = session.status?.startTime === undefined ? now : new Date(session.status.startTime);
  const deadline = deadlineOf(world, started);
  const status: BackupSessionStatus = {
    ...ownStatus<BackupSessionStatus>(session, SESSION_STATUS),
    observedGeneration: session.metadata.generation ?? 0,
    phase: session.status?.phase ?? 'Pending',
    startTime: timestamp(started),
    backupDeadline: timestamp(deadline),
  };
  const plan =
    world.job !== undefined || session.status?.job !== undefined
      ? planRunning(world, status, conditions, deadline)
      : planPending(world, status, conditions, deadline);
  return { hold: true, ...plan };
}

function planPending(
  world: SessionWorld,
  status: BackupSessionStatus,
  conditions: Conditions,
  deadline: Date,
): SessionPlan {
  const { session, settings, now } = world;
  if (now >= deadline)
    return end(world, status, conditions, {
      phase: 'Failed',
      ...deadlineFailure(`BackupSession ${session.metadata.name}`),
    });
  const admission = admit(world);
  if (admission.verdict === 'end') return end(world, status, conditions, admission.ending);
  if (admission.verdict === 'wait') {
    conditions.ready('Reconciling', admission.reason, admission.message);
    const wait = Math.min(admission.untilMs ?? Number.POSITIVE_INFINITY, deadline.getTime() - now.getTime());
    return { status: { ...status, conditions: conditions.list }, requeueAfterMs: wait };
  }
  const { around, config, wishes } = admission;
  const snapshots = wishes.flatMap(({ name }) => {
    const repository = around.repositories.get(name);
    return repository === undefined ? [] : [{ repository, object: snapshotFor(session, repository) }];
  });
  let job: ReturnType<typeof backupJob>;
  try {
    job = backupJob(session, config, around, deadline, settings, now);
  } catch (error) {
    return end(world, status, conditions, {
      phase: 'Failed',
      code: errorCode(error),
      message: describeError(error),
      retryable: false,
    });
  }
  const owner = ownerReference(session);
  conditions.ready('Reconciling', 'Running', `Job ${job.metadata.name} takes the backup`);
  return {
    create: [
      ...snapshots.map(({ object, repository }) => owned(Snapshots, object, ownerReference(repository))),
      owned(Jobs, job, owner),
    ],
    status: {
      ...status,
      phase: 'Running',
      job: job.metadata.name ?? '',
      totalSnapshots: snapshots.length,
      snapshots: snapshots.map(({ object, repository }) => ({
        name: object.metadata.name ?? '',
        repository: repository.metadata.name ?? '',
        phase: 'Pending',
      })),
      conditions: conditions.list,
    },
    events: [{ type: 'Normal', reason: 'Started', message: `Job ${job.metadata.name} takes the backup` }],
    requeueAfterMs: deadline.getTime() - now.getTime(),
  };
}

function planRunning(
  world: SessionWorld,
  status: BackupSessionStatus,
  conditions: Conditions,
  deadline: Date,
): SessionPlan {
  const { session, job, pods, snapshots, now } = world;
  const name = status.job ?? backupJobName(session.metadata.name ?? '');
  if (job === undefined || (job.metadata.deletionTimestamp !== undefined && !runnerAlive(world))) {
    // At the deadline the Job is deleted before the status says so; a pass that died in between ends here.
    const failure = now >= deadline ? deadlineFailure(`Job ${name}`) : disappeared(name);
    return conclude(world, status, conditions, { state: 'failed', finishedAt: now.getTime(), ...failure });
  }
  const outcome = jobOutcome(job, pods, now.getTime());
  if (outcome.state !== 'running') return conclude(world, status, conditions, outcome);
  if (now >= deadline) {
    const detail =
      outcome.hindrance === undefined ? '' : ` (${outcome.hindrance.reason}: ${outcome.hindrance.message})`;
    const over: Over = { state: 'failed', finishedAt: now.getTime(), ...deadlineFailure(`Job ${name}`, detail) };
    return { ...conclude(world, status, conditions, over), remove: [{ type: Jobs, object: job }] };
  }
  const { hindrance } = outcome;
  const events: Note[] = [];
  if (hindrance !== undefined) {
    if (conditions.get('RunnerStarted')?.reason !== hindrance.reason) events.push({ type: 'Warning', ...hindrance });
    conditions.set('RunnerStarted', 'False', hindrance.reason, hindrance.message);
  } else if (pods.some(({ status: pod }) => pod?.phase === 'Running')) {
    conditions.set('RunnerStarted', 'True', 'Running', 'the runner is at work');
  }
  conditions.ready('Reconciling', 'Running', `Job ${name} takes the backup`);
  const related = snapshots
    .filter((snapshot) => snapshot.status?.phase === undefined || snapshot.status.phase === 'Pending')
    .map((object) => ({ type: Snapshots, object, status: begunSnapshot(object, 'Running', now) }));
  return {
    related,
    status: { ...status, phase: 'Running', job: name, conditions: conditions.list },
    events,
    requeueAfterMs: deadline.getTime() - now.getTime(),
  };
}

function conclude(world: SessionWorld, status: BackupSessionStatus, conditions: Conditions, over: Over): SessionPlan {
  const { session, snapshots, now } = world;
  const ending = endingOf(session, snapshots, over);
  const data = over.state === 'succeeded' ? over.result.data : over.data;
  if (data.metricsPushed === false) {
    const { message = 'the Pushgateway did not take the metrics' } = data as { message?: string };
    conditions.set('MetricsPushed', 'False', 'PushFailed', String(message));
  } else if (data.metricsPushed === true)
    conditions.set('MetricsPushed', 'True', 'Pushed', 'the Pushgateway took the metrics');
  if (ending.phase === 'Succeeded' && over.state === 'failed') {
    conditions.set(
      'RunnerSucceeded',
      'False',
      over.code,
      `the backup is whole, but the runner failed after it: ${over.message}`,
    );
  }
  const plan = end(world, { ...status, snapshots: snapshotSummary(snapshots, true) }, conditions, ending);
  return { ...plan, related: concludeSnapshots(snapshots, over, now) };
}

function end(world: SessionWorld, status: BackupSessionStatus, conditions: Conditions, ending: Ending): SessionPlan {
  const { session, now } = world;
  const ended = endedStatus({ ...session, status: { ...session.status, ...status } }, ending, conditions, now);
  const note: Note =
    ending.phase === 'Succeeded'
      ? { type: 'Normal', reason: 'Succeeded', message: 'the backup succeeded' }
      : ending.phase === 'Skipped'
        ? { type: 'Normal', reason: ending.reason, message: `skipped: ${ending.message}` }
        : { type: 'Warning', reason: ending.code, message: ending.message };
  return { status: { ...ended, ...nextRetry(world, ending) }, events: [note] };
}

/** After the end: locks, retention, history, another try; each of them settles, and then nothing is written any more. */
function planAftermath(world: SessionWorld, conditions: Conditions): SessionPlan {
  const { session } = world;
  const status = ownStatus<BackupSessionStatus>(session, SESSION_STATUS);
  const release = planRelease(world, conditions);
  const due =
    status.phase !== 'Skipped' && conditions.get('RetentionApplied') === undefined && configOf(world) !== undefined;
  const retention = due ? planRetentionOf(world, conditions) : undefined;
  const retry = planRetry(world);
  return {
    create: [...(release.create ?? []), ...(retry.create ?? [])],
    patches: [...(release.patches ?? []), ...(retention?.patches ?? [])],
    remove: [...(release.remove ?? []), ...(retention?.remove ?? []), ...planHistory(world)],
    status: {
      ...status,
      ...(retention === undefined || retention.retention.length === 0 ? {} : { retention: retention.retention }),
      ...(retry.retried === true ? { retried: true } : {}),
      conditions: conditions.list,
    },
    events: [...(release.events ?? []), ...(retry.events ?? [])],
    // A Pod on a lost node never tells that it is gone.
    ...sooner(release, retry, runnerAlive(world) ? { requeueAfterMs: LOOK_AT_POD_MS } : {}),
    letGo: heldBy(session).length === 0 && !runnerAlive(world),
  };
}

/** A session that is deleted takes its Job along, and goes once nothing is locked for it any more. */
function planDeletion(world: SessionWorld, conditions: Conditions): SessionPlan {
  const { session, job, namespaceTerminating } = world;
  const remove = job === undefined ? [] : [{ type: Jobs, object: job }];
  const status = ownStatus<BackupSessionStatus>(session, SESSION_STATUS);
  // The Pod has its grace period to unlock by itself.
  if (runnerAlive({ ...world, job: undefined })) return { remove, requeueAfterMs: LOOK_AT_POD_MS };
  if (heldBy(session).length === 0) return { remove, letGo: true };
  if (namespaceTerminating) {
    const held = describeHeld(heldBy(session));
    const message = `nothing can be started in a namespace that is being deleted, and ${held}: ${remedyFor(heldBy(session))}`;
    return { remove, events: [{ type: 'Warning', reason: 'LocksHeld', message }], letGo: true };
  }
  const release = planRelease({ ...world, job: undefined }, conditions);
  return {
    ...release,
    remove: [...remove, ...(release.remove ?? [])],
    status: { ...status, conditions: conditions.list },
  };
}

function deadlineOf(world: SessionWorld, started: Date): Date {
  const { session } = world;
  if (session.status?.backupDeadline !== undefined) return new Date(session.status.backupDeadline);
  const timeout = session.spec.backupTimeout ?? configOf(world)?.backupTimeout ?? DEFAULT_TIMEOUT;
  return new Date(started.getTime() + parseDuration(timeout));
}
