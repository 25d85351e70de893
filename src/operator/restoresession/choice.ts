/** The Snapshot that a RestoreSession restores. Pure. */
import type { RestoreSession, Snapshot } from '../../api/generated/types.ts';

export type SnapshotChoice =
  | { state: 'found'; snapshot: Snapshot; components: number }
  /** It may still come. */
  | { state: 'missing'; message: string }
  /** It will never do. */
  | { state: 'unusable'; message: string };

/** `latest` is the newest good Snapshot; another name means that one. */
export function chooseSnapshot(restore: RestoreSession, snapshots: readonly Snapshot[]): SnapshotChoice {
  const { repository, snapshot: name = 'latest', components: wanted = [] } = restore.spec.dataSource;
  const usable = snapshots.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  if (name === 'latest') {
    const [newest] = usable.filter(({ status }) => status?.phase === 'Succeeded').sort((a, b) => timeOf(b) - timeOf(a));
    if (newest === undefined)
      return { state: 'missing', message: `Repository ${repository} holds no good Snapshot yet` };
    return withComponents(newest, wanted);
  }
  const snapshot = usable.find(({ metadata }) => metadata.name === name);
  if (snapshot === undefined) return { state: 'missing', message: `Repository ${repository} has no Snapshot ${name}` };
  if (snapshot.status?.phase === 'Failed')
    return { state: 'unusable', message: `Snapshot ${name} failed and cannot be restored` };
  if (snapshot.status?.phase !== 'Succeeded')
    return { state: 'missing', message: `Snapshot ${name} is not complete yet` };
  return withComponents(snapshot, wanted);
}

function withComponents(snapshot: Snapshot, wanted: readonly string[]): SnapshotChoice {
  const components = (snapshot.status?.components ?? []).map(({ name }) => name);
  const unknown = wanted.filter((name) => !components.includes(name));
  if (unknown.length === 0)
    return { state: 'found', snapshot, components: wanted.length === 0 ? components.length : wanted.length };
  return {
    state: 'unusable',
    message: `Snapshot ${snapshot.metadata.name} has no component ${unknown.join(', ')}; it has ${components.join(', ')}`,
  };
}

function timeOf({ status, metadata }: Snapshot): number {
  return Date.parse(status?.snapshotTime ?? metadata.creationTimestamp ?? '');
}
