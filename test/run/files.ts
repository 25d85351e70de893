import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** A test file and what its header says about it. */
export interface TestFile {
  /** Relative to the repository, with slashes. */
  path: string;
  /** The cluster that tests share, or one of its own that it starts. */
  cluster: 'shared' | 'own' | 'none';
  /** It measures, or is easily disturbed: nothing else runs beside it. */
  needsQuiet: boolean;
  timeLimitMs: number;
}

const DEFAULT_LIMIT_MS = 180_000;

/** All test files below a folder, in the order of their paths. */
export function findTests(root: string, folder = 'test'): TestFile[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((path) => !path.includes('node_modules/'))
    .sort()
    .map((path) => ({ path, ...readHeader(readFileSync(join(root, path), 'utf8')) }));
}

/** The comments at the top of a test file: `// needs: cluster`, `own cluster` or `quiet`, and `// time-limit: 300s`. */
export function readHeader(text: string): Omit<TestFile, 'path'> {
  const header = text.split('\n').slice(0, 10).join('\n');
  const needs = (what: string): boolean => header.split('\n').includes(`// needs: ${what}`);
  const limit = /^\/\/ time-limit: (\d+)s$/m.exec(header)?.[1];
  return {
    cluster: needs('cluster') ? 'shared' : needs('own cluster') ? 'own' : 'none',
    needsQuiet: needs('quiet'),
    timeLimitMs: limit === undefined ? DEFAULT_LIMIT_MS : Number(limit) * 1000,
  };
}

/**
 * The order in which they begin: by their time limits, the long ones first, so that none is left over at the end. While the shared cluster
 * starts, those that do not need it have their turn.
 */
export function inOrder(files: readonly TestFile[]): TestFile[] {
  const rank = ({ cluster, timeLimitMs }: TestFile): number =>
    cluster === 'own' ? 0 : cluster === 'none' && timeLimitMs > DEFAULT_LIMIT_MS ? 1 : 2;
  return files.toSorted((a, b) => rank(a) - rank(b) || b.timeLimitMs - a.timeLimitMs);
}

/** Whether a name is asked for: without words everything is, and a word is any part of a name. */
export function isAsked(name: string, words: readonly string[]): boolean {
  return words.length === 0 || words.some((word) => name.includes(word));
}
