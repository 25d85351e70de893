import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  Scalar,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { BackstayError } from '../../api/errors.ts';
import { plainScalar, type ScalarValue, taggedScalar } from './scalar.ts';

/** A value that JSON can hold. */
export type JSONValue = ScalarValue | JSONValue[] | { [key: string]: JSONValue };

/** A place in a text, both numbers from 1. */
export interface Position {
  line: number;
  column: number;
}

/** What a text may ask of its reader. */
export interface YAMLLimits {
  /** Documents in one text. */
  documents: number;
  /** Values in one document, each alias counted with all that it stands for. */
  values: number;
  /** How deep lists and maps may nest. */
  depth: number;
}

const MERGE = '<<';

/** A value and how many values it holds, itself included. */
interface Read {
  value: JSONValue;
  size: number;
}

/** Makes plain values of one document's nodes; what an alias stands for is read once and copied. */
export class NodeReader {
  readonly #limits: YAMLLimits;
  readonly #at: (offset: number) => Position;
  // An anchor may be given twice; an alias means the last one before it, so the order of reading is the order of the text.
  readonly #anchors = new Map<string, Node>();
  readonly #done = new Map<Node, Read>();
  #offset = 0;

  constructor(limits: YAMLLimits, at: (offset: number) => Position) {
    this.#limits = limits;
    this.#at = at;
  }

  /** The place of the node that was read last: that of the problem, after one was thrown. */
  get where(): Position {
    return this.#at(this.#offset);
  }

  read(node: Node, depth: number): Read {
    this.#offset = node.range?.[0] ?? this.#offset;
    if (depth > this.#limits.depth) throw invalid('it is nested too deeply');
    if (isAlias(node)) return this.#alias(node);

    const anchor = (node as Scalar).anchor;
    if (anchor !== undefined) this.#anchors.set(anchor, node);
    const read = this.#collection(node, depth);
    if (read.size > this.#limits.values) throw invalid(`it holds more than ${this.#limits.values} values`);
    if (anchor !== undefined) this.#done.set(node, read);
    return read;
  }

  #alias(alias: Alias): Read {
    const node = this.#anchors.get(alias.source);
    if (node === undefined) throw invalid(`the anchor ${alias.source} is not known here`);
    const read = this.#done.get(node);
    if (read === undefined) throw invalid(`the anchor ${alias.source} holds itself`);
    return { value: structuredClone(read.value), size: read.size };
  }

  #collection(node: Node, depth: number): Read {
    if (isScalar(node)) return { value: scalar(node), size: 1 };
    if (node.tag !== undefined && !/^(!|tag:yaml\.org,2002:(map|seq))$/.test(node.tag))
      throw invalid(`the tag ${node.tag} is not one that Kubernetes knows`);
    if (isSeq(node)) return this.#sequence(node, depth);
    if (isMap(node)) return this.#map(node, depth);
    throw invalid('it is neither a value, a list nor a map');
  }

  #sequence(node: YAMLSeq, depth: number): Read {
    const value: JSONValue[] = [];
    let size = 1;
    for (const item of node.items) {
      const read = this.read(item as Node, depth + 1);
      value.push(read.value);
      size += read.size;
      // Checked as it grows: copies of copies must not be made first and counted later.
      if (size > this.#limits.values) break;
    }
    return { value, size };
  }

  #map(node: YAMLMap, depth: number): Read {
    const value: { [key: string]: JSONValue } = {};
    const written = new Set<string>();
    let size = 1;
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      if (isMerge(pair.key)) {
        size += this.#merge(pair, value, written, depth);
        continue;
      }
      const key = this.#key(pair.key);
      const read = pair.value === null ? { value: null, size: 1 } : this.read(pair.value, depth + 1);
      this.#offset = pair.key.range?.[0] ?? this.#offset;
      if (written.has(key)) throw invalid(`the key ${key} is there twice`);
      written.add(key);
      value[key] = read.value;
      size += read.size;
      if (size > this.#limits.values) break;
    }
    return { value, size };
  }

  /** `<<`: keys of other maps, which the map's own override and earlier ones of a list override. */
  #merge(
    pair: Pair<Node, Node | null>,
    into: { [key: string]: JSONValue },
    written: Set<string>,
    depth: number,
  ): number {
    const read = pair.value === null ? { value: null, size: 1 } : this.read(pair.value, depth + 1);
    this.#offset = pair.key.range?.[0] ?? this.#offset;
    const maps = Array.isArray(read.value) ? read.value : [read.value];
    for (const map of maps) {
      if (typeof map !== 'object' || map === null || Array.isArray(map))
        throw invalid('<< takes a map or a list of maps');
      for (const [key, value] of Object.entries(map)) {
        // Readers of Kubernetes' tools disagree about which of the two counts here.
        if (written.has(key)) throw invalid(`the key ${key} stands before the << that has it too; put << first`);
        if (!Object.hasOwn(into, key)) into[key] = value;
      }
    }
    return read.size;
  }

  #key(node: Node): string {
    this.#offset = node.range?.[0] ?? this.#offset;
    const target = isAlias(node) ? this.#alias(node).value : isScalar(node) ? scalar(node) : undefined;
    if (isScalar(node) && node.anchor !== undefined) {
      this.#anchors.set(node.anchor, node);
      this.#done.set(node, { value: scalar(node), size: 1 });
    }
    if (target === undefined || target === null || typeof target === 'object')
      throw invalid('a key is neither text, a number nor true or false');
    const key = String(target);
    // An assignment to it would change the map's prototype instead.
    if (key === '__proto__') throw invalid('the key __proto__ is not allowed');
    return key;
  }
}

function isMerge(key: Node): boolean {
  return isScalar(key) && key.type === Scalar.PLAIN && key.tag === undefined && key.value === MERGE;
}

function scalar(node: Scalar): ScalarValue {
  const text = String(node.value ?? '');
  if (node.tag !== undefined) return taggedScalar(node.tag, text);
  return node.type === Scalar.PLAIN ? plainScalar(text) : text;
}

function invalid(message: string): BackstayError {
  return new BackstayError('InvalidYAML', message);
}
