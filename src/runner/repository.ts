import { BackstayError, errorCode } from '../api/errors.ts';
import { formatName, type NamespacedName } from '../api/references.ts';
import type { ResticRepository } from '../restic/repository.ts';
import type { Done, JobContext } from './job.ts';
import { openRepository } from './repositories.ts';

/**
 * Opens the restic repository of a Repository, and makes it when it was never there.
 *
 * One that was there before and is gone, or is another one now, is an error: making a new one silently would hide the loss of every backup.
 */
export async function prepareRepository(context: JobContext, ref: NamespacedName): Promise<Done> {
  const { signal } = context;
  const { repository, restic } = await openRepository(context, ref, { retryLock: '1m' });
  const known = repository.status?.resticID;
  const { id, created } =
    known === undefined ? await restic.init({ signal }) : { id: await reopen(restic, ref, signal), created: false };
  if (known !== undefined && known !== id) {
    throw new BackstayError(
      'RepositoryReplaced',
      `Repository ${formatName(ref)} was ${known.slice(0, 8)}, and ${id.slice(0, 8)} lies at ${restic.location} now`,
      { remedy: 'bring the former repository back, or delete the Repository object to begin anew' },
    );
  }
  const message = created ? `made the repository at ${restic.location}` : `opened the repository at ${restic.location}`;
  return { message, data: { resticID: id, created } };
}

async function reopen(restic: ResticRepository, ref: NamespacedName, signal: AbortSignal): Promise<string> {
  try {
    return await restic.id({ signal });
  } catch (error) {
    if (errorCode(error) !== 'RepositoryNotFound') throw error;
    throw new BackstayError('RepositoryNotFound', `Repository ${formatName(ref)} is gone from ${restic.location}`, {
      remedy: 'bring its data back, or delete the Repository object to begin anew',
      cause: error,
    });
  }
}
