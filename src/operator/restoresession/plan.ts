/**
 * One look at a RestoreSession: from the request to its end. Pure.
 *
 * What is missing is waited for until the deadline; what contradicts itself is Invalid at once. After its end a restore is never started again:
 * a second write into a database is a person's decision.
 */
import { timestamp } from '../../api/conditions.ts';
import { parseDuration } from '../../api/durations.ts';
import type { RestoreSessionStatus } from '../../api/generated/types.ts';
import { BALANCER } from '../../api/held.ts';
import { restoreJobName } from '../../api/names.ts';
import { resolveReference } from '../../api/references.ts';
import { Jobs } from '../../kube/builtin.ts';
import { accessLeftovers } from '../access/wanted.ts';
import { deadlineFailure, disappeared, jobOutcome } from '../jobs/outcome.ts';
import type { Note, Plan } from '../reconcile/plan.ts';
import { Conditions, ownStatus } from '../reconcile/status.ts';
import { describeCauses } from '../reconcile/wording.ts';
import { mayUse } from '../storages.ts';
import { chooseSnapshot } from './choice.ts';
import { startRestore } from './start.ts';
import { endedRestore, isRestoreEnded, RESTORE_STATUS, type RestoreEnding } from './status.ts';
import type { RestoreWorld } from './world.ts';

/** How long a restore may take when it does not say so itself. */
export const DEFAULT_RESTORE_TIMEOUT = '24h';
const LOOK_AGAIN_MS = 30_000;

type RestorePlan = Plan<RestoreSessionStatus>;

export function planRestoreSession(world: RestoreWorld): RestorePlan {
  const { restore, causes, job, elsewhere, target, now } = world;
  if (restore.metadata.deletionTimestamp !== undefined) {
    return {
      remove: [...(job === undefined ? [] : [{ type: Jobs, object: job }]), ...accessLeftovers(elsewhere, [])],
      letGo: true,
    };
  }
  // The Pod of an ended Job needs its rights no more.
  if (isRestoreEnded(restore)) return { remove: accessLeftovers(elsewhere, []), letGo: true };
  const conditions = new Conditions(restore, RESTORE_STATUS, now);
  const started = restore.status?.startTime === undefined ? now : new Date(restore.status.startTime);
  const deadline =
    restore.status?.restoreDeadline === undefined
      ? new Date(started.getTime() + parseDuration(restore.spec.restoreTimeout ?? DEFAULT_RESTORE_TIMEOUT))
      : new Date(restore.status.restoreDeadline);
  const status: RestoreSessionStatus = {
    ...ownStatus<RestoreSessionStatus>(restore, RESTORE_STATUS),
    observedGeneration: restore.metadata.generation ?? 0,
    phase: restore.status?.phase ?? 'Pending',
    targetFound: target.found,
    startTime: timestamp(started),
    restoreDeadline: timestamp(deadline),
  };
  if (job !== undefined || restore.status?.job !== undefined) return planRunning(world, status, conditions, deadline);
  if (causes.length > 0) {
    return end(world, status, conditions, {
      phase: 'Invalid',
      code: 'Invalid',
      message: describeCauses(causes),
      remedy: 'create a RestoreSession without these mistakes',
    });
  }
  if (now >= deadline) {
    const waited = conditions.get('Reconciling');
    const detail = waited === undefined ? '' : ` while it waited (${waited.reason}: ${waited.message})`;
    return end(world, status, conditions, {
      phase: 'Failed',
      ...deadlineFailure(`RestoreSession ${restore.metadata.name}`, detail),
    });
  }
  return planPending(world, status, conditions, deadline);
}

function planPending(
  world: RestoreWorld,
  status: RestoreSessionStatus,
  conditions: Conditions,
  deadline: Date,
): RestorePlan {
  const { restore, repository, storage, rival, target, now } = world;
  const { namespace = '' } = restore.metadata;
  const left = deadline.getTime() - now.getTime();
  const wait = (reason: string, message: string, pausedBackups: readonly string[] = []): RestorePlan => {
    conditions.ready('Reconciling', reason, message);
    const { pausedBackups: _, ...rest } = status;
    const paused = pausedBackups.length === 0 ? {} : { pausedBackups: [...pausedBackups] };
    return {
      status: { ...rest, ...paused, conditions: conditions.list },
      requeueAfterMs: Math.min(left, LOOK_AGAIN_MS),
    };
  };
  const { dataSource } = restore.spec;
  const place = resolveReference(
    { name: dataSource.repository, ...(dataSource.namespace === undefined ? {} : { namespace: dataSource.namespace }) },
    namespace,
  );
  if (!target.found) return wait(target.reason ?? 'TargetNotFound', target.missing);
  if (repository === undefined || storage === undefined)
    return wait('RepositoryNotFound', `Repository ${place.namespace}/${place.name} does not exist; create it`);
  if (!mayUse(repository.spec.usagePolicy, place.namespace, namespace, world.namespaceLabels)) {
    return wait(
      'NotAllowed',
      `Repository ${place.namespace}/${place.name} may not be read from namespace ${namespace}; allow it in its spec.usagePolicy`,
    );
  }
  if (!storage.usable) return wait(storage.reason, storage.message);
  if (world.secret.state === 'missing') return wait(world.secret.reason, world.secret.message);
  const choice = chooseSnapshot(restore, world.snapshots);
  if (choice.state === 'missing') return wait('SnapshotNotFound', choice.message);
  if (choice.state === 'unusable')
    return end(world, status, conditions, {
      phase: 'Failed',
      code: 'SnapshotNotFound',
      message: choice.message,
      remedy: 'choose another Snapshot',
    });
  if (rival?.kind === 'RestoreSession')
    return wait('AnotherSessionRunning', `RestoreSession ${rival.name} is restoring into the same target`);
  if (rival !== undefined) {
    return wait(
      'BackupRunning',
      `waiting for BackupSession ${rival.name}, which reads the target; no other backup starts meanwhile`,
      world.configurations,
    );
  }
  if (world.unreleased?.held.includes(BALANCER) === true) {
    return wait('LocksHeld', `waiting until BackupSession ${world.unreleased.session} has its balancer put back`);
  }
  return startRestore(world, status, conditions, deadline, {
    repository,
    storage: storage.storage,
    snapshot: choice.snapshot,
    components: choice.components,
  });
}

function planRunning(
  world: RestoreWorld,
  status: RestoreSessionStatus,
  conditions: Conditions,
  deadline: Date,
): RestorePlan {
  const { restore, job, pods, now } = world;
  const name = status.job ?? restoreJobName(restore.metadata.name ?? '');
  if (job === undefined || job.metadata.deletionTimestamp !== undefined) {
    return end(world, status, conditions, {
      phase: 'Failed',
      ...(now >= deadline ? deadlineFailure(`Job ${name}`) : disappeared(name)),
    });
  }
  const outcome = jobOutcome(job, pods, now.getTime());
  if (outcome.state === 'running') {
    if (now >= deadline) {
      const detail =
        outcome.hindrance === undefined ? '' : ` (${outcome.hindrance.reason}: ${outcome.hindrance.message})`;
      const plan = end(world, status, conditions, { phase: 'Failed', ...deadlineFailure(`Job ${name}`, detail) });
      return { ...plan, remove: [{ type: Jobs, object: job }] };
    }
    const { hindrance } = outcome;
    const events: Note[] = [];
    if (hindrance !== undefined) {
      if (conditions.get('RunnerStarted')?.reason !== hindrance.reason) events.push({ type: 'Warning', ...hindrance });
      conditions.set('RunnerStarted', 'False', hindrance.reason, hindrance.message);
    } else if (pods.some(({ status: pod }) => pod?.phase === 'Running'))
      conditions.set('RunnerStarted', 'True', 'Running', 'the runner is at work');
    conditions.ready(
      'Reconciling',
      'Running',
      `Job ${name} restores Snapshot ${status.snapshot ?? restore.spec.dataSource.snapshot ?? 'latest'}`,
    );
    const running: RestoreSessionStatus = { ...status, phase: 'Running', job: name, conditions: conditions.list };
    return { status: running, events, requeueAfterMs: deadline.getTime() - now.getTime() };
  }
  const data = outcome.state === 'succeeded' ? outcome.result.data : outcome.data;
  if (data.metricsPushed === false)
    conditions.set('MetricsPushed', 'False', 'PushFailed', 'the Pushgateway did not take the metrics');
  if (outcome.state === 'failed') return end(world, status, conditions, { phase: 'Failed', ...outcome });
  return end(world, status, conditions, { phase: 'Succeeded' });
}

function end(
  { restore, now }: RestoreWorld,
  status: RestoreSessionStatus,
  conditions: Conditions,
  ending: RestoreEnding,
): RestorePlan {
  const note: Note =
    ending.phase === 'Succeeded'
      ? { type: 'Normal', reason: 'Succeeded', message: 'the restore succeeded' }
      : { type: 'Warning', reason: ending.code, message: ending.message };
  return { status: endedRestore(restore, status, ending, conditions, now), events: [note] };
}
