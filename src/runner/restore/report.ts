import type { RestoreSession, RestoreSessionStatus, RestoreSessionStatusComponent } from '../../api/generated/types.ts';
import type { LoadProgress, LoadResult } from '../../mongo/load.ts';
import { nowAndThen, remainingSeconds } from '../../mongo/pace.ts';
import { LOG_PROGRESS_MS, type Log } from '../log.ts';
import type { StatusWriter } from '../status-writer.ts';

type Component = RestoreSessionStatusComponent;
/** What is known of a component before it is restored. */
export interface Expected {
  /** The member that it is written to. */
  member: string | undefined;
  /** Size of its archive in bytes, and documents in it. */
  bytes: number | undefined;
  documents: number | undefined;
}

type Balancer = RestoreSessionStatus['balancer'];

/** What the runner says in the status of a RestoreSession: each component, and the balancer while it is stopped. */
export class RestoreReport {
  readonly #writer: StatusWriter<RestoreSession>;
  readonly #components = new Map<string, Component>();
  readonly #restored = new Map<string, { restored: number; failed: number }>();
  readonly #log: Log;
  readonly #logDue = new Map<string, () => boolean>();
  #started = performance.now();

  constructor(writer: StatusWriter<RestoreSession>, log: Log) {
    this.#writer = writer;
    this.#log = log;
  }

  /** Documents of which the server said that they are there, and that they are not, in all components. */
  get counts(): { restored: number; failed: number } {
    const sum = { restored: 0, failed: 0 };
    for (const { restored, failed } of this.#restored.values()) {
      sum.restored += restored;
      sum.failed += failed;
    }
    return sum;
  }

  get balancer(): Balancer {
    return this.#writer.status.balancer;
  }

  async begin(expected: ReadonlyMap<string, Expected>): Promise<void> {
    this.#started = performance.now();
    for (const [name, { member, bytes, documents }] of expected) {
      this.#components.set(name, {
        name,
        phase: 'Running',
        ...(member === undefined ? {} : { member }),
        ...(bytes === undefined ? {} : { bytesTotal: bytes }),
        ...(documents === undefined ? {} : { documentsTotal: documents }),
        startTime: rfc3339(new Date()),
      });
      this.#logDue.set(name, nowAndThen(LOG_PROGRESS_MS));
    }
    await this.#writer.write(this.#status());
  }

  progress(name: string, { read, bytes, restored, failed, collections, collectionsInAll }: LoadProgress): void {
    this.#restored.set(name, { restored, failed });
    const seconds = (performance.now() - this.#started) / 1000;
    const remaining = remainingSeconds(read, this.#components.get(name)?.bytesTotal, seconds);
    const figures = {
      bytes,
      documents: restored,
      failedDocuments: failed,
      collectionsDone: collections,
      collectionsTotal: collectionsInAll,
      bytesPerSecond: this.#perSecond(bytes),
      ...(remaining === undefined ? {} : { remainingSeconds: remaining }),
    };
    this.#change(name, figures);
    this.#writer.progress(this.#status());
    if (this.#logDue.get(name)?.() !== true) return;
    const { bytesTotal, documentsTotal } = this.#components.get(name) ?? {};
    this.#log.info({ component: name, ...figures, bytesTotal, documentsTotal }, 'progress');
  }

  async done(
    name: string,
    { bytes, documents, failed, indexes, namespaces }: LoadResult,
    error?: string,
  ): Promise<void> {
    this.#restored.set(name, { restored: documents - failed, failed });
    this.#change(name, {
      phase: error === undefined ? 'Succeeded' : 'Failed',
      bytes,
      documents,
      failedDocuments: failed,
      indexes,
      collectionsDone: namespaces.length,
      collectionsTotal: namespaces.length,
      bytesPerSecond: this.#perSecond(bytes),
      ...this.#end(),
      ...(error === undefined ? {} : { error }),
    });
    await this.#writer.write(this.#status());
  }

  /** Every component that has not ended failed. */
  async failed(error: string): Promise<void> {
    if (this.#components.size === 0) return;
    for (const { name, completionTime } of this.#components.values()) {
      if (completionTime === undefined) this.#change(name, { phase: 'Failed', ...this.#end(), error });
    }
    await this.#writer.write(this.#status());
  }

  async setBalancer(balancer: Balancer): Promise<void> {
    const { balancer: _former, ...rest } = this.#writer.status;
    await this.#writer.write({ ...rest, ...(balancer === undefined ? {} : { balancer }) });
  }

  #status(): RestoreSessionStatus {
    const { balancer } = this.#writer.status;
    return { components: Array.from(this.#components.values()), ...(balancer === undefined ? {} : { balancer }) };
  }

  #change(name: string, changes: Partial<Component>): void {
    const changed = { ...(this.#components.get(name) ?? { name }), ...changes };
    if (changed.completionTime !== undefined) {
      for (const expected of ['bytesTotal', 'documentsTotal', 'remainingSeconds'] as const) delete changed[expected];
    }
    this.#components.set(name, changed);
  }

  #end(): Pick<Component, 'completionTime' | 'durationSeconds'> {
    return {
      completionTime: rfc3339(new Date()),
      durationSeconds: Math.round((performance.now() - this.#started) / 1000),
    };
  }

  #perSecond(bytes: number): number {
    return Math.round(bytes / Math.max(0.001, (performance.now() - this.#started) / 1000));
  }
}

function rfc3339(date: Date): string {
  return date.toISOString().replace(/\.\d{3}Z$/, 'Z');
}
