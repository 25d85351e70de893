import type { Snapshot, SnapshotStatus, SnapshotStatusComponent } from '../../api/generated/types.ts';
import { Snapshots } from '../../api/kinds.ts';
import type { Client } from '../../kube/client.ts';
import type { Log } from '../log.ts';
import { StatusWriter } from '../status-writer.ts';

/** The whole dump of a standalone or of a replica set is one component. */
export const WHOLE = 'dump';
/** What the schema lets into an error, in characters. */
const LONGEST = 4096;

/** The runner's part of a Snapshot's status, kept up to date while the backup goes on. */
export class SnapshotReport {
  readonly snapshot: Snapshot;
  readonly #writer: StatusWriter<Snapshot>;

  constructor(client: Client, snapshot: Snapshot, log: Log) {
    this.snapshot = snapshot;
    this.#writer = new StatusWriter(client, Snapshots, snapshot, {}, log);
  }

  /** Writes what is known of the whole Snapshot. */
  async write(part: Omit<SnapshotStatus, 'components'>): Promise<void> {
    await this.#writer.write({ ...this.#writer.status, ...part });
  }

  /** Writes what an earlier run achieved. */
  async adopt(status: SnapshotStatus): Promise<void> {
    await this.#writer.write(status);
  }

  /** Writes why there is no Snapshot, unless there is one. */
  async failed(error: string): Promise<void> {
    const { components = [], manifestID } = this.#writer.status;
    if (manifestID !== undefined) return;
    const begun = components.length === 0 ? [{ name: WHOLE }] : components;
    const unfinished = begun.map((component) => ({
      ...component,
      phase: 'Failed' as const,
      error: error.slice(0, LONGEST),
    }));
    await this.#writer.write({ ...this.#writer.status, components: unfinished });
  }

  /** Notes how far a component is. */
  progress(component: SnapshotStatusComponent): void {
    this.#writer.progress(this.#with(component));
  }

  /** Writes all components, and what is known of the whole Snapshot by them. */
  async components(components: SnapshotStatusComponent[], part: Omit<SnapshotStatus, 'components'>): Promise<void> {
    await this.#writer.write({ ...this.#writer.status, ...part, components });
  }

  #with(component: SnapshotStatusComponent): SnapshotStatus {
    const { components = [] } = this.#writer.status;
    return {
      ...this.#writer.status,
      components: components.map((one) => (one.name === component.name ? component : one)),
    };
  }
}
