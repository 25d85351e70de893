import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;

/** How a run of the command ended. */
export interface Run {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

export interface RunOptions {
  input?: Uint8Array | AsyncIterable<Uint8Array>;
  env?: NodeJS.ProcessEnv;
  /** Called with the process as soon as it runs. */
  onStart?: (child: ChildProcess) => void;
  /** Standard output goes to this file. */
  output?: string;
}

/** Runs `backstay` as a user would, and waits for its end. */
export async function backstay(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const { MONGODB_URI, MONGODB_PASSWORD, ...environment } = process.env;
  const child = spawn(process.execPath, [MAIN, ...args], { env: { ...environment, ...options.env }, stdio: 'pipe' });
  const exit = once(child, 'exit') as Promise<[number | null]>;
  options.onStart?.(child);
  const source = options.input instanceof Uint8Array ? [options.input] : (options.input ?? []);
  // the command may end without having read everything
  child.stdin.on('error', () => {});
  Readable.from(source, { objectMode: false }).pipe(child.stdin);
  const stdout =
    options.output === undefined
      ? buffer(child.stdout).catch(() => Buffer.alloc(0)) // a test may close it
      : once(child.stdout.pipe(createWriteStream(options.output)), 'close').then(() => Buffer.alloc(0));
  const [out, stderr, [code]] = await Promise.all([stdout, text(child.stderr), exit]);
  return { code, stdout: out, stderr };
}
