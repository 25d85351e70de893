import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { BackstayError } from '../src/api/errors.ts';

/** A program to run, with what it may say on standard output as JSON. */
export interface Command {
  program: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
}

/** What one run took. */
export interface Measurement {
  seconds: number;
  /** Processor time of those that do the work, which tells more than `seconds` on a machine with other work. */
  cpuSeconds: number;
  /** Highest resident memory (VmHWM) of the largest process among those that do the work, in MiB; restic is not one of them. */
  peakMiB: number;
  /** What the program wrote as JSON on its last line. */
  said: Record<string, unknown>;
}

const LOOK_MS = 20;
/** The unit of times in /proc (USER_HZ), the same on every Linux. */
const TICKS_PER_SECOND = 100;
/** Helpers whose memory is not that of who dumps or loads. */
const NOT_COUNTED = new Set(['restic', 'bash']);

/** Runs a command from its start to its end. @throws BackstayError BenchmarkFailed when it fails, with its last words */
export async function measure({ program, args, env }: Command): Promise<Measurement> {
  const started = performance.now();
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let [output, complaint] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-4096);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-4096);
  });
  const seen = new Map<number, Usage>();
  const looking = setInterval(() => {
    for (const pid of child.pid === undefined ? [] : tree(child.pid)) {
      const usage = usageOf(pid);
      if (usage !== undefined) seen.set(pid, usage);
    }
  }, LOOK_MS);
  const code = await new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (exit, signal) => resolve(exit ?? signal ?? 'nothing'));
  });
  clearInterval(looking);
  const seconds = (performance.now() - started) / 1000;
  if (code !== 0) {
    throw new BackstayError('BenchmarkFailed', `${program} ${args[0] ?? ''} ended with ${code}: ${complaint.trim()}`);
  }
  const usages = [...seen.values()];
  return {
    seconds,
    cpuSeconds: usages.reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_SECOND,
    peakMiB: Math.max(0, ...usages.map(({ peakKiB }) => peakKiB)) / 1024,
    said: lastJson(output),
  };
}

function lastJson(output: string): Record<string, unknown> {
  const line = output.trim().split('\n').at(-1) ?? '';
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** A process and all below it. */
function tree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const parent = Number(fieldsOf(pid)[1]);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

interface Usage {
  peakKiB: number;
  /** User and system time. */
  ticks: number;
}

/** Undefined for a process that is gone or not counted. */
function usageOf(pid: number): Usage | undefined {
  const status = read(`/proc/${pid}/status`);
  const name = /^Name:\t(.*)$/m.exec(status)?.[1];
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  if (name === undefined || peak === undefined || NOT_COUNTED.has(name)) return undefined;
  const [user = 0, system = 0] = fieldsOf(pid).slice(11, 13).map(Number);
  return { peakKiB: Number(peak), ticks: user + system };
}

/** What /proc/PID/stat has behind the name of the program, which is in parentheses and may have anything in it. */
function fieldsOf(pid: number): string[] {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
