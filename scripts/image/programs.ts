import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BackstayError } from '../../src/api/errors.ts';
import { run } from '../tools/run.ts';
import type { TarEntry } from './tar.ts';

/** A program of this machine and the path that it has in the image. */
export interface Program {
  source: string;
  path: string;
}

/** The programs and every shared library that the dynamic linker would load for them, as files of an image. */
export async function programEntries(programs: readonly Program[]): Promise<TarEntry[]> {
  const wanted = new Map(programs.map(({ source, path }) => [path, source]));
  for (const { source } of programs) {
    for (const library of await libraries(source)) wanted.set(underUsr(library), library);
  }
  return Promise.all(
    [...wanted].map(async ([path, source]): Promise<TarEntry> => {
      const content = await readFile(await realpath(source)).catch((cause: unknown) => {
        throw new BackstayError('ImageIncomplete', `${source} is not on this machine, and the image needs it`, {
          cause,
        });
      });
      return { kind: 'file', path, mode: 0o755, content };
    }),
  );
}

/** The folders that lead to the entries, each once and before what is in it. */
export function foldersOf(entries: readonly TarEntry[]): TarEntry[] {
  const folders = new Set<string>();
  for (const { path } of entries) {
    for (let folder = dirname(path); folder !== '/' && folder !== '.'; folder = dirname(folder)) folders.add(folder);
  }
  const given = new Set(entries.map(({ path }) => path));
  return [...folders]
    .filter((path) => !given.has(path))
    .sort()
    .map((path): TarEntry => ({ kind: 'folder', path, mode: 0o755 }));
}

/** What tells two states of a file apart without reading it. */
export async function fingerprint(file: string): Promise<string> {
  const { size, mtimeMs } = await stat(file).catch((cause: unknown) => {
    throw new BackstayError('ImageIncomplete', `${file} is not on this machine, and the image needs it`, { cause });
  });
  return `${file} ${size} ${mtimeMs}`;
}

/** Absolute paths from ldd's `name => /path (0x…)` and `/path/of/the/linker (0x…)`; none for a static program. */
async function libraries(program: string): Promise<string[]> {
  const text = await run('ldd', [program]).catch(() => '');
  return [...text.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)].map((match) => match[1] ?? '');
}

/** `/lib` and `/lib64` are links in the image, as on every merged-/usr system. */
function underUsr(path: string): string {
  return path.startsWith('/usr/') ? path : `/usr${path}`;
}
