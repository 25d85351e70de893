import { readFile, writeFile } from 'node:fs/promises';
import type { Growth } from './growth.ts';
import { TASKS } from './tasks.ts';
import type { Result } from './trial.ts';

export interface Results {
  results: Result[];
  growths: Growth[];
}

type Stored = Omit<Result, 'task'> & { task: string };

/** Adds new runs to earlier ones of the same thing, so that what takes long can be measured in pieces. The newest growth counts. */
export function merged(earlier: Results, later: Results): Results {
  const sameResult = (a: Result, b: Result): boolean =>
    a.task.name === b.task.name && a.megabytes === b.megabytes && a.shards === b.shards && a.peer === b.peer;
  const results = earlier.results.map((result) => {
    const more = later.results.find((other) => sameResult(result, other));
    return more === undefined
      ? result
      : { ...result, ours: [...result.ours, ...more.ours], theirs: [...result.theirs, ...more.theirs] };
  });
  results.push(...later.results.filter((result) => !earlier.results.some((other) => sameResult(result, other))));
  const order = TASKS.map(({ name }) => name);
  results.sort(
    (a, b) =>
      a.shards - b.shards || order.indexOf(a.task.name) - order.indexOf(b.task.name) || a.megabytes - b.megabytes,
  );
  const kept = earlier.growths.filter(
    (one) => !later.growths.some(({ megabytes, what }) => megabytes === one.megabytes && what === one.what),
  );
  const growths = [...kept, ...later.growths].sort((a, b) => a.megabytes - b.megabytes);
  return { results, growths };
}

/** What an earlier benchmark wrote; nothing when there is no such file. */
export async function readResults(file: string): Promise<Results> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return { results: [], growths: [] };
  const { results, growths } = JSON.parse(text) as { results: Stored[]; growths: Growth[] };
  return {
    growths,
    results: results.flatMap((stored) => {
      const task = TASKS.find(({ name }) => name === stored.task);
      return task === undefined ? [] : [{ ...stored, task }];
    }),
  };
}

export async function writeResults(file: string, { results, growths }: Results): Promise<void> {
  const stored: Stored[] = results.map((result) => ({ ...result, task: result.task.name }));
  await writeFile(file, `${JSON.stringify({ results: stored, growths })}\n`);
}
