import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { backupJobName } from '../../../src/api/names.ts';
import { isRunnerOf, processesOf } from '../../lab/pods.ts';
import { until } from '../../lab/process.ts';
import { POINTS, type Point, tells } from './points.ts';
import { NAMESPACE, type Scene } from './scene.ts';

/** The runner of a session that stands still (SIGSTOP) right after a point. */
export interface Held {
  watchdog: number;
  worker: number;
  /** Lets it run on; without effect when it is dead. */
  resume(): void;
}

/** A line of the runner's log, which is JSON. */
export type LogLine = Readonly<Record<string, unknown>>;

/** How long the runner runs at a time, and how long it stands still until its log is read, in milliseconds. */
const RUN_MS = 4;
const READ_MS = 12;
/** The same once the point before has been told: on a busy machine a line is in the log only after a while. */
const NEAR_READ_MS = 80;

/**
 * Holds the runner right after it has told of the point. It is made to run a few milliseconds at a time, so that it is nowhere else
 * when that is read.
 */
export async function holdAt(scene: Scene, session: string, point: Point, timeoutMs = 60_000): Promise<Held> {
  const lines = followLog(scene, session);
  await until('the runner logs', async () => (await lines()).length > 0, { timeoutMs, everyMs: 10 });
  const { watchdog, worker } = await runnerOf(scene, session);
  const deadline = performance.now() + timeoutMs;
  const before = POINTS[POINTS.indexOf(point) - 1];
  let isNear = false;
  for (;;) {
    signal(worker, 'SIGSTOP');
    await sleep(isNear ? NEAR_READ_MS : READ_MS);
    const said = await lines();
    isNear ||= before !== undefined && said.some((line) => tells(before, line));
    if (said.some((line) => tells(point, line))) {
      return { watchdog, worker, resume: () => signal(worker, 'SIGCONT') };
    }
    const over = performance.now() > deadline || !signal(worker, 'SIGCONT');
    if (over) throw new Error(`the runner never said "${point.message}", last "${said.at(-1)?.msg}"`);
    await sleep(RUN_MS);
  }
}

async function runnerOf(scene: Scene, session: string): Promise<{ watchdog: number; worker: number }> {
  return until('watchdog and worker run', async () => {
    const all = await processesOf(scene.ground.number, isRunnerOf(session));
    const worker = all.find(({ parent }) => all.some(({ pid }) => pid === parent));
    return worker === undefined ? undefined : { watchdog: worker.parent, worker: worker.pid };
  });
}

/** @returns false when the process is gone */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

/** Reads all lines that the session's runner has logged so far. */
export function followLog({ ground }: Scene, session: string): () => Promise<LogLine[]> {
  const folder = join(ground.folder, 'pod-logs');
  const prefix = `${NAMESPACE}_${backupJobName(session)}-`;
  let file: string | undefined;
  return async () => {
    if (file === undefined) {
      const found = (await readdir(folder)).find((name) => name.startsWith(prefix));
      if (found === undefined) return [];
      file = join(folder, found, 'backstay', '0.log');
    }
    const text = await readFile(file, 'utf8').catch(() => '');
    // time, stream, whether the line is whole, and the line
    return text
      .split('\n')
      .flatMap((line) => /^\S+ stdout F (\{.*\})$/.exec(line)?.[1] ?? [])
      .map(parse);
  };
}

function parse(line: string): LogLine {
  return JSON.parse(line);
}
