import { errorCode } from '../api/errors.ts';
import type { Snapshot } from '../api/generated/types.ts';
import { Snapshots } from '../api/kinds.ts';
import type { ResticRepository } from '../restic/repository.ts';
import { archivesOf } from './backup/archives.ts';
import type { Done, JobContext } from './job.ts';
import { requireObject } from './objects.ts';
import { openRepository } from './repositories.ts';
import { idTag, MANIFEST_TAG } from './tags.ts';

export type ForgetRequest =
  | { namespace: string; snapshot: string }
  /** Every snapshot of the repository. */
  | { namespace: string; repository: string; all: true };

/** How long to wait for backups that write to the repository: pruning needs it alone. */
const RETRY_LOCK = '2m';

/** Removes the data of one Snapshot, or of all, from its repository. What is gone already counts as removed. */
export async function forget(context: JobContext, request: ForgetRequest): Promise<Done> {
  const { client, signal, log } = context;
  const { namespace } = request;
  const snapshot =
    'snapshot' in request
      ? await requireObject(
          client,
          Snapshots,
          { namespace, name: request.snapshot },
          { signal, code: 'SnapshotNotFound' },
        )
      : undefined;
  const name = 'snapshot' in request ? (snapshot?.spec.repository ?? '') : request.repository;
  const { restic } = await openRepository(context, { namespace, name }, { retryLock: RETRY_LOCK });
  try {
    const { manifests, others } = await wanted(restic, snapshot, signal);
    log.info({ manifests: manifests.length, snapshots: others.length }, 'forgetting');
    // Without its manifest a snapshot does not count, so that one whose removal stops half-way is never restored.
    const { removed } = await restic.forget([manifests, others], { prune: true, signal });
    return { message: `${removed} restic snapshots were removed from ${restic.location}`, data: { removed } };
  } catch (error) {
    if (errorCode(error) !== 'RepositoryNotFound') throw error;
    return { message: `there is no repository at ${restic.location} any more`, data: { removed: 0 } };
  }
}

/** The restic snapshots to remove. They are found by their tags, so that leftovers of failed runs go too. */
async function wanted(
  restic: ResticRepository,
  snapshot: Snapshot | undefined,
  signal: AbortSignal,
): Promise<{ manifests: string[]; others: string[] }> {
  const tags = snapshot === undefined ? [] : [idTag(snapshot.spec.snapshotID)];
  const found = await restic.snapshots({ tags, signal });
  const manifests = new Set(found.filter((one) => one.tags.includes(MANIFEST_TAG)).map(({ id }) => id));
  if (snapshot?.status?.manifestID !== undefined) manifests.add(snapshot.status.manifestID);
  const named = (snapshot?.status?.components ?? [])
    .flatMap(archivesOf)
    .map(({ resticSnapshotID }) => resticSnapshotID);
  const others = new Set([...found.map(({ id }) => id), ...named].filter((id) => !manifests.has(id)));
  return { manifests: [...manifests], others: [...others] };
}
