/** Why a value is refused, in the words of metav1.CauseType. */
export type CauseReason =
  | 'FieldValueInvalid'
  | 'FieldValueRequired'
  | 'FieldValueNotSupported'
  | 'FieldValueDuplicate'
  | 'FieldValueForbidden'
  | 'FieldValueTypeInvalid'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueNotFound';

/** One thing that is wrong with an object. */
export interface Cause {
  /** Path of the field as kubectl writes it: spec.sessions[0].scheduler.schedule. */
  field: string;
  reason: CauseReason;
  /** What is wrong and what would be right; never the value of a secret. */
  message: string;
}

/** What judging an object brought to light. */
export interface Verdict {
  causes: Cause[];
  /** What is odd but allowed: each under 120 characters, as a Warning header wants it. */
  warnings: string[];
}

/** `spec` and `a.b` and 3 as one path: keys that are no plain words stand in brackets, as in labels[a.b/c]. */
export function joinPath(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`;
  if (!/^[A-Za-z_$][\w$-]*$/.test(key)) return `${path}[${key.slice(0, 80)}]`;
  return path === '' ? key : `${path}.${key}`;
}

/** A value as a message shows it: cut when it is long, and without what stands before an @, where URLs have passwords. */
export function quote(value: unknown): string {
  const text = JSON.stringify(typeof value === 'string' ? value.replace(/^.*@/s, '…@') : value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
