import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BackstayError } from '../api/errors.ts';
import type { ResticBackend } from './backends.ts';
import { resticFailure } from './failure.ts';
import { type ResticProcess, type ResticSettings, runRestic, startRestic } from './process.ts';
import { redactor } from './redact.ts';
import { type BackupStream, type StreamOptions, type StreamSummary, startBackup } from './stream.ts';

export interface OpenOptions {
  backend: ResticBackend;
  /** A trailing line break is not part of it, as in restic's own password files. */
  password: string;
  /** Folder that is made for the certificates and keys that restic reads from files; `close` removes it. */
  folder: string;
  /** The restic executable; found on the PATH by default. */
  binary?: string;
  /** The surrounding environment; proxies, the identity of the Pod and RESTIC_ settings are taken from it. */
  env?: NodeJS.ProcessEnv;
  /** How long a command waits for a lock of another process, as restic writes it, such as 5m; it fails at once by default. */
  retryLock?: string;
  /** How long a command that only looks may try to reach the storage, in milliseconds; 45 000 by default. */
  patienceMs?: number;
}

export interface ResticSnapshot {
  id: string;
  /** RFC 3339. */
  time: string;
  hostname: string;
  tags: string[];
  paths: string[];
}

interface CallOptions {
  signal?: AbortSignal | undefined;
}

interface LookOptions extends CallOptions {
  /** Lock the repository meanwhile, which needs the rights to list, to write and to delete; nothing is locked by default. */
  locking?: boolean;
}

// A storage that takes longer to show a file of 155 bytes is not one to start a backup to.
const OPEN_PATIENCE_MS = 45_000;
// Arguments are limited to 128 KiB or so; an identity is 65 bytes.
const IDS_PER_COMMAND = 500;
const ID_PREFIX = 32;

/** One restic repository: every method is one run of restic, with its exit code and words turned into a BackstayError. */
export class ResticRepository {
  /** restic's name of the place, without secrets. */
  readonly location: string;
  readonly #settings: ResticSettings;
  readonly #folder: string;
  readonly #patienceMs: number;
  /** Those that files are read from. */
  readonly #reading = new Set<ResticProcess>();

  constructor(settings: ResticSettings, folder: string, patienceMs: number) {
    this.location = settings.location;
    this.#settings = settings;
    this.#folder = folder;
    this.#patienceMs = patienceMs;
  }

  /** The identity of the repository. Fails with RepositoryNotFound where there is none, and soon where the storage cannot be reached. */
  async id({ locking = false, signal }: LookOptions = {}): Promise<string> {
    const doing = 'open the repository';
    const output = await runRestic(this.#settings, ['cat', 'config', ...(locking ? [] : ['--no-lock'])], {
      signal,
      doing,
      patienceMs: this.#patienceMs,
      unlocking: locking,
    });
    const { id } = parse(output, this.location);
    if (typeof id !== 'string') throw unreadable(this.location, 'its configuration has no id');
    return id;
  }

  /**
   * Makes the repository unless it is there. One at a time: two at once can leave a repository that nobody can open (seen with 0.18 on a
   * volume: the configuration of the one under the key of the other).
   *
   * restic would also make a missing bucket; the bucket must exist, so the repository is looked for first, which fails with BucketNotFound.
   */
  async init({ locking = false, signal }: LookOptions = {}): Promise<{ id: string; created: boolean }> {
    const found = await this.#find({ locking, signal });
    if (found !== undefined) return { id: found, created: false };
    await this.#requireBucket(signal);
    try {
      const doing = 'make the repository';
      const output = await runRestic(this.#settings, ['init', '--json'], {
        signal,
        doing,
        patienceMs: this.#patienceMs,
      });
      const { id } = parse(output, this.location);
      if (typeof id === 'string') return { id, created: true };
      return { id: await this.id({ signal }), created: true };
    } catch (error) {
      signal?.throwIfAborted();
      // Somebody may have made it between the look and the making, and restic then refuses.
      const other = await this.#find({ signal }).catch(() => undefined);
      if (other === undefined) throw error;
      return { id: other, created: false };
    }
  }

  /** Starts a snapshot that is written piece by piece, see `startBackup`. */
  startBackup(options: StreamOptions): Promise<BackupStream> {
    return startBackup(this.#settings, { patienceMs: this.#patienceMs, ...options });
  }

  /** Makes a snapshot of a whole stream. When the stream throws, there is no snapshot. */
  async backup(
    input: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: StreamOptions & { onProgress?: (bytes: number) => void },
  ): Promise<StreamSummary> {
    const stream = await this.startBackup(options);
    try {
      for await (const chunk of input) {
        await stream.write(chunk);
        options.onProgress?.(stream.bytes);
      }
      return await stream.complete();
    } catch (error) {
      await stream.abort();
      throw error;
    }
  }

  /**
   * The content of a file of a snapshot; fails with ResticSnapshotNotFound when there is no such snapshot. The iteration throws when restic fails, also at its very end: what was read until then is not to
   * be trusted. Ending the iteration early ends restic, which then takes its lock away.
   */
  async *dump(snapshotID: string, file: string, { signal }: CallOptions = {}): AsyncGenerator<Uint8Array> {
    signal?.throwIfAborted();
    // By the beginning of its identity restic looks it up, and says the same of every provider's when it is not there.
    const prefix = snapshotID.slice(0, ID_PREFIX);
    const restic = startRestic(this.#settings, ['dump', prefix, file.startsWith('/') ? file : `/${file}`]);
    this.#reading.add(restic);
    signal?.addEventListener('abort', restic.stop, { once: true });
    const { stdout } = restic.child;
    try {
      // a pipe that is closed before restic was interrupted kills it, and its lock stays
      for await (const chunk of stdout?.iterator({ destroyOnReturn: false }) ?? []) yield chunk as Buffer;
      const ending = await restic.ended;
      signal?.throwIfAborted();
      if (ending.exitCode !== 0) throw resticFailure(ending, `read ${file} of snapshot ${snapshotID}`, this.location);
    } finally {
      signal?.removeEventListener('abort', restic.stop);
      restic.stop();
      stdout?.resume();
      await restic.ended.catch(() => {});
      this.#reading.delete(restic);
    }
  }

  /** The snapshots that have every one of the tags, the oldest first. */
  async snapshots({ tags = [], signal }: CallOptions & { tags?: string[] } = {}): Promise<ResticSnapshot[]> {
    const args = ['snapshots', '--json', '--no-lock'];
    if (tags.length > 0) args.push('--tag', tags.join(','));
    const output = await runRestic(this.#settings, args, {
      signal,
      doing: 'list snapshots',
      patienceMs: this.#patienceMs,
    });
    const list = parseJson(output, this.location);
    if (!Array.isArray(list)) throw unreadable(this.location, 'the list of snapshots is not a list');
    return list
      .map((entry) => snapshotOf(entry, this.location))
      .sort((a, b) => Date.parse(a.time) - Date.parse(b.time));
  }

  /**
   * Forgets snapshots by their full identities, group after group, and prunes what no other snapshot needs. Unknown identities count as
   * forgotten already. It needs the repository for itself: it waits as long as `retryLock` says, and fails with RepositoryLocked then.
   *
   * @returns how many snapshots were forgotten
   */
  async forget(
    groups: readonly (readonly string[])[],
    { prune, signal }: CallOptions & { prune: boolean },
  ): Promise<{ removed: number }> {
    await this.unlock({ signal });
    const present = new Set((await this.snapshots({ signal })).map(({ id }) => id));
    const commands = groups.flatMap((group) => batches(group.filter((id) => present.has(id))));
    const doing = 'forget snapshots';
    for (const [index, batch] of commands.entries()) {
      const last = index === commands.length - 1;
      await runRestic(this.#settings, ['forget', '--json', ...(last && prune ? ['--prune'] : []), ...batch], {
        signal,
        doing,
      });
    }
    // What an earlier run forgot and died before it pruned is still to be removed.
    if (prune && commands.length === 0) await runRestic(this.#settings, ['prune'], { signal, doing: 'prune' });
    return { removed: commands.flat().length };
  }

  /** Removes the locks of processes that are known to be dead: older than 30 minutes, or of this host and without their process. */
  async unlock({ signal }: CallOptions = {}): Promise<void> {
    await runRestic(this.#settings, ['unlock'], { signal, doing: 'remove stale locks', patienceMs: this.#patienceMs });
  }

  /** Size of all data in the repository, in bytes. */
  async size({ signal }: CallOptions = {}): Promise<number> {
    const args = ['stats', '--json', '--no-lock', '--mode', 'raw-data'];
    const { total_size: size } = parse(
      await runRestic(this.#settings, args, { signal, doing: 'measure' }),
      this.location,
    );
    return typeof size === 'number' ? size : 0;
  }

  /** Verifies the structure of the repository, and as much of its data as `readData` says, such as "5%". Throws when anything is wrong. */
  async check({ readData, signal }: CallOptions & { readData?: string } = {}): Promise<void> {
    const args = ['check', '--json', ...(readData === undefined ? [] : ['--read-data-subset', readData])];
    await runRestic(this.#settings, args, { signal, doing: 'check the repository' });
  }

  /** Ends what is read still, and removes the files with certificates and keys. */
  async close(): Promise<void> {
    const exits = Array.from(this.#reading, ({ child, stop }) => {
      const exit = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
      stop();
      return exit;
    });
    await Promise.allSettled(exits);
    await rm(this.#folder, { recursive: true, force: true });
  }

  /**
   * A request for an object cannot tell a missing bucket from a missing object when the region is known, since its answer has no body.
   * Without a region the S3 client first asks where the bucket is, which tells. Whoever may not ask that has to be trusted.
   */
  async #requireBucket(signal: AbortSignal | undefined): Promise<void> {
    const { AWS_DEFAULT_REGION: region, ...env } = this.#settings.env;
    if (region === undefined || !this.location.startsWith('s3:')) return;
    try {
      const settings = { ...this.#settings, env };
      const doing = 'look for the bucket';
      await runRestic(settings, ['cat', 'config', '--no-lock'], { signal, doing, patienceMs: this.#patienceMs });
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof BackstayError && error.code === 'BucketNotFound') throw error;
    }
  }

  async #find(options: LookOptions): Promise<string | undefined> {
    try {
      return await this.id(options);
    } catch (error) {
      if (error instanceof BackstayError && error.code === 'RepositoryNotFound') return undefined;
      throw error;
    }
  }
}

/** Prepares a repository: writes what restic reads from files, and nothing else; no request is made. */
export async function openRestic(options: OpenOptions): Promise<ResticRepository> {
  const { backend, folder, binary = 'restic', env = process.env, retryLock } = options;
  const password = options.password.replace(/[\r\n]+$/, '');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const files: Record<string, string> = {};
  for (const file of backend.files) {
    const path = join(folder, file.name);
    await writeFile(path, file.content, { mode: 0o600 });
    files[file.variable] = path;
  }
  const settings: ResticSettings = {
    binary,
    location: backend.location,
    env: { ...surroundings(env, backend), ...backend.env, ...files, RESTIC_REPOSITORY: backend.location },
    // Nothing of a repository is worth keeping on the disk of a Pod that ends with its command.
    globalArgs: ['--no-cache', ...backend.flags],
    redact: redactor([password, ...secretsOf(backend)]),
  };
  settings.env.RESTIC_PASSWORD = password;
  if (retryLock !== undefined) settings.globalArgs.push('--retry-lock', retryLock);
  for (const [key, value] of Object.entries(backend.options)) settings.globalArgs.push('-o', `${key}=${value}`);
  return new ResticRepository(settings, folder, options.patienceMs ?? OPEN_PATIENCE_MS);
}

function batches(ids: readonly string[]): string[][] {
  const count = Math.ceil(ids.length / IDS_PER_COMMAND);
  return Array.from({ length: count }, (_, at) => ids.slice(at * IDS_PER_COMMAND, (at + 1) * IDS_PER_COMMAND));
}

/** The environment without what names another repository, and without the keys of an account that are given otherwise. */
function surroundings(env: NodeJS.ProcessEnv, backend: ResticBackend): NodeJS.ProcessEnv {
  const hidden = new Set(['RESTIC_REPOSITORY_FILE', 'RESTIC_PASSWORD_FILE', 'RESTIC_PASSWORD_COMMAND']);
  const families = {
    AWS_ACCESS_KEY_ID: /^AWS_/,
    AZURE_ACCOUNT_KEY: /^AZURE_ACCOUNT_/,
    AZURE_ACCOUNT_SAS: /^AZURE_ACCOUNT_/,
  };
  for (const [key, family] of Object.entries(families)) {
    if (backend.env[key] === undefined) continue;
    for (const name of Object.keys(env)) if (family.test(name)) hidden.add(name);
  }
  return Object.fromEntries(Object.entries(env).filter(([name]) => !hidden.has(name)));
}

/** Values that must never be shown; the name of an account and a region are not among them. */
function secretsOf(backend: ResticBackend): string[] {
  const keys = [
    'AWS_ACCESS_KEY_ID',
    'AWS_SECRET_ACCESS_KEY',
    'AWS_SESSION_TOKEN',
    'AZURE_ACCOUNT_KEY',
    'AZURE_ACCOUNT_SAS',
  ];
  const files = backend.files.filter(({ variable }) => variable !== 'RESTIC_CACERT').map(({ content }) => content);
  return [...keys.flatMap((key) => backend.env[key] ?? []), ...files];
}

function snapshotOf(entry: unknown, location: string): ResticSnapshot {
  if (typeof entry !== 'object' || entry === null) throw unreadable(location, 'a snapshot is not an object');
  const { id, time, hostname, tags, paths } = entry as Record<string, unknown>;
  const strings = (value: unknown) => (Array.isArray(value) ? value.map(String) : []);
  return { id: String(id), time: String(time), hostname: String(hostname), tags: strings(tags), paths: strings(paths) };
}

function parse(output: string, location: string): Record<string, unknown> {
  const value = parseJson(output, location);
  if (typeof value !== 'object' || value === null) throw unreadable(location, 'the answer is not an object');
  return value as Record<string, unknown>;
}

function parseJson(output: string, location: string): unknown {
  try {
    return JSON.parse(output);
  } catch (cause) {
    throw unreadable(location, 'the answer is not JSON', cause);
  }
}

function unreadable(location: string, why: string, cause?: unknown): BackstayError {
  return new BackstayError('ResticFailed', `cannot read the answer of restic for ${location}: ${why}`, { cause });
}
