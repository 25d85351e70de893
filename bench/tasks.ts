import { fileURLToPath } from 'node:url';
import { WORKER_FLAGS } from '../src/runner/watchdog/supervise.ts';
import type { Command } from './measure.ts';

/** Where the servers and files of one size and number of shards are. */
export interface Scene {
  sources: string[];
  target: string;
  /** An archive of the first source. */
  archive: string;
  megabytes: number;
  restic: string;
}

/** One of those that are compared. `repository` is the environment in which restic finds the repository of this turn. */
export interface Contender {
  name: string;
  command(task: TaskName, scene: Scene, repository: NodeJS.ProcessEnv): Command;
}

export type TaskName = 'dump' | 'backup' | 'backup again' | 'load' | 'restore';

export interface Task {
  name: TaskName;
  title: string;
  /** The target is emptied before. */
  writes: boolean;
  /** It can read several shards at once. */
  sharded: boolean;
}

export const TASKS: readonly Task[] = [
  { name: 'dump', title: 'Dump to nothing', writes: false, sharded: true },
  { name: 'backup', title: 'Dump into restic, first time', writes: false, sharded: false },
  { name: 'backup again', title: 'Dump into restic, second time', writes: false, sharded: false },
  { name: 'load', title: 'Restore from a file', writes: true, sharded: false },
  { name: 'restore', title: 'Restore from restic', writes: true, sharded: false },
];

const WORK = {
  backstay: fileURLToPath(new URL('work/backstay.ts', import.meta.url)),
  driver: fileURLToPath(new URL('work/driver.ts', import.meta.url)),
};

export function node(program: keyof typeof WORK, args: string[], env: NodeJS.ProcessEnv = {}): Command {
  const flags = program === 'backstay' ? WORKER_FLAGS : [];
  return { program: process.execPath, args: [...flags, WORK[program], ...args], env };
}

export const BACKSTAY: Contender = {
  name: 'Backstay',
  command(task, { sources, target, archive }, repository) {
    const [source = ''] = sources;
    switch (task) {
      case 'dump':
        return node('backstay', ['dump', ...sources]);
      case 'backup':
      case 'backup again':
        return node('backstay', ['backup', source], repository);
      case 'load':
        return node('backstay', ['load', archive, target]);
      case 'restore':
        return node('backstay', ['restore', target], repository);
    }
  },
};

/**
 * The driver's own cursor and insertMany. It has no format, so that what it restores is in its memory already: of an archive that comes out
 * of restic it only counts the bytes, and inserts as many.
 */
const DRIVER: Contender = {
  name: 'the driver alone',
  command(task, scene, repository) {
    const { sources, target, megabytes } = scene;
    const [source = ''] = sources;
    switch (task) {
      case 'dump':
        return node('driver', ['read', ...sources]);
      case 'backup':
      case 'backup again': {
        const { program, args } = node('driver', ['pipe', source]);
        return intoRestic([program, ...args].map(quoted).join(' '), scene, repository);
      }
      case 'load':
        return node('driver', ['insert', String(megabytes), target]);
      case 'restore': {
        const { program, args } = node('driver', ['insert', 'stdin', target]);
        return fromRestic([program, ...args].map(quoted).join(' '), scene, repository);
      }
    }
  },
};

function tools(mongodump: string, mongorestore: string): Contender {
  const [from, to] = [quoted(mongodump), quoted(mongorestore)];
  const options = `--quiet --nsInclude 'shop.*' --numInsertionWorkersPerCollection 4`;
  return {
    name: 'mongodump and mongorestore',
    command(task, scene, repository) {
      const { sources, target, archive } = scene;
      const [source = ''] = sources;
      switch (task) {
        case 'dump': {
          const all = sources.map((uri) => `${from} --quiet --uri ${quoted(uri)} --archive >/dev/null &`);
          return shell(`${all.join(' ')} for job in $(jobs -p); do wait $job || exit 1; done`);
        }
        case 'backup':
        case 'backup again':
          return intoRestic(`${from} --quiet --uri ${quoted(source)} --archive`, scene, repository);
        case 'load':
          return shell(`${to} --uri ${quoted(target)} ${options} --archive=${quoted(archive)}`);
        case 'restore':
          return fromRestic(`${to} --uri ${quoted(target)} ${options} --archive`, scene, repository);
      }
    },
  };
}

/** The Database Tools where the environment names them, else the driver. */
export function peer({ MONGODUMP, MONGORESTORE }: NodeJS.ProcessEnv): Contender {
  return MONGODUMP && MONGORESTORE ? tools(MONGODUMP, MONGORESTORE) : DRIVER;
}

function intoRestic(reader: string, { restic }: Scene, repository: NodeJS.ProcessEnv): Command {
  return shell(
    `${reader} | ${quoted(restic)} --no-cache backup --quiet --host bench --stdin --stdin-filename /dump.archive`,
    repository,
  );
}

function fromRestic(loader: string, { restic }: Scene, repository: NodeJS.ProcessEnv): Command {
  return shell(`${quoted(restic)} --no-cache dump latest /dump.archive | ${loader}`, repository);
}

function shell(line: string, env: NodeJS.ProcessEnv = {}): Command {
  return { program: 'bash', args: ['-o', 'pipefail', '-c', line], env };
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
