import { BackstayError } from '../../api/errors.ts';
import type { Entry } from '../kustomize/gather.ts';
import { type Failure, isPolicyFile } from '../read/objects.ts';

/** A blob of a commit, its path relative to the repository's root. */
export interface TreeEntry {
  path: string;
  oid: string;
  bytes: number;
}

/** How much one commit may ask of its reader. */
export interface SourceLimits {
  /** Policy files. */
  files: number;
  /** Bytes of one policy file. */
  fileBytes: number;
  /** Bytes of all policy files. */
  totalBytes: number;
  /** Folders on the way to a file. */
  depth: number;
  /** Bytes that a fetch may take on disk. */
  packBytes: number;
}

export const SOURCE_LIMITS: SourceLimits = {
  files: 10_000,
  fileBytes: 1 << 20,
  totalBytes: 32 << 20,
  depth: 32,
  packBytes: 256 << 20,
};

const SYMLINK = '120000';
const SUBMODULE = '160000';
const CONTROL = /\p{Cc}/u;
const KUSTOMIZATION = /(^|\/)(kustomization\.ya?ml|Kustomization)$/;
const UNREADABLE = /[\p{Cc}\uFFFD]/u;

/**
 * The policy files of a tree. Symbolic links and submodules are refused wherever they stand, because what they would stand for is not
 * in this commit; files that are no policies are passed over.
 *
 * @param listing `ls-tree -r -z -l`, decoded: what was not UTF-8 in a name is U+FFFD
 * @param prefix folder that the listing is relative to, empty or ending in a slash
 */
export function readTree(
  listing: string,
  prefix: string,
  limits: SourceLimits,
): { entries: TreeEntry[]; failures: Failure[] } {
  const entries: TreeEntry[] = [];
  const failures: Failure[] = [];
  let total = 0;
  for (const { mode, oid, bytes, name } of recordsOf(listing)) {
    const path = prefix + name;
    if (mode === SYMLINK) failures.push({ file: shown(path), message: 'It is a symbolic link; write the file itself' });
    else if (mode === SUBMODULE)
      failures.push({
        file: shown(path),
        message: 'It is a submodule; add its policies to this repository, or follow it with a PolicySync of its own',
      });
    else if (isPolicyFile(path)) {
      const problem = complaint(path, bytes, limits);
      if (problem !== undefined) {
        failures.push({ file: shown(path), message: problem });
        continue;
      }
      total += bytes;
      entries.push({ path, oid, bytes });
    }
  }
  if (entries.length > limits.files)
    throw tooLarge(`it holds ${entries.length} policy files, more than ${limits.files}`);
  if (total > limits.totalBytes) throw tooLarge(`its policy files hold ${total} bytes, more than ${limits.totalBytes}`);
  return { entries, failures };
}

/** Everything in a tree by its path: what kustomize may be given. @param listing as `readTree` takes it, of the whole commit */
export function entriesOf(listing: string): Map<string, Entry> {
  const kindOf = (mode: string): 'link' | 'submodule' | 'file' =>
    mode === SYMLINK ? 'link' : mode === SUBMODULE ? 'submodule' : 'file';
  return new Map(
    [...recordsOf(listing)].flatMap(({ mode, oid, bytes, name }) => {
      const kind = kindOf(mode);
      // What cannot be named in a file cannot be meant by one.
      return UNREADABLE.test(name) ? [] : [[name, kind === 'file' ? { kind, oid, bytes } : { kind }] as const];
    }),
  );
}

function* recordsOf(listing: string): Generator<{ mode: string; oid: string; bytes: number; name: string }> {
  for (const record of listing.split('\0')) {
    if (record === '') continue;
    const match = /^(\d{6}) (\w+) ([0-9a-f]{40}(?:[0-9a-f]{24})?) +(\d+|-)\t([\s\S]+)$/.exec(record);
    if (match === null) throw new BackstayError('GitFailed', 'Cannot read the listing of a commit');
    const [, mode = '', , oid = '', size = '', name = ''] = match;
    yield { mode, oid, bytes: Number(size), name };
  }
}

/** A folder as spec.path says it, without `./` and slashes at its ends. Fails with `InvalidPath` for one that leaves the repository. */
export function folderOf(path: string | undefined): string {
  const parts = (path ?? '').split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || CONTROL.test(path ?? '')) {
    throw new BackstayError('InvalidPath', 'spec.path leads out of the repository', {
      remedy: 'write it relative to the root of the repository',
    });
  }
  return parts.join('/');
}

/** Why a file cannot be read as a policy, by its name and size; undefined when it can. */
function complaint(path: string, bytes: number, limits: SourceLimits): string | undefined {
  if (UNREADABLE.test(path)) return 'Its name holds control characters or is not UTF-8; rename it';
  if (KUSTOMIZATION.test(path))
    return 'It is for kustomize, which builds the folder that spec.path names and no folder inside it; set spec.path to its folder';
  return oversize(path, bytes, limits);
}

function oversize(path: string, bytes: number, limits: SourceLimits): string | undefined {
  if (bytes > limits.fileBytes)
    return `It holds ${bytes} bytes, more than the ${limits.fileBytes} that a policy file may hold; split it`;
  const folders = path.split('/').length - 1;
  return folders > limits.depth ? `It lies ${folders} folders deep, more than ${limits.depth}; move it up` : undefined;
}

/** A name that may stand in a status or on a terminal. */
function shown(path: string): string {
  return path.replaceAll(/\p{C}/gu, '?').slice(0, 1024);
}

function tooLarge(what: string): BackstayError {
  return new BackstayError('RepositoryTooLarge', `The commit is too large: ${what}`, {
    remedy: 'set spec.path to the folder of the policies, or split them',
  });
}
