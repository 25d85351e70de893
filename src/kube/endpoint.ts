/**
 * Where the API server is and as whom to talk to it.
 *
 * Credentials are asked for before every request, so tokens and certificates that rotate on disk are picked up without a restart.
 */
import { readFile } from 'node:fs/promises';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent, type RequestOptions } from 'node:https';
import { isIPv6 } from 'node:net';
import type { TokenSource } from './client.ts';

/** What a request needs to be trusted, and to trust. TLS settings are per request: the agent keeps sockets of other ones apart. */
export interface Credentials {
  headers: Record<string, string>;
  tls: Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'passphrase' | 'rejectUnauthorized' | 'servername'>;
}

export interface Endpoint {
  /** `https://host:port`, perhaps with a path prefix. */
  readonly server: URL;
  readonly agent: HttpAgent | HttpsAgent;
  /** @param fresh read them anew: the server just refused the ones we had. */
  credentials(fresh?: boolean): Promise<Credentials>;
}

/** How long credentials read from disk are used before they are read again; client-go re-reads token files as often. */
const CREDENTIALS_MS = 60_000;

/** An agent that keeps idle sockets for less than the 90 s after which the API server closes them, so that none dies under a request. */
export function keepAliveAgent(protocol: string): HttpAgent | HttpsAgent {
  const options = { keepAlive: true, timeout: 60_000 };
  return protocol === 'http:' ? new HttpAgent(options) : new HttpsAgent(options);
}

/** A server whose address and credentials are known: tests, and tools that were told. */
export function fixedEndpoint(options: { server: string; token?: string; tls?: Credentials['tls'] }): Endpoint {
  const server = new URL(options.server);
  const headers: Record<string, string> =
    options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
  const credentials = { headers, tls: options.tls ?? {} };
  return { server, agent: keepAliveAgent(server.protocol), credentials: () => Promise.resolve(credentials) };
}

/** The same server under the identity of a token: no client certificate, no other header of the first identity. */
export function tokenEndpoint(endpoint: Endpoint, token: TokenSource): Endpoint {
  return {
    server: endpoint.server,
    agent: endpoint.agent,
    credentials: async (fresh) => {
      const { cert: _cert, key: _key, passphrase: _passphrase, ...tls } = (await endpoint.credentials(fresh)).tls;
      const bearer = typeof token === 'string' ? token : await token(fresh === true);
      return { headers: { authorization: `Bearer ${bearer}` }, tls };
    },
  };
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The cluster that this process runs in, by the service account of its Pod; undefined outside a Pod.
 * Done without `@kubernetes/client-node`, which would cost every Job half a second and 75 MB.
 */
export async function podEndpoint(
  env: NodeJS.ProcessEnv = process.env,
  folder = SERVICE_ACCOUNT,
): Promise<Endpoint | undefined> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (host === undefined || host === '') return undefined;
  const read = async (): Promise<Credentials> => {
    const [token, ca] = await Promise.all([readFile(`${folder}/token`, 'utf8'), readFile(`${folder}/ca.crt`)]);
    return { headers: { authorization: `Bearer ${token.trim()}` }, tls: { ca } };
  };
  const first = await read().catch(() => undefined);
  if (first === undefined) return undefined;
  const server = new URL(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`);
  return { server, agent: keepAliveAgent('https:'), credentials: remembered(read, first) };
}

/** Remembers what `read` returned for a minute; simultaneous callers share one reading. `read` is told when they were refused. */
export function remembered(
  read: (refused: boolean) => Promise<Credentials>,
  first: Credentials,
): Endpoint['credentials'] {
  let current = Promise.resolve(first);
  let readAt = performance.now();
  return (fresh = false) => {
    const age = performance.now() - readAt;
    // Many requests can be refused at the same moment; one of them reads anew.
    if (age > CREDENTIALS_MS || (fresh && age > 1000)) {
      readAt = performance.now();
      const before = current;
      // A file that is being replaced must not stop the client: the old credentials may still do.
      current = read(fresh).catch(() => before);
    }
    return current;
  };
}
