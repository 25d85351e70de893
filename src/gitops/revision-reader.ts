import { setImmediate } from 'node:timers/promises';
import type { PolicySync } from '../api/generated/types.ts';
import { type DesiredOptions, desiredObjects } from './desired.ts';
import { readBuilt } from './kustomize/built.ts';
import { type DesiredObject, Preparations } from './prepare.ts';
import { type Failure, readObjects, type SourceObject } from './read/objects.ts';
import type { Commit } from './source/commit.ts';
import type { History } from './source/history.ts';
import { formatRevision, type Revision } from './source/reference.ts';
import type { Source } from './source/source.ts';
import type { Verification } from './source/verify.ts';
import { Verdicts } from './verdicts.ts';

/** A commit as far as a PolicySync is concerned: read, judged, ready to be planned. */
export interface ReadRevision {
  /** `main@sha1:…` */
  revision: string;
  commit: Commit;
  /** How it relates to the revision that was applied when it was read. */
  history: History;
  /** The keys that signed it, for people; undefined when no signature was asked for. */
  verified: string | undefined;
  objects: DesiredObject[];
  /** With any of these nothing of the commit may be applied. */
  failures: Failure[];
}

/**
 * Reads what a PolicySync follows, and remembers it: while the commit stays the same, neither transfer nor parsing is needed to look
 * for drift.
 */
export class RevisionReader {
  readonly #read = new Map<string, { key: string; result: ReadRevision }>();
  /** What each file of the last commit held, and what was said about its objects: most files are the same in the next one. */
  readonly #files = new Map<string, ReadonlyMap<string, ReturnType<typeof readObjects>>>();
  readonly #judged = new Map<string, { verdicts: Verdicts; preparations: Preparations }>();

  /** @param id of the PolicySync, its uid */
  async read(
    id: string,
    source: Source,
    { spec }: PolicySync,
    options: DesiredOptions,
    verification: Verification | undefined,
    signal: AbortSignal,
  ): Promise<ReadRevision> {
    // Everything that the result depends on.
    const keyOf = ({ oid, label, tag }: Revision): string =>
      JSON.stringify([oid, label, tag, spec.path, options.mark, options.namespace, options.decryption, verification]);
    const head = await source.head(signal);
    const known = this.#read.get(id);
    if (known !== undefined && known.key === keyOf(head)) return known.result;

    const former = this.#files.get(id);
    const nameOf = ({ oid, path }: { oid: string; path: string }): string => `${oid} ${path}`;
    const snapshot = await source.read(head, spec.path, signal, (file) => former?.has(nameOf(file)) === true);
    const objects: SourceObject[] = [];
    const failures: Failure[] = [...snapshot.failures];
    const files = new Map<string, ReturnType<typeof readObjects>>();
    for (const file of snapshot.files) {
      const read = file.content === undefined ? former?.get(nameOf(file)) : readObjects(file);
      if (read === undefined) throw new TypeError(`${file.path} was not read`);
      files.set(nameOf(file), read);
      objects.push(...read.objects);
      failures.push(...read.failures);
      if (file.content === undefined) continue;
      // Parsing holds the only thread; everything else in this process gets its turn between two files.
      await setImmediate();
      signal.throwIfAborted();
    }
    if (snapshot.built !== undefined) {
      const read = readBuilt(snapshot.built);
      objects.push(...read.objects);
      failures.push(...read.failures);
    }
    this.#files.set(id, files);
    const judged = this.#judged.get(id) ?? { verdicts: new Verdicts(), preparations: new Preparations() };
    this.#judged.set(id, judged);
    const desired = desiredObjects(objects, { ...options, ...judged });
    const result = {
      revision: formatRevision(snapshot.revision),
      commit: snapshot.commit,
      history: snapshot.history,
      verified: snapshot.verified,
      objects: desired.objects,
      failures: [...failures, ...desired.failures],
    };
    this.#read.set(id, { key: keyOf(snapshot.revision), result });
    return result;
  }

  forget(id: string): void {
    this.#read.delete(id);
    this.#files.delete(id);
    this.#judged.delete(id);
  }
}
