import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { NOT_AT_RUN_TIME } from './contents.ts';
import type { TarEntry } from './tar.ts';

/** All files of a folder as entries below `target`, in the order of their names; `skip` is asked with paths relative to the folder. */
export async function folderEntries(
  folder: string,
  target: string,
  skip: (relative: string, isFolder: boolean) => boolean = () => false,
  relative = '',
): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  const names = (await readdir(join(folder, relative), { withFileTypes: true })).sort((a, b) =>
    a.name < b.name ? -1 : 1,
  );
  for (const entry of names) {
    const inner = relative === '' ? entry.name : `${relative}/${entry.name}`;
    if (skip(inner, entry.isDirectory())) continue;
    const [source, path] = [join(folder, inner), `${target}/${inner}`];
    if (entry.isDirectory()) entries.push(...(await folderEntries(folder, target, skip, inner)));
    else if (entry.isSymbolicLink()) entries.push({ kind: 'link', path, target: await readlink(source) });
    else if (entry.isFile()) {
      const executable = ((await lstat(source)).mode & 0o111) !== 0;
      entries.push({ kind: 'file', path, mode: executable ? 0o755 : 0o644, content: await readFile(source) });
    }
  }
  return entries;
}

interface LockedPackage {
  dev?: boolean;
  devOptional?: boolean;
}

/** The installed packages that are not for development only, without what no program reads at run time. */
export async function moduleEntries(root: string, target: string): Promise<TarEntry[]> {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'));
  const packages = Object.entries<LockedPackage>(lock.packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && dev !== true && devOptional !== true)
    .map(([path]) => path)
    .sort();
  const entries: TarEntry[] = [];
  for (const path of packages) {
    const folder = join(root, path);
    const present = await lstat(folder).catch(() => undefined); // optional packages of other platforms are not installed
    if (present === undefined) continue;
    // A package inside a package has an entry of its own in the lock file.
    const skip = (relative: string, isFolder: boolean): boolean =>
      isFolder ? relative === 'node_modules' : NOT_AT_RUN_TIME.test(relative);
    entries.push(...(await folderEntries(folder, `${target}/${path}`, skip)));
  }
  return entries;
}
