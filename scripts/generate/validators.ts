import { Ajv2020 } from 'ajv/dist/2020.js';
import standalone from 'ajv/dist/standalone/index.js';
import type { Schema } from '../../src/api/schema.ts';
import type { KindSource, Source, SourceNode } from './source.ts';

const HEAD = '// Generated from schemas/ by `npm run generate`. Do not edit.\n';

/** What ajv is asked about; the rest (formats, unknown fields, duplicates, nulls) src/api/structure.ts judges as the API server does. */
const CHECKED = [
  'type',
  'required',
  'enum',
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
] as const;

// ajv's own helper would be required from its package, which an ES module cannot.
const CODE_POINTS = `const codePoints = (text) => {
  let length = 0;
  for (const _ of text) length++;
  return length;
};
`;

/** Validators of every kind as one ES module without imports, and its declarations. */
export function generateValidators({ kinds, shared }: Source): { module: string; declarations: string } {
  const ajv = new Ajv2020({
    allErrors: true,
    strict: true,
    messages: false,
    inlineRefs: false,
    code: { source: true, esm: true, lines: false },
  });
  ajv.addSchema({
    $id: 'common.json',
    $defs: Object.fromEntries(Object.entries(shared).map(([name, node]) => [name, toAjv(node)])),
  });
  for (const { kind, source } of kinds) ajv.addSchema({ $id: kind, ...toAjv(source) });
  const names = Object.fromEntries(kinds.map(({ kind }) => [`validate${kind}`, kind]));
  const code = standalone
    .default(ajv, names)
    .replace(/^"use strict";/, '')
    .replaceAll(/const (\w+) = require\("ajv\/dist\/runtime\/ucs2length"\)\.default;/g, 'const $1 = codePoints;')
    .replaceAll(';export const', ';\nexport const')
    .replaceAll(/;(const \w+ = )/g, ';\n$1')
    .replaceAll(/;(function validate\d+)/g, ';\n$1');
  if (code.includes('require(')) throw new Error('the validators require a module');
  return {
    module: `${HEAD}${CODE_POINTS}${code}\n`,
    declarations: `${HEAD}import type { Validator } from '../schema.ts';\n\n${kinds
      .map(({ kind }) => `export declare const validate${kind}: Validator;\n`)
      .join('')}`,
  };
}

/** The schemas as data, without prose, for defaults and for what ajv is not asked about. */
export function generateSchemas(kinds: KindSource[]): { module: string; declarations: string } {
  const entries = kinds.map(({ kind, schema }) => `  ${kind}: ${JSON.stringify(withoutProse(schema))},\n`);
  return {
    module: `${HEAD}export const schemas = {\n${entries.join('')}};\n`,
    declarations: `${HEAD}import type { Kind } from '../kinds.ts';\nimport type { Schema } from '../schema.ts';\n\nexport declare const schemas: Readonly<Record<Kind, Schema>>;\n`,
  };
}

/**
 * A pattern of the API server (RE2) as JavaScript reads it: there `.` leaves out the line feed only, and \s is ASCII.
 *
 * @throws Error when the pattern uses what the two read differently and this does not translate
 */
export function toJavaScriptPattern(pattern: string): string {
  const unsafe = pattern.match(/\(\?[^:]|\\[^.sdw+\\/-]/);
  if (unsafe !== null)
    throw new Error(`the pattern ${pattern} uses ${unsafe[0]}, which RE2 and JavaScript may read apart`);
  let inClass = false;
  return pattern.replaceAll(/\\.|[.[\]]/g, (token) => {
    if (token === '[') inClass = true;
    if (token === ']') inClass = false;
    if (token === '\\s') return inClass ? '\\t\\n\\f\\r ' : '[\\t\\n\\f\\r ]';
    return token === '.' && !inClass ? '[^\\n]' : token;
  });
}

/** The part of a node that ajv is asked about, as ajv reads it. */
export function toAjv(schema: SourceNode): Record<string, unknown> {
  // What may stand beside a reference, description and default, ajv is not asked about.
  if (schema.$ref !== undefined) return { $ref: schema.$ref };
  const result: Record<string, unknown> = {};
  for (const key of CHECKED) if (schema[key] !== undefined) result[key] = schema[key];
  if (schema.nullable) result.type = [schema.type, 'null'];
  if (schema.pattern !== undefined) result.pattern = toJavaScriptPattern(schema.pattern);
  if (schema.properties !== undefined) {
    result.properties = Object.fromEntries(Object.entries(schema.properties).map(([key, node]) => [key, toAjv(node)]));
  }
  if (schema.items !== undefined) result.items = toAjv(schema.items);
  if (schema.additionalProperties !== undefined) result.additionalProperties = toAjv(schema.additionalProperties);
  return result;
}

function withoutProse(schema: Schema): Schema {
  const { description: _, properties, items, additionalProperties, ...rest } = schema;
  return {
    ...rest,
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(properties).map(([key, node]) => [key, withoutProse(node)])) }),
    ...(items === undefined ? {} : { items: withoutProse(items) }),
    ...(additionalProperties === undefined ? {} : { additionalProperties: withoutProse(additionalProperties) }),
  };
}
