import type { Built } from '../kustomize/built.ts';
import type { Failure, SourceFile } from '../read/objects.ts';
import type { Commit } from './commit.ts';
import type { History } from './history.ts';
import type { Revision } from './reference.ts';

/** A file whose content is not read: whoever asks knows by its name what it holds. */
export type KnownFile = Omit<SourceFile, 'content'> & { content?: never };
/** Asked before a file is read; nothing is known, unless given. */
export type IsKnown = (file: KnownFile) => boolean;

/** What a commit holds, as far as policies are concerned. */
export interface Snapshot {
  revision: Revision;
  commit: Commit;
  history: History;
  /** The keys that signed it, for people; undefined when no signature was asked for. */
  verified: string | undefined;
  files: (SourceFile | KnownFile)[];
  /** What kustomize made, instead of files, when the folder has a kustomization. */
  built?: Built | undefined;
  /** What cannot be read for what it is: links, submodules, files that are too large. */
  failures: Failure[];
}

/** Where policies come from. The reconciler knows no more of it than this. */
export interface Source {
  /** Which commit is followed now: asks the server, transfers nothing. */
  head(signal: AbortSignal): Promise<Revision>;
  /**
   * The policies of that commit. The answer's revision is what was read: a branch may have moved meanwhile.
   * @param path folder in the repository, as spec.path says it
   */
  read(revision: Revision, path: string | undefined, signal: AbortSignal, isKnown?: IsKnown): Promise<Snapshot>;
  /** Gives back what was opened: key files. The copy of the repository stays for the next time. */
  close(): Promise<void>;
}
