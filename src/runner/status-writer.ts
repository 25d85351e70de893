import type { Applied, Client } from '../kube/client.ts';
import type { KubeObject, ResourceType } from '../kube/resource.ts';
import { FIELD_MANAGER } from './job.ts';
import type { Log } from './log.ts';

type StatusOf<T extends KubeObject> = T extends { status?: infer S } ? NonNullable<S> : never;

/** Progress is written at most this often, in milliseconds. */
const INTERVAL_MS = 5000;
/** A status that says what happened is worth more tries than the client makes by itself: about two minutes. */
const RETRIES = 12;

/**
 * The runner's part of an object's status. Server-side apply replaces the whole part with every write, so it is kept here as a whole.
 *
 * Writes never overlap: what is added during one goes out with the next.
 */
export class StatusWriter<T extends KubeObject> {
  readonly object: T;
  readonly #client: Client;
  readonly #type: ResourceType<T>;
  readonly #log: Log;
  #status: StatusOf<T>;
  #writing: Promise<void> = Promise.resolve();
  #lastWrite = Number.NEGATIVE_INFINITY;
  #progressUnderWay = false;

  constructor(client: Client, type: ResourceType<T>, object: T, initial: StatusOf<T>, log: Log) {
    this.#client = client;
    this.#type = type;
    this.object = object;
    this.#status = initial;
    this.#log = log;
  }

  get status(): StatusOf<T> {
    return this.#status;
  }

  /** Notes progress; it is written when the last write is long enough ago, and a failure to do so is only logged. */
  progress(status: StatusOf<T>): void {
    this.#status = status;
    if (this.#progressUnderWay || performance.now() - this.#lastWrite < INTERVAL_MS) return;
    this.#progressUnderWay = true;
    this.#enqueue(0)
      .catch((error: unknown) => this.#log.warn({ error: String(error) }, 'progress could not be written'))
      .finally(() => {
        this.#progressUnderWay = false;
      });
  }

  /** Writes the status and resolves when the API server has it. */
  async write(status: StatusOf<T>): Promise<void> {
    this.#status = status;
    await this.#enqueue(RETRIES);
  }

  #enqueue(retries: number): Promise<void> {
    const next = this.#writing.then(() => this.#apply(retries));
    this.#writing = next.catch(() => {});
    return next;
  }

  async #apply(retries: number): Promise<void> {
    this.#lastWrite = performance.now();
    const { namespace, name, uid } = this.object.metadata;
    const metadata = Object.fromEntries(
      Object.entries({ namespace, name, uid }).filter(([, value]) => value !== undefined),
    );
    const wanted = { metadata, status: this.#status } as unknown as Applied<T>;
    // No signal: what happened is written also, and above all, when the runner was asked to end.
    await this.#client.applyStatus(this.#type, wanted, { fieldManager: FIELD_MANAGER, force: true, retries });
  }
}
