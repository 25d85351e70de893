import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Access, authorizationHeader } from './access.ts';
import type { RepositoryURL } from './url.ts';

/**
 * Writes what git and ssh read from files, and tells them where; credentials for http go through the environment, never on a command
 * line.
 */
export async function writeAccess(
  access: Access,
  url: RepositoryURL,
  folder: string,
): Promise<{ environment: Record<string, string>; config: string[] }> {
  const environment: Record<string, string> = {};
  const config: string[] = [];
  const file = async (name: string, content: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, content, { mode: 0o600 });
    return path;
  };
  if (access.certificateAuthority !== undefined)
    config.push(`http.sslCAInfo=${await file('ca.crt', access.certificateAuthority)}`);
  if (access.clientCertificate !== undefined) {
    config.push(
      `http.sslCert=${await file('tls.crt', access.clientCertificate.certificate)}`,
      `http.sslKey=${await file('tls.key', access.clientCertificate.key)}`,
    );
  }
  const header = authorizationHeader(access.credentials);
  if (header !== undefined) {
    environment.GIT_CONFIG_COUNT = '1';
    environment.GIT_CONFIG_KEY_0 = 'http.extraHeader';
    environment.GIT_CONFIG_VALUE_0 = header;
  }
  // git would send the header along to wherever the server redirects; and without one, whoever runs the server would choose which address
  // in the cluster we ask.
  config.push('http.followRedirects=false');
  if (url.transport === 'ssh') {
    const { credentials } = access;
    const known = await file('known_hosts', credentials.kind === 'ssh' ? credentials.knownHosts : '');
    const options = [
      'BatchMode=yes',
      'StrictHostKeyChecking=yes',
      'GlobalKnownHostsFile=/dev/null',
      `UserKnownHostsFile="${expandable(known)}"`,
      'IdentitiesOnly=yes',
      'ForwardAgent=no',
      'ConnectTimeout=20',
    ];
    const identity = credentials.kind === 'ssh' ? ['-i', expandable(await file('identity', credentials.identity))] : [];
    environment.GIT_SSH_COMMAND = [
      'ssh',
      '-F',
      '/dev/null',
      ...options.flatMap((option) => ['-o', option]),
      ...identity,
    ]
      .map(shellWord)
      .join(' ');
  }
  return { environment, config };
}

/** ssh replaces %h and the like in names of files (ssh_config(5), TOKENS). */
function expandable(path: string): string {
  return path.replaceAll('%', '%%');
}

/** git hands GIT_SSH_COMMAND to a shell. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
