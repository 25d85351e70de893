import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What a lab has taken from the machine and must give back. Everything below the lab's own folder (files, mounts) goes with the folder
 * and needs no entry.
 */
export type Entry =
  /** A process, told from a later one with the same number by its start time in clock ticks since boot. */
  | { kind: 'process'; name: string; pid: number; start: string }
  /** A control group's folder with everything in it. */
  | { kind: 'cgroup'; path: string }
  /** A file or link outside the lab's folder. */
  | { kind: 'path'; path: string }
  /** A kernel setting and its value before. */
  | { kind: 'sysctl'; path: string; value: string }
  /** containerd's state folder, which names the sockets of its shims under /run. */
  | { kind: 'containerd'; state: string };

const FILE = 'record.jsonl';

/** Adds an entry; it is in the file when this returns, so it outlives a kill. */
export function addEntry(folder: string, entry: Entry): void {
  appendFileSync(join(folder, FILE), `${JSON.stringify(entry)}\n`);
}

/** All entries, oldest first; a last line that a kill cut short is left out. */
export function readEntries(folder: string): Entry[] {
  let text: string;
  try {
    text = readFileSync(join(folder, FILE), 'utf8');
  } catch {
    return [];
  }
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Entry);
}

/** The start time of a living process, or undefined: field 22 of proc_pid_stat(5). A zombie counts as gone. */
export function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
