import { BackstayError } from '../../api/errors.ts';
import type { Git } from './git.ts';

/** The object id of the tree of a folder in a commit. */
export async function treeOf(git: Git, oid: string, folder: string, signal: AbortSignal): Promise<string> {
  const name = folder === '' ? `${oid}^{tree}` : `${oid}:${folder}`;
  const answer = (await git.catFile(['--batch-check'], `${name}\n`, signal)).toString();
  const match = /^([0-9a-f]{40,64}) tree \d+$/m.exec(answer);
  if (match?.[1] !== undefined) return match[1];
  const what = answer.includes(' blob ') ? 'is a file, not a folder' : 'is not there';
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
  const contents = new Map<string, Buffer>();
  const oids = [...new Set(wanted)];
  if (oids.length === 0) return contents;
  const output = await git.catFile(['--batch'], `${oids.join('\n')}\n`, signal);
  // Each: `<oid> blob <size>`, a line break, the bytes, a line break (git-cat-file, "batch output").
  let offset = 0;
  for (const oid of oids) {
    const end = output.indexOf(0x0a, offset);
    const header = output.toString('latin1', offset, end);
    const size = new RegExp(`^${oid} blob (\\d+)$`).exec(header)?.[1];
    if (size === undefined)
      throw new BackstayError('CacheBroken', `Cannot read the local copy of the repository: ${header}`);
    contents.set(oid, output.subarray(end + 1, end + 1 + Number(size)));
    offset = end + 1 + Number(size) + 1;
  }
  return contents;
}
