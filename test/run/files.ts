import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** A test file and what its header says about it. */
export interface TestFile {
  /** Relative to the repository, with slashes. */
  path: string;
  needsCluster: boolean;
  timeLimitMs: number;
}

const DEFAULT_LIMIT_MS = 240_000;

/** All test files below a folder, in the order of their paths. */
export function findTests(root: string, folder = 'test'): TestFile[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((path) => !path.includes('node_modules/'))
    .sort()
    .map((path) => ({ path, ...readHeader(readFileSync(join(root, path), 'utf8')) }));
}

/** The comments at the top of a test file: `// needs: cluster` and `// time-limit: 300s`. */
export function readHeader(text: string): Omit<TestFile, 'path'> {
  const header = text.split('\n').slice(0, 10).join('\n');
  const limit = /^\/\/ time-limit: (\d+)s$/m.exec(header)?.[1];
  return {
    needsCluster: /^\/\/ needs: cluster$/m.test(header),
    timeLimitMs: limit === undefined ? DEFAULT_LIMIT_MS : Number(limit) * 1000,
  };
}

/** Whether a name is asked for: without words everything is, and a word is any part of a name. */
export function isAsked(name: string, words: readonly string[]): boolean {
  return words.length === 0 || words.some((word) => name.includes(word));
}
