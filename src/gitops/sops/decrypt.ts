import { createHash, type Hash, timingSafeEqual } from 'node:crypto';
import { joinPath } from '../../api/causes.ts';
import { isRecord } from '../../api/json.ts';
import type { KubeObject } from '../../api/meta.ts';
import type { Problem, SopsMetadata } from './metadata.ts';
import { decryptValue, isEncrypted, meaningOf } from './value.ts';

/** A document that cannot be decrypted, counted from 0, and why. */
export interface Broken extends Problem {
  readonly index: number;
}

// SHA-256 of "sops": it makes a MAC over the encrypted values alone differ from one over all, by the definition of SOPS.
const ONLY_ENCRYPTED = createHash('sha256').update('sops').digest();

/**
 * Decrypts the documents of one file: SOPS makes one MAC for all of them, over every value in the order of the text.
 *
 * @returns the documents without their sops block
 */
export function decryptDocuments(
  documents: readonly KubeObject[],
  { mac, lastModified, macOnlyEncrypted }: SopsMetadata,
  key: Uint8Array,
): KubeObject[] | Broken {
  const hash = createHash('sha512');
  if (macOnlyEncrypted) hash.update(ONLY_ENCRYPTED);
  const walk = new Walk(hash, macOnlyEncrypted, key);
  const plain: KubeObject[] = [];
  for (const [index, document] of documents.entries()) {
    const { sops: _, ...tree } = document as KubeObject & { sops?: unknown };
    const decrypted = walk.value(tree, [], '');
    if (walk.broken !== undefined)
      return {
        index,
        field: walk.broken,
        message:
          'The encrypted value was altered or stood elsewhere; restore it from an earlier commit, or encrypt it anew',
      };
    plain.push(decrypted as KubeObject);
  }
  const expected = decryptValue(mac, key, lastModified)?.bytes;
  const computed = Buffer.from(hash.digest('hex').toUpperCase());
  if (expected?.length === computed.length && timingSafeEqual(expected, computed)) return plain;
  const message = documents.some((document) => keysMove(document))
    ? 'The MAC cannot be checked, because keys that are numbers lose their order when they are read; rename them with sops edit FILE'
    : 'The MAC does not fit the values: the file was changed without sops; restore it from an earlier commit, or encrypt it anew';
  return { index: 0, field: 'sops.mac', message };
}

class Walk {
  /** The field that cannot be decrypted. */
  broken: string | undefined;
  readonly #hash: Hash;
  readonly #onlyEncrypted: boolean;
  readonly #key: Uint8Array;

  constructor(hash: Hash, onlyEncrypted: boolean, key: Uint8Array) {
    this.#hash = hash;
    this.#onlyEncrypted = onlyEncrypted;
    this.#key = key;
  }

  /** @param path the keys that lead to the value; an index of a list is not part of it */
  value(value: unknown, path: readonly string[], field: string): unknown {
    if (Array.isArray(value)) return value.map((item, index) => this.value(item, path, joinPath(field, index)));
    if (isRecord(value))
      return Object.fromEntries(
        Object.entries(value).map(([key, child]) => [key, this.value(child, [...path, key], joinPath(field, key))]),
      );
    if (!isEncrypted(value)) {
      if (!this.#onlyEncrypted) this.#hash.update(plainBytes(value));
      return value;
    }
    const plain = decryptValue(value, this.#key, `${path.join(':')}:`);
    if (plain === undefined) {
      this.broken ??= field;
      return null;
    }
    if (plain.type !== 'comment') this.#hash.update(plain.bytes);
    return meaningOf(plain);
  }
}

/** A value that is not encrypted, in the spelling of SOPS. */
function plainBytes(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return value === null || value === undefined ? '' : String(value);
}

/** Whether a key looks like an index: JavaScript puts these first, and then the order of the text is not known any more. */
function keysMove(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(keysMove);
  if (!isRecord(value)) return false;
  return Object.entries(value).some(([key, child]) => /^(0|[1-9]\d{0,9})$/.test(key) || keysMove(child));
}
