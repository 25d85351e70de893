/** What a RestoreSession starts with. Pure. */
import { describeError, errorCode } from '../../api/errors.ts';
import type { BackupStorage, Repository, RestoreSessionStatus, Snapshot } from '../../api/generated/types.ts';
import { labelValue, RESTORE_SESSION_LABEL, targetLabels } from '../../api/labels.ts';
import { restoreJobName, restoreServiceAccountName } from '../../api/names.ts';
import { resolveReference } from '../../api/references.ts';
import { ownerReference } from '../../kube/apply.ts';
import { Jobs } from '../../kube/builtin.ts';
import { restoreGrants } from '../access/grants.ts';
import { planAccess } from '../access/plan.ts';
import { accessLeftovers, accessWanted } from '../access/wanted.ts';
import { buildJob } from '../jobs/build.ts';
import { localVolumes } from '../jobs/volumes.ts';
import { owned, type Plan } from '../reconcile/plan.ts';
import type { Conditions } from '../reconcile/status.ts';
import { resolveTask } from '../task.ts';
import type { RestoreWorld } from './world.ts';

/** The Job ends before the controller ends it, so that its own account of the deadline is there. */
const MARGIN_SECONDS = 5;
const GRACE_SECONDS = 60;
const LOOK_AGAIN_MS = 30_000;

/** Starts the restore: access rights, then the Job. A task that cannot be resolved is waited for. */
export function startRestore(
  world: RestoreWorld,
  status: RestoreSessionStatus,
  conditions: Conditions,
  deadline: Date,
  source: {
    repository: Repository;
    storage: BackupStorage;
    snapshot: Snapshot;
    components: number;
  },
): Plan<RestoreSessionStatus> {
  const { restore, target, settings, elsewhere, now } = world;
  const { namespace = '', name = '' } = restore.metadata;
  const owner = ownerReference(restore);
  const { addon, dataSource } = restore.spec;
  const labels = { [RESTORE_SESSION_LABEL]: labelValue(name), ...targetLabels(target.target) };
  let task: ReturnType<typeof resolveTask>;
  try {
    const variables = {
      namespace,
      restoreSession: name,
      targetName: target.target.name,
      targetNamespace: target.target.namespace,
    };
    task = resolveTask({
      purpose: 'restore',
      use: addon,
      addon: world.findAddon(addon.name),
      findFunction: world.findFunction,
      variables,
    });
  } catch (error) {
    conditions.ready('Reconciling', errorCode(error), describeError(error));
    return { status: { ...status, conditions: conditions.list }, requeueAfterMs: LOOK_AGAIN_MS };
  }
  const secret = dataSource.encryptionSecret;
  const access = planAccess({
    name: restoreServiceAccountName(name),
    namespace,
    component: 'restore',
    owner,
    labels,
    grants: restoreGrants({
      namespace,
      restoreSession: name,
      target,
      repository: source.repository,
      storage: source.storage,
      ...(secret === undefined ? {} : { encryptionSecret: resolveReference(secret, namespace) }),
    }),
  });
  const job = buildJob(
    {
      name: restoreJobName(name),
      namespace,
      component: 'restore',
      owner,
      serviceAccountName: restoreServiceAccountName(name),
      labels,
      container: task.container,
      deadlineSeconds: (deadline.getTime() - now.getTime()) / 1000 - MARGIN_SECONDS,
      graceSeconds: GRACE_SECONDS,
      overlays: [task.runtimeSettings, source.storage.spec.runtimeSettings, addon.jobTemplate],
      containerSettings: addon.containerRuntimeSettings,
      volumes: localVolumes([source.storage]),
    },
    settings,
  );
  const message = `Job ${job.metadata.name} restores Snapshot ${source.snapshot.metadata.name}`;
  conditions.ready('Reconciling', 'Running', message);
  return {
    hold: access.roles.some(({ metadata }) => metadata.namespace !== namespace),
    apply: accessWanted(access, owner),
    create: [owned(Jobs, job, owner)],
    remove: accessLeftovers(elsewhere, [access]),
    status: {
      ...status,
      phase: 'Running',
      job: job.metadata.name ?? '',
      snapshot: source.snapshot.metadata.name ?? '',
      totalComponents: source.components,
      ...(world.configurations.length === 0 ? {} : { pausedBackups: [...world.configurations] }),
      conditions: conditions.list,
    },
    events: [{ type: 'Normal', reason: 'Started', message }],
    requeueAfterMs: deadline.getTime() - now.getTime(),
  };
}
