import { createHash } from 'node:crypto';

// A Job's Pods and a label's value are at most 63 characters; a CronJob appends 11 to its own name.
const LABEL_LENGTH = 63;
const CRON_JOB_LENGTH = 52;
const HASH_LENGTH = 8;

/**
 * `name` when it is at most `length` characters, otherwise its beginning and eight hexadecimal digits of the hash of the whole,
 * so that two long names with the same beginning stay two names.
 */
export function shortName(name: string, length: number = LABEL_LENGTH): string {
  if (name.length <= length) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_LENGTH);
  const head = name.slice(0, length - HASH_LENGTH - 1).replace(/[^a-zA-Z0-9]+$/, '');
  return `${head}-${hash}`;
}

/** The CronJob that triggers a session of a BackupConfiguration. */
export function triggerCronJobName(configuration: string, session: string): string {
  return shortName(`trigger-${configuration}-${session}`, CRON_JOB_LENGTH);
}

/** The BackupSession of a scheduled time: a trigger that runs twice for one time names the same one. */
export function backupSessionName(configuration: string, session: string, scheduledTime: Date): string {
  return shortName(`${configuration}-${session}-${Math.floor(scheduledTime.getTime() / 1000)}`);
}

/** The Snapshot that a BackupSession makes in a Repository. */
export function snapshotName(repository: string, backupSession: string): string {
  return shortName(`${repository}-${backupSession}`);
}

export function backupJobName(backupSession: string): string {
  return shortName(`backup-${backupSession}`);
}

export function restoreJobName(restoreSession: string): string {
  return shortName(`restore-${restoreSession}`);
}

/** The Job that reaches a BackupStorage for the `attempt`th time. */
export function storageJobName(backupStorage: string, attempt: number | string): string {
  return shortName(`storage-${backupStorage}-${attempt}`);
}

/** The Job that opens or makes a Repository for the `attempt`th time. */
export function repositoryJobName(repository: string, attempt: number | string): string {
  return shortName(`repository-${repository}-${attempt}`);
}

/** The Job that removes a Snapshot's data. */
export function forgetJobName(snapshot: string): string {
  return shortName(`forget-${snapshot}`);
}

/** The Job that releases, for the `attempt`th time, the locks that a dead runner left. */
export function releaseJobName(backupSession: string, attempt: number | string): string {
  return shortName(`release-${backupSession}-${attempt}`);
}

/** The ValidatingAdmissionPolicy, and its binding, that are made of a BackupPolicyRule for one kind. */
export function admissionPolicyName(rule: string, plural: string): string {
  return `${shortName(`backstay-${rule}`, 180)}.${plural}.backstay.dev`;
}

export function triggerServiceAccountName(configuration: string): string {
  return shortName(`trigger-${configuration}`);
}

export function backupServiceAccountName(configuration: string): string {
  return shortName(`backup-${configuration}`);
}

export function restoreServiceAccountName(restoreSession: string): string {
  return shortName(`restore-${restoreSession}`);
}

export function storageServiceAccountName(backupStorage: string): string {
  return shortName(`storage-${backupStorage}`);
}

export function repositoryServiceAccountName(repository: string): string {
  return shortName(`repository-${repository}`);
}
