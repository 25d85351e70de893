import { posix } from 'node:path';
import { BackstayError } from '../../api/errors.ts';
import { isRecord } from '../../api/json.ts';
import type { Failure } from '../read/objects.ts';
import { locate, readYAML, type ValuePath } from '../read/yaml.ts';
import { fieldOf, KUSTOMIZATION_NAMES, partsOf } from './kustomization.ts';

/** A file of the commit: its id and size, or what else stands at that path. */
export type Entry = { kind: 'file'; oid: string; bytes: number } | { kind: 'link' | 'submodule' };

/** The commit, as far as gathering is concerned. */
export interface Commit {
  /** By path from the repository's root. */
  entries: ReadonlyMap<string, Entry>;
  /** The contents of files by their ids. */
  read(oids: readonly string[]): Promise<ReadonlyMap<string, Buffer>>;
}

export interface GatherLimits {
  /** Files that are read for one build, each as often as something refers to it. */
  files: number;
  fileBytes: number;
  totalBytes: number;
}

/** Kustomizations that one build may visit: bases of bases can double with every level. */
const MAX_VISITS = 1000;

/** Everything that kustomize needs, and nothing else of the commit. */
export interface Gathered {
  /** Contents by path from the repository's root. */
  files: Map<string, Buffer>;
  failures: Failure[];
}

/** The kustomization of a folder, if it has one. */
export function kustomizationIn(folder: string, has: (path: string) => boolean): string | undefined {
  return KUSTOMIZATION_NAMES.map((name) => posix.join(folder, name)).find(has);
}

/**
 * Follows a kustomization to all that it is made of, inside the repository.
 *
 * What leads out of the repository, is a link, is not there, or refers to itself is a failure with its place.
 *
 * @param start path of the kustomization
 * @throws BackstayError RepositoryTooLarge
 */
export async function gather(start: string, commit: Commit, limits: GatherLimits): Promise<Gathered> {
  const walk = new Walk(commit, limits);
  return walk.from(start);
}

interface Visit {
  kustomization: string;
  /** The kustomizations on the way here, itself included. */
  trail: readonly string[];
}

class Walk {
  readonly #commit: Commit;
  readonly #limits: GatherLimits;
  readonly #files = new Map<string, Buffer>();
  readonly #leaves = new Set<string>();
  readonly #failures = new Map<string, Failure>();
  #visits = 0;
  #uses = 0;
  #bytes = 0;

  constructor(commit: Commit, limits: GatherLimits) {
    this.#commit = commit;
    this.#limits = limits;
  }

  async from(start: string): Promise<Gathered> {
    // Level by level: each takes one question to git, however many kustomizations are in it.
    let level: Visit[] = this.#use(start) ? [{ kustomization: start, trail: [start] }] : [];
    while (level.length > 0) {
      await this.#load(level.map(({ kustomization }) => kustomization));
      const next: Visit[] = [];
      for (const visit of level) next.push(...this.#visit(visit));
      level = next;
    }
    await this.#load([...this.#leaves]);
    return { files: this.#files, failures: [...this.#failures.values()] };
  }

  #visit({ kustomization, trail }: Visit): Visit[] {
    this.#visits += 1;
    if (this.#visits > MAX_VISITS) throw tooLarge(`it visits more than ${MAX_VISITS} kustomizations`);
    const text = this.#files.get(kustomization)?.toString('utf8') ?? '';
    const { documents, problems } = readYAML(text);
    const fail = (line: number, message: string, field = ''): void => {
      const failure = { file: kustomization, line, ...(field === '' ? {} : { field }), message };
      this.#failures.set(JSON.stringify(failure), failure);
    };
    for (const { line, message } of problems) fail(line, `Cannot read the YAML: ${message}`);
    const [document] = documents;
    if (problems.length > 0 || document === undefined) return [];
    if (!isRecord(document.value) || documents.length > 1) {
      fail(1, 'It is not one map of fields, as a kustomization is');
      return [];
    }
    const failAt = (at: ValuePath, message: string): void =>
      fail(locate(text, document.index, at).line, message, fieldOf(at));
    const { parts, refusals } = partsOf(document.value);
    for (const { at, message } of refusals) failAt(at, message);
    const next: Visit[] = [];
    for (const { at, path, mayBeFolder } of parts) {
      const target = posix.join(posix.dirname(kustomization), path).replace(/\/$/, '');
      const nested = mayBeFolder ? kustomizationIn(target, (one) => this.#commit.entries.has(one)) : undefined;
      const file = this.#commit.entries.has(target) ? target : nested;
      const complaint = this.#complaint(target, file);
      if (complaint !== undefined || file === undefined) failAt(at, `${path} ${complaint}`);
      else if (file === target) {
        if (this.#use(file)) this.#leaves.add(file);
      } else if (trail.includes(file)) failAt(at, `${path} leads back here: ${[...trail, file].join(' → ')}`);
      else if (this.#use(file)) next.push({ kustomization: file, trail: [...trail, file] });
    }
    return next;
  }

  /** Why nothing can be read there, undefined when it can. */
  #complaint(target: string, file: string | undefined): string | undefined {
    if (target === '..' || target.startsWith('../')) return 'leads out of the repository';
    const entry = file === undefined ? undefined : this.#commit.entries.get(file);
    if (entry === undefined) return this.#isFolder(target) ? 'is a folder without a kustomization' : this.#why(target);
    if (entry.kind === 'link') return 'is a symbolic link; write the file itself';
    return entry.kind === 'submodule' ? 'is a submodule; add its files to this repository' : undefined;
  }

  #isFolder(target: string): boolean {
    const prefix = target === '.' ? '' : `${target}/`;
    return [...this.#commit.entries.keys()].some((path) => path.startsWith(prefix));
  }

  #why(target: string): string {
    for (let parent = posix.dirname(target); parent !== '.'; parent = posix.dirname(parent)) {
      const kind = this.#commit.entries.get(parent)?.kind;
      if (kind === 'link') return `lies behind the symbolic link ${parent}`;
      if (kind === 'submodule') return `lies in the submodule ${parent}`;
    }
    return 'is not in this commit';
  }

  /** Counts another use of a file; false when there is no such file. */
  #use(path: string): boolean {
    const entry = this.#commit.entries.get(path);
    if (entry?.kind !== 'file') return false;
    if (entry.bytes > this.#limits.fileBytes)
      throw tooLarge(`${path} holds ${entry.bytes} bytes, more than ${this.#limits.fileBytes}`);
    this.#uses += 1;
    this.#bytes += entry.bytes;
    if (this.#uses > this.#limits.files) throw tooLarge(`it refers to files more than ${this.#limits.files} times`);
    if (this.#bytes > this.#limits.totalBytes)
      throw tooLarge(`what it refers to holds more than ${this.#limits.totalBytes} bytes`);
    return true;
  }

  async #load(paths: readonly string[]): Promise<void> {
    const wanted = new Map<string, string>();
    for (const path of paths) {
      const entry = this.#commit.entries.get(path);
      if (entry?.kind === 'file' && !this.#files.has(path)) wanted.set(path, entry.oid);
    }
    const contents = await this.#commit.read([...new Set(wanted.values())]);
    for (const [path, oid] of wanted) this.#files.set(path, contents.get(oid) ?? Buffer.alloc(0));
  }
}

function tooLarge(what: string): BackstayError {
  return new BackstayError('RepositoryTooLarge', `The kustomization is too large: ${what}`, {
    remedy: 'split it, and follow each part with a PolicySync of its own',
  });
}
