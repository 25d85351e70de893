import { armor, Decrypter, identityToRecipient } from 'age-encryption';
import { BackstayError } from '../../api/errors.ts';
import type { Problem, SopsMetadata } from './metadata.ts';

/** An age key: its secret half, and the public one that files name. */
export interface AgeIdentity {
  readonly secret: string;
  readonly recipient: string;
}

const KEY_FILE = '.agekey';
const SECRET_KEY = /^AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]+$/;
const DATA_KEY_BYTES = 32;
const NAMED = 5;

/**
 * Reads a Secret with the key names of Flux: each `*.agekey` holds secret keys of age, one a line, as age-keygen writes them.
 *
 * @param data of the Secret, base64
 * @param where the Secret as `namespace/name`, for messages
 * Fails with `SecretKeyMissing` or `SecretInvalid`, without a word of what a line holds.
 */
export async function identitiesOf(data: Readonly<Record<string, string>>, where: string): Promise<AgeIdentity[]> {
  const found: AgeIdentity[] = [];
  for (const [key, encoded] of Object.entries(data)) {
    if (!key.endsWith(KEY_FILE)) continue;
    const lines = Buffer.from(encoded, 'base64').toString('utf8').split('\n');
    for (const [index, line] of lines.entries()) {
      const secret = line.trim();
      if (secret === '' || secret.startsWith('#')) continue;
      const recipient = SECRET_KEY.test(secret) ? await recipientOf(secret) : undefined;
      if (recipient === undefined)
        throw new BackstayError(
          'SecretInvalid',
          `Line ${index + 1} of key ${key} of Secret ${where} is no secret key of age`,
          { remedy: 'store the file that age-keygen wrote: lines that begin with AGE-SECRET-KEY-1' },
        );
      found.push({ secret, recipient });
    }
  }
  if (found.length === 0)
    throw new BackstayError('SecretKeyMissing', `Secret ${where} holds no age key to decrypt with`, {
      remedy: `add the file that age-keygen wrote, under a key that ends in ${KEY_FILE}`,
    });
  return found;
}

/** The key that the values are encrypted with, by whichever of our keys it was encrypted for. */
export async function dataKeyOf(
  { age }: SopsMetadata,
  identities: readonly AgeIdentity[],
): Promise<Uint8Array | Problem> {
  for (const { recipient, enc } of age) {
    const identity = identities.find((one) => one.recipient === recipient.trim());
    if (identity === undefined) continue;
    const key = await unwrap(enc, identity.secret);
    if (key?.length === DATA_KEY_BYTES) return key;
    return { field: 'sops.age', message: `The data key for ${recipient} is damaged; encrypt the file anew with sops` };
  }
  const wanted = age.slice(0, NAMED).map(({ recipient }) => recipient);
  const more = age.length > NAMED ? ` and ${age.length - NAMED} more` : '';
  return {
    field: 'sops.age',
    message: `No key of spec.decryption.secretRef fits: it is encrypted for ${wanted.join(', ')}${more}, and the keys are those of ${identities
      .slice(0, NAMED)
      .map(({ recipient }) => recipient)
      .join(', ')}; add the key to the Secret, or a recipient to the file: sops updatekeys FILE`,
  };
}

async function unwrap(enc: string, secret: string): Promise<Uint8Array | undefined> {
  try {
    const decrypter = new Decrypter();
    decrypter.addIdentity(secret);
    return await decrypter.decrypt(armor.decode(enc));
  } catch {
    return undefined;
  }
}

async function recipientOf(secret: string): Promise<string | undefined> {
  try {
    return await identityToRecipient(secret);
  } catch {
    return undefined;
  }
}
