import { join } from 'node:path';
import type { NamespacedName } from '../api/references.ts';
import { MARKER_FOLDER } from '../api/rules/places.ts';
import { resticBackend } from '../restic/backends.ts';
import { openRestic } from '../restic/repository.ts';
import type { Done, JobContext } from './job.ts';
import { readStorage, resticOf } from './repositories.ts';

/** The marker holds no secret: whoever can read the storage may know its identity. */
const MARKER_PASSWORD = 'backstay';

/**
 * Reaches a storage: writes to it, reads from it, deletes in it, and makes or reads the marker that holds its identity.
 *
 * The marker is an empty restic repository, so that every provider is reached in the same way as by backups, and the identity of the
 * storage is that of the marker. restic takes half a second of a processor for each command: there is one, or three the first time.
 */
export async function checkStorage(context: JobContext, ref: NamespacedName): Promise<Done> {
  const { signal, log } = context;
  const { storage, secret } = await readStorage(context, ref);
  const marker = await openRestic({
    backend: resticBackend(storage, secret, MARKER_FOLDER),
    password: MARKER_PASSWORD,
    folder: join(context.folder, 'marker'),
    ...resticOf(context),
  });
  // restic's lock is written before the configuration is read and deleted after it: all rights are used.
  const { id, created } = await marker.init({ locking: true, signal });
  if (created) await marker.id({ locking: true, signal });
  log.info({ location: marker.location, created }, created ? 'marker made' : 'marker found');
  return { message: `the storage at ${marker.location} was reached`, data: { storageID: id } };
}
