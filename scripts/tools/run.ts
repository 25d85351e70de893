import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { BackstayError } from '../../src/api/errors.ts';

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Called with every line of standard error as it comes. */
  onLine?: (line: string) => void;
}

/** Runs a program to its end and gives its standard output; a failure's message carries the last lines of standard error. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const tail: string[] = [];
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  createInterface({ input: child.stderr }).on('line', (line) => {
    tail.push(line);
    if (tail.length > 8) tail.shift();
    options.onLine?.(line);
  });
  const code = await new Promise<number | string>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => reject(notRunnable(command, error)));
    child.once('close', (exitCode, signal) => resolve(exitCode ?? signal ?? 'unknown'));
  });
  if (code === 0) return output;
  const detail = tail.join(' | ').slice(-1000) || output.slice(-1000).trim();
  throw new BackstayError('CommandFailed', `${command} ${args[0] ?? ''} ended with ${code}: ${detail}`);
}

function notRunnable(command: string, error: NodeJS.ErrnoException): Error {
  if (error.code !== 'ENOENT') return error;
  return new BackstayError('CommandMissing', `${command} is not on the PATH`, { remedy: `install ${command}` });
}
