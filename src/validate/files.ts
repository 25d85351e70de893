import { glob, readdir, readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { BackstayError } from '../api/errors.ts';
import { isPolicyFile } from '../gitops/read/objects.ts';

/** A file with objects: its name as messages show it, and its bytes. */
export interface InputFile {
  path: string;
  content: Uint8Array;
}

/** Name that stands for standard input. */
export const STANDARD_INPUT = '-';
const READS_AT_ONCE = 32;

/**
 * Reads files by their names, folders with every YAML and JSON file below them (those that begin with a dot are left out, as PolicySync
 * leaves them out), what glob patterns name, and standard input.
 *
 * @throws BackstayError InvalidUsage for a path that names nothing
 */
export async function readFiles(paths: readonly string[], stdin: AsyncIterable<Uint8Array>): Promise<InputFile[]> {
  const names = new Set<string>();
  for (const path of paths) for (const name of await expand(path)) names.add(name);
  const list = [...names];
  const files: InputFile[] = [];
  for (let at = 0; at < list.length; at += READS_AT_ONCE) {
    const some = list.slice(at, at + READS_AT_ONCE).map((path) => read(path, stdin));
    files.push(...(await Promise.all(some)));
  }
  return files;
}

async function read(path: string, stdin: AsyncIterable<Uint8Array>): Promise<InputFile> {
  if (path === STANDARD_INPUT) return { path: '(stdin)', content: await buffer(stdin) };
  try {
    return { path, content: await readFile(path) };
  } catch (error) {
    throw unreadable(path, error);
  }
}

async function expand(path: string): Promise<string[]> {
  if (path === STANDARD_INPUT) return [path];
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return await below(path);
  if (found !== undefined) return [path];
  const matches: string[] = [];
  if (/[*?[{]/.test(path)) for await (const match of glob(path)) matches.push(match);
  if (matches.length === 0) {
    throw new BackstayError('InvalidUsage', `${path} names no file`, { remedy: 'name files, folders or patterns' });
  }
  const files = matches.toSorted().map(async (name) => ((await stat(name)).isDirectory() ? [] : [name]));
  return (await Promise.all(files)).flat();
}

async function below(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw unreadable(folder, error);
  });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .filter(isPolicyFile)
    .toSorted()
    .map((name) => join(folder, name));
}

function unreadable(path: string, error: unknown): BackstayError {
  const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
  return new BackstayError('InvalidUsage', `${path} cannot be read${code}`, { cause: error });
}
