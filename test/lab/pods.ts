import { readdir, readFile } from 'node:fs/promises';
import { type UntilOptions, until } from './process.ts';

/** A process of a Pod of a lab's cluster, as the machine sees it. */
export interface PodProcess {
  pid: number;
  parent: number;
}

/** The processes of Backstay in the Pods of lab `number` whose command line is meant; of another lab's none. */
export async function processesOf(number: number, meant: (words: readonly string[]) => boolean): Promise<PodProcess[]> {
  const found: PodProcess[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const words = (await textOf(`/proc/${entry}/cmdline`)).split('\0').slice(0, -1);
    if (!words.some((word) => word.startsWith('/app/')) || !meant(words)) continue;
    if (!(await textOf(`/proc/${entry}/cgroup`)).includes(`backstay-lab-${number}/`)) continue;
    const parent = /^PPid:\t(\d+)$/m.exec(await textOf(`/proc/${entry}/status`))?.[1];
    if (parent !== undefined) found.push({ pid: Number(entry), parent: Number(parent) });
  }
  return found;
}

/** Waits for a process that is meant; of a watchdog and its worker it is the watchdog. */
export async function processOf(
  number: number,
  meant: (words: readonly string[]) => boolean,
  options: UntilOptions = {},
): Promise<number> {
  return until(
    'the process runs',
    async () => {
      const all = await processesOf(number, meant);
      return all.find(({ parent }) => all.every(({ pid }) => pid !== parent))?.pid;
    },
    options,
  );
}

/** Whether the command line is the operator's. */
export const isOperator = (words: readonly string[]): boolean => words.at(-1) === 'operator';

/** Whether a command line is that of a BackupSession's runner, watchdog or worker. */
export const isRunnerOf =
  (session: string) =>
  (words: readonly string[]): boolean =>
    words.includes('backup') && words.includes(`--session=${session}`);

/** Empty when it cannot be read: the process has ended. */
function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}
