import { createDecipheriv } from 'node:crypto';

/** What a value was before it was encrypted. */
export type ValueType = 'str' | 'int' | 'float' | 'bool' | 'bytes' | 'time' | 'comment';

/** A value as SOPS decrypts it: the bytes are what its MAC is made of. */
export interface PlainValue {
  readonly type: ValueType;
  readonly bytes: Buffer;
}

const BEGINNING = 'ENC[AES256_GCM,';
const BASE64 = '([A-Za-z0-9+/]*={0,2})';
const FORM = new RegExp(
  `^ENC\\[AES256_GCM,data:${BASE64},iv:${BASE64},tag:${BASE64},type:(str|int|float|bool|bytes|time|comment)\\]$`,
);
// Both are fixed: a shorter tag would be easier to forge.
const TAG_BYTES = 16;
const IV_BYTES = { least: 12, most: 64 };

/**
 * Whether a value is encrypted. Its form tells, not the expressions of the sops block: they come from whoever may push, and an expression can be
 * made to run for hours.
 */
export function isEncrypted(value: unknown): value is string {
  return typeof value === 'string' && value.startsWith(BEGINNING);
}

/**
 * Decrypts one value.
 *
 * @param place what the value was bound to when it was encrypted: its path for a value, the time for a MAC
 * @returns undefined when it was altered, stood elsewhere, or was encrypted with another key
 */
export function decryptValue(text: string, key: Uint8Array, place: string): PlainValue | undefined {
  const [, data = '', iv = '', tag = '', type] = FORM.exec(text) ?? [];
  const [nonce, seal] = [Buffer.from(iv, 'base64'), Buffer.from(tag, 'base64')];
  if (seal.length !== TAG_BYTES || nonce.length < IV_BYTES.least || nonce.length > IV_BYTES.most) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(place));
  decipher.setAuthTag(seal);
  try {
    const bytes = Buffer.concat([decipher.update(Buffer.from(data, 'base64')), decipher.final()]);
    return { type: type as ValueType, bytes };
  } catch {
    return undefined;
  }
}

/** What a value stands for in YAML. */
export function meaningOf({ type, bytes }: PlainValue): string | number | boolean | null {
  const text = bytes.toString('utf8');
  if (type === 'comment') return null;
  if (type === 'bool') return text.toLowerCase() === 'true';
  return type === 'int' || type === 'float' ? Number(text) : text;
}
