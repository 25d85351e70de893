import type { RequestListener, Server } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

/** A certificate with its key, both PEM. */
export interface KeyPair {
  cert: string;
  key: string;
}

/** A server that listens. */
export interface Listening {
  server: Server;
  port: number;
}

// The API server keeps idle connections for 90 s. Whoever closes first loses a request that is on its way: let it be the other side.
const KEEP_ALIVE_MS = 120_000;
const HEADERS_MS = 125_000;
const REQUEST_MS = 30_000;
// A turn of the event loop in which nothing was read or answered takes a few microseconds.
const QUIET_TURN_MS = 0.2;
const QUIET_WAIT_MS = 2000;

// Node does not count a connection as idle before its first request, and API servers open some that they then have no need of.
const unused = new WeakMap<Server, Set<Socket>>();

/** Listens with TLS; later certificates come through `setSecureContext` of the server. */
export async function listenTls(
  app: RequestListener,
  pair: KeyPair,
  address: { host: string; port: number },
): Promise<Listening & { server: ReturnType<typeof createServer> }> {
  const server = createServer({ ...pair, minVersion: 'TLSv1.2' }, app);
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.headersTimeout = HEADERS_MS;
  server.requestTimeout = REQUEST_MS;
  const fresh = new Set<Socket>();
  unused.set(server, fresh);
  server.on('secureConnection', (socket) => {
    fresh.add(socket);
    socket.once('close', () => fresh.delete(socket));
  });
  server.prependListener('request', ({ socket }) => fresh.delete(socket));
  return { server, port: await listen(server, address) };
}

/** Listens; @returns the port, which the system chooses when 0 was asked for. */
export async function listen(server: Server, { host, port }: { host: string; port: number }): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return (server.address() as AddressInfo).port;
}

/**
 * Stops without losing a request: the caller has said that it is not ready; requests go on being answered while that becomes known
 * (`drainMs`), each as the last one of its connection, then no connection is taken, idle ones are closed, and what is under way gets
 * `graceMs`. To close a connection that is in use would lose the request that its client is just sending: nobody sends a POST again. The
 * same would become of a request that has arrived and is not read yet, so idle connections are closed when there is nothing to read.
 */
export async function stopGracefully(
  server: Server,
  { drainMs, graceMs }: { drainMs: number; graceMs: number },
): Promise<void> {
  server.prependListener('request', (_, response) => {
    response.shouldKeepAlive = false;
  });
  await sleep(drainMs);
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  await quietTurn();
  server.closeIdleConnections();
  for (const socket of unused.get(server) ?? []) socket.destroy();
  const late = AbortSignal.timeout(graceMs);
  late.addEventListener('abort', () => server.closeAllConnections(), { once: true });
  await closed;
}

/** Resolves right after a look for something to read that found nothing; after two seconds in any case. */
async function quietTurn(): Promise<void> {
  const end = performance.now() + QUIET_WAIT_MS;
  let before: number;
  do {
    before = performance.now();
    await nextTurn();
  } while (performance.now() - before > QUIET_TURN_MS && before < end);
}
