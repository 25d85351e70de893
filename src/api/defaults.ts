import { schemas } from './generated/schemas.js';
import { isRecord } from './json.ts';
import type { Kind } from './kinds.ts';
import type { Schema } from './schema.ts';

/** One value that a schema fills in: where, as JSON pointer segments, and what. */
export interface FilledField {
  path: (string | number)[];
  value: unknown;
}

/**
 * The object with the defaults of its schema filled in, as the API server does: fields that are missing (or null and not nullable) get
 * their default, also inside items of lists and inside what a default has just made. Nothing else changes, unknown fields least of all.
 * What did not change is shared with the object given; when nothing is missing, it is that object.
 */
export function applyDefaults<T>(kind: Kind, object: T): T {
  return fill(schemas[kind], object) as T;
}

/** The fields that `applyDefaults` would fill in, in the order to add them. A field inside a field that is filled in is not listed again. */
export function missingDefaults(kind: Kind, object: unknown): FilledField[] {
  const found: FilledField[] = [];
  collect(schemas[kind], object, [], found);
  return found;
}

function collect(schema: Schema, value: unknown, path: (string | number)[], found: FilledField[]): void {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return;
    for (const [index, item] of value.entries()) collect(items, item, [...path, index], found);
    return;
  }
  if (!isRecord(value)) return;
  for (const [key, child] of Object.entries(schema.properties ?? {})) {
    if (isMissing(value, key, child))
      found.push({ path: [...path, key], value: fill(child, structuredClone(child.default)) });
    else if (Object.hasOwn(value, key)) collect(child, value[key], [...path, key], found);
  }
  if (schema.additionalProperties !== undefined) {
    for (const key of Object.keys(value)) collect(schema.additionalProperties, value[key], [...path, key], found);
  }
}

function fill(schema: Schema, value: unknown): unknown {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return value;
    const filled = value.map((item) => fill(items, item));
    return filled.some((item, index) => item !== value[index]) ? filled : value;
  }
  if (!isRecord(value)) return value;
  const changes: [string, unknown][] = [];
  const note = (key: string, filled: unknown): void => {
    if (filled !== value[key]) changes.push([key, filled]);
  };
  for (const [key, child] of Object.entries(schema.properties ?? {})) {
    if (isMissing(value, key, child)) changes.push([key, fill(child, structuredClone(child.default))]);
    else if (Object.hasOwn(value, key)) note(key, fill(child, value[key]));
  }
  if (schema.additionalProperties !== undefined) {
    for (const key of Object.keys(value)) note(key, fill(schema.additionalProperties, value[key]));
  }
  // fromEntries and not assignment: a key called __proto__ is data like any other.
  return changes.length === 0 ? value : Object.fromEntries([...Object.entries(value), ...changes]);
}

function isMissing(value: Record<string, unknown>, key: string, schema: Schema): boolean {
  if (schema.default === undefined) return false;
  return !Object.hasOwn(value, key) || (value[key] === null && schema.nullable !== true);
}
