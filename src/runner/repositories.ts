import { join } from 'node:path';
import { BackstayError } from '../api/errors.ts';
import type { BackupStorage, ObjectReference, Repository } from '../api/generated/types.ts';
import { BackupStorages, Repositories } from '../api/kinds.ts';
import { formatName, type NamespacedName, resolveReference } from '../api/references.ts';
import { resticBackend, type SecretData, secretNameOf } from '../restic/backends.ts';
import { openRestic, type ResticRepository } from '../restic/repository.ts';
import type { JobContext } from './job.ts';
import { readSecret, requireObject } from './objects.ts';

const PASSWORD_KEY = 'RESTIC_PASSWORD';

export interface OpenRepositoryOptions {
  /** Secret with the password, resolved, when it is not the one that the Repository names. */
  encryptionSecret?: NamespacedName;
  /** How long commands wait for a lock of another process, as restic writes it. */
  retryLock?: string;
}

export interface OpenedRepository {
  repository: Repository;
  restic: ResticRepository;
}

/** Reads a Repository, its storage and their Secrets, and prepares restic for it; nothing is asked of the storage yet. */
export async function openRepository(
  context: JobContext,
  ref: NamespacedName,
  options: OpenRepositoryOptions = {},
): Promise<OpenedRepository> {
  const { client, signal } = context;
  const repository = await requireObject(client, Repositories, ref, { signal, code: 'RepositoryNotReady' });
  const storageRef = resolveReference(repository.spec.storageRef, ref.namespace);
  const passwordRef = options.encryptionSecret ?? resolveReference(repository.spec.encryptionSecret, ref.namespace);
  const [{ storage, secret }, password] = await Promise.all([
    readStorage(context, storageRef),
    readPassword(context, passwordRef),
  ]);
  const { binary, env } = resticOf(context);
  const restic = await openRestic({
    backend: resticBackend(storage, secret, repository.spec.path),
    password,
    folder: join(context.folder, `${ref.namespace}.${ref.name}`),
    binary,
    env,
    ...(options.retryLock === undefined ? {} : { retryLock: options.retryLock }),
  });
  return { repository, restic };
}

/** A BackupStorage and the data of its Secret. */
export async function readStorage(
  { client, signal, hide }: JobContext,
  ref: NamespacedName,
): Promise<{ storage: BackupStorage; secret: SecretData | undefined }> {
  const storage = await requireObject(client, BackupStorages, ref, { signal, code: 'StorageNotReady' });
  const name = secretNameOf(storage);
  if (name === undefined || name === '') return { storage, secret: undefined };
  const secret = await readSecret(client, { namespace: ref.namespace, name }, signal);
  hide(Object.entries(secret).flatMap(([key, value]) => (isPublic(key) ? [] : [value])));
  return { storage, secret };
}

/** The executable and the environment of restic in this Job. */
export function resticOf({ env }: JobContext): { binary: string; env: NodeJS.ProcessEnv } {
  return { binary: env.BACKSTAY_RESTIC ?? 'restic', env };
}

/** What a reference of an object in namespace `from` to an encryption Secret means, if there is one. */
export function passwordRefOf(reference: ObjectReference | undefined, from: string): NamespacedName | undefined {
  return reference === undefined ? undefined : resolveReference(reference, from);
}

async function readPassword({ client, signal, hide }: JobContext, ref: NamespacedName): Promise<string> {
  const { [PASSWORD_KEY]: password } = await readSecret(client, ref, signal);
  if (password === undefined || password === '') {
    throw new BackstayError('SecretKeyMissing', `Secret ${formatName(ref)} has no key ${PASSWORD_KEY}`, {
      remedy: `add the key ${PASSWORD_KEY} with the password of the repository`,
    });
  }
  hide([password]);
  return password;
}

/** Keys whose values stand in statuses and URLs anyway. */
function isPublic(key: string): boolean {
  return ['CA_CERT_DATA', 'GOOGLE_PROJECT_ID', 'AZURE_ENDPOINT_SUFFIX', 'AWS_DEFAULT_REGION'].includes(key);
}
