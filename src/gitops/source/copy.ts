import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Removes the locks and half-written packs of a git that was killed; nobody else works in this folder. */
export async function removeLeftovers(repository: string): Promise<void> {
  const entries = await readdir(repository, { recursive: true, withFileTypes: true });
  await Promise.all(
    entries
      .filter((entry) => entry.isFile() && (entry.name.endsWith('.lock') || entry.name.startsWith('tmp_')))
      .map((entry) => rm(join(entry.parentPath, entry.name), { force: true })),
  );
}

/** Whether there is something at this path. */
export function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Bytes of all packs of the copy, those that are being received included. */
export async function packBytes(repository: string): Promise<number> {
  const folder = join(repository, 'objects', 'pack');
  const names = await readdir(folder).catch((): string[] => []);
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
