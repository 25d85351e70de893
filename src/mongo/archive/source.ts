import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { abortError } from '../errors.ts';

/**
 * The bytes of a stream with a position in it. `chunk` is what is at hand; `fill` makes it longer, `advance` moves past bytes of it.
 */
export class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #signal: AbortSignal | undefined;
  chunk: Uint8Array = new Uint8Array();
  /** Offset of the first byte of `chunk` in the stream. */
  position = 0;

  constructor(input: AsyncIterable<Uint8Array>, signal?: AbortSignal) {
    this.#chunks = input[Symbol.asyncIterator]();
    this.#signal = signal;
  }

  /**
   * Makes at least `bytes` bytes stand in `chunk` in one piece.
   *
   * @returns false when the stream ends before that; `chunk` holds the rest
   */
  async fill(bytes: number): Promise<boolean> {
    if (this.chunk.length >= bytes) return true;
    const pieces = [this.chunk];
    let length = this.chunk.length;
    while (length < bytes) {
      const next = await this.#next();
      if (next.done === true) {
        this.chunk = Buffer.concat(pieces, length);
        return false;
      }
      pieces.push(next.value);
      length += next.value.length;
    }
    const [only, last] = pieces;
    // the usual case needs no copy: nothing was left and one chunk is enough
    this.chunk = pieces.length === 2 && only?.length === 0 && last !== undefined ? last : Buffer.concat(pieces, length);
    return true;
  }

  /** An input that has stopped must not keep an aborted reader. */
  async #next(): Promise<IteratorResult<Uint8Array>> {
    const signal = this.#signal;
    if (signal === undefined) return this.#chunks.next();
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => aborted.reject(abortError(signal));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([this.#chunks.next(), aborted.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  advance(bytes: number): void {
    this.chunk = this.chunk.subarray(bytes);
    this.position += bytes;
  }

  /** Tells the stream that no more of it is wanted. One that is aborted may never answer to that. */
  async close(): Promise<void> {
    const closed = this.#chunks.return?.();
    if (this.#signal?.aborted === true) closed?.catch(() => {});
    else await closed;
  }
}

/** The stream, unpacked when its first bytes are those of gzip. */
export async function* gunzipIfNeeded(
  input: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const source = new ByteSource(input, signal);
  try {
    await source.fill(2);
    const packed = source.chunk[0] === 0x1f && source.chunk[1] === 0x8b;
    if (!packed) {
      yield* rest(source);
      return;
    }
    const gunzip = createGunzip({ chunkSize: 256 * 1024 });
    const packedInput = Readable.from(rest(source), { objectMode: false });
    packedInput.on('error', (error) => gunzip.destroy(error));
    try {
      yield* packedInput.pipe(gunzip);
    } finally {
      packedInput.destroy();
    }
  } finally {
    await source.close();
  }
}

async function* rest(source: ByteSource): AsyncGenerator<Uint8Array> {
  while (await source.fill(1)) {
    const { chunk } = source;
    source.advance(chunk.length);
    yield chunk;
  }
}
