import { isRecord } from '../../api/json.ts';

/** What the `sops` block of a document says, as far as age keys and the check of the values need it. */
export interface SopsMetadata {
  /** For each recipient the data key, encrypted for it. */
  readonly age: readonly { recipient: string; enc: string }[];
  readonly mac: string;
  /** The time that the MAC is bound to, as it was written. */
  readonly lastModified: string;
  /** Whether the MAC covers the encrypted values alone. */
  readonly macOnlyEncrypted: boolean;
}

/** What is wrong with a document, and in which field. */
export interface Problem {
  readonly field: string;
  readonly message: string;
}

/** More recipients than any team has; each costs a little time. */
const MAX_RECIPIENTS = 100;
const OTHER_KEYS: readonly [field: string, what: string][] = [
  ['pgp', 'PGP'],
  ['kms', 'AWS KMS'],
  ['gcp_kms', 'Google Cloud KMS'],
  ['azure_kv', 'Azure Key Vault'],
  ['hc_vault', 'HashiCorp Vault'],
  ['hckms', 'Huawei Cloud KMS'],
];

/** Reads the `sops` block of a document. The expressions in it that choose values are not needed: see `isEncrypted`. */
export function parseMetadata(block: unknown): SopsMetadata | Problem {
  if (!isRecord(block)) return problem('sops', 'The sops block is no map; encrypt the file anew with sops');
  const groups = Array.isArray(block.key_groups) ? block.key_groups.length : 0;
  if (groups > 0 || (typeof block.shamir_threshold === 'number' && block.shamir_threshold > 1))
    return problem(
      groups > 0 ? 'sops.key_groups' : 'sops.shamir_threshold',
      'The key is split among key groups, which is not supported; encrypt the file for age recipients without key_groups',
    );
  for (const field of ['encrypted_comment_regex', 'unencrypted_comment_regex']) {
    if (typeof block[field] === 'string' && block[field] !== '')
      return problem(
        `sops.${field}`,
        `What is encrypted is chosen by comments, which is not supported; use encrypted_regex: ^(data|stringData)$`,
      );
  }
  const age = recipientsOf(block.age);
  if (age === undefined)
    return problem('sops.age', 'A recipient has no recipient or no enc; encrypt the file anew with sops');
  if (age.length === 0) {
    const others = OTHER_KEYS.filter(([field]) => isFilled(block[field])).map(([, what]) => what);
    const forWhom = others.length === 0 ? 'for nobody' : `for ${others.join(' and ')} only`;
    return problem(
      'sops',
      `It is encrypted ${forWhom}; add an age recipient: sops rotate --in-place --add-age age1… FILE`,
    );
  }
  if (age.length > MAX_RECIPIENTS)
    return problem('sops.age', `It is encrypted for more than ${MAX_RECIPIENTS} age recipients; remove some`);
  const { mac, lastmodified: lastModified, mac_only_encrypted: only } = block;
  if (typeof mac !== 'string' || mac === '' || typeof lastModified !== 'string')
    return problem(
      'sops.mac',
      'mac or lastmodified is missing, so nobody can tell who wrote it; encrypt the file anew',
    );
  return { age, mac, lastModified, macOnlyEncrypted: only === true };
}

/** Undefined when an item is not what it should be. */
function recipientsOf(list: unknown): SopsMetadata['age'] | undefined {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) return undefined;
  const found: { recipient: string; enc: string }[] = [];
  for (const item of list) {
    if (!isRecord(item) || typeof item.recipient !== 'string' || typeof item.enc !== 'string') return undefined;
    found.push({ recipient: item.recipient, enc: item.enc });
  }
  return found;
}

function isFilled(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}

function problem(field: string, message: string): Problem {
  return { field, message };
}
