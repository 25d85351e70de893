import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { BackstayError } from '../../src/api/errors.ts';
import { MARKER } from './reap.ts';
import { addEntry, type Entry } from './record.ts';

/**
 * What a lab stands on: a number that no other lab has, a loopback network of its own, and a folder. A watchdog process gives everything
 * back that was recorded here, when `stop` is called or when this process ends in whatever way.
 */
export interface Ground extends AsyncDisposable {
  readonly number: number;
  readonly folder: string;
  /** An address of the lab's network; host 1 is where its parts listen. */
  address(host?: number): string;
  /** A free port on `address()`, given out once. */
  port(): Promise<number>;
  /** Makes a folder inside the lab's folder. */
  subfolder(name: string): Promise<string>;
  /** Writes down what is about to be taken from the machine outside the folder. */
  record(entry: Entry): void;
  /** This process's environment with the lab's marker, for the processes of the lab. */
  environment(more?: Readonly<Record<string, string>>): NodeJS.ProcessEnv;
  /** Lets everything here outlive this process, until test/lab/down.ts. */
  keep(): void;
  /** Kills and removes everything that stands here; waits until it is gone. */
  stop(): Promise<void>;
}

/** Takes ground of one's own; `number` asks for a certain network. */
export async function takeGround(number?: number): Promise<Ground> {
  if (process.platform !== 'linux') {
    throw new BackstayError('LabUnavailable', `The lab needs Linux, and this is ${process.platform}`, {
      remedy: 'use a cluster that you have with --context NAME',
    });
  }
  const program = fileURLToPath(new URL('watchdog.ts', import.meta.url));
  const watchdog = spawn(process.execPath, [program, String(number ?? 0), String(process.pid)], {
    detached: true, // a Ctrl-C in the terminal is for the owner
    stdio: 'pipe',
  });
  const { stdin, stdout, stderr } = watchdog;
  let complaint = '';
  stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  stdin.on('error', () => {}); // it may be gone already
  const exited = new Promise<number | null>((resolve) => watchdog.once('exit', resolve));
  const lines = createInterface({ input: stdout });
  const said = async (): Promise<{ number: number; folder: string } | { error: string }> => {
    const line = await Promise.race([new Promise<string>((resolve) => lines.once('line', resolve)), exited]);
    if (typeof line !== 'string') return { error: `its watchdog ended with ${line}: ${complaint.trim()}` };
    return JSON.parse(line);
  };
  const answer = await said();
  if ('error' in answer) throw new BackstayError('LabUnavailable', `No lab can be started: ${answer.error}`);
  const { folder } = answer;
  const network = `127.${answer.number}.0`;
  // An idle lab keeps no process alive: the watchdog notices the end of this one.
  watchdog.unref();
  for (const pipe of [stdin, stdout, stderr]) if ('unref' in pipe) (pipe as { unref(): void }).unref();

  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    watchdog.ref();
    const problem = said();
    stdin.end('down\n');
    const code = await exited;
    if (code === 0) return;
    const last = await problem;
    throw new BackstayError(
      'LabLeftBehind',
      `The lab in ${folder} could not be removed: ${'error' in last ? last.error : code}`,
      {
        remedy: 'node test/lab/down.ts --all',
      },
    );
  };
  let nextPort = FIRST_PORT;
  const ground: Ground = {
    number: answer.number,
    folder,
    address: (host = 1) => `${network}.${host}`,
    async port() {
      while (nextPort < LAST_PORT) {
        const port = nextPort++;
        if (await isFree(ground.address(), port)) return port;
      }
      throw new BackstayError('LabUnavailable', `No port is free on ${ground.address()}`);
    },
    async subfolder(name) {
      const path = join(folder, name);
      await mkdir(path, { recursive: true });
      return path;
    },
    record: (entry) => addEntry(folder, entry),
    environment: (more = {}) => ({ ...process.env, ...more, [MARKER]: folder }),
    keep: () => void stdin.write('keep\n'),
    stop: () => (stopped ??= stop()),
    [Symbol.asyncDispose]: () => ground.stop(),
  };
  return ground;
}

// Below the range that the kernel takes ports for outgoing connections from (32768 and up).
const FIRST_PORT = 20_001;
const LAST_PORT = 32_000;

function isFree(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, address, () => server.close(() => resolve(true)));
  });
}

// Node's own teardown can spin for ever over a request on a connection that a lab's end cut off (seen with 24.21): leave before it.
process.once('exit', () => process.exit());
// Which comes before Node itself would print what nobody caught.
process.on('uncaughtExceptionMonitor', (error) => console.error(error));

let common: Promise<Ground> | undefined;

/** The ground that this process's parts share when they are not told another one. */
export function commonGround(): Promise<Ground> {
  common ??= takeGround();
  return common;
}
