import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { BackstayError } from '../api/errors.ts';
import type { NamespacedName } from '../api/references.ts';
import { resticBackend } from '../restic/backends.ts';
import { openRestic, type ResticRepository } from '../restic/repository.ts';
import type { Done, JobContext } from './job.ts';
import { readStorage, resticOf } from './repositories.ts';

/** Folder of the marker below the prefix of the storage. */
const MARKER_PATH = 'backstay-storage';
/** The marker holds no secret: whoever can read the storage may know its identity. */
const MARKER_PASSWORD = 'backstay';
const MARKER_FILE = 'storage.json';
const MARKER_TAG = 'storage';

/**
 * Reaches a storage: writes to it, reads from it, deletes in it, and makes or reads the marker that holds its identity.
 *
 * The marker is a small restic repository, so that every provider is reached in the same way as by backups.
 */
export async function checkStorage(context: JobContext, ref: NamespacedName): Promise<Done> {
  const { signal, log } = context;
  const { storage, secret } = await readStorage(context, ref);
  const marker = await openRestic({
    backend: resticBackend(storage, secret, MARKER_PATH),
    password: MARKER_PASSWORD,
    folder: join(context.folder, 'marker'),
    ...resticOf(context),
  });
  const { created } = await marker.init({ signal });
  log.info({ location: marker.location, created }, created ? 'marker made' : 'marker found');
  // restic's lock is written before the list is read and deleted after it: all three rights are used.
  const [first] = await marker.snapshots({ tags: [MARKER_TAG], locking: true, signal });
  const storageID = first === undefined ? await write(marker, signal) : await read(marker, first.id, signal);
  return { message: `the storage at ${marker.location} was reached`, data: { storageID } };
}

async function write(marker: ResticRepository, signal: AbortSignal): Promise<string> {
  const content = { storageID: randomUUID(), createdAt: new Date().toISOString() };
  const options = { filename: MARKER_FILE, host: 'backstay', tags: ['backstay', MARKER_TAG], signal };
  await marker.backup([Buffer.from(`${JSON.stringify(content)}\n`)], options);
  // Two that write at once agree on the older one.
  const [oldest] = await marker.snapshots({ tags: [MARKER_TAG], signal });
  return oldest === undefined ? content.storageID : read(marker, oldest.id, signal);
}

async function read(marker: ResticRepository, snapshotID: string, signal: AbortSignal): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of marker.dump(snapshotID, MARKER_FILE, { signal })) chunks.push(chunk);
  const invalid = (cause?: unknown): BackstayError =>
    new BackstayError('StorageInvalid', `${MARKER_FILE} in ${marker.location} is not a marker of Backstay`, {
      remedy: `remove the folder ${MARKER_PATH} from the storage`,
      cause,
    });
  let content: unknown;
  try {
    content = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    throw invalid(error);
  }
  if (typeof content !== 'object' || content === null || !('storageID' in content)) throw invalid();
  return String(content.storageID);
}
