import { type Cause, joinPath, quote } from './causes.ts';
import { canonical, isRecord } from './json.ts';
import type { Schema } from './schema.ts';
import { didYouMean } from './suggest.ts';

/**
 * What the API server judges beyond the keywords that ajv checks: fields that the schema does not know, items that a list of type map or
 * set holds twice, and the formats date-time and byte.
 *
 * @param most how many causes are enough
 */
export function checkStructure(schema: Schema, value: unknown, path: string, most = Number.POSITIVE_INFINITY): Cause[] {
  const causes: Cause[] = [];
  walk(schema, value, path, { causes, most });
  return causes;
}

/**
 * The value as the API server looks at it: without nulls in fields that are not nullable. Lists and maps are cut one entry beyond what
 * their schema allows: enough to see that they are too long, and the rest would only cost time.
 */
export function pruned(schema: Schema, value: unknown): unknown {
  if (Array.isArray(value)) {
    const { items, maxItems } = schema;
    const list = maxItems === undefined ? value : value.slice(0, maxItems + 1);
    return items === undefined ? list : list.map((item) => pruned(items, item));
  }
  if (!isRecord(value)) return value;
  const { maxProperties } = schema;
  const entries = Object.entries(value);
  return Object.fromEntries(
    (maxProperties === undefined ? entries : entries.slice(0, maxProperties + 1)).flatMap(
      ([key, child]): [string, unknown][] => {
        const node = schemaOf(schema, key);
        if (node === undefined) return [[key, child]];
        return child === null && node.nullable !== true ? [] : [[key, pruned(node, child)]];
      },
    ),
  );
}

/**
 * The parts of a value that rules can look at without asking for the type of everything: what is of another type than its schema says is
 * left out, or empty where it is an item of a list. So is what is longer than its schema allows, for the work of a rule grows with it.
 */
export function soundParts(schema: Schema, value: unknown): unknown {
  switch (schema.type) {
    case 'array': {
      if (!Array.isArray(value)) return undefined;
      const { items } = schema;
      const list = value.slice(0, schema.maxItems);
      return items === undefined
        ? list
        : list.map((item) => soundParts(items, item) ?? (items.type === 'object' ? {} : ''));
    }
    case 'object': {
      if (!isRecord(value)) return undefined;
      const entries = Object.entries(value)
        .slice(0, schema.maxProperties)
        .flatMap(([key, child]): [string, unknown][] => {
          const node = schemaOf(schema, key);
          const sound = node === undefined ? child : soundParts(node, child);
          return sound === undefined ? [] : [[key, sound]];
        });
      return Object.fromEntries(entries);
    }
    case 'string':
      // A character beyond the basic plane counts as one and is two code units.
      return typeof value === 'string' && value.length <= 2 * (schema.maxLength ?? value.length) ? value : undefined;
    case 'integer':
    case 'number':
      return typeof value === 'number' ? value : undefined;
    default:
      return typeof value === schema.type ? value : undefined;
  }
}

/** The schema of a field of an object, if it has one. */
export function schemaOf(schema: Schema, key: string): Schema | undefined {
  if (schema.properties !== undefined && Object.hasOwn(schema.properties, key)) return schema.properties[key];
  return schema.additionalProperties;
}

interface Collected {
  readonly causes: Cause[];
  readonly most: number;
}

function walk(schema: Schema, value: unknown, path: string, collected: Collected): void {
  const { causes, most } = collected;
  if (typeof value === 'string') {
    const problem = formatProblem(schema.format, value);
    if (problem !== undefined) causes.push({ field: path, reason: 'FieldValueInvalid', message: problem });
  } else if (Array.isArray(value)) {
    checkDuplicates(schema, value, path, causes);
    const { items } = schema;
    if (items === undefined) return;
    for (const [index, item] of value.entries()) walk(items, item, joinPath(path, index), collected);
  } else if (isRecord(value)) {
    for (const [key, child] of Object.entries(value)) {
      if (causes.length >= most) return;
      const node = schemaOf(schema, key);
      if (node !== undefined) walk(node, child, joinPath(path, key), collected);
      else if (schema['x-kubernetes-preserve-unknown-fields'] !== true) causes.push(unknownField(schema, key, path));
    }
  }
}

function unknownField(schema: Schema, key: string, path: string): Cause {
  const known = Object.keys(schema.properties ?? {});
  const hint = didYouMean(key, known) || `; the fields here are ${known.join(', ')}`;
  return { field: joinPath(path, key), reason: 'FieldValueInvalid', message: `unknown field${hint}` };
}

function checkDuplicates(schema: Schema, list: unknown[], path: string, causes: Cause[]): void {
  const keys = schema['x-kubernetes-list-map-keys'];
  const type = schema['x-kubernetes-list-type'];
  if (type !== 'map' && type !== 'set') return;
  const seen = new Map<string, number>();
  for (const [index, item] of list.entries()) {
    if (type === 'map' && !isRecord(item)) continue;
    const identity = type === 'set' ? item : (keys ?? []).map((key) => (isRecord(item) ? item[key] : undefined));
    const text = canonical(identity);
    const first = seen.get(text);
    if (first === undefined) {
      seen.set(text, index);
      continue;
    }
    const what =
      type === 'set'
        ? quote(item)
        : (keys ?? []).map((key) => `${key} ${quote(isRecord(item) ? item[key] : undefined)}`).join(', ');
    causes.push({
      field: joinPath(path, index),
      reason: 'FieldValueDuplicate',
      message: `${what} is there already, as item ${first}; each may be there once`,
    });
  }
}

// RFC 3339 as go-openapi/strfmt reads it, T and Z in either case.
const DATE_TIME = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function formatProblem(format: string | undefined, value: string): string | undefined {
  if (format === 'byte' && !BASE64.test(value)) return 'it must be base64';
  if (format === 'date-time' && !isDateTime(value))
    return `${quote(value)} is no RFC 3339 time such as 2026-01-31T03:00:00Z`;
  return undefined;
}

function isDateTime(text: string): boolean {
  const [, year, month, day, hour, minute, second] = DATE_TIME.exec(text) ?? [];
  if (year === undefined) return false;
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  return (
    date.getUTCMonth() === Number(month) - 1 &&
    date.getUTCDate() === Number(day) &&
    Number(hour) < 24 &&
    Number(minute) < 60 &&
    Number(second) < 60
  );
}
