import type { BackupSession } from '../generated/types.ts';
import { BackupConfigurations } from '../kinds.ts';
import { didYouMean } from '../suggest.ts';
import { checkDuration } from './durations.ts';
import { Findings } from './findings.ts';
import { findReferred } from './references.ts';
import type { Rule } from './rule.ts';

/** Judges a BackupSession. */
export const judgeBackupSession: Rule<BackupSession> = (subject) => {
  const findings = new Findings();
  const { spec } = subject.object;
  checkDuration(findings, spec?.backupTimeout, 'spec.backupTimeout');
  // A run stays what it was when its configuration changes later.
  if (subject.old !== undefined) return findings;
  const configuration = findReferred(findings, subject, BackupConfigurations, spec?.invoker, 'spec.invoker');
  const names = configuration?.spec.sessions.map((session) => session.name);
  if (names === undefined || spec?.session === undefined || names.includes(spec.session)) return findings;
  const message = `BackupConfiguration ${configuration?.metadata.name} has no session ${spec.session}; it has ${names.join(', ')}`;
  findings.refuse('spec.session', 'FieldValueNotFound', message + didYouMean(spec.session, names));
  return findings;
};
