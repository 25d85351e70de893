import { createHash } from 'node:crypto';
import { BackstayError } from '../../api/errors.ts';
import type { RestoreSession, Snapshot } from '../../api/generated/types.ts';
import { Snapshots } from '../../api/kinds.ts';
import { formatName } from '../../api/references.ts';
import type { ResticRepository } from '../../restic/repository.ts';
import { type Archive, archivesOf } from '../backup/archives.ts';
import { findManifest, type Manifest, type ManifestComponent } from '../backup/manifest.ts';
import type { JobContext } from '../job.ts';
import { requireObject } from '../objects.ts';

/** The Snapshot that the session names, or that the operator found to be the latest. */
export async function snapshotOf({ client, signal }: JobContext, session: RestoreSession): Promise<Snapshot> {
  const { dataSource } = session.spec;
  const { namespace: home = '' } = session.metadata;
  const { namespace = home, repository } = dataSource;
  const named = dataSource.snapshot === undefined || dataSource.snapshot === 'latest' ? undefined : dataSource.snapshot;
  const name = session.status?.snapshot ?? named;
  if (name === undefined) {
    throw new BackstayError(
      'SnapshotNotFound',
      `no Snapshot of Repository ${namespace}/${repository} was chosen for RestoreSession ${home}/${session.metadata.name}`,
      { remedy: 'name one in spec.dataSource.snapshot, or see whether the operator runs: it finds the latest' },
    );
  }
  const snapshot = await requireObject(client, Snapshots, { namespace, name }, { signal, code: 'SnapshotNotFound' });
  if (snapshot.spec.repository !== repository) {
    throw new BackstayError(
      'SnapshotInvalid',
      `Snapshot ${namespace}/${name} is in Repository ${snapshot.spec.repository}, not in ${repository}`,
      { remedy: 'correct spec.dataSource' },
    );
  }
  return snapshot;
}

/** The manifest in the repository, and the components of it to restore. @throws BackstayError SnapshotNotFound, ComponentNotFound */
export async function chosenComponents(
  restic: ResticRepository,
  snapshot: Snapshot,
  session: RestoreSession,
  signal: AbortSignal,
): Promise<{ manifest: Manifest; components: ManifestComponent[] }> {
  const { namespace = '', name = '' } = snapshot.metadata;
  const where = `Snapshot ${formatName({ namespace, name })}`;
  const found = await findManifest(restic, snapshot, signal);
  if (found === undefined) {
    throw new BackstayError('SnapshotNotFound', `${where} has no manifest in ${restic.location}: it is not whole`, {
      remedy: 'restore another Snapshot',
    });
  }
  const { manifest } = found;
  const wanted = session.spec.dataSource.components ?? [];
  const missing = wanted.find((each) => !manifest.components.some((component) => component.name === each));
  if (missing !== undefined) {
    const names = manifest.components.map((component) => component.name).join(', ');
    throw new BackstayError('ComponentNotFound', `${where} has no component ${missing}`, {
      remedy: `use one of ${names} in spec.dataSource.components`,
    });
  }
  const components = manifest.components.filter(({ name: each }) => wanted.length === 0 || wanted.includes(each));
  return { manifest, components };
}

/** The archives of a component. */
export function openArchives(
  restic: ResticRepository,
  component: ManifestComponent,
  signal: AbortSignal,
): AsyncIterable<Uint8Array>[] {
  return archivesOf(component).map((archive) =>
    verified(restic.dump(archive.resticSnapshotID, archive.file, { signal }), archive, restic.location),
  );
}

/** Passes an archive on and compares its hash at the end: the reader of the archive sees the end only if it is the archive that was made. */
async function* verified(
  input: AsyncIterable<Uint8Array>,
  { file, hash: expected }: Archive,
  location: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  for await (const chunk of input) {
    hash.update(chunk);
    yield chunk;
  }
  if (expected === undefined || hash.digest('hex') === expected) return;
  throw new BackstayError('ArchiveDamaged', `${file} in ${location} is not what was backed up: its hash differs`, {
    remedy: 'restore another Snapshot, and check the repository with restic check --read-data',
  });
}
