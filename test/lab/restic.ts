import { createCipheriv, createHash, randomBytes, scryptSync } from 'node:crypto';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

/** scrypt's parameters: the least work that there is, where `restic init` measures how much takes half a second. */
const KDF = { N: 2, r: 8, p: 1 } as const;
/** One of the irreducible polynomials of degree 53 by which restic cuts files into blobs; a repository has one of its own otherwise. */
const POLYNOMIAL = '3da3358b4dc173';

interface Key {
  encrypt: Buffer;
  mac: { k: Buffer; r: Buffer };
}

/**
 * Makes an empty restic repository, version 2, in a folder, which may be one of a bucket's; gives its identity.
 *
 * Its key is a cheap one: restic takes half a second of a processor for each command with a key of `restic init`, and two for that
 * itself. What a test is about is seldom that. (The format: restic's documentation, "Repository Format".)
 */
export async function makeRepository(folder: string, password: string): Promise<string> {
  for (const name of ['data', 'index', 'keys', 'locks', 'snapshots']) {
    await mkdir(join(folder, name), { recursive: true });
  }
  const master = keyOf(randomBytes(64));
  const salt = randomBytes(64);
  const user = keyOf(scryptSync(password, salt, 64, KDF));
  const { encrypt, mac } = master;
  const secret = { mac: { k: base64(mac.k), r: base64(mac.r) }, encrypt: base64(encrypt) };
  const key = JSON.stringify({
    created: new Date().toISOString(),
    username: 'lab',
    hostname: hostname(),
    kdf: 'scrypt',
    ...KDF,
    salt: base64(salt),
    data: base64(sealed(secret, user)),
  });
  const id = randomBytes(32).toString('hex');
  await writeFile(join(folder, 'keys', createHash('sha256').update(key).digest('hex')), key);
  await writeFile(join(folder, 'config'), sealed({ version: 2, id, chunker_polynomial: POLYNOMIAL }, master));
  return id;
}

/** Lets whatever user a Pod runs as write to a folder and to all that is in it. */
export async function letAllWrite(folder: string): Promise<void> {
  await chmod(folder, 0o777);
  for (const entry of await readdir(folder, { recursive: true })) await chmod(join(folder, entry), 0o777);
}

function keyOf(bytes: Buffer): Key {
  return { encrypt: bytes.subarray(0, 32), mac: { k: bytes.subarray(32, 48), r: bytes.subarray(48, 64) } };
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64');
}

/** AES-256 in counter mode, with Poly1305-AES over what comes out of it. */
function sealed(value: object, { encrypt, mac }: Key): Buffer {
  const nonce = randomBytes(16);
  const cipher = createCipheriv('aes-256-ctr', encrypt, nonce);
  const text = Buffer.concat([cipher.update(JSON.stringify(value)), cipher.final()]);
  const pad = createCipheriv('aes-128-ecb', mac.k, null).setAutoPadding(false).update(nonce);
  return Buffer.concat([nonce, text, poly1305(text, mac.r, pad)]);
}

/** RFC 8439, 2.5, with the two halves of its key apart. */
function poly1305(message: Buffer, r: Buffer, pad: Buffer): Buffer {
  const factor = little(r) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16);
    sum = ((sum + little(block) + (1n << BigInt(8 * block.length))) * factor) % ((1n << 130n) - 5n);
  }
  const tag = BigInt.asUintN(128, sum + little(pad));
  return Buffer.from(tag.toString(16).padStart(32, '0'), 'hex').reverse();
}

function little(bytes: Buffer): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}
