import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BackstayError } from '../../api/errors.ts';

/** What has to be signed, and by whom. */
export interface Verification {
  readonly mode: 'HEAD' | 'Tag' | 'TagAndHEAD';
  readonly keys: TrustedKeys;
}

/** Public keys whose signatures count. */
export interface TrustedKeys {
  /** `type base64`, as in an authorized_keys file without its comment. */
  readonly ssh: readonly string[];
  /** Armored. */
  readonly pgp: readonly string[];
}

/** What git said about one signature. */
export interface Verdict {
  /** Whether it ended with 0. */
  ok: boolean;
  /** Its standard error, as `verify-commit --raw` and `verify-tag --raw` write it. */
  said: string;
}

type Format = 'ssh' | 'pgp';

/** Who every trusted ssh key belongs to, as far as ssh-keygen is concerned: it knows keys by a name only. */
const PRINCIPAL = 'backstay';
const IMPORT_LIMIT_MS = 10_000;

/**
 * Reads a Secret with the key names of Flux: `*.sshpub` holds public keys for ssh, one a line, and `*.asc` armored ones for PGP.
 *
 * @param data of the Secret, base64
 * @param where the Secret as `namespace/name`, for messages
 * Fails with `SecretKeyMissing` or `SecretInvalid`.
 */
export function trustedKeysOf(data: Readonly<Record<string, string>>, where: string): TrustedKeys {
  const ssh: string[] = [];
  const pgp: string[] = [];
  for (const [key, encoded] of Object.entries(data)) {
    const text = Buffer.from(encoded, 'base64').toString('utf8');
    if (key.endsWith('.asc')) pgp.push(text);
    if (!key.endsWith('.sshpub')) continue;
    for (const line of text.split('\n')) {
      if (line.trim() === '' || line.startsWith('#')) continue;
      const match = /^((?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[\w@.-]+) ([A-Za-z0-9+/]+={0,2})(?: .*)?$/.exec(line.trim());
      if (match === null)
        throw new BackstayError('SecretInvalid', `Key ${key} of Secret ${where} holds a line that is no public key`, {
          remedy: 'store the content of the .pub file',
        });
      ssh.push(`${match[1]} ${match[2]}`);
    }
  }
  if (ssh.length === 0 && pgp.length === 0) {
    throw new BackstayError('SecretKeyMissing', `Secret ${where} holds no public key to verify commits with`, {
      remedy: 'add keys that end in .sshpub or .asc to it',
    });
  }
  return { ssh, pgp };
}

/** Writes the keys where git's verifiers look for them, and tells git where. */
export async function writeTrust(
  { ssh, pgp }: TrustedKeys,
  folder: string,
): Promise<{ environment: Record<string, string>; config: string[] }> {
  const signers = join(folder, 'allowed_signers');
  await writeFile(signers, ssh.map((key) => `${PRINCIPAL} namespaces="git" ${key}\n`).join(''), { mode: 0o600 });
  const home = join(folder, 'gnupg');
  await mkdir(home, { mode: 0o700 });
  // Whose keys these are was decided by whoever wrote the Secret; no other key is looked for anywhere.
  await writeFile(join(home, 'gpg.conf'), 'trust-model always\nno-autostart\nno-auto-key-retrieve\n', { mode: 0o600 });
  for (const [index, key] of pgp.entries()) {
    const file = join(home, `${index}.asc`);
    await writeFile(file, key, { mode: 0o600 });
    await importKey(home, file);
  }
  return { environment: { GNUPGHOME: home }, config: [`gpg.ssh.allowedSignersFile=${signers}`] };
}

async function importKey(home: string, file: string): Promise<void> {
  const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: '/nonexistent', LC_ALL: 'C' };
  try {
    await promisify(execFile)('gpg', ['--homedir', home, '--batch', '--quiet', '--import', file], {
      env,
      timeout: IMPORT_LIMIT_MS,
    });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
      throw new BackstayError('VerifierNotFound', 'Cannot verify signatures: gpg is not installed here', {
        remedy: 'use the image of Backstay, install gpg, or sign with ssh keys',
      });
    throw new BackstayError('SecretInvalid', 'Cannot verify signatures: gpg does not take a key that ends in .asc', {
      remedy: 'store what gpg --armor --export prints',
    });
  }
}

/** In which format a commit or a tag, as git stores it, is signed; undefined when it is not signed. Fails for one that we cannot verify. */
export function signatureFormat(raw: string): Format | undefined {
  const begin = /^(?:gpgsig(?:-sha256)? )?-----BEGIN (SSH|PGP|SIGNED) (?:SIGNATURE|MESSAGE)-----$/m.exec(raw)?.[1];
  if (begin === undefined) return undefined;
  if (begin === 'SIGNED')
    throw new BackstayError('SignatureUnsupported', 'Cannot verify the revision: it is signed with X.509', {
      remedy: 'sign with ssh or PGP',
    });
  return begin === 'SSH' ? 'ssh' : 'pgp';
}

/**
 * Whether a signature counts, judged by what the verifier said and not by its exit code alone: that it is good, and that its key is one
 * of those in the Secret.
 *
 * @param what the thing that is signed: `commit 0a1b…`
 * @returns the key, for people: `SSH key SHA256:…` or `PGP key 0A1B…`
 * Fails with `SignatureMissing`, `SignatureUntrusted`, `SignatureInvalid` or `VerifierNotFound`.
 */
export function judgeSignature(
  what: string,
  format: Format | undefined,
  { ok, said }: Verdict,
  keys: TrustedKeys,
): string {
  const fail = (code: string, why: string, remedy: string): BackstayError =>
    new BackstayError(code, `${what} is not taken: ${why}`, { remedy });
  if (format === undefined)
    throw fail('SignatureMissing', 'it is not signed, and spec.verify asks for a signature', 'sign it and push again');
  if (/cannot run (gpg|ssh-keygen)/.test(said))
    throw fail('VerifierNotFound', `${format === 'ssh' ? 'ssh-keygen' : 'gpg'} is not installed here`, 'install it');
  if (keys[format].length === 0)
    throw fail(
      'SignatureUntrusted',
      `it is signed with ${format === 'ssh' ? 'ssh' : 'PGP'}, and the Secret of spec.verify holds no such key`,
      `add the public key as ${format === 'ssh' ? 'name.sshpub' : 'name.asc'}, if it is to be trusted`,
    );

  const key = format === 'ssh' ? sshKey(said, keys.ssh) : pgpKey(said);
  if (ok && key !== undefined) return key;
  const unknown =
    format === 'ssh' ? /No principal matched|Good "git" signature with/.test(said) : /\] NO_PUBKEY /.test(said);
  if (unknown)
    throw fail(
      'SignatureUntrusted',
      'the key that signed it is not in the Secret of spec.verify',
      'find out who signed it; add the public key if it is to be trusted',
    );
  const expired = /\] (EXPKEYSIG|EXPSIG|REVKEYSIG|KEYEXPIRED)/.test(said);
  throw fail(
    'SignatureInvalid',
    expired ? 'its key or its signature has expired or was revoked' : 'its signature does not fit its content',
    'find out who pushed it; sign it anew and push again',
  );
}

function sshKey(said: string, trusted: readonly string[]): string | undefined {
  const fingerprint = new RegExp(`^Good "git" signature for ${PRINCIPAL} with \\S+ key (SHA256:\\S+)$`, 'm').exec(
    said,
  )?.[1];
  return fingerprint !== undefined && trusted.some((key) => fingerprintOf(key) === fingerprint)
    ? `SSH key ${fingerprint}`
    : undefined;
}

/** As `ssh-keygen -l` prints it. */
function fingerprintOf(key: string): string {
  const blob = Buffer.from(key.split(' ')[1] ?? '', 'base64');
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** GnuPG's status lines (doc/DETAILS): exactly one signature, and it is good and valid. */
function pgpKey(said: string): string | undefined {
  const words = [...said.matchAll(/^\[GNUPG:\] (\w+)/gm)].map(([, word]) => word);
  const count = (word: string): number => words.filter((one) => one === word).length;
  const isGood = count('NEWSIG') === 1 && count('GOODSIG') === 1 && count('VALIDSIG') === 1;
  const fingerprint = /^\[GNUPG:\] VALIDSIG ([0-9A-F]{40,64})\b/m.exec(said)?.[1];
  return isGood && fingerprint !== undefined ? `PGP key ${fingerprint}` : undefined;
}
