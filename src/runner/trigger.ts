import { BackstayError } from '../api/errors.ts';
import type { BackupConfiguration, BackupConfigurationSession, BackupSession } from '../api/generated/types.ts';
import { API_GROUP, API_VERSION } from '../api/group.ts';
import { BackupConfigurations, BackupSessions } from '../api/kinds.ts';
import { CONFIGURATION_LABEL, componentLabels, labelValue, SESSION_LABEL } from '../api/labels.ts';
import { backupSessionName } from '../api/names.ts';
import { Jobs } from '../kube/builtin.ts';
import { isAlreadyExists } from '../kube/kube-error.ts';
import { type Done, FIELD_MANAGER, type JobContext } from './job.ts';
import { requireObject } from './objects.ts';

export interface TriggerRequest {
  namespace: string;
  configuration: string;
  session: string;
}

/** Where the CronJob controller writes the time that a Job was scheduled for, as RFC 3339. */
const SCHEDULED_ANNOTATION = 'batch.kubernetes.io/cronjob-scheduled-timestamp';

/** Creates the BackupSession of a scheduled time. One that exists already was created by an earlier try, and is left as it is. */
export async function trigger(context: JobContext, request: TriggerRequest): Promise<Done> {
  const { client, signal } = context;
  const { namespace, configuration: name } = request;
  const configuration = await requireObject(
    client,
    BackupConfigurations,
    { namespace, name },
    { signal, code: 'ConfigurationNotFound' },
  );
  const session = sessionToRun(configuration, request.session);
  const scheduledTime = await scheduledTimeOf(context, namespace);
  const wanted = sessionOf(configuration, session, scheduledTime);
  const where = `BackupSession ${namespace}/${wanted.metadata.name}`;
  try {
    await client.create(BackupSessions, wanted, { fieldManager: FIELD_MANAGER, signal });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    return { message: `${where} exists already`, data: { backupSession: wanted.metadata.name, created: false } };
  }
  return { message: `${where} was created`, data: { backupSession: wanted.metadata.name, created: true } };
}

/** The session of a configuration that may run now. */
function sessionToRun(configuration: BackupConfiguration, name: string): BackupConfigurationSession {
  const { metadata, spec } = configuration;
  const where = `BackupConfiguration ${metadata.namespace}/${metadata.name}`;
  if (metadata.deletionTimestamp !== undefined) {
    throw new BackstayError('ConfigurationNotFound', `${where} is being deleted`, {
      remedy: 'nothing: its schedules go with it',
    });
  }
  if (spec.paused === true) {
    throw new BackstayError('Paused', `${where} is paused`, { remedy: 'set spec.paused to false' });
  }
  const session = spec.sessions.find((one) => one.name === name);
  if (session === undefined) {
    const names = spec.sessions.map((one) => one.name).join(', ');
    throw new BackstayError('ConfigurationNotFound', `${where} has no session ${name}`, {
      remedy: `use one of ${names}`,
    });
  }
  return session;
}

/** The BackupSession of a scheduled time; the same for the same time. */
export function sessionOf(
  configuration: BackupConfiguration,
  session: BackupConfigurationSession,
  scheduledTime: Date,
): BackupSession {
  const { namespace = '', name = '', uid = '' } = configuration.metadata;
  const retryLeft = session.retryConfig === undefined ? undefined : (session.retryConfig.maxRetry ?? 1);
  return {
    apiVersion: API_VERSION,
    kind: 'BackupSession',
    metadata: {
      namespace,
      name: backupSessionName(name, session.name, scheduledTime),
      labels: {
        ...componentLabels('backup'),
        [CONFIGURATION_LABEL]: labelValue(name),
        [SESSION_LABEL]: labelValue(session.name),
      },
      ownerReferences: [
        { apiVersion: configuration.apiVersion, kind: configuration.kind, name, uid, controller: true },
      ],
    },
    spec: {
      invoker: { apiGroup: API_GROUP, kind: 'BackupConfiguration', name },
      session: session.name,
      ...(retryLeft === undefined ? {} : { retryLeft }),
      ...(session.backupTimeout === undefined ? {} : { backupTimeout: session.backupTimeout }),
      scheduledTime: rfc3339(scheduledTime),
    },
  };
}

/**
 * The time that this Job was scheduled for; the Job's own creation when a person made it.
 *
 * The annotation is on the Job and not on the Pod, so the Job is read. Where that is not possible the current minute has to do: a second
 * try then makes a second session, which waits for the first or is skipped.
 */
async function scheduledTimeOf({ client, env, log, signal }: JobContext, namespace: string): Promise<Date> {
  // A Pod is named <job>-<five characters>, unless the name of the Job had to be cut for it.
  const name = env.JOB_NAME ?? env.POD_NAME?.replace(/-[a-z0-9]{5}$/, '');
  if (name !== undefined && name !== '') {
    try {
      const job = await client.get(Jobs, { namespace, name }, { signal });
      const time = job?.metadata.annotations?.[SCHEDULED_ANNOTATION] ?? job?.metadata.creationTimestamp;
      const date = new Date(time ?? Number.NaN);
      if (!Number.isNaN(date.getTime())) return date;
    } catch (error) {
      log.warn({ error: String(error) }, 'the Job of this Pod cannot be read');
    }
  }
  const minute = 60_000;
  return new Date(Math.floor(Date.now() / minute) * minute);
}

function rfc3339(date: Date): string {
  return date.toISOString().replace(/\.\d{3}Z$/, 'Z');
}
