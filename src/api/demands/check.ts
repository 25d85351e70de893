import type { Lookup } from '../rules/rule.ts';

/** Kinds that demands speak of. */
export const DEMANDED_KINDS = ['BackupConfiguration', 'BackupStorage', 'RetentionPolicy'] as const;

export type DemandedKind = (typeof DEMANDED_KINDS)[number];

/** What a check may look at besides the object. */
export interface Around {
  /** Namespace of the object. */
  namespace: string;
  lookup: Lookup;
  now: Date;
}

/**
 * One thing that a demand asks of one kind, said twice: as a function, and, where CEL can say it, as an expression that finds the same.
 * A test holds the two together.
 */
export interface Check<T = unknown> {
  /** Name of the demand, as the rule has it. */
  demand: string;
  /** The field that is to be changed. */
  field: string;
  /** What is demanded; what breaks it follows after a colon. */
  sentence: string;
  /** What breaks it: names or values; nothing when it is met. */
  find(object: T, around: Around): string[];
  /** The same as a CEL expression for a list of strings; `self` is `object` or `oldObject`. Left out where CEL cannot say it. */
  cel?(self: string): string;
}

/** A text, or a list of texts, as CEL writes it. */
export function literal(value: string | readonly string[]): string {
  // The escapes of JSON are escapes of CEL too.
  return JSON.stringify(value);
}
