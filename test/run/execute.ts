import { spawn } from 'node:child_process';
import type { Ending } from './outcome.ts';

/** Runs a program to its end or its limit, with everything that it starts in one process group, and keeps what it prints. */
export function execute(
  command: string,
  args: readonly string[],
  options: { cwd: string; env: NodeJS.ProcessEnv; limitMs: number; abort: AbortSignal },
): Promise<Ending> {
  const { cwd, env, limitMs, abort } = options;
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let output = '';
    let timedOut = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk;
      });
    }
    const killGroup = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // it ended at this moment
      }
    };
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup();
    }, limitMs);
    abort.addEventListener('abort', killGroup);
    const end = (code: number | null, signal: string | null): void => {
      clearTimeout(timer);
      abort.removeEventListener('abort', killGroup);
      killGroup(); // what it left running in its group has no reader any more
      resolve({ output, code, signal, ...(timedOut ? { timedOutAfterMs: limitMs } : {}) });
    };
    child.once('error', (error) => {
      output += error.message;
      end(1, null);
    });
    // Not 'close': a process that was left behind may hold the pipes for ever. What was printed is read a moment later at most.
    child.once('exit', (code, signal) => setTimeout(() => end(code, signal), 50));
  });
}
