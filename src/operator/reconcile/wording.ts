/** Words for conditions and Events. */
import type { Cause } from '../../api/causes.ts';
import type { Failure } from '../jobs/outcome.ts';

/** What is wrong with a spec, field by field. */
export function describeCauses(causes: readonly Cause[]): string {
  return causes.map(({ field, message }) => `${field}: ${message}`).join('; ');
}

/** A failure with what to do about it. */
export function describeFailure({ message, remedy }: Pick<Failure, 'message' | 'remedy'>): string {
  return remedy === undefined ? message : `${message}; ${remedy}`;
}
