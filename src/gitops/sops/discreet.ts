import { isRecord } from '../../api/json.ts';
import type { KubeObject } from '../../api/meta.ts';
import { isSecret } from './admit.ts';

export const SECRET_FIELDS = ['data', 'stringData'];
export const MASK = '***';

/** A message about an object without the values that it holds if it is a Secret: some refusals quote them, encoded or not. */
export function discreet(object: KubeObject, message: string): string {
  if (!isSecret(object)) return message;
  const parts = object as unknown as Record<string, unknown>;
  const values = SECRET_FIELDS.flatMap((field) => (isRecord(parts[field]) ? Object.values(parts[field]) : []));
  const texts = values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value)));
  const decoded = isRecord(parts.data) ? Object.values(parts.data).map(plain) : [];
  const longestFirst = [...texts, ...decoded].filter((text) => text !== '').toSorted((a, b) => b.length - a.length);
  return longestFirst.reduce((said, text) => said.replaceAll(text, MASK), message);
}

/** Whether a field, as a path, is a value of a Secret, or all of them. */
export function isSecretValue(object: KubeObject, field: string): boolean {
  return isSecret(object) && SECRET_FIELDS.some((name) => new RegExp(`^${name}($|[.[])`).test(field));
}

function plain(encoded: unknown): string {
  return typeof encoded === 'string' ? Buffer.from(encoded, 'base64').toString('utf8') : '';
}
