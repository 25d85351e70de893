import type { NamespacedName } from '../api/references.ts';

/** Tag of the restic snapshot that makes the others count. */
export const MANIFEST_TAG = 'manifest';
export const MANIFEST_FILE = 'manifest.json';

/** Tag that ties the restic snapshots of one Snapshot together, by `spec.snapshotID`. */
export function idTag(snapshotID: string): string {
  return `id:${snapshotID}`;
}

/** Tags of the restic snapshots of a Snapshot; one more says which part of it each is. */
export function snapshotTags(
  snapshot: NamespacedName & { snapshotID: string; session: string },
  part: { component: string } | 'manifest',
): string[] {
  return [
    'backstay',
    `snapshot:${snapshot.namespace}/${snapshot.name}`,
    idTag(snapshot.snapshotID),
    `session:${snapshot.session}`,
    part === 'manifest' ? MANIFEST_TAG : `component:${part.component}`,
  ];
}

/** The host of restic snapshots: stable for one database, so that backups of it find each other. */
export function hostOf(target: NamespacedName): string {
  return `${target.namespace}/${target.name}`;
}
