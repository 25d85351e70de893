import { API_GROUP } from '../api/group.ts';
import { isRecord } from '../api/json.ts';
import type { KubeObject } from '../api/meta.ts';
import type { Position } from '../gitops/read/node-reader.ts';
import { parseFieldPath } from '../gitops/read/objects.ts';
import { locate, readYAML, type ValuePath } from '../gitops/read/yaml.ts';
import type { InputFile } from './files.ts';
import type { Finding } from './report.ts';

/** An object of a file. Only its group is known: whatever else it claims may be wrong. */
export interface WrittenObject {
  readonly object: KubeObject;
  readonly file: string;
  /** Whether it is one of Backstay's. */
  readonly ours: boolean;
  /** Where a field stands, or the nearest of those around it. */
  at(field: string): Position;
}

/** Reads the objects of a file; the items of a List are objects of their own. */
export function readWritten({ path, content }: InputFile): { objects: WrittenObject[]; findings: Finding[] } {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch {
    return { objects: [], findings: [unreadable(path, { line: 1, column: 1 }, 'it is not text in UTF-8')] };
  }
  const { documents, problems } = readYAML(text);
  const findings = problems.map(({ message, ...place }) => unreadable(path, place, message));
  const objects: WrittenObject[] = [];
  for (const { index, value, start } of documents) {
    const add = (candidate: unknown, prefix: ValuePath): void => {
      const at = (field: string): Position => place(text, index, [...prefix, ...parseFieldPath(field)], start);
      if (!isRecord(candidate))
        findings.push(unreadable(path, at(''), 'it is no object: a map with apiVersion and kind'));
      else if (isList(candidate))
        for (const [item, one] of candidate.items.entries()) add(one, [...prefix, 'items', item]);
      else objects.push({ object: candidate as unknown as KubeObject, file: path, ours: isOurs(candidate), at });
    };
    add(value, []);
  }
  return { objects, findings };
}

function place(text: string, document: number, path: ValuePath, start: Position): Position {
  if (path.length === 0) return start;
  try {
    return locate(text, document, path);
  } catch {
    return start;
  }
}

function isOurs({ apiVersion }: Record<string, unknown>): boolean {
  return typeof apiVersion === 'string' && apiVersion.split('/')[0] === API_GROUP;
}

function isList(value: Record<string, unknown>): value is { items: unknown[] } {
  return typeof value.kind === 'string' && value.kind.endsWith('List') && Array.isArray(value.items);
}

function unreadable(file: string, { line, column }: Position, message: string): Finding {
  return { level: 'error', file, line, column, reason: 'InvalidYAML', message };
}
