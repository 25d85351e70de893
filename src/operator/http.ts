/** The port for probes and metrics. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

export interface ProbeServer extends AsyncDisposable {
  /** The port that it listens on; 0 was asked for in tests. */
  port: number;
}

/**
 * Serves /metrics, /healthz (the process answers) and /readyz (`ready` says so; the text says what is missing).
 *
 * @param ready undefined when everything is there, else why not
 */
export async function serveProbes(
  { host, port }: { host?: string | undefined; port: number },
  registry: Registry,
  ready: () => string | undefined,
): Promise<ProbeServer> {
  const server = createServer((request, response) => {
    const answer = (status: number, body: string, type = 'text/plain'): void => {
      response.writeHead(status, { 'content-type': type }).end(body);
    };
    if (request.method !== 'GET') return answer(405, 'only GET is answered\n');
    switch (request.url?.split('?')[0]) {
      case '/healthz':
        return answer(200, 'ok\n');
      case '/readyz': {
        const missing = ready();
        return missing === undefined ? answer(200, 'ok\n') : answer(503, `${missing}\n`);
      }
      case '/metrics':
        registry.metrics().then(
          (text) => answer(200, text, registry.contentType),
          (error: unknown) => answer(500, `${String(error)}\n`),
        );
        return;
      default:
        return answer(404, 'not found\n');
    }
  });
  await listen(server, host, port);
  return { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: () => close(server) };
}

function listen(server: Server, host: string | undefined, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
