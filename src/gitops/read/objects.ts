import { joinPath } from '../../api/causes.ts';
import { isRecord } from '../../api/json.ts';
import type { KubeObject } from '../../api/meta.ts';
import type { JSONValue, Position } from './node-reader.ts';
import { locate, readYAML, type ValuePath } from './yaml.ts';

/** A file of a policy repository, its path relative to the repository's root. */
export interface SourceFile {
  path: string;
  /** What names the content: the same for the same bytes. */
  oid: string;
  content: Uint8Array;
}

/** Where an object was written. */
export interface ObjectSource {
  readonly file: string;
  /** The line it begins at. */
  readonly line: number;
  /** Where one of its values stands, or the nearest of its parents. */
  locate(path: ValuePath): Position;
}

/** An object as it was written: its kind is known and it has a name, nothing else was checked. */
export interface SourceObject {
  readonly object: KubeObject;
  readonly source: ObjectSource;
  /** What a tool made the object of: it as it was written, and all objects of that file. The object itself was written, without it. */
  readonly written?: { readonly own: KubeObject; readonly file: readonly KubeObject[] };
}

/** Something wrong in a policy repository, in the shape of PolicySync's `status.failures`. */
export interface Failure {
  file?: string;
  line?: number;
  /** kind/namespace/name, or kind/name. */
  object?: string;
  field?: string;
  message: string;
}

const LFS_POINTER = 'version https://git-lfs.github.com/spec/';
const YAML_FILE = /\.(ya?ml|json)$/i;

/** Whether a file is one that policies are read from: YAML or JSON, and neither its name nor a folder's begins with a dot. */
export function isPolicyFile(path: string): boolean {
  return YAML_FILE.test(path) && !path.split('/').some((part) => part.startsWith('.'));
}

/** Reads the objects of one file; the items of a List count as objects of their own. */
export function readObjects({ path, content }: Pick<SourceFile, 'path' | 'content'>): {
  objects: SourceObject[];
  failures: Failure[];
} {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch {
    return { objects: [], failures: [{ file: path, line: 1, message: 'It is not text in UTF-8' }] };
  }
  if (text.startsWith(LFS_POINTER)) {
    const message = 'It is a Git LFS pointer, not the file itself; store policies in the repository without LFS';
    return { objects: [], failures: [{ file: path, line: 1, message }] };
  }

  const { documents, problems } = readYAML(text);
  const objects: SourceObject[] = [];
  const failures: Failure[] = problems.map(({ line, message }) => ({
    file: path,
    line,
    message: `Cannot read the YAML: ${message}`,
  }));
  for (const { index, value, start } of documents) {
    const at = (steps: ValuePath): Position => {
      try {
        return locate(text, index, steps);
      } catch {
        return start;
      }
    };
    collect(value, [], { path, start, at, objects, failures });
  }
  return { objects, failures };
}

interface Collector {
  path: string;
  start: Position;
  at(steps: ValuePath): Position;
  objects: SourceObject[];
  failures: Failure[];
}

/** Adds the objects of a document, or why it is none. */
function collect(value: JSONValue, prefix: ValuePath, into: Collector): void {
  const wrong = complaint(value, prefix);
  if (wrong !== undefined) {
    const { steps, message } = wrong;
    const field = steps.reduce(joinPath, '');
    const { line } = into.at([...prefix, ...steps]);
    into.failures.push({ file: into.path, line, ...(field === '' ? {} : { field }), message });
    return;
  }
  const { items } = value as { items?: JSONValue };
  if (isList(value) && Array.isArray(items)) {
    for (const [index, item] of items.entries()) collect(item, ['items', index], into);
    return;
  }
  into.objects.push({
    object: value as unknown as KubeObject,
    source: {
      file: into.path,
      line: (prefix.length === 0 ? into.start : into.at(prefix)).line,
      locate: (steps) => into.at([...prefix, ...steps]),
    },
  });
}

/** What keeps a value from being an object with a kind and a name. */
function complaint(value: JSONValue, prefix: ValuePath): { steps: string[]; message: string } | undefined {
  if (!isRecord(value)) {
    return {
      steps: [],
      message: 'It is not an object of Kubernetes: a map with apiVersion, kind and metadata is needed',
    };
  }
  const { apiVersion, kind, metadata } = value;
  if (typeof apiVersion !== 'string' || apiVersion === '')
    return { steps: ['apiVersion'], message: 'apiVersion is missing or not text' };
  if (typeof kind !== 'string' || kind === '') return { steps: ['kind'], message: 'kind is missing or not text' };
  if (isList(value)) return prefix.length === 0 ? undefined : { steps: [], message: 'A List cannot hold a List' };
  if (!isRecord(metadata)) return { steps: ['metadata'], message: 'metadata is missing' };
  const { name, namespace } = metadata;
  if (name === undefined || name === '') return { steps: ['metadata', 'name'], message: 'metadata.name is missing' };
  if (typeof name !== 'string')
    return { steps: ['metadata', 'name'], message: 'metadata.name is not text; put it in quotes' };
  if (namespace !== undefined && typeof namespace !== 'string') {
    return { steps: ['metadata', 'namespace'], message: 'metadata.namespace is not text; put it in quotes' };
  }
  return undefined;
}

function isList(value: JSONValue): boolean {
  return isRecord(value) && typeof value.kind === 'string' && value.kind.endsWith('List') && Array.isArray(value.items);
}

/** The steps of a path as validation reports it: the inverse of `joinPath`. */
export function parseFieldPath(field: string): (string | number)[] {
  const steps: (string | number)[] = [];
  for (const [, index, key, name] of field.matchAll(/\[(\d+)\]|\[([^\]]*)\]|([^.[\]]+)/g)) {
    steps.push(index === undefined ? (key ?? name ?? '') : Number(index));
  }
  return steps;
}

/** A failure about an object, at the place of one of its fields. */
export function failureAt({ object, source }: SourceObject, field: string, message: string): Failure {
  const line = field === '' ? source.line : source.locate(parseFieldPath(field)).line;
  return { file: source.file, line, object: objectLabel(object), ...(field === '' ? {} : { field }), message };
}

/** kind/namespace/name, or kind/name of what has no namespace. */
export function objectLabel({ kind, metadata }: KubeObject): string {
  return [kind, metadata.namespace, metadata.name].filter((part) => part !== undefined && part !== '').join('/');
}
