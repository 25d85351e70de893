import { setImmediate } from 'node:timers/promises';
import { isRecord, sameValue } from '../../api/json.ts';
import type { KubeObject } from '../../api/meta.ts';
import type { Step } from '../plan.ts';
import type { DesiredObject } from '../prepare.ts';
import { type Failure, failureAt } from '../read/objects.ts';
import { sopsBlock } from './admit.ts';
import { type Broken, decryptDocuments } from './decrypt.ts';
import { type AgeIdentity, dataKeyOf } from './identities.ts';
import { type Problem, parseMetadata } from './metadata.ts';

/** A Secret as it was written, and all documents of its file that were encrypted together with it, in their order. */
export interface Encrypted {
  readonly own: KubeObject;
  readonly documents: readonly KubeObject[];
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * The objects with their Secrets decrypted. They are not for keeping: what is remembered of a commit is what was read, encrypted.
 *
 * @param objects of a commit
 */
export async function decryptSecrets(
  objects: readonly DesiredObject[],
  identities: readonly AgeIdentity[],
  signal: AbortSignal,
): Promise<{ objects: DesiredObject[]; failures: Failure[] }> {
  const files = new Map<string, KubeObject[] | Broken>();
  const failures: Failure[] = [];
  const decrypted: DesiredObject[] = [];
  for (const desired of objects) {
    const { encrypted } = desired;
    if (encrypted === undefined) {
      decrypted.push(desired);
      continue;
    }
    await setImmediate();
    signal.throwIfAborted();
    // The documents of a file have one data key and one MAC.
    const key = JSON.stringify([desired.source.file, sopsBlock(encrypted.own)]);
    const file = files.get(key) ?? (await decryptFile(encrypted.documents, identities));
    files.set(key, file);
    const secret = secretOf(desired, encrypted, file);
    if ('message' in secret) failures.push(failureAt(desired, secret.field, secret.message));
    else decrypted.push({ ...desired, object: secret });
  }
  return { objects: decrypted, failures };
}

async function decryptFile(
  documents: readonly KubeObject[],
  identities: readonly AgeIdentity[],
): Promise<KubeObject[] | Broken> {
  const metadata = parseMetadata(documents[0] === undefined ? undefined : sopsBlock(documents[0]));
  if ('message' in metadata) return { ...metadata, index: 0 };
  const key = await dataKeyOf(metadata, identities);
  if (!(key instanceof Uint8Array)) return { ...key, index: 0 };
  try {
    return decryptDocuments(documents, metadata, key);
  } finally {
    key.fill(0);
  }
}

/** The Secret as the API server takes it and gives it back: base64 alone, and nothing of SOPS. */
function secretOf(
  { object }: DesiredObject,
  { own, documents }: Encrypted,
  file: KubeObject[] | Broken,
): KubeObject | Problem {
  const index = documents.indexOf(own);
  if ('message' in file) {
    return file.index === index || file.field.startsWith('sops')
      ? file
      : { field: '', message: `Another document of its file cannot be decrypted: ${file.message}` };
  }
  const { sops: _, data: _data, stringData: _strings, ...rest } = object as KubeObject & Record<string, unknown>;
  for (const field of ['data', 'stringData'])
    if (!sameValue(valuesOf(object, field), valuesOf(own, field)))
      return {
        field,
        message:
          'kustomize changed an encrypted Secret; leave data and stringData as they were written, and change the file with sops',
      };
  const plain = file[index];
  if (plain === undefined) return { field: '', message: 'It is not in its file; encrypt the file anew with sops' };
  const data: Record<string, string> = {};
  for (const field of ['data', 'stringData']) {
    for (const [key, value] of Object.entries(valuesOf(plain, field))) {
      const at = `${field}[${key}]`;
      if (typeof value !== 'string')
        return { field: at, message: 'The value is not text; put it in quotes and encrypt it anew' };
      if (field === 'data' && !BASE64.test(value.replaceAll(/\s/g, '')))
        return {
          field: at,
          message: 'The value is not base64; encode it, or write it under stringData, and encrypt it anew',
        };
      data[key] = field === 'data' ? value.replaceAll(/\s/g, '') : Buffer.from(value).toString('base64');
    }
  }
  return { ...rest, data } as unknown as KubeObject;
}

function valuesOf(object: KubeObject, field: string): Record<string, unknown> {
  const found = (object as unknown as Record<string, unknown>)[field];
  return isRecord(found) ? found : {};
}

export function hasSecrets(objects: readonly DesiredObject[]): boolean {
  return objects.some(({ encrypted }) => encrypted !== undefined);
}

/** The objects without their Secrets, and these as steps that say why they are left out. */
export function withoutSecrets(
  objects: readonly DesiredObject[],
  reason: string,
): { objects: DesiredObject[]; closed: Extract<Step, { action: 'skip' }>[] } {
  const closed = objects.filter(({ encrypted }) => encrypted !== undefined);
  return {
    objects: objects.filter(({ encrypted }) => encrypted === undefined),
    closed: closed.map((desired) => ({ action: 'skip', id: desired.id, desired, reason })),
  };
}
