import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Schema } from '../../src/api/schema.ts';

/** A node as it is written in schemas/: it may refer to another one. */
export interface SourceNode extends Omit<Schema, 'properties' | 'items' | 'additionalProperties'> {
  $ref?: string;
  properties?: Record<string, SourceNode>;
  items?: SourceNode;
  additionalProperties?: SourceNode;
}

/** A column of `kubectl get`, as in apiextensions.k8s.io/v1 CustomResourceColumnDefinition. */
export interface PrinterColumn {
  name: string;
  type: string;
  jsonPath: string;
  description: string;
  priority?: number;
}

/** What `x-backstay` says of a kind. */
interface KindFacts {
  plural: string;
  singular: string;
  shortNames: string[];
  scope: 'Namespaced' | 'Cluster';
  categories: string[];
  printerColumns: PrinterColumn[];
}

/** One kind of schemas/. */
export interface KindSource extends KindFacts {
  kind: string;
  description: string;
  /** The schema as written, with references. */
  source: SourceNode;
  /** The schema with every reference replaced by what it refers to. */
  schema: Schema;
}

/** Everything that is generated from. */
export interface Source {
  kinds: KindSource[];
  /** The shared types of common.json, as written. */
  shared: Record<string, SourceNode>;
}

// What a structural schema may hold. The API server accepts a CRD with const, if or $defs and then does not enforce them,
// so whatever is not named here is refused instead of dropped.
const KEYWORDS = new Set([
  'description',
  'type',
  'properties',
  'required',
  'additionalProperties',
  'items',
  'enum',
  'default',
  'nullable',
  'format',
  'pattern',
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
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-map-type',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-validations',
]);
const HEAD = new Set(['$schema', 'title', 'x-backstay']);
const FORMATS = new Set(['date-time', 'byte', 'int32', 'int64']);
const SHARED = 'common.json#/$defs/';

/**
 * Reads schemas/. Kinds come in the order of their names.
 *
 * @throws Error naming the file and the path of a node that a CRD cannot express
 */
export function readSource(folder: string): Source {
  const read = (file: string): Record<string, unknown> => JSON.parse(readFileSync(join(folder, file), 'utf8'));
  const shared = read('common.json').$defs as Record<string, SourceNode>;
  for (const [name, node] of Object.entries(shared)) checkNode(node, `common.json ${name}`);
  const kinds = readdirSync(folder)
    .filter((file) => file.endsWith('.json') && file !== 'common.json')
    .map((file) => {
      const document = read(file);
      const source = Object.fromEntries(Object.entries(document).filter(([key]) => !HEAD.has(key))) as SourceNode;
      checkNode(source, file);
      const schema = resolve(source, shared, file);
      return {
        ...(document['x-backstay'] as KindFacts),
        kind: String(document.title),
        description: source.description ?? '',
        source,
        schema,
      };
    })
    .sort((a, b) => (a.kind < b.kind ? -1 : 1));
  return { kinds, shared };
}

/** The name of the shared type that a node refers to, if it does. */
export function sharedName(node: SourceNode): string | undefined {
  return node.$ref?.slice(SHARED.length);
}

function checkNode(node: SourceNode, path: string): void {
  for (const key of Object.keys(node)) {
    if (key !== '$ref' && !KEYWORDS.has(key)) throw new Error(`${path}: a CRD cannot express the keyword ${key}`);
  }
  if (node.$ref !== undefined && !node.$ref.startsWith(SHARED)) {
    throw new Error(`${path}: $ref must start with ${SHARED}`);
  }
  if (node.$ref === undefined && typeof node.type !== 'string') throw new Error(`${path}: one type is required`);
  if (node.properties !== undefined && node.additionalProperties !== undefined) {
    throw new Error(`${path}: properties and additionalProperties exclude each other`);
  }
  if (node.additionalProperties !== undefined && typeof node.additionalProperties !== 'object') {
    throw new Error(`${path}: additionalProperties must be a schema`);
  }
  if (node.format !== undefined && !FORMATS.has(node.format)) {
    throw new Error(`${path}: the API server does not check the format ${node.format}`);
  }
  for (const name of node.required ?? []) {
    if (node.properties?.[name] === undefined) throw new Error(`${path}: required names ${name}, which is no property`);
  }
  for (const [name, child] of children(node)) checkNode(child, `${path}.${name}`);
}

function children(node: SourceNode): [string, SourceNode][] {
  const list = Object.entries(node.properties ?? {});
  if (node.items !== undefined) list.push(['items', node.items]);
  if (node.additionalProperties !== undefined) list.push(['*', node.additionalProperties]);
  return list;
}

/** Puts shared types in place of references; what stands beside a reference wins. */
function resolve(node: SourceNode, shared: Record<string, SourceNode>, path: string, seen: string[] = []): Schema {
  const { $ref, properties, items, additionalProperties, ...rest } = node;
  if ($ref !== undefined) {
    const name = $ref.slice(SHARED.length);
    const referred = shared[name];
    if (referred === undefined) throw new Error(`${path}: ${$ref} does not exist`);
    if (seen.includes(name)) throw new Error(`${path}: ${$ref} refers to itself`);
    return { ...resolve(referred, shared, path, [...seen, name]), ...rest };
  }
  const schema: Schema = { ...rest };
  if (properties !== undefined) {
    schema.properties = Object.fromEntries(
      Object.entries(properties).map(([name, child]) => [name, resolve(child, shared, `${path}.${name}`, seen)]),
    );
  }
  if (items !== undefined) schema.items = resolve(items, shared, `${path}[]`, seen);
  if (additionalProperties !== undefined) {
    schema.additionalProperties = resolve(additionalProperties, shared, `${path}.*`, seen);
  }
  return schema;
}
