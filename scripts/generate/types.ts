import { compile, type JSONSchema } from 'json-schema-to-typescript';
import { API_VERSION } from '../../src/api/group.ts';
import { type KindSource, type Source, type SourceNode, sharedName } from './source.ts';

const BANNER = `// Generated from schemas/ by \`npm run generate\`. Do not edit.
import type { ObjectMeta } from '../meta.ts';
`;

/** TypeScript of every kind and every shared type; nested objects have names of their own, such as BackupConfigurationSessionScheduler. */
export async function generateTypes({ kinds, shared }: Source): Promise<string> {
  const names = new Set<string>();
  const claim = (name: string): string => {
    if (names.has(name)) throw new Error(`two types would be called ${name}`);
    names.add(name);
    return name;
  };
  const $defs: Record<string, JSONSchema> = {};
  for (const [name, node] of Object.entries(shared)) $defs[claim(name)] = toTypes(node, name, claim);
  for (const kind of kinds) $defs[claim(typeName(kind.kind))] = kindTypes(kind, claim);
  const source = await compile({ title: 'Unused', type: 'object', $defs } as JSONSchema, 'Unused', {
    additionalProperties: false,
    ignoreMinAndMaxItems: true,
    unreachableDefinitions: true,
    unknownAny: true,
    bannerComment: '',
    style: { singleQuote: true, printWidth: 120 },
    $refOptions: { resolve: { http: false, file: false } },
  });
  const union = kinds.map(({ kind }) => `  | ${typeName(kind)}`).join('\n');
  return (
    BANNER +
    source
      .replace(/export interface Unused \{\}\n/, '')
      .replaceAll(
        / \*\n \* This interface was referenced by `Unused`'s JSON-Schema\n \* via the `definition` "[^"]*"\.\n/g,
        '',
      )
      .replaceAll(
        /\/\*\*\n \* This interface was referenced by `Unused`'s JSON-Schema\n \* via the `definition` "[^"]*"\.\n \*\/\n/g,
        '',
      )
      .replaceAll(/\n \*\n \* via the `definition` "[^"]*"\./g, '') +
    `\n\n/** An object of any kind of Backstay. */\nexport type BackstayObject =\n${union};\n`
  );
}

function kindTypes({ kind, description, source }: KindSource, claim: (name: string) => string): JSONSchema {
  const { spec, status } = source.properties ?? {};
  if (spec === undefined) throw new Error(`${kind} has no spec`);
  const properties: Record<string, JSONSchema> = {
    apiVersion: { tsType: `'${API_VERSION}'` } as JSONSchema,
    kind: { tsType: `'${kind}'` } as JSONSchema,
    metadata: { tsType: 'ObjectMeta' } as JSONSchema,
    spec: toTypes(spec, kind, claim, `${kind}Spec`),
  };
  if (status !== undefined) properties.status = toTypes(status, `${kind}Status`, claim, `${kind}Status`);
  return {
    title: typeName(kind),
    description,
    type: 'object',
    required: ['apiVersion', 'kind', 'metadata', 'spec'],
    properties,
  };
}

/** `prefix` is what the names of nested types begin with, `name` what this one is called when it is an object. */
function toTypes(node: SourceNode, prefix: string, claim: (name: string) => string, name?: string): JSONSchema {
  const referred = sharedName(node);
  const description = node.description === undefined ? {} : { description: node.description };
  if (referred !== undefined) return { ...description, tsType: referred } as JSONSchema;
  if (node.type === 'array') {
    // The description of a plain item says no more than that of its list.
    const { description: _, ...plain } = node.items ?? {};
    const items = plain.type === 'object' || node.items === undefined ? (node.items ?? {}) : plain;
    return { ...description, type: 'array', items: toTypes(items, prefix, claim, objectName(items, prefix, claim)) };
  }
  if (node.type !== 'object') {
    return { ...description, type: node.type, ...(node.enum === undefined ? {} : { enum: node.enum }) } as JSONSchema;
  }
  if (node.properties === undefined) {
    const value = node.additionalProperties?.type === 'string' ? 'string' : 'unknown';
    return { ...description, tsType: `Record<string, ${value}>` } as JSONSchema;
  }
  const properties = Object.fromEntries(
    Object.entries(node.properties).map(([key, child]) => {
      const childPrefix = prefix + pascal(child.type === 'array' ? singular(key) : key);
      const childName = child.type === 'object' ? objectName(child, childPrefix, claim) : undefined;
      return [key, toTypes(child, childPrefix, claim, childName)];
    }),
  );
  return {
    ...description,
    ...(name === undefined ? {} : { title: name }),
    type: 'object',
    required: node.required ?? [],
    properties,
  };
}

function objectName(node: SourceNode, name: string, claim: (name: string) => string): string | undefined {
  return sharedName(node) === undefined && node.properties !== undefined ? claim(name) : undefined;
}

/** The name of a kind's type: Function would hide the type of JavaScript's functions. */
function typeName(kind: string): string {
  return kind === 'Function' ? 'BackstayFunction' : kind;
}

function pascal(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function singular(name: string): string {
  if (name.endsWith('ies')) return `${name.slice(0, -3)}y`;
  return name.endsWith('ses') || !name.endsWith('s') ? name : name.slice(0, -1);
}
