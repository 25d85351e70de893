import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { BackstayError } from '../api/errors.ts';
import type { MongoEndpoint } from '../mongo/connection.ts';

/** Options that say how to reach a MongoDB. */
export interface EndpointOptions {
  uri?: string;
  username?: string;
  passwordFile?: string;
  authSource?: string;
  tlsCaFile?: string;
  tlsCertificateFile?: string;
  tlsServerName?: string;
  tlsInsecure?: boolean;
}

/** Adds them to a command. There is none for a password: the list of processes shows command lines to everybody. */
export function addEndpointOptions(command: Command): Command {
  return command
    .addOption(new Option('--uri <uri>', 'connection string').env('MONGODB_URI'))
    .option('--username <name>', 'user, when the connection string has none')
    .option('--password-file <file>', 'file with the password; else the password is taken from MONGODB_PASSWORD')
    .option('--auth-source <database>', 'database of the user')
    .option('--tls-ca-file <file>', 'PEM file with the authority of the server certificate')
    .option('--tls-certificate-file <file>', 'PEM file with the client certificate and its key')
    .option('--tls-server-name <name>', 'name to expect in the server certificate')
    .option('--tls-insecure', 'accept any server certificate');
}

/** The endpoint that the options and the environment describe. @throws BackstayError InvalidUsage */
export async function endpointOf(options: EndpointOptions): Promise<MongoEndpoint> {
  if (options.uri === undefined) {
    throw new BackstayError('InvalidUsage', 'no connection string', { remedy: 'give --uri or set MONGODB_URI' });
  }
  const tls = {
    ...(options.tlsCaFile === undefined ? {} : { ca: await fileText(options.tlsCaFile) }),
    ...(options.tlsCertificateFile === undefined ? {} : { certificate: await fileText(options.tlsCertificateFile) }),
    ...(options.tlsServerName === undefined ? {} : { serverName: options.tlsServerName }),
    ...(options.tlsInsecure === true ? { insecureSkipVerify: true } : {}),
  };
  const credential = await credentialOf(options, options.uri);
  return {
    uri: options.uri,
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
    ...(credential === undefined ? {} : { credential }),
  };
}

async function credentialOf(options: EndpointOptions, uri: string): Promise<MongoEndpoint['credential']> {
  const login = /^[^:]+:\/\/([^/?@]*)@/.exec(uri)?.[1];
  if (login?.includes(':') === true) return undefined; // the driver reads it from the connection string
  const username = options.username ?? (login === undefined ? undefined : decodeURIComponent(login));
  if (username === undefined || /authMechanism=MONGODB-X509/i.test(uri)) return undefined;
  const fromFile =
    options.passwordFile === undefined ? undefined : (await fileText(options.passwordFile)).replace(/\r?\n$/, '');
  const password = fromFile ?? process.env.MONGODB_PASSWORD;
  if (password === undefined) {
    throw new BackstayError('InvalidUsage', `no password for user ${username}`, {
      remedy: 'set MONGODB_PASSWORD or give --password-file',
    });
  }
  const { authSource: source } = options;
  return { kind: 'scram', username, password, ...(source === undefined ? {} : { source }) };
}

async function fileText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    throw new BackstayError('InvalidUsage', `${path} cannot be read (${code})`, { cause });
  }
}

/** Gathers an option that may come several times, or once with commas. */
export function list(value: string, earlier: string[] = []): string[] {
  return [...earlier, ...value.split(',').filter((item) => item !== '')];
}
