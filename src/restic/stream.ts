import { openSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { BackstayError } from '../api/errors.ts';
import { diagnose, resticFailure } from './failure.ts';
import { onLines, type ResticProcess, type ResticSettings, startRestic } from './process.ts';

const GATE = fileURLToPath(new URL('./gate.mjs', import.meta.url));
const COMPLETE = 'complete';
// How far the dump may be ahead of restic: it evens out the moments in which restic waits for an upload.
const BUFFER_BYTES = 8 * 1024 * 1024;
/** restic says how far it is every five seconds. */
const GATE_VARIABLES = { RESTIC_PROGRESS_FPS: '0.2', NODE_OPTIONS: '' };

export interface StreamOptions {
  /** Name of the file inside the snapshot, such as dump.archive. */
  filename: string;
  /** The stable name that restic finds the earlier snapshots by. */
  host: string;
  tags: string[];
  /** How long restic may fail to reach the storage before it waits for the first byte, in milliseconds; restic decides without it. */
  patienceMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** A snapshot that restic made. */
export interface StreamSummary {
  snapshotID: string;
  /** Bytes that were read from the stream. */
  bytesProcessed: number;
  /** Bytes that the repository grew by, compressed and encrypted. */
  bytesAdded: number;
}

/**
 * A snapshot in the making, with one file that is written to it piece by piece.
 *
 * The snapshot comes into being by `complete` alone: after an `abort`, a failure or the sudden death of this process there is none.
 */
export interface BackupStream {
  /** Bytes that were accepted so far. */
  readonly bytes: number;
  /** Bytes that restic has read and looked up in the repository, as it said last. */
  readonly processed: number;
  /** Rejects with the reason as soon as restic fails, also between two writes; resolves when restic ends well. */
  readonly ended: Promise<void>;
  /** Why restic is trying again at this moment, if it is. */
  trouble(): BackstayError | undefined;
  /** Resolves when there is room for more; the next one waits for that. The bytes must not be changed afterwards. */
  write(chunk: Uint8Array): Promise<void>;
  /** Declares the stream whole, and resolves when the snapshot is stored. restic makes no snapshot of a stream without a byte. */
  complete(): Promise<StreamSummary>;
  /** Gives the snapshot up, and resolves when restic has ended. Does nothing after `complete` resolved. */
  abort(): Promise<void>;
}

/**
 * Starts a backup from a stream. It resolves when restic has opened the repository, locked it, read its index and waits for the first
 * byte, so that a database is not locked for the time this takes.
 */
export async function startBackup(settings: ResticSettings, options: StreamOptions): Promise<BackupStream> {
  const { filename, host, tags, patienceMs, signal } = options;
  const doing = `back up ${filename}`;
  signal?.throwIfAborted();
  const args = ['backup', '--json', '--host', host, ...tags.flatMap((tag) => ['--tag', tag])];
  // Without a parent restic need not look for one; a stream has no modification time to compare anyway.
  args.push('--force', '--stdin-filename', `/${filename}`, '--stdin-from-command', '--', process.execPath, GATE);
  const env = { ...settings.env, ...GATE_VARIABLES };
  // Reading a large index or waiting for a lock takes its time; only a storage that does not answer is given up.
  const patience = patienceMs === undefined ? undefined : { doing, ms: patienceMs, fromFirstFailure: true };
  const restic = startRestic({ ...settings, env }, args, { channel: true, patience });
  const messages = readMessages(restic);
  const failure = restic.ended.then((ending) => {
    if (ending.exitCode === 0) return undefined;
    return restic.unreached() ?? uploadFailure(resticFailure(ending, doing, settings.location));
  });
  const channel = restic.child.stdio[3];
  if (!(channel instanceof Duplex)) throw new BackstayError('ResticFailed', 'restic was started without a channel');
  // A channel that breaks means that restic is gone, which `ended` tells better.
  channel.on('error', () => {});
  const stop = () => {
    channel.destroy();
    restic.stop();
  };
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const gate = await Promise.race([gateOf(channel), failure]);
    signal?.throwIfAborted();
    if (gate instanceof BackstayError) throw gate;
    // The channel may be closed a moment before it is known why.
    if (gate === undefined) throw (await failure) ?? new BackstayError('ResticFailed', `restic never read ${filename}`);
    restic.reached();
    return new ResticStream({ restic, channel, data: openPipe(gate), failure, messages, signal, stop });
  } catch (error) {
    stop();
    await restic.ended.catch(() => {});
    signal?.removeEventListener('abort', stop);
    throw error;
  }
}

interface Parts {
  restic: ResticProcess;
  channel: Duplex;
  data: Socket;
  failure: Promise<BackstayError | undefined>;
  messages: ResticMessages;
  signal: AbortSignal | undefined;
  stop: () => void;
}

class ResticStream implements BackupStream {
  bytes = 0;
  readonly ended: Promise<void>;
  readonly #parts: Parts;
  #aborted = false;
  #wake: () => void = () => {};

  constructor(parts: Parts) {
    this.#parts = parts;
    this.ended = parts.failure.then((failure) => {
      parts.data.destroy();
      parts.channel.destroy();
      parts.signal?.removeEventListener('abort', parts.stop);
      if (failure !== undefined && !this.#aborted) throw this.#reason(failure);
    });
    this.ended.catch(() => {});
    // Writing to a pipe without a reader; the end of restic says why there is none.
    parts.data.on('error', () => {});
    for (const event of ['drain', 'close']) parts.data.on(event, () => this.#wake());
  }

  trouble(): BackstayError | undefined {
    return this.#parts.restic.trouble();
  }

  get processed(): number {
    return this.#parts.messages.processed;
  }

  async write(chunk: Uint8Array): Promise<void> {
    const { data } = this.#parts;
    if (data.destroyed) await this.#fail();
    this.bytes += chunk.byteLength;
    if (data.write(chunk)) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    if (data.destroyed) await this.#fail();
  }

  async complete(): Promise<StreamSummary> {
    const { data, channel, messages } = this.#parts;
    await new Promise<void>((resolve) => {
      data.once('close', resolve);
      data.end(() => resolve());
    });
    if (data.errored !== null) await this.#fail();
    channel.end(COMPLETE);
    await this.ended;
    const result = messages.summary;
    if (this.#aborted || result === undefined) {
      throw new BackstayError('UploadFailed', 'restic ended without the summary of a snapshot');
    }
    if (result.bytesProcessed !== this.bytes) {
      const numbers = `${result.bytesProcessed} of ${this.bytes} bytes`;
      throw new BackstayError('UploadFailed', `restic stored ${numbers} in snapshot ${result.snapshotID}`);
    }
    return result;
  }

  async abort(): Promise<void> {
    this.#aborted = true;
    this.#parts.stop();
    this.#parts.data.destroy();
    await this.ended.catch(() => {});
  }

  /** The pipe is broken: waits for restic to say why. */
  async #fail(): Promise<never> {
    this.#parts.channel.destroy();
    await this.ended;
    throw new BackstayError('UploadFailed', 'restic ended before the stream did');
  }

  #reason(failure: BackstayError): unknown {
    return this.#parts.signal?.aborted === true ? this.#parts.signal.reason : failure;
  }
}

/** What went wrong without a better name is the upload's fault. */
function uploadFailure(error: BackstayError): BackstayError {
  if (error.code !== 'ResticFailed' || diagnose(error.message) !== undefined) return error;
  return new BackstayError('UploadFailed', error.message, { cause: error });
}

/** The process identity of the gate, which it writes as its first line; undefined when the channel ends before. */
function gateOf(channel: Duplex): Promise<number | undefined> {
  return new Promise((resolve) => {
    channel.once('data', (chunk: Buffer) => resolve(Number.parseInt(chunk.toString('latin1'), 10)));
    channel.once('close', () => resolve(undefined));
  });
}

/** Opens the pipe that restic reads, for writing. Linux allows it to processes of the same user. */
function openPipe(gate: number): Socket {
  try {
    const fd = openSync(`/proc/${gate}/fd/1`, 'w');
    // Options of the stream are passed on by Socket, which its types leave out.
    const options: SocketConstructorOpts & { writableHighWaterMark: number } = {
      fd,
      readable: false,
      writable: true,
      writableHighWaterMark: BUFFER_BYTES,
    };
    return new Socket(options);
  } catch (cause) {
    throw new BackstayError('PipeRefused', `cannot open the pipe of process ${gate}: ${String(cause)}`, {
      remedy: 'run restic and the runner as the same user, with /proc mounted',
      cause,
    });
  }
}

/** What restic has said so far. */
interface ResticMessages {
  processed: number;
  summary?: StreamSummary;
}

/** Follows restic's lines of JSON: those of kind "status", and "summary" as the last. */
function readMessages(restic: ResticProcess): ResticMessages {
  const messages: ResticMessages = { processed: 0 };
  if (restic.child.stdout !== null) {
    onLines(restic.child.stdout, (line) => {
      const summary = line.includes('"summary"');
      if (!summary && !line.includes('"status"')) return;
      const message: Record<string, unknown> = JSON.parse(line);
      messages.processed = Number((summary ? message.total_bytes_processed : message.bytes_done) ?? messages.processed);
      if (!summary) return;
      messages.summary = {
        snapshotID: String(message.snapshot_id),
        bytesProcessed: Number(message.total_bytes_processed),
        bytesAdded: Number(message.data_added_packed),
      };
    });
  }
  return messages;
}
