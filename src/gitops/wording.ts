import { parseObjectID } from './object-id.ts';
import type { Step } from './plan.ts';
import { type Failure, failureAt, objectLabel } from './read/objects.ts';

/** What was left alone, as sentences. */
export function notesOf(steps: readonly Step[]): string[] {
  return steps.flatMap((step) => {
    if (step.action !== 'skip') return [];
    const parsed = parseObjectID(step.id);
    const label =
      parsed === undefined ? step.id : [parsed.type.kind, parsed.namespace, parsed.name].filter(Boolean).join('/');
    return [`${label} is left as it is: ${step.reason}`];
  });
}

/** A conflict as a failure of the file that the object is in. */
export function conflictFailure({ desired, manager }: Extract<Step, { action: 'conflict' }>): Failure {
  return failureAt(
    desired,
    '',
    `${objectLabel(desired.object)} is managed by ${manager}; remove it from one of the two, or set spec.force to take it over`,
  );
}

const CONSEQUENCE: Readonly<Record<string, string>> = {
  ValidationFailed: 'Nothing of it was applied',
  DecryptionFailed: 'Nothing of it was applied',
  ManagedByOther: 'Nothing of it was applied',
  ApplyRefused: 'The server refused it in a rehearsal, and nothing of it was applied',
  ApplyIncomplete: 'A part of it was applied',
};

/** The first failure in full, and how many more there are; all of them are in status.failures. */
export function summarise(code: string, revision: string, failures: readonly Failure[]): string {
  const [first] = failures;
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more, see status.failures)` : '';
  return `${CONSEQUENCE[code]}: ${revision}: ${first === undefined ? '' : describeFailure(first)}${more}`;
}

/** `policies/shop.yaml:12: BackupConfiguration/shop/nightly: spec.sessions: what is wrong`. */
export function describeFailure({ file, line, object, field, message }: Failure): string {
  const place = file === undefined ? undefined : line === undefined ? file : `${file}:${line}`;
  return [place, object, field, message].filter((part) => part !== undefined && part !== '').join(': ');
}
