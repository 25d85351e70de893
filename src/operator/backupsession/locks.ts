/** Locks that a dead runner left, and a balancer that it stopped: a Job that gives them back, tried until it succeeds. Pure. */
import type { BackupSession } from '../../api/generated/types.ts';
import { BALANCER, heldBy } from '../../api/held.ts';
import { BackupSessions } from '../../api/kinds.ts';
import { backupServiceAccountName, releaseJobName } from '../../api/names.ts';
import { ownerReference } from '../../kube/apply.ts';
import { Jobs, type Pod } from '../../kube/builtin.ts';
import { readAttempts } from '../jobs/attempts.ts';
import { maintenanceJob } from '../jobs/maintenance.ts';
import { fingerprint } from '../reconcile/fingerprint.ts';
import { type Note, owned, type Plan } from '../reconcile/plan.ts';
import type { Conditions } from '../reconcile/status.ts';
import { describeFailure } from '../reconcile/wording.ts';
import { sessionLabels } from './start.ts';
import type { SessionWorld } from './world.ts';

const RELEASE_DEADLINE_SECONDS = 300;
/** A Pod on a node that is gone stays in the API; after this time beyond its end it is taken for dead. */
const LOST_POD_MS = 30_000;

/** Whether a runner of the session may still be working, and so may still release its locks itself. */
export function runnerAlive({ job, pods, now }: Pick<SessionWorld, 'job' | 'pods' | 'now'>): boolean {
  return (
    pods.some((pod) => pod.metadata.labels?.['app.kubernetes.io/component'] === 'backup' && isAlive(pod, now)) ||
    isActive(job)
  );
}

/**
 * The part of a plan that has the locks released, or nothing when there are none or their holder may still live.
 * Judges the condition LocksReleased.
 */
export function planRelease(world: SessionWorld, conditions: Conditions): Plan {
  const { session, releaseJobs, pods, settings, now } = world;
  const held = heldBy(session);
  if (held.length === 0) {
    const former = conditions.get('LocksReleased');
    if (former?.status !== 'False') return {};
    conditions.set('LocksReleased', 'True', 'Released', 'every lock of the run was released');
    return { events: [{ type: 'Normal', reason: 'LocksReleased', message: 'every lock of the run was released' }] };
  }
  if (runnerAlive(world)) return {};
  const question = fingerprint(held);
  const attempts = readAttempts({ jobs: releaseJobs, pods, fingerprint: question, now: now.getTime() });
  const ended = attempts.state === 'ended' ? attempts : attempts.state === 'start' ? attempts.former : undefined;
  const stale = attempts.stale.map((object) => ({ type: Jobs, object }));
  const patches =
    ended === undefined
      ? []
      : struckOut(session, released(ended.ok ? ended.result.data : ended.failure.data, held, ended.ok));
  const what = `the runner is gone and ${describeHeld(held)}`;
  const why =
    ended === undefined || ended.ok ? '' : `; the last try to release failed: ${describeFailure(ended.failure)}`;
  const message = `${what}${why}`;
  const events: Note[] =
    conditions.get('LocksReleased')?.status === 'False'
      ? []
      : [{ type: 'Warning', reason: 'LocksHeld', message: what }];
  conditions.set('LocksReleased', 'False', ended === undefined || ended.ok ? 'Releasing' : 'UnlockFailed', message);
  if (attempts.state === 'ended') {
    return {
      patches,
      remove: stale,
      events,
      ...(attempts.nextAt === undefined ? {} : { requeueAfterMs: Math.max(0, attempts.nextAt - now.getTime()) }),
    };
  }
  if (attempts.state === 'running') return { remove: stale, events };
  const { namespace = '', name = '' } = session.metadata;
  const owner = ownerReference(session);
  const job = maintenanceJob(
    {
      name: releaseJobName(name, attempts.attempt),
      namespace,
      component: 'release',
      owner,
      serviceAccountName: backupServiceAccountName(session.spec.invoker.name),
      args: ['job', 'release', '--namespace', namespace, '--session', name],
      labels: sessionLabels(session),
      deadlineSeconds: RELEASE_DEADLINE_SECONDS,
    },
    attempts,
    question,
    settings,
  );
  return { patches, remove: stale, events, create: [owned(Jobs, job, owner)] };
}

/** The locks are the runner's to write; what a release Job has released is struck out here should it not have done so itself. */
function struckOut(session: BackupSession, names: ReadonlySet<string>) {
  const { locks = [] } = session.status ?? {};
  const gone = heldBy(session).filter((name) => names.has(name));
  if (gone.length === 0) return [];
  const left = locks.filter(({ member }) => !names.has(member));
  const status = { locks: left, ...(gone.includes(BALANCER) ? { balancer: null } : {}) };
  return [{ type: BackupSessions, object: session, body: { status }, status: true }];
}

/** What is held, in words, after "and". */
export function describeHeld(held: readonly string[]): string {
  const members = held.filter((name) => name !== BALANCER);
  const parts = [
    ...(members.length === 0 ? [] : [`${members.join(', ')} may still be locked`]),
    ...(held.includes(BALANCER) ? ['the balancer may still be stopped'] : []),
  ];
  return parts.join(' and ');
}

function released(data: Record<string, unknown>, asked: readonly string[], ok: boolean): ReadonlySet<string> {
  const named = Array.isArray(data.released) ? data.released.filter((member) => typeof member === 'string') : [];
  return new Set(ok ? [...asked, ...named] : named);
}

function isAlive({ metadata, status }: Pod, now: Date): boolean {
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return false;
  // The time by which the kubelet should have ended it, grace included.
  return (
    metadata.deletionTimestamp === undefined || now.getTime() < Date.parse(metadata.deletionTimestamp) + LOST_POD_MS
  );
}

function isActive(job: SessionWorld['job']): boolean {
  if (job === undefined || job.metadata.deletionTimestamp !== undefined) return false;
  return (
    job.status?.conditions?.some(
      ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
    ) !== true
  );
}

/** What a person does where no Job can. */
export function remedyFor(held: readonly string[]): string {
  const members = held.filter((name) => name !== BALANCER);
  const parts = [
    ...(members.length === 0 ? [] : [`run db.fsyncUnlock() on ${members.join(', ')}`]),
    ...(held.includes(BALANCER) ? ['run sh.startBalancer()'] : []),
  ];
  return parts.join(', then ');
}
