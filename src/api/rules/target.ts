import { consentRemedy, mayBeUsedFrom } from '../consent.ts';
import type { ObjectReference, Target } from '../generated/types.ts';
import { AppBindings } from '../kinds.ts';
import { formatName } from '../references.ts';
import type { Findings } from './findings.ts';
import { findReferred } from './references.ts';
import type { Draft, Subject } from './rule.ts';

type Place = Pick<Subject<unknown>, 'lookup' | 'namespace'>;

/** Judges the database of a backup or a restore: an AppBinding of another namespace must say who may use it. */
export function checkTarget(
  findings: Findings,
  subject: Place,
  target: Draft<Target> | undefined,
  field: string,
): void {
  if (target?.kind === 'MongoDB' || target?.apiGroup !== 'backstay.dev') return;
  const binding = findReferred(findings, subject, AppBindings, target, field);
  if (binding === undefined || mayBeUsedFrom(binding.metadata, subject.namespace)) return;
  const name = formatName({ namespace: binding.metadata.namespace ?? '', name: target.name ?? '' });
  const message = `AppBinding ${name} does not allow namespace ${subject.namespace} to use it`;
  findings.refuse(field, 'FieldValueForbidden', `${message}; ${consentRemedy(subject.namespace)}`);
}

/** Says what a Secret of another namespace needs; Secrets themselves are nothing that a rule may look at. */
export function checkSecret(
  findings: Findings,
  { namespace }: Place,
  secret: Draft<ObjectReference> | undefined,
  field: string,
): void {
  const home = secret?.namespace;
  if (home === undefined || home === namespace) return;
  findings.warn(`${field}: Secret ${home}/${secret?.name} must have the annotation backstay.dev/allowed-namespaces`);
}
