import { BackstayError } from '../../api/errors.ts';
import type { Git } from './git.ts';

/** An object of the copy. */
export interface GitObject {
  oid: string;
  type: string;
  content: Buffer;
}

/** The objects of these names, in their order; undefined for what is not there. One process, however many they are. */
export async function readAll(
  git: Git,
  names: readonly string[],
  signal: AbortSignal,
): Promise<(GitObject | undefined)[]> {
  if (names.length === 0) return [];
  const output = await git.catFile(['--batch'], `${names.join('\n')}\n`, signal);
  // Each: `<oid> <type> <size>`, a line break, the bytes, a line break; or `<name> missing` (git-cat-file, "batch output").
  let offset = 0;
  return names.map(() => {
    const end = output.indexOf(0x0a, offset);
    const header = output.toString('utf8', offset, end < 0 ? undefined : end);
    const [, oid = '', type = '', size = ''] = /^([0-9a-f]{40,64}) (\w+) (\d+)$/.exec(header) ?? [];
    offset = end + 1;
    if (oid === '') {
      if (end >= 0 && header.endsWith(' missing')) return undefined;
      throw new BackstayError('CacheBroken', `Cannot read the local copy of the repository: ${header}`);
    }
    const content = output.subarray(offset, offset + Number(size));
    offset += Number(size) + 1;
    return { oid, type, content };
  });
}

/** How the tree of a folder in a commit, or in what a tag leads to, is named to git. */
export function treeName(name: string, folder: string): string {
  return folder === '' ? `${name}^{tree}` : `${name}:${folder}`;
}

/** The object id of a folder's tree, of what was found under its name. Fails with `PathNotFound` when that is no folder. */
export function requireTree(found: GitObject | undefined, oid: string, folder: string): string {
  if (found?.type === 'tree') return found.oid;
  const what = found?.type === 'blob' ? 'is a file, not a folder' : 'is not there';
  throw new BackstayError('PathNotFound', `${folder} ${what} in commit ${oid.slice(0, 12)}`, {
    remedy: 'correct spec.path; nothing was changed or pruned',
  });
}

/** Everything below a tree, as `ls-tree` lists it. */
export function listTree(git: Git, tree: string, signal: AbortSignal): Promise<string> {
  return git.text(['ls-tree', '-r', '-z', '-l', '--full-tree', tree], signal);
}

/** The contents of blobs by their ids. */
export async function readBlobs(
  git: Git,
  wanted: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, Buffer>> {
  const oids = [...new Set(wanted)];
  const found = await readAll(git, oids, signal);
  return new Map(
    oids.map((oid, index) => {
      const blob = found[index];
      if (blob?.type === 'blob') return [oid, blob.content];
      throw new BackstayError('CacheBroken', `Cannot read the local copy of the repository: ${oid} is no blob in it`);
    }),
  );
}
