import type { Cause } from '../../api/causes.ts';
import { isRecord } from '../../api/json.ts';
import type { KubeObject } from '../../api/meta.ts';
import { parseMetadata } from './metadata.ts';
import { isEncrypted } from './value.ts';

const VALUES = ['data', 'stringData'];
const HOW = "sops encrypt --in-place --encrypted-regex '^(data|stringData)$' FILE";

export function isSecret({ apiVersion, kind }: { apiVersion?: unknown; kind?: unknown }): boolean {
  return apiVersion === 'v1' && kind === 'Secret';
}

/** The sops block of a document; undefined without one. */
export function sopsBlock(object: KubeObject): unknown {
  return (object as KubeObject & { sops?: unknown }).sops;
}

/** Why the form of a document with a sops block is not one that may stand in git: what needs no key to be seen. */
export function refuseBlock(object: KubeObject): Pick<Cause, 'field' | 'message'> | undefined {
  if (sopsBlock(object) === undefined || isSecret(object)) return undefined;
  if (isEncrypted(object.kind) || isEncrypted(object.apiVersion))
    return { field: 'kind', message: `Everything in it is encrypted, even its kind; encrypt the values alone: ${HOW}` };
  return {
    field: 'sops',
    message: `Only Secrets may be encrypted with SOPS, and this is a ${object.kind}; decrypt it, and put what is secret into a Secret`,
  };
}

/** What keeps a Secret from standing in git: every value of it has to be encrypted, and nothing else. */
export function checkEncrypted(secret: KubeObject): Pick<Cause, 'field' | 'message'>[] {
  const parts = secret as unknown as Record<string, unknown>;
  const values = VALUES.flatMap((field) => {
    const map = parts[field];
    return isRecord(map) ? Object.entries(map).map(([key, value]) => ({ field: `${field}[${key}]`, value })) : [];
  });
  if (parts.sops === undefined) {
    return values.some(({ value }) => isEncrypted(value))
      ? [
          {
            field: '',
            message: `It has encrypted values and no sops block, so they cannot be read; encrypt it anew: ${HOW}`,
          },
        ]
      : [
          {
            field: '',
            message: `A Secret in git must be encrypted: ${HOW}; change what was readable, for it stays in the history`,
          },
        ];
  }
  // SOPS leaves an empty text as it is: there is nothing in it to hide.
  const open = values.filter(({ value }) => !isEncrypted(value) && value !== '');
  if (open.length > 0)
    return open.map(({ field }) => ({ field, message: `The value is not encrypted; encrypt it: ${HOW}` }));
  const hidden = encryptedIn(secret.metadata, 'metadata') ?? (isEncrypted(parts.type) ? 'type' : undefined);
  if (hidden !== undefined)
    return [{ field: hidden, message: `Only data and stringData may be encrypted; encrypt it anew: ${HOW}` }];
  const metadata = parseMetadata(parts.sops);
  return 'message' in metadata ? [metadata] : [];
}

function encryptedIn(value: unknown, field: string): string | undefined {
  if (isEncrypted(value)) return field;
  if (!isRecord(value)) return undefined;
  for (const [key, child] of Object.entries(value)) {
    const found = encryptedIn(child, `${field}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}
