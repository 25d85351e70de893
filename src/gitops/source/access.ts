import { BackstayError } from '../../api/errors.ts';
import type { RepositoryURL } from './url.ts';

/** Who we are to the server. */
export type Credentials =
  | { kind: 'none' }
  | { kind: 'basic'; username: string; password: string }
  | { kind: 'bearer'; token: string }
  | { kind: 'ssh'; identity: string; knownHosts: string };

/** How a repository is reached: credentials, and what the transport needs beside them (all PEM). */
export interface Access {
  readonly credentials: Credentials;
  readonly certificateAuthority?: string;
  readonly clientCertificate?: { certificate: string; key: string };
}

export const NO_ACCESS: Access = { credentials: { kind: 'none' } };

/**
 * Reads a Secret with the key names of Flux: `username` and `password`, `bearerToken`, `ca.crt` (or `caFile`), `tls.crt` and `tls.key`,
 * `identity` and `known_hosts`.
 *
 * @param data of the Secret, base64
 * @param where the Secret as `namespace/name`, for messages
 * Fails with `SecretKeyMissing`, `SecretInvalid`, or `InsecureCredentials` for credentials over plain http.
 */
export function accessOf(data: Readonly<Record<string, string>>, url: RepositoryURL, where: string): Access {
  const value = (key: string): string | undefined => {
    const text = data[key] === undefined ? undefined : Buffer.from(data[key], 'base64').toString('utf8');
    return text === '' ? undefined : text;
  };
  if (url.transport === 'ssh') return { credentials: sshCredentials(value, where) };

  const credentials = httpCredentials(value, where);
  const authority = value('ca.crt') ?? value('caFile');
  const [certificate, key] = [value('tls.crt'), value('tls.key')];
  if ((certificate === undefined) !== (key === undefined)) {
    throw missing(
      where,
      certificate === undefined ? 'tls.crt' : 'tls.key',
      'a client certificate needs tls.crt and tls.key',
    );
  }
  if (url.transport === 'http' && (credentials.kind !== 'none' || key !== undefined)) {
    throw new BackstayError(
      'InsecureCredentials',
      `Secret ${where} holds credentials, and spec.url is plain http: anybody on the way could read them`,
      {
        remedy: 'use https:// or ssh://, or remove spec.secretRef',
      },
    );
  }
  return {
    credentials,
    ...(authority === undefined ? {} : { certificateAuthority: authority }),
    ...(certificate === undefined || key === undefined ? {} : { clientCertificate: { certificate, key } }),
  };
}

/** Every text that must not appear in a message, in all the forms that it is sent in. */
export function secretsOf({ credentials, clientCertificate }: Access): string[] {
  const key = clientCertificate === undefined ? [] : [clientCertificate.key];
  switch (credentials.kind) {
    case 'none':
      return key;
    case 'basic':
      return [...key, credentials.password, encodeURIComponent(credentials.password), basic(credentials)];
    case 'bearer':
      return [...key, credentials.token];
    case 'ssh':
      return [credentials.identity];
  }
}

/** The header that says who we are; undefined without credentials and for ssh. */
export function authorizationHeader(credentials: Credentials): string | undefined {
  if (credentials.kind === 'basic') return `Authorization: Basic ${basic(credentials)}`;
  return credentials.kind === 'bearer' ? `Authorization: Bearer ${credentials.token}` : undefined;
}

type Value = (key: string) => string | undefined;

function httpCredentials(value: Value, where: string): Credentials {
  const [username, password, token] = [value('username'), value('password'), value('bearerToken')];
  if (token !== undefined && (username !== undefined || password !== undefined)) {
    throw new BackstayError('SecretInvalid', `Secret ${where} holds bearerToken and also username or password`, {
      remedy: 'keep one of the two',
    });
  }
  if (token !== undefined) return { kind: 'bearer', token: oneLine(token, where, 'bearerToken') };
  if (username === undefined && password === undefined) return { kind: 'none' };
  if (password === undefined) throw missing(where, 'password', 'basic authentication needs username and password');
  // A token as the password with no user name is what some hosts ask for.
  return {
    kind: 'basic',
    username: oneLine(username ?? 'git', where, 'username'),
    password: oneLine(password, where, 'password'),
  };
}

function sshCredentials(value: Value, where: string): Credentials {
  const [identity, knownHosts] = [value('identity'), value('known_hosts')];
  if (identity === undefined) throw missing(where, 'identity', 'it holds the private key');
  if (knownHosts === undefined)
    throw missing(where, 'known_hosts', 'it holds the host keys, as ssh-keyscan prints them');
  if (value('password') !== undefined) {
    throw new BackstayError('SecretInvalid', `Secret ${where} holds a passphrase for its key, which is not supported`, {
      remedy: 'store a key without a passphrase',
    });
  }
  return { kind: 'ssh', identity: identity.endsWith('\n') ? identity : `${identity}\n`, knownHosts };
}

/** What goes into a header: a line break would begin another one. The one at the end comes from `echo`. */
export function oneLine(text: string, where: string, key: string): string {
  const trimmed = text.replace(/\r?\n$/, '');
  if (/[\r\n\0]/.test(trimmed))
    throw new BackstayError('SecretInvalid', `Key ${key} of Secret ${where} holds a line break`, {
      remedy: 'store it on one line',
    });
  return trimmed;
}

function basic({ username, password }: { username: string; password: string }): string {
  return Buffer.from(`${username}:${password}`).toString('base64');
}

function missing(where: string, key: string, why: string): BackstayError {
  return new BackstayError('SecretKeyMissing', `Secret ${where} has no key ${key}: ${why}`, {
    remedy: `add ${key} to it`,
  });
}
