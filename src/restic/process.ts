import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { BackstayError } from '../api/errors.ts';
import { type Diagnosis, diagnose, type Ending, lastWords, resticFailure } from './failure.ts';
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
/** Once the storage was reached, what no further try can mend ends restic when it goes on for so long. */
const HOPELESS_MS = 3000;

/** How long restic may try to reach the storage before it is ended; what no further try can mend ends it at once. */
export interface Patience {
  /** What is being done, as it fits behind "cannot". */
  doing: string;
  /** In milliseconds. */
  ms: number;
  /** Counted from the first try that failed, for commands that may take long for other reasons; otherwise from the start. */
  fromFirstFailure?: boolean;
}

/** A running restic. */
export interface ResticProcess {
  child: ChildProcess;
  /** Settles when the process has ended and its output is read; rejects when it could not be started. */
  ended: Promise<Ending>;
  /** Interrupts restic, and kills it when that does not help; the second call changes nothing. */
  stop(): void;
  /** Ends the patience: the storage is reached, and from now on restic decides how long it tries what can be mended. */
  reached(): void;
  /** Why the patience ended, if it was that which ended restic. */
  unreached(): BackstayError | undefined;
  /** Why restic is trying again at this moment, if it is. */
  trouble(): BackstayError | undefined;
}

/**
 * Starts restic.
 *
 * @param channel whether descriptor 3 is a channel that restic hands on to the command it runs
 */
export function startRestic(
  settings: ResticSettings,
  args: string[],
  { channel = false, patience }: { channel?: boolean; patience?: Patience | undefined } = {},
): ResticProcess {
  const child = spawn(settings.binary, [...settings.globalArgs, ...args], {
    env: settings.env,
    stdio: channel ? ['ignore', 'pipe', 'pipe', 'pipe'] : ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  let waits = patience !== undefined;
  let unreached: BackstayError | undefined;
  let timer: NodeJS.Timeout | undefined;
  let trouble: { line: string; hopelessSince: number | undefined } | undefined;
  const reached = (): void => {
    waits = false;
    clearTimeout(timer);
  };
  const giveUp = (reason: BackstayError): void => {
    reached();
    unreached = reason;
    stop();
  };
  const runOut = ({ doing, ms }: Patience): void => {
    timer ??= setTimeout(() => giveUp(impatient(settings, doing, stderr, ms)), ms);
  };
  if (patience !== undefined && patience.fromFirstFailure !== true) runOut(patience);
  if (child.stderr !== null) {
    onLines(child.stderr, (line) => {
      const safe = settings.redact(line);
      stderr = `${stderr}${safe}\n`.slice(-STDERR_LIMIT);
      if (safe.includes('operation successful after')) trouble = undefined;
      if (patience === undefined || !safe.includes('retrying after')) return;
      const diagnosis = diagnose(safe);
      const isHopeless = diagnosis !== undefined && !diagnosis.transient;
      const now = performance.now();
      const { hopelessSince = now } = trouble ?? {};
      trouble = { line: safe, hopelessSince: isHopeless ? hopelessSince : undefined };
      if (isHopeless && (waits || now - hopelessSince >= HOPELESS_MS)) {
        giveUp(hopeless(settings, patience.doing, diagnosis, safe));
      } else if (waits) runOut(patience);
    });
  }
  const ended = new Promise<Ending>((resolve, reject) => {
    child.on('error', (cause) => {
      reached();
      reject(
        new BackstayError('ResticMissing', `cannot start ${settings.binary}: ${cause.message}`, {
          remedy: 'use an image that holds restic 0.18 or newer',
          cause,
        }),
      );
    });
    child.on('close', (exitCode, signal) => {
      reached();
      resolve({ exitCode, signal, stderr });
    });
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
  return {
    ...{ child, ended, stop, reached },
    unreached: () => unreached,
    trouble() {
      const diagnosis = trouble && diagnose(trouble.line);
      if (trouble === undefined || diagnosis === undefined) return undefined;
      return hopeless(settings, patience?.doing ?? 'use the repository', diagnosis, trouble.line);
    },
  };
}

export interface RunOptions {
  signal?: AbortSignal | undefined;
  /** What is being done, as it fits behind "cannot". */
  doing: string;
  /** See `Patience`. Without it restic decides how long it tries, which is 15 minutes for each request. */
  patienceMs?: number;
  /** Fail also when all went well but restic could not remove its lock, of which it only warns. */
  unlocking?: boolean;
}

/** Runs a restic command to its end and returns its standard output. Throws what `resticFailure` makes of any other end than exit code 0. */
export async function runRestic(settings: ResticSettings, args: string[], options: RunOptions): Promise<string> {
  const { signal, doing, patienceMs, unlocking = false } = options;
  signal?.throwIfAborted();
  const patience = patienceMs === undefined ? undefined : { doing, ms: patienceMs };
  const restic = startRestic(settings, args, { patience });
  const chunks: Buffer[] = [];
  restic.child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  signal?.addEventListener('abort', restic.stop);
  try {
    const ending = await restic.ended;
    signal?.throwIfAborted();
    const leftLock = unlocking && ending.stderr.includes('error while unlocking');
    if (ending.exitCode === 0 && !leftLock) return Buffer.concat(chunks).toString('utf8');
    throw restic.unreached() ?? resticFailure(leftLock ? { ...ending, exitCode: 1 } : ending, doing, settings.location);
  } finally {
    signal?.removeEventListener('abort', restic.stop);
  }
}

/** Calls `onLine` with every line of a stream of UTF-8 text. */
export function onLines(stream: Readable, onLine: (line: string) => void): void {
  // restic clears the line of its terminal even where there is none.
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) =>
    onLine(line.replaceAll('\u001b[2K', '')),
  );
}

function hopeless(settings: ResticSettings, doing: string, { code, remedy }: Diagnosis, line: string): BackstayError {
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
