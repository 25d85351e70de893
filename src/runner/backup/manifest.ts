import { BackstayError, errorCode } from '../../api/errors.ts';
import type { Snapshot, SnapshotStatusComponent, SnapshotStatusDatabase } from '../../api/generated/types.ts';
import type { ResolvedTarget } from '../../api/references.ts';
import type { DatabaseHashes } from '../../mongo/hashes.ts';
import type { ResticRepository } from '../../restic/repository.ts';
import { idTag, MANIFEST_FILE, MANIFEST_TAG } from '../tags.ts';
import { type Archive, archivesOf } from './archives.ts';

/** One component as the manifest has it, with its only archive or the list of them (see `archivesOf`). Missing fields stay missing. */
export type ManifestComponent = Pick<
  SnapshotStatusComponent,
  | 'name'
  | 'file'
  | 'resticSnapshotID'
  | 'hash'
  | 'archives'
  | 'bytes'
  | 'documents'
  | 'cutTime'
  | 'consistency'
  | 'addedBytes'
  | 'member'
  | 'lockedSeconds'
> & {
  /** Digests of the collections, when the task asked for them; too many for a status. */
  hashes?: DatabaseHashes;
};

/** The content of manifest.json: what makes the restic snapshots of a backup one Snapshot, also where its object is gone. */
export interface Manifest {
  snapshotID: string;
  name: string;
  namespace: string;
  session: string;
  appRef: Pick<ResolvedTarget, 'apiGroup' | 'kind' | 'namespace' | 'name'>;
  database: SnapshotStatusDatabase;
  components: ManifestComponent[];
  /** RFC 3339. */
  createdAt: string;
  backstayVersion: string;
}

export interface FoundManifest {
  manifestID: string;
  manifest: Manifest;
}

/** Writes the manifest: from then on the Snapshot counts. Returns the identity of its restic snapshot. */
export async function writeManifest(
  restic: ResticRepository,
  manifest: Manifest,
  options: { host: string; tags: string[]; signal: AbortSignal },
): Promise<string> {
  const content = Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`);
  const { snapshotID } = await restic.backup([content], { filename: MANIFEST_FILE, ...options });
  return snapshotID;
}

/** The manifest of a Snapshot, if the repository holds one: the one that is named, or else the newest. */
export async function findManifest(
  restic: ResticRepository,
  snapshot: Snapshot,
  signal: AbortSignal,
): Promise<FoundManifest | undefined> {
  const manifestID = snapshot.status?.manifestID ?? (await newestManifest(restic, snapshot, signal));
  if (manifestID === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of restic.dump(manifestID, MANIFEST_FILE, { signal })) chunks.push(chunk);
  } catch (error) {
    if (errorCode(error) === 'ResticSnapshotNotFound') return undefined;
    throw error;
  }
  return { manifestID, manifest: parseManifest(Buffer.concat(chunks).toString('utf8'), snapshot) };
}

async function newestManifest(
  restic: ResticRepository,
  { spec }: Snapshot,
  signal: AbortSignal,
): Promise<string | undefined> {
  return (await restic.snapshots({ tags: [idTag(spec.snapshotID), MANIFEST_TAG], signal })).at(-1)?.id;
}

/** Reads a manifest and checks that it is the one of the Snapshot. @throws BackstayError SnapshotInvalid */
export function parseManifest(text: string, snapshot: Snapshot): Manifest {
  const where = `Snapshot ${snapshot.metadata.namespace}/${snapshot.metadata.name}`;
  const invalid = (what: string, cause?: unknown): BackstayError =>
    new BackstayError('SnapshotInvalid', `the manifest of ${where} ${what}`, {
      remedy: 'restore another Snapshot, and check the repository with restic check',
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid('is not JSON', error);
  }
  if (!isManifest(value)) throw invalid('lacks what it must have');
  if (value.snapshotID !== snapshot.spec.snapshotID) throw invalid(`belongs to another one, ${value.snapshotID}`);
  for (const mine of snapshot.status?.components ?? []) {
    const component = value.components.find(({ name }) => name === mine.name);
    if (component === undefined) throw invalid(`does not name its component ${mine.name}`);
    const archives = archivesOf(component);
    const known = archivesOf(mine);
    if (known.length > 0 && (known.length !== archives.length || !known.every((one) => isAmong(one, archives)))) {
      throw invalid(`tells otherwise of component ${mine.name} than the status does`);
    }
  }
  return value;
}

function isAmong({ resticSnapshotID, hash }: Archive, archives: readonly Archive[]): boolean {
  const same = archives.find((one) => one.resticSnapshotID === resticSnapshotID);
  return same !== undefined && (hash === undefined || same.hash === undefined || hash === same.hash);
}

function isManifest(value: unknown): value is Manifest {
  if (typeof value !== 'object' || value === null) return false;
  const { snapshotID, components } = value as Record<string, unknown>;
  return typeof snapshotID === 'string' && Array.isArray(components) && components.every(isComponent);
}

function isComponent(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { name, archives } = value as Record<string, unknown>;
  if (typeof name !== 'string') return false;
  return archives === undefined
    ? isArchive(value)
    : Array.isArray(archives) && archives.length > 0 && archives.every(isArchive);
}

function isArchive(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { file, resticSnapshotID } = value as Record<string, unknown>;
  return typeof file === 'string' && typeof resticSnapshotID === 'string';
}
