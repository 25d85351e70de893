/** What is known of a Secret without keeping it: whether it is there and has the keys that will be asked for. */

import { consentRemedy, mayBeUsedFrom } from '../api/consent.ts';
import type { BackupStorage } from '../api/generated/types.ts';
import type { NamespacedName } from '../api/references.ts';
import { Secrets } from '../kube/builtin.ts';
import type { Client } from '../kube/client.ts';

export type SecretFinding =
  | { state: 'unneeded'; version?: undefined }
  /** `version` changes with the Secret, so that mended credentials are tried at once. */
  | { state: 'present'; version: string }
  | {
      state: 'missing';
      version?: undefined;
      reason: 'SecretNotFound' | 'SecretKeyMissing' | 'NotAllowed';
      message: string;
    };

/** Looks whether a Secret may be used from namespace `from` and has the keys. Its values are not kept. */
export async function findSecret(
  client: Pick<Client, 'get'>,
  ref: NamespacedName | undefined,
  from: string,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<SecretFinding> {
  if (ref === undefined) return { state: 'unneeded' };
  const where = `${ref.namespace}/${ref.name}`;
  const secret = await client.get(Secrets, ref, { signal });
  if (secret === undefined) {
    const with_ = keys.length === 0 ? '' : ` with ${keys.join(' and ')}`;
    return { state: 'missing', reason: 'SecretNotFound', message: `Secret ${where} does not exist; create it${with_}` };
  }
  if (!mayBeUsedFrom(secret.metadata, from)) {
    const message = `Secret ${where} may not be used from namespace ${from}; ${consentRemedy(from)}`;
    return { state: 'missing', reason: 'NotAllowed', message };
  }
  const absent = keys.filter((key) => (secret.data?.[key] ?? '') === '');
  if (absent.length > 0) {
    return {
      state: 'missing',
      reason: 'SecretKeyMissing',
      message: `Secret ${where} has no ${absent.join(' and no ')}; add it to the Secret`,
    };
  }
  return { state: 'present', version: `${secret.metadata.uid}/${secret.metadata.resourceVersion}` };
}

/** The keys that a storage needs of its Secret. */
export function storageSecretKeys({ spec }: BackupStorage): string[] {
  switch (spec.storage.provider) {
    case 's3':
      return ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'];
    case 'gcs':
      return ['GOOGLE_SERVICE_ACCOUNT_JSON_KEY'];
    case 'azure':
      return ['AZURE_ACCOUNT_KEY'];
    case 'local':
      return [];
  }
}

/** The key of every encryption Secret. */
export const PASSWORD_KEYS = ['RESTIC_PASSWORD'];
