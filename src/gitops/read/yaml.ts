import { type Document, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments, Scalar } from 'yaml';
import { describeError } from '../../api/errors.ts';
import { type JSONValue, NodeReader, type Position, type YAMLLimits } from './node-reader.ts';

/** The keys and indices that lead to a value. */
export type ValuePath = readonly (string | number)[];

/** One document of a YAML stream. */
export interface YAMLDocument {
  /** Counted from 0, empty documents included. */
  readonly index: number;
  readonly value: JSONValue;
  readonly start: Position;
}

/** Something in a text that cannot be read. */
export interface YAMLProblem extends Position {
  message: string;
}

/** Far more than a policy needs, far less than hurts. */
export const YAML_LIMITS: YAMLLimits = { documents: 2000, values: 50_000, depth: 64 };

const OTHER_LINE_BREAKS = /[\u0085\u2028\u2029]/;

/**
 * Reads a YAML (or JSON) stream as sigs.k8s.io/yaml would, so that it means here what it means to kubectl, Flux and Argo CD.
 *
 * Duplicate keys are refused, empty documents are left out, and every problem names its place. A problem in one document does not hide
 * those of the next.
 */
export function readYAML(
  text: string,
  limits: YAMLLimits = YAML_LIMITS,
): { documents: YAMLDocument[]; problems: YAMLProblem[] } {
  const separator = OTHER_LINE_BREAKS.exec(text);
  if (separator !== null) {
    const before = text.slice(0, separator.index);
    const place = { line: before.split('\n').length, column: before.length - before.lastIndexOf('\n') };
    return unreadable('it holds a line break (NEL, LS or PS) that YAML 1.1 and 1.2 read differently', place);
  }
  let tree: Composed;
  try {
    tree = composed(text);
  } catch (error) {
    // The library recurses: a thousand brackets in a row end its stack.
    return unreadable(error instanceof RangeError ? 'it is nested too deeply' : describeError(error));
  }
  const { documents: parsed, lines } = tree;
  if (parsed.length > limits.documents) {
    return unreadable(`it holds ${parsed.length} documents, more than the ${limits.documents} that one file may hold`);
  }

  const documents: YAMLDocument[] = [];
  const problems: YAMLProblem[] = [];
  const at = (offset: number): Position => positionOf(lines, offset);
  for (const [index, document] of parsed.entries()) {
    const errors = document.errors.map((error) => ({ ...at(error.pos[0]), message: sentence(error.message) }));
    if (document.directives?.yaml.explicit === true && document.directives.yaml.version !== '1.1') {
      errors.push({
        ...at(document.range?.[0] ?? 0),
        message: `its directive says YAML ${document.directives.yaml.version}, which kubectl refuses`,
      });
    }
    if (errors.length > 0) {
      problems.push(...errors);
      continue;
    }
    if (isEmpty(document)) continue;

    const reader = new NodeReader(limits, at);
    try {
      const node = document.contents as Node;
      documents.push({ index, value: reader.read(node, 0).value, start: at(node.range?.[0] ?? 0) });
    } catch (error) {
      problems.push({
        ...reader.where,
        message: error instanceof RangeError ? 'it is nested too deeply' : describeError(error),
      });
    }
  }
  return { documents, problems };
}

/**
 * Where a value stands in the text that it was read from: the nearest of its parents that is written there, when it came through a
 * merge key or is missing.
 *
 * It may have to parse the text again: places are asked for when something is wrong, and keeping every tree in memory for that would
 * cost more. The tree of the last text is kept, for whoever asks for one place in it asks for others.
 */
export function locate(text: string, document: number, path: ValuePath): Position {
  const { documents, lines } = composed(text);
  const node = documents[document]?.contents;
  let offset = node?.range?.[0] ?? 0;
  let parent: unknown = node;
  for (const step of path) {
    const found = child(parent, step);
    if (found === undefined) break;
    offset = found.offset;
    parent = found.value;
  }
  return positionOf(lines, offset);
}

function unreadable(message: string, place: Position = { line: 1, column: 1 }): ReturnType<typeof readYAML> {
  return { documents: [], problems: [{ ...place, message }] };
}

function positionOf(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

interface Composed {
  text: string;
  documents: Document[];
  lines: LineCounter;
}

let last: WeakRef<Composed> | undefined;

/** The tree of a text, parsed unless it is the one that was asked for last. */
function composed(text: string): Composed {
  const known = last?.deref();
  if (known?.text === text) return known;
  const lines = new LineCounter();
  const fresh = { text, documents: compose(text, lines), lines };
  // Weak: once nobody reads or reports any more, the memory is free again.
  last = new WeakRef(fresh);
  return fresh;
}

function compose(text: string, lineCounter: LineCounter): Document[] {
  // `failsafe` leaves every scalar as text: what it means is decided here. Keys are compared here too, in less than quadratic time.
  const parsed = parseAllDocuments(text, {
    schema: 'failsafe',
    lineCounter,
    prettyErrors: false,
    uniqueKeys: false,
    logLevel: 'silent',
  });
  return Array.isArray(parsed) ? parsed : [];
}

function isEmpty(document: Document): boolean {
  const node = document.contents;
  return (
    node === null || (isScalar(node) && node.type === Scalar.PLAIN && node.tag === undefined && node.source === '')
  );
}

function child(parent: unknown, step: string | number): { offset: number; value: unknown } | undefined {
  if (isSeq(parent) && typeof step === 'number') {
    const item = parent.items[step] as Node | undefined;
    return item === undefined || item === null ? undefined : { offset: item.range?.[0] ?? 0, value: item };
  }
  if (!isMap(parent)) return undefined;
  const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
  if (pair === undefined) return undefined;
  // The key's place, not the value's: a block under it starts a line too late.
  return { offset: (pair.key as Scalar).range?.[0] ?? 0, value: pair.value };
}

function sentence(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}
