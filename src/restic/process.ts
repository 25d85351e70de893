import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { BackstayError } from '../api/errors.ts';
import { diagnose, type Ending, lastWords, resticFailure } from './failure.ts';
import type { Redact } from './redact.ts';

/** How every restic process of one repository is started. */
export interface ResticSettings {
  /** Path or name of the restic executable, 0.18 or newer. */
  binary: string;
  /** What messages call the repository. */
  location: string;
  /** The whole environment: the repository, its password and the keys of the storage are in it, so that none is in the arguments. */
  env: NodeJS.ProcessEnv;
  /** Put before every command. */
  globalArgs: string[];
  redact: Redact;
}

const STDERR_LIMIT = 16_384;
// restic ends within a second of SIGINT unless a request to the storage hangs.
const KILL_AFTER_MS = 10_000;

/** A running restic. */
export interface ResticProcess {
  child: ChildProcess;
  /** Settles when the process has ended and its output is read; rejects when it could not be started. */
  ended: Promise<Ending>;
  /** Interrupts restic, and kills it when that does not help; the second call changes nothing. */
  stop(): void;
}

/**
 * Starts restic.
 *
 * @param channel whether descriptor 3 is a channel that restic hands on to the command it runs
 * @param onWarning called with every line of standard error, redacted
 */
export function startRestic(
  settings: ResticSettings,
  args: string[],
  { channel = false, onWarning }: { channel?: boolean; onWarning?: (line: string) => void } = {},
): ResticProcess {
  const child = spawn(settings.binary, [...settings.globalArgs, ...args], {
    env: settings.env,
    stdio: channel ? ['ignore', 'pipe', 'pipe', 'pipe'] : ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  if (child.stderr !== null) {
    onLines(child.stderr, (line) => {
      const safe = settings.redact(line);
      stderr = `${stderr}${safe}\n`.slice(-STDERR_LIMIT);
      onWarning?.(safe);
    });
  }
  const ended = new Promise<Ending>((resolve, reject) => {
    child.on('error', (cause) => {
      reject(
        new BackstayError('ResticMissing', `cannot start ${settings.binary}: ${cause.message}`, {
          remedy: 'use an image that holds restic 0.18 or newer',
          cause,
        }),
      );
    });
    child.on('close', (exitCode, signal) => resolve({ exitCode, signal, stderr }));
  });
  // Whoever waits sees the rejection; a caller that is not there yet must not crash the process.
  ended.catch(() => {});
  let killer: NodeJS.Timeout | undefined;
  const stop = () => {
    if (killer !== undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGINT');
    killer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
    child.once('exit', () => clearTimeout(killer));
  };
  return { child, ended, stop };
}

export interface RunOptions {
  signal?: AbortSignal | undefined;
  /** What is being done, as it fits behind "cannot". */
  doing: string;
  /**
   * How long, in milliseconds, restic may try to reach the storage. Without it restic decides, which is 15 minutes for each request.
   * What no further try can mend (a wrong key, a missing bucket) ends it at once then.
   */
  patienceMs?: number;
}

/** Runs a restic command to its end and returns its standard output. Throws what `resticFailure` makes of any other end than exit code 0. */
export async function runRestic(settings: ResticSettings, args: string[], options: RunOptions): Promise<string> {
  const { signal, doing, patienceMs } = options;
  signal?.throwIfAborted();
  let hopeless: BackstayError | undefined;
  const process = startRestic(settings, args, {
    onWarning: (line) => {
      if (patienceMs === undefined || !/retrying after/.test(line)) return;
      const diagnosis = diagnose(line);
      if (diagnosis === undefined || diagnosis.transient) return;
      hopeless ??= unreached(settings, doing, diagnosis.code, line, diagnosis.remedy);
      process.stop();
    },
  });
  const chunks: Buffer[] = [];
  process.child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  let outOfPatience = false;
  const timer = setTimeout(
    () => {
      outOfPatience = true;
      process.stop();
    },
    patienceMs ?? 2 ** 31 - 1,
  );
  signal?.addEventListener('abort', process.stop);
  try {
    const ending = await process.ended;
    signal?.throwIfAborted();
    if (ending.exitCode === 0) return Buffer.concat(chunks).toString('utf8');
    if (hopeless !== undefined) throw hopeless;
    if (outOfPatience) throw impatient(settings, doing, ending.stderr, patienceMs ?? 0);
    throw resticFailure(ending, doing, settings.location);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', process.stop);
  }
}

/** Calls `onLine` with every line of a stream of UTF-8 text. */
export function onLines(stream: Readable, onLine: (line: string) => void): void {
  // restic clears the line of its terminal even where there is none.
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) =>
    onLine(line.replaceAll('\u001b[2K', '')),
  );
}

function unreached(settings: ResticSettings, doing: string, code: string, line: string, remedy: string): BackstayError {
  const cause = line.replace(/^.*retrying after [^:]+: /, '');
  return new BackstayError(code, `cannot ${doing} in ${settings.location}: ${cause}`, { remedy });
}

function impatient(settings: ResticSettings, doing: string, stderr: string, patienceMs: number): BackstayError {
  const last = stderr
    .split('\n')
    .findLast((line) => line.includes('retrying after'))
    ?.replace(/^.*retrying after [^:]+: /, '');
  const why = last ?? `no answer; ${lastWords(stderr)}`;
  const code = diagnose(last ?? '')?.code ?? 'BackendUnreachable';
  return new BackstayError(
    code,
    `cannot ${doing} in ${settings.location}: gave up after ${patienceMs / 1000} s: ${why}`,
    { remedy: 'check the endpoint in the BackupStorage, and that the network lets the Pod reach it' },
  );
}
