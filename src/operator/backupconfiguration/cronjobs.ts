/** The CronJob that triggers a session. Pure. */
import type { BackupConfiguration, BackupConfigurationSession } from '../../api/generated/types.ts';
import { CONFIGURATION_LABEL, labelValue, SESSION_LABEL } from '../../api/labels.ts';
import { triggerCronJobName, triggerServiceAccountName } from '../../api/names.ts';
import type { CronJob } from '../../kube/builtin.ts';
import type { OwnerReference } from '../../kube/resource.ts';
import { buildCronJob, type JobSettings } from '../jobs/build.ts';
import { startingDeadlineSeconds } from './schedule.ts';

const TRIGGER_DEADLINE_SECONDS = 300;
/** A BackupSession is named after its scheduled time, so that a trigger which is tried again makes no second one. */
const TRIGGER_RETRIES = 3;

export interface TriggerRequest {
  configuration: BackupConfiguration;
  session: BackupConfigurationSession;
  owner: OwnerReference;
  /** Whether the schedule rests although it is not suspended itself: the configuration is paused, or its target is being restored. */
  resting: boolean;
  settings: JobSettings;
  now: Date;
}

export function triggerCronJob({ configuration, session, owner, resting, settings, now }: TriggerRequest): CronJob {
  const { namespace = '', name = '' } = configuration.metadata;
  const { scheduler } = session;
  return buildCronJob(
    {
      name: triggerCronJobName(name, session.name),
      namespace,
      component: 'trigger',
      owner,
      serviceAccountName: triggerServiceAccountName(name),
      labels: { [CONFIGURATION_LABEL]: labelValue(name), [SESSION_LABEL]: labelValue(session.name) },
      container: {
        args: ['job', 'trigger', '--namespace', namespace, '--configuration', name, '--session', session.name],
        // The CronJob controller ends the name of a Job with its scheduled time in minutes, and the Job controller labels its Pod with it.
        env: [
          {
            name: 'JOB_NAME',
            valueFrom: { fieldRef: { fieldPath: "metadata.labels['batch.kubernetes.io/job-name']" } },
          },
        ],
      },
      deadlineSeconds: TRIGGER_DEADLINE_SECONDS,
      backoffLimit: TRIGGER_RETRIES,
      overlays: [scheduler.jobTemplate],
      schedule: scheduler.schedule,
      ...(scheduler.timeZone === undefined ? {} : { timeZone: scheduler.timeZone }),
      suspend: resting || scheduler.suspend === true,
      concurrencyPolicy: scheduler.concurrencyPolicy ?? 'Forbid',
      startingDeadlineSeconds: startingDeadlineSeconds(scheduler, now),
      successfulJobsHistoryLimit: scheduler.successfulJobsHistoryLimit ?? 1,
      failedJobsHistoryLimit: scheduler.failedJobsHistoryLimit ?? 1,
    },
    settings,
  );
}
