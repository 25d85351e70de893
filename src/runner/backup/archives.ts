import type { SnapshotStatusComponent } from '../../api/generated/types.ts';
import { CONFIG_SERVER } from '../../mongo/cluster/topology.ts';

/** One archive of a component, in a restic snapshot of its own. */
export interface Archive {
  /** Name inside the restic snapshot. */
  file: string;
  resticSnapshotID: string;
  /** Length of the archive, and what it added to the repository. */
  bytes?: number;
  addedBytes?: number;
  /** SHA-256, hexadecimal. */
  hash?: string;
}

type Recorded = Pick<SnapshotStatusComponent, 'file' | 'resticSnapshotID' | 'hash' | 'archives'>;

/** How many archives a component is written as: a config server, which is small, always as one. */
export function archivesFor(component: string, streams: number): number {
  return component === CONFIG_SERVER ? 1 : streams;
}

/** The names of a component's archives: dump.archive, dump-2.archive and so on. */
export function archiveNames(component: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) =>
    index === 0 ? `${component}.archive` : `${component}-${index + 1}.archive`,
  );
}

/** What a component says of its archives before they are stored: the name of the only one, or the list. */
export function plannedArchives(component: string, count: number): Recorded {
  const [file = '', ...others] = archiveNames(component, count);
  return others.length === 0 ? { file } : { archives: [file, ...others].map((each) => ({ file: each })) };
}

/**
 * How a component records its archives. Of several none is the component's own: who knows of one only must not take it for the whole.
 */
export function recordOf(archives: readonly Archive[]): Recorded {
  const [first, ...others] = archives;
  if (first === undefined || others.length > 0) return { archives: [...archives] };
  const { file, resticSnapshotID, hash } = first;
  return { file, resticSnapshotID, ...(hash === undefined ? {} : { hash }) };
}

/** The archives that a component records; only those that are stored. */
export function archivesOf({
  name,
  file = `${name}.archive`,
  resticSnapshotID,
  hash,
  archives = [
    { file, ...(resticSnapshotID === undefined ? {} : { resticSnapshotID }), ...(hash === undefined ? {} : { hash }) },
  ],
}: Recorded & Pick<SnapshotStatusComponent, 'name'>): Archive[] {
  return archives.flatMap(({ resticSnapshotID: id, ...others }) =>
    id === undefined ? [] : [{ ...others, resticSnapshotID: id }],
  );
}
