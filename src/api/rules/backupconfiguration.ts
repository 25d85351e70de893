import type { BackupConfiguration, BackupConfigurationSession } from '../generated/types.ts';
import { sameValue } from '../json.ts';
import { BackupConfigurations, BackupStorages, Repositories, RetentionPolicies } from '../kinds.ts';
import { triggerCronJobName } from '../names.ts';
import { formatName, resolveReference } from '../references.ts';
import { didYouMean } from '../suggest.ts';
import { checkDuration } from './durations.ts';
import { warnAboutExpiry } from './expiry.ts';
import { Findings } from './findings.ts';
import { checkMounts } from './mounts.ts';
import { checkRepositoryPath, isWithin, normalPath } from './places.ts';
import { checkOtherConfigurations, type PlannedRepository, planRepository } from './planned.ts';
import { checkPodTemplate } from './pod-template.ts';
import { checkReference } from './references.ts';
import type { Draft, Rule, Subject } from './rule.ts';
import { checkSchedule } from './schedule.ts';
import { checkSecret, checkTarget } from './target.ts';
import { checkAddonUse } from './tasks.ts';

type Configuration = Subject<BackupConfiguration>;

/** Judges a BackupConfiguration. */
export const judgeBackupConfiguration: Rule<BackupConfiguration> = (subject) => {
  const findings = new Findings();
  const { spec } = subject.object;
  checkTarget(findings, subject, spec?.target, 'spec.target');
  checkBackends(findings, subject);
  for (const [index, session] of (spec?.sessions ?? []).entries()) {
    checkSession(findings, subject, session, `spec.sessions[${index}]`);
    checkMounts(findings, subject, session, `spec.sessions[${index}]`);
  }
  checkRepositories(findings, subject);
  checkCronJobNames(findings, subject);
  warnAboutExpiry(findings, subject);
  return findings;
};

function checkBackends(findings: Findings, subject: Configuration): void {
  const { backends } = subject.object.spec ?? {};
  if (backends === undefined && subject.lookup.knows(BackupStorages)) {
    findings.warn(`spec.backends is left out, and namespace ${subject.namespace} has no default BackupStorage yet`);
  }
  for (const [index, backend] of (backends ?? []).entries()) {
    const path = `spec.backends[${index}]`;
    checkReference(findings, subject, BackupStorages, backend.storageRef, `${path}.storageRef`);
    checkReference(findings, subject, RetentionPolicies, backend.retentionPolicy, `${path}.retentionPolicy`);
  }
}

function checkSession(
  findings: Findings,
  subject: Configuration,
  session: Draft<BackupConfigurationSession>,
  path: string,
): void {
  if (session.scheduler !== undefined) {
    checkSchedule(findings, session.scheduler, `${path}.scheduler`, subject.now);
    checkPodTemplate(findings, session.scheduler.jobTemplate, `${path}.scheduler.jobTemplate`);
  }
  checkAddonUse(findings, subject, session.addon, 'backupTasks', `${path}.addon`);
  checkDuration(findings, session.backupTimeout, `${path}.backupTimeout`);
  checkDuration(findings, session.retryConfig?.delay, `${path}.retryConfig.delay`);
  for (const [index, { encryptionSecret }] of (session.repositories ?? []).entries()) {
    checkSecret(findings, subject, encryptionSecret, `${path}.repositories[${index}].encryptionSecret`);
  }
}

/** One Repository is one place with one password, and one place is one Repository, whoever asks for it. */
function checkRepositories(findings: Findings, subject: Configuration): void {
  const planned = plannedRepositories(findings, subject);
  for (const [index, repository] of planned.entries()) {
    checkRepositoryPath(findings, repository.directory, `${repository.path}.directory`);
    for (const other of planned.slice(0, index)) checkPair(findings, repository, other);
    checkExisting(findings, subject, repository);
  }
  checkOtherConfigurations(findings, subject, planned);
}

function plannedRepositories(findings: Findings, { object, namespace }: Configuration): PlannedRepository[] {
  const { backends, sessions } = object.spec ?? {};
  const planned: PlannedRepository[] = [];
  for (const [sessionIndex, session] of (sessions ?? []).entries()) {
    for (const [index, { name, backend, directory, encryptionSecret }] of (session.repositories ?? []).entries()) {
      const path = `spec.sessions[${sessionIndex}].repositories[${index}]`;
      if (name !== undefined && directory !== undefined) {
        planned.push(planRepository({ path, name, backend, directory, encryptionSecret, backends, namespace }));
      }
      const found = backends?.find((one) => one.name === backend);
      if (backend !== undefined && backends !== undefined && found === undefined) {
        const names = backends.flatMap((one) => one.name ?? []);
        const message = `there is no backend ${backend} in spec.backends; it has ${names.join(', ') || 'none'}`;
        findings.refuse(`${path}.backend`, 'FieldValueNotFound', message + didYouMean(backend, names));
      }
    }
  }
  return planned;
}

function checkPair(findings: Findings, one: PlannedRepository, other: PlannedRepository): void {
  const sameBackend = one.backend === other.backend || (one.storage !== undefined && one.storage === other.storage);
  const [folder, otherFolder] = [normalPath(one.directory), normalPath(other.directory)];
  if (one.name === other.name) {
    if (sameBackend && folder === otherFolder && sameValue(one.encryptionSecret, other.encryptionSecret)) return;
    const message = `Repository ${one.name} is asked for with another backend, directory or password at ${other.path}`;
    findings.refuse(`${one.path}.name`, 'FieldValueDuplicate', `${message}; give it another name`);
  } else if (sameBackend && folder === otherFolder) {
    const message = `Repository ${other.name} has this directory of the same storage already`;
    findings.refuse(`${one.path}.directory`, 'FieldValueDuplicate', `${message}; each needs one of its own`);
  } else if (sameBackend && (isWithin(folder, otherFolder) || isWithin(otherFolder, folder))) {
    findings.warn(`${one.path}.directory: one of the Repositories ${one.name} and ${other.name} lies inside the other`);
  }
}

function checkExisting(
  findings: Findings,
  { lookup, namespace, object }: Configuration,
  planned: PlannedRepository,
): void {
  const { path, name, storage } = planned;
  const folder = normalPath(planned.directory);
  for (const { metadata, spec } of lookup.list(Repositories)) {
    const itsNamespace = metadata.namespace ?? '';
    const itsStorage = formatName(resolveReference(spec.storageRef, itsNamespace));
    const samePlace = storage === itsStorage && normalPath(spec.path) === folder;
    if (metadata.name !== name || itsNamespace !== namespace) {
      if (!samePlace) continue;
      const other = formatName({ namespace: itsNamespace, name: metadata.name ?? '' });
      findings.refuse(`${path}.directory`, 'FieldValueDuplicate', `Repository ${other} has this directory already`);
      continue;
    }
    if (storage !== undefined && !samePlace) {
      const message = `Repository ${name} exists in directory ${spec.path} of BackupStorage ${itsStorage}`;
      findings.refuse(`${path}.name`, 'FieldValueInvalid', `${message}, which cannot be changed; give it another name`);
    }
    const target = object.spec?.target;
    if (spec.appRef !== undefined && target?.name !== undefined && target.name !== spec.appRef.name) {
      const message = `Repository ${name} exists and holds the backups of ${spec.appRef.kind} ${spec.appRef.name}`;
      findings.refuse(`${path}.name`, 'FieldValueInvalid', `${message}; give it another name`);
    }
  }
}

// A configuration is looked at by the review of every other one.
const cronJobs = new WeakMap<BackupConfiguration, readonly string[]>();

/** Two sessions must not come to the same CronJob: configuration a with session b-c and configuration a-b with session c would. */
function checkCronJobNames(findings: Findings, { object, namespace, name, lookup }: Configuration): void {
  const mine = new Map<string, string>();
  for (const [index, session] of (object.spec?.sessions ?? []).entries()) {
    if (session.name !== undefined) mine.set(triggerCronJobName(name, session.name), `spec.sessions[${index}].name`);
  }
  for (const other of lookup.list(BackupConfigurations, namespace)) {
    if (other.metadata.name === name) continue;
    for (const cronJob of cronJobsOf(other)) {
      const field = mine.get(cronJob);
      if (field === undefined) continue;
      const message = `its CronJob would be ${cronJob}, as one of BackupConfiguration ${other.metadata.name} is called already`;
      findings.refuse(field, 'FieldValueDuplicate', message);
    }
  }
}

function cronJobsOf(configuration: BackupConfiguration): readonly string[] {
  const known = cronJobs.get(configuration);
  if (known !== undefined) return known;
  const { metadata, spec } = configuration;
  const names = spec.sessions.map((session) => triggerCronJobName(metadata.name ?? '', session.name));
  cronJobs.set(configuration, names);
  return names;
}
