import { BackstayError } from '../../api/errors.ts';
import type { BackupStream, StreamSummary } from '../../restic/stream.ts';
import type { Log } from '../log.ts';

/** One repository that the dump goes to. */
export interface Branch {
  /** Name of the Repository. */
  repository: string;
  stream: BackupStream;
}

/** What became of a branch. */
export type BranchResult = { repository: string; summary: StreamSummary } | { repository: string; error: unknown };

export interface FanOptions {
  /** How long a repository may take no byte before it is cut off, in milliseconds: while it stalls, the database stays locked. */
  stallMs: number;
  log: Log;
  /** Called when a repository fails here. */
  onCutOff?: (repository: string, error: unknown) => void;
}

/**
 * Sends one stream to several repositories at the pace of the slowest. One that fails or stalls is cut off, without a snapshot, and the
 * others go on; when the last one is cut off, writing fails with the reason of the first.
 */
export class Fan {
  readonly #branches: Map<string, BackupStream>;
  readonly #failed = new Map<string, unknown>();
  readonly #options: FanOptions;
  readonly #ending: Promise<void>[] = [];

  constructor(branches: readonly Branch[], options: FanOptions) {
    this.#branches = new Map(branches.map(({ repository, stream }) => [repository, stream]));
    this.#options = options;
  }

  /** Repositories that were cut off so far, with the reason. */
  get failures(): ReadonlyMap<string, unknown> {
    return this.#failed;
  }

  /** Bytes that restic has worked off for each repository. */
  get processed(): Record<string, number> {
    return Object.fromEntries(Array.from(this.#branches, ([repository, { processed }]) => [repository, processed]));
  }

  async write(chunk: Uint8Array): Promise<void> {
    await Promise.all(
      [...this.#branches].map(async ([repository, stream]) => {
        try {
          await this.#bounded(stream, chunk);
        } catch (error) {
          this.#cutOff(repository, stream, error);
        }
      }),
    );
    this.#requireOne();
  }

  /** Declares the stream whole: resolves with what became of each repository, when all of them are done. */
  async complete(): Promise<BranchResult[]> {
    const results = await Promise.all(
      [...this.#branches].map(async ([repository, stream]): Promise<BranchResult> => {
        try {
          return { repository, summary: await this.#untilStuck(stream) };
        } catch (error) {
          this.#cutOff(repository, stream, error);
          // One that failed elsewhere was ended for that: the reason is the other's.
          return { repository, error: this.#failed.get(repository) ?? error };
        }
      }),
    );
    const ended = new Set(results.map(({ repository }) => repository));
    for (const [repository, error] of this.#failed) if (!ended.has(repository)) results.push({ repository, error });
    await Promise.all(this.#ending);
    return results;
  }

  /** Gives all snapshots up. Resolves when every restic has ended. */
  async abort(): Promise<void> {
    const streams = [...this.#branches.values()];
    // a write that fails now is no failure of its repository
    this.#branches.clear();
    await Promise.all([...streams.map((stream) => stream.abort()), ...this.#ending]);
  }

  /** Cuts a repository off that failed elsewhere. */
  drop(repository: string, error: unknown): void {
    const stream = this.#branches.get(repository);
    if (stream !== undefined) this.#remove(repository, stream, error);
  }

  #requireOne(): void {
    if (this.#branches.size > 0) return;
    const [first] = this.#failed.values();
    throw first ?? new BackstayError('UploadFailed', 'there is no repository to write to');
  }

  #cutOff(repository: string, stream: BackupStream, error: unknown): void {
    if (!this.#branches.has(repository)) return;
    this.#options.log.error({ repository, error: String(error) }, 'repository cut off, the others go on');
    this.#remove(repository, stream, error);
    this.#options.onCutOff?.(repository, error);
  }

  #remove(repository: string, stream: BackupStream, error: unknown): void {
    this.#branches.delete(repository);
    this.#failed.set(repository, error);
    this.#ending.push(stream.abort());
  }

  /** The rest of an upload has no pace to measure: it is given up when restic has been trying again for as long as a stall may last. */
  async #untilStuck(stream: BackupStream): Promise<StreamSummary> {
    const { stallMs } = this.#options;
    const stuck = Promise.withResolvers<never>();
    let since: number | undefined;
    const looking = setInterval(
      () => {
        since = stream.trouble() === undefined ? undefined : (since ?? performance.now());
        if (since !== undefined && performance.now() - since >= stallMs) stuck.reject(stallOf(stream, stallMs));
      },
      Math.min(LOOK_MS, stallMs),
    );
    const completion = stream.complete();
    try {
      return await Promise.race([completion, stuck.promise]);
    } finally {
      clearInterval(looking);
      completion.catch(() => {});
    }
  }

  async #bounded(stream: BackupStream, chunk: Uint8Array): Promise<void> {
    const stalled = Promise.withResolvers<never>();
    const timer = setTimeout(() => stalled.reject(stallOf(stream, this.#options.stallMs)), this.#options.stallMs);
    const write = stream.write(chunk);
    try {
      await Promise.race([write, stalled.promise]);
    } finally {
      clearTimeout(timer);
      // The write may still fail when its restic is ended.
      write.catch(() => {});
    }
  }
}

/** How long restic has had the same trouble is looked at so often. */
const LOOK_MS = 1000;

/** What restic struggles with says more than that nothing moves. */
function stallOf(stream: BackupStream, stallMs: number): BackstayError {
  const trouble = stream.trouble();
  const what = `the repository took no byte for ${stallMs / 1000} s`;
  const remedy = trouble?.remedy ?? 'look at the speed of the storage and of the network to it';
  if (trouble === undefined) return new BackstayError('UploadFailed', what, { remedy });
  return new BackstayError(trouble.code, `${what}: ${trouble.message}`, { remedy, cause: trouble });
}
