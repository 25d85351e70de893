/** The end of a Repository: its data removed when its deletionPolicy says so, its rights in other namespaces in any case. Pure. */
import type { RepositoryStatus } from '../../api/generated/types.ts';
import { labelValue, REPOSITORY_LABEL } from '../../api/labels.ts';
import { repositoryServiceAccountName, shortName } from '../../api/names.ts';
import { ownerReference } from '../../kube/apply.ts';
import { Jobs } from '../../kube/builtin.ts';
import type { Access } from '../access/plan.ts';
import { accessLeftovers, accessWanted } from '../access/wanted.ts';
import { readAttempts } from '../jobs/attempts.ts';
import { maintenanceJob } from '../jobs/maintenance.ts';
import { owned, type Plan } from '../reconcile/plan.ts';
import { type Conditions, ownStatus } from '../reconcile/status.ts';
import { verdictNotes } from '../reconcile/verdict.ts';
import { describeFailure } from '../reconcile/wording.ts';
import { REPOSITORY_STATUS, type RepositoryWorld } from './plan.ts';

/** Removing every snapshot of a large repository reads and rewrites much of it. */
const WIPE_DEADLINE_SECONDS = 24 * 3600;

export function planWipeOut(world: RepositoryWorld, access: Access, conditions: Conditions): Plan<RepositoryStatus> {
  const { repository, storage, wipeJobs, pods, settings } = world;
  const now = world.now.getTime();
  const letGo: Plan<RepositoryStatus> = { remove: accessLeftovers(world.elsewhere, []), letGo: true };
  if (repository.spec.deletionPolicy !== 'WipeOut') return letGo;
  if (!storage.usable && storage.storage === undefined) {
    const message = `the data of the repository stays where it is: ${storage.message}`;
    return { ...letGo, events: [{ type: 'Warning', reason: 'NotWipedOut', message }] };
  }
  const { namespace = '', name = '' } = repository.metadata;
  const owner = ownerReference(repository);
  const attempts = readAttempts({ jobs: wipeJobs, pods, fingerprint: 'wipeout', now });
  if (attempts.state === 'ended' && attempts.ok) {
    return {
      ...letGo,
      events: [{ type: 'Normal', reason: 'WipedOut', message: 'every snapshot of the repository was removed' }],
    };
  }
  const ended = attempts.state === 'ended' ? attempts : attempts.state === 'start' ? attempts.former : undefined;
  if (ended !== undefined && !ended.ok)
    conditions.ready('NotReady', ended.failure.code, describeFailure(ended.failure));
  else conditions.ready('Reconciling', 'WipingOut', 'every snapshot of the repository is being removed');
  const plan: Plan<RepositoryStatus> = {
    apply: accessWanted(access, owner),
    remove: attempts.stale.map((object) => ({ type: Jobs, object })),
    status: {
      ...ownStatus(repository, REPOSITORY_STATUS),
      observedGeneration: repository.metadata.generation ?? 0,
      phase: 'NotReady',
      conditions: conditions.list,
    },
    events: verdictNotes(repository, conditions),
  };
  if (attempts.state === 'ended') return { ...plan, requeueAfterMs: Math.max(0, (attempts.nextAt ?? now) - now) };
  if (attempts.state === 'running') return plan;
  const job = maintenanceJob(
    {
      name: shortName(`forget-all-${name}-${attempts.attempt}`),
      namespace,
      component: 'forget',
      owner,
      serviceAccountName: repositoryServiceAccountName(name),
      args: ['job', 'forget', '--namespace', namespace, '--repository', name, '--all'],
      labels: { [REPOSITORY_LABEL]: labelValue(name) },
      deadlineSeconds: WIPE_DEADLINE_SECONDS,
      storages: storage.storage === undefined ? [] : [storage.storage],
    },
    attempts,
    'wipeout',
    settings,
  );
  return { ...plan, create: [owned(Jobs, job, owner)] };
}
