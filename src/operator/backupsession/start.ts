/** The objects that a BackupSession starts with: a Snapshot for each repository, and the Job. Pure. */
import { createHash } from 'node:crypto';
import type { BackupConfigurationSession, BackupSession, Repository, Snapshot } from '../../api/generated/types.ts';
import { API_VERSION } from '../../api/group.ts';
import {
  BACKUP_SESSION_LABEL,
  CONFIGURATION_LABEL,
  labelValue,
  MANAGED_BY_LABEL,
  MANAGER,
  REPOSITORY_LABEL,
  SESSION_LABEL,
  targetLabels,
} from '../../api/labels.ts';
import { backupJobName, backupServiceAccountName, snapshotName } from '../../api/names.ts';
import { ownerReference } from '../../kube/apply.ts';
import type { Job } from '../../kube/builtin.ts';
import { type Surroundings, sessionStorages } from '../backupconfiguration/problems.ts';
import { buildJob, type JobSettings } from '../jobs/build.ts';
import { localVolumes } from '../jobs/volumes.ts';
import { resolveTask } from '../task.ts';

/** Time to unlock members and to write what was reached, after the Pod was told to end. */
const GRACE_SECONDS = 60;
/** The Job ends before the controller ends it, so that its own account of the deadline is there. */
const MARGIN_SECONDS = 5;

/** The Snapshot of a session in a repository, as it begins. */
export function snapshotFor(session: BackupSession, repository: Repository): Snapshot {
  const { namespace = '', name = '', uid = '' } = session.metadata;
  const { name: repositoryName = '' } = repository.metadata;
  const { appRef } = repository.spec;
  return {
    apiVersion: API_VERSION,
    kind: 'Snapshot',
    metadata: {
      name: snapshotName(repositoryName, name),
      namespace,
      labels: {
        ...sessionLabels(session),
        [REPOSITORY_LABEL]: labelValue(repositoryName),
        ...(appRef === undefined
          ? {}
          : targetLabels({ kind: appRef.kind, namespace: appRef.namespace ?? namespace, name: appRef.name })),
      },
      // Its data lies in the repository: with the Repository the Snapshot goes, with the session it does not.
      ownerReferences: [ownerReference(repository)],
    },
    spec: {
      snapshotID: snapshotID(uid, repositoryName),
      repository: repositoryName,
      session: session.spec.session,
      backupSession: name,
      ...(appRef === undefined ? {} : { appRef }),
      deletionPolicy: 'Delete',
    },
  };
}

/** The backup Job. Throws what `resolveTask` throws. */
export function backupJob(
  session: BackupSession,
  config: BackupConfigurationSession,
  around: Surroundings,
  deadline: Date,
  settings: JobSettings,
  now: Date,
): Job {
  const { namespace = '', name = '' } = session.metadata;
  const { target } = around.target;
  const task = resolveTask({
    purpose: 'backup',
    use: config.addon,
    addon: around.findAddon(config.addon.name),
    findFunction: around.findFunction,
    variables: {
      namespace,
      backupSession: name,
      session: config.name,
      targetName: target.name,
      targetNamespace: target.namespace,
    },
  });
  return buildJob(
    {
      name: backupJobName(name),
      namespace,
      component: 'backup',
      owner: ownerReference(session),
      serviceAccountName: backupServiceAccountName(session.spec.invoker.name),
      labels: { ...sessionLabels(session), ...targetLabels(target) },
      container: task.container,
      deadlineSeconds: (deadline.getTime() - now.getTime()) / 1000 - MARGIN_SECONDS,
      graceSeconds: GRACE_SECONDS,
      overlays: [task.runtimeSettings, config.addon.jobTemplate],
      containerSettings: config.addon.containerRuntimeSettings,
      volumes: localVolumes(sessionStorages(around, config)),
    },
    settings,
  );
}

/** Labels of everything that belongs to a run. */
export function sessionLabels(session: BackupSession): Record<string, string> {
  return {
    [MANAGED_BY_LABEL]: MANAGER,
    [CONFIGURATION_LABEL]: labelValue(session.spec.invoker.name),
    [SESSION_LABEL]: labelValue(session.spec.session),
    [BACKUP_SESSION_LABEL]: labelValue(session.metadata.name ?? ''),
  };
}

/** The same every time it is asked for: a pass that died half-way must not give a Snapshot a second identity. */
function snapshotID(uid: string, repository: string): string {
  return createHash('sha256').update(`${uid}/${repository}`).digest('hex').slice(0, 32);
}
