import { randomUUID } from 'node:crypto';
import { type SimpleGit, type SimpleGitOptions, simpleGit } from 'simple-git';
import { BackstayError } from '../../api/errors.ts';
import { gitFailure } from './failure.ts';
import { endProcesses } from './processes.ts';

export interface GitOptions {
  /** The bare repository; it has to exist, and may be empty. */
  folder: string;
  /** host, for messages. */
  host: string;
  /** Variables beside those of the profile, such as the one that holds an authorization header. */
  environment?: Readonly<Record<string, string>>;
  /** `key=value` settings beside those of the profile. */
  config?: readonly string[];
  /** What no message may hold. */
  secrets?: readonly string[];
  /** Bytes that one command may print. */
  maxOutput?: number;
}

// Whatever a repository or its server says, git runs nothing but itself: no hooks, no filters, no credential helpers, no foreign
// transports.
const PROFILE: readonly string[] = [
  'core.hooksPath=/dev/null',
  'core.fsmonitor=false',
  'core.symlinks=false',
  'credential.helper=',
  'protocol.allow=never',
  'protocol.http.allow=always',
  'protocol.https.allow=always',
  'protocol.ssh.allow=always',
  'safe.bareRepository=explicit',
  'submodule.recurse=false',
  'fetch.recurseSubmodules=false',
  'transfer.fsckObjects=true',
  // Old commits made by other implementations have these; they harm nobody who makes no work tree.
  'fetch.fsck.zeroPaddedFilemode=ignore',
  'fetch.fsck.badTimezone=ignore',
  // One pack a fetch, whatever its size: no thousands of loose objects, and its growth can be watched.
  'fetch.unpackLimit=1',
  // What is larger goes to disk piece by piece, and never into memory as a whole.
  'core.bigFileThreshold=1m',
  'gc.auto=0',
  'maintenance.auto=false',
  'http.lowSpeedLimit=100',
  'http.lowSpeedTime=30',
];

const UNSAFE: NonNullable<SimpleGitOptions['unsafe']> = {
  allowUnsafeAskPass: true,
  allowUnsafeConfigEnvCount: true,
  allowUnsafeConfigPaths: true,
  allowUnsafeCredentialHelper: true,
  allowUnsafeFsMonitor: true,
  allowUnsafeHooksPath: true,
  allowUnsafeProtocolOverride: true,
  allowUnsafeSshCommand: true,
  allowUnsafeTemplateDir: true,
};

const ALLOWED_VARIABLES: readonly string[] = [
  'GIT_ALLOC_LIMIT',
  'GIT_ALLOW_PROTOCOL',
  'GIT_ASKPASS',
  'GIT_ATTR_NOSYSTEM',
  'GIT_CONFIG_COUNT',
  'GIT_CONFIG_GLOBAL',
  'GIT_CONFIG_KEY_0',
  'GIT_CONFIG_NOSYSTEM',
  'GIT_CONFIG_VALUE_0',
  'GIT_DIR',
  'GIT_OPTIONAL_LOCKS',
  'GIT_SSH_COMMAND',
  'GIT_TERMINAL_PROMPT',
];

/** Every process of ours carries it, and so do the transports that git starts, which outlive a killed git. */
const MARK = 'BACKSTAY_GIT';
const MAX_OUTPUT = 64 << 20;
/** Bytes that git may ask for at once: a small delta can stand for an object of gigabytes, which it would make in memory. */
const MAX_ALLOCATION = '64m';

/**
 * Runs git on one bare repository, with no more than it needs: a closed environment, the settings above, and a deadline that does not
 * move.
 *
 * simple-git's own checks are a safety net. What keeps arguments harmless is that every one of them is a constant, an object id, or a
 * name that `reference.ts` or `url.ts` has checked, behind `--end-of-options`.
 */
export class Git {
  readonly #options: GitOptions;
  readonly #mark = randomUUID();
  readonly #environment: Readonly<Record<string, string>>;

  constructor(options: GitOptions) {
    this.#options = options;
    this.#environment = Object.freeze({
      PATH: process.env.PATH ?? '/usr/bin:/bin',
      HOME: '/nonexistent',
      LANG: 'C',
      LC_ALL: 'C',
      GIT_DIR: options.folder,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_ATTR_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_ASKPASS: '/bin/false',
      GIT_OPTIONAL_LOCKS: '0',
      GIT_ALLOW_PROTOCOL: 'http:https:ssh',
      GIT_ALLOC_LIMIT: MAX_ALLOCATION,
      ...options.environment,
      [MARK]: this.#mark,
    });
  }

  /** What a command prints, as text. Fails with the code of `failure.ts`, or with `TimedOut` when the signal is that of a timeout. */
  text(args: readonly string[], signal: AbortSignal): Promise<string> {
    return this.#run(signal, undefined, (git) => git.raw([...args]));
  }

  /** What `cat-file` prints, as bytes. */
  catFile(args: readonly string[], input: string, signal: AbortSignal): Promise<Buffer> {
    return this.#run(signal, input, async (git) => {
      const bytes: unknown = await git.binaryCatFile([...args]);
      return Buffer.isBuffer(bytes) ? bytes : Buffer.alloc(0);
    });
  }

  /** Whether a command that judges something says yes, and what it says on standard error. */
  async verdict(args: readonly string[], signal: AbortSignal): Promise<{ ok: boolean; said: string }> {
    const judged = { ok: false, said: '' };
    await this.#run(
      signal,
      undefined,
      (git) => git.raw([...args]),
      (exitCode, said) => {
        judged.ok = exitCode === 0;
        judged.said = said;
        return exitCode === 0 || exitCode === 1;
      },
    );
    return judged;
  }

  /** @param isFine what counts as a success: the exit code 0, unless told otherwise */
  async #run<T>(
    signal: AbortSignal,
    input: string | undefined,
    run: (git: SimpleGit) => Promise<T>,
    isFine: (exitCode: number, said: string) => boolean = (exitCode) => exitCode === 0,
  ): Promise<T> {
    signal.throwIfAborted();
    const { folder, host, config = [], secrets = [], maxOutput = MAX_OUTPUT } = this.#options;
    // The library listens to its signal for as long as it lives, so it gets one of this command.
    const command = new AbortController();
    const abort = (): void => command.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    let printed = 0;
    const git = simpleGit({
      baseDir: folder,
      abort: command.signal,
      config: [...PROFILE, ...config],
      unsafe: UNSAFE,
      allowEnvironment: ALLOWED_VARIABLES,
      // Its own idea of an error is something on standard error; git's is the exit code.
      errors: (error, { exitCode, stdErr }) =>
        isFine(exitCode, Buffer.concat(stdErr).toString('utf8'))
          ? undefined
          : (error ?? Buffer.concat([...stdErr, Buffer.from(`git ended with ${exitCode}`)])),
      ...(input === undefined ? {} : { input: () => input }),
    })
      .env({ ...this.#environment })
      .outputHandler((_command, stdout, stderr) => {
        const count = (chunk: Buffer): void => {
          printed += chunk.length;
          if (printed > maxOutput) command.abort(tooMuch(host, maxOutput));
        };
        stdout.on('data', count);
        stderr.on('data', count);
      });
    try {
      return await run(git);
    } catch (error) {
      if (command.signal.aborted) {
        await endProcesses(MARK, this.#mark);
        throw aborted(command.signal.reason, host);
      }
      throw gitFailure(host, error instanceof Error ? error.message : String(error), secrets);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }
}

function aborted(reason: unknown, host: string): unknown {
  if (!(reason instanceof Error) || reason.name !== 'TimeoutError') return reason;
  return new BackstayError(
    'TimedOut',
    `Cannot read the repository at ${host}: it took longer than spec.timeout allows`,
    {
      remedy: 'raise spec.timeout, or find out why the server is slow',
    },
  );
}

function tooMuch(host: string, bytes: number): BackstayError {
  return new BackstayError(
    'RepositoryTooLarge',
    `Cannot read the repository at ${host}: git printed more than ${bytes} bytes`,
    {
      remedy: 'follow a repository, or a folder of one, that holds policies only',
    },
  );
}
