import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BackstayError } from '../api/errors.ts';
import { abortError } from '../mongo/errors.ts';

/** One place that an archive is written to. */
interface Sink {
  /** As messages have it. */
  name: string;
  stream: Writable;
  /** A file is written under another name, and has its own only when all of them are whole. */
  file?: { partial: string; path: string };
}

/** Where the archives of a dump go: standard output, or files that are there only when all of them are whole. */
export class Output {
  readonly #sinks: readonly Sink[];

  private constructor(sinks: readonly Sink[]) {
    this.#sinks = sinks;
  }

  /**
   * @param paths one for each archive: a file, or something to write to that is there, such as a named pipe; none for standard output
   * @throws BackstayError OutputFailed
   */
  static async open(paths: readonly string[]): Promise<Output> {
    if (paths.length === 0) return new Output([{ name: 'standard output', stream: process.stdout }]);
    // at the same time: the reader of named pipes may open them in another order
    const opened = await Promise.allSettled(paths.map(openFile));
    const sinks = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const output = new Output(sinks);
    const failed = opened.find((one) => one.status === 'rejected');
    if (failed === undefined) return output;
    await output.discard();
    throw failed.reason;
  }

  /** How many archives it takes. */
  get archives(): number {
    return this.#sinks.length;
  }

  /**
   * Writes all archives at the same time. The first failure is the one that is told; those of the others follow from it.
   *
   * @throws BackstayError OutputClosed, OutputFailed; and what reading the archives throws
   */
  async write(archives: readonly AsyncIterable<Uint8Array>[], signal: AbortSignal): Promise<void> {
    let first: { error: unknown } | undefined;
    const note = (error: unknown): void => {
      first ??= { error };
    };
    await Promise.all(
      this.#sinks.map(async ({ name, stream }, index) => {
        // before the end of the reading, by which the other archives fail
        const onError = (error: Error): void => note(writeFailure(name, error));
        stream.once('error', onError);
        const source = Readable.from(archives[index] ?? [], { objectMode: false });
        await pipeline(source, stream, { end: stream !== process.stdout, signal }).catch(note);
        stream.off('error', onError);
      }),
    );
    if (signal.aborted) throw abortError(signal);
    if (first !== undefined) throw first.error;
  }

  /** Gives the files their names. */
  async keep(): Promise<void> {
    for (const { name, file } of this.#sinks) {
      if (file === undefined) continue;
      await rename(file.partial, file.path).catch((error: unknown) => {
        throw writeFailure(name, error);
      });
    }
  }

  /** Takes away what was written to files. */
  async discard(): Promise<void> {
    for (const { stream, file } of this.#sinks) {
      if (stream !== process.stdout) stream.destroy();
      if (file !== undefined) await rm(file.partial, { force: true });
    }
  }
}

async function openFile(path: string): Promise<Sink> {
  try {
    const there = await stat(path).catch(() => undefined);
    const file = there === undefined || there.isFile() ? { partial: `${path}.partial`, path } : undefined;
    const handle: FileHandle = await open(file?.partial ?? path, 'w');
    return { name: path, stream: handle.createWriteStream(), ...(file === undefined ? {} : { file }) };
  } catch (error) {
    throw writeFailure(path, error);
  }
}

function writeFailure(name: string, cause: unknown): BackstayError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
  return code === 'EPIPE'
    ? new BackstayError('OutputClosed', `${name} was closed before the end of the dump`, { cause })
    : new BackstayError('OutputFailed', `${name} cannot be written (${code})`, { cause });
}
