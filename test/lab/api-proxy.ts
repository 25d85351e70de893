import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, createServer, request as send } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Authority } from './certs.ts';

/** What becomes of a request that is not passed on. */
export type Fault =
  | { kind: 'answer'; status: number; headers?: Record<string, string>; body?: unknown }
  /** The connection ends. */
  | { kind: 'broken' }
  /** No answer comes; the request is gone. */
  | { kind: 'silence' }
  /** The request is passed on and carried out, and the connection ends instead of the answer. */
  | { kind: 'lost answer' };

/** A proxy in front of an API server that understands HTTP, and answers what it is told to in the server's place. */
export interface ApiProxy extends AsyncDisposable {
  readonly url: string;
  /** Method and path of every request, in the order in which they came. */
  readonly requests: string[];
  /** Asked about every request; undefined passes it on. Not set, all are. */
  intercept: ((request: { method: string; path: string; query: URLSearchParams }) => Fault | undefined) | undefined;
}

/** Listens on `host`, with a certificate of the authority that the clients of the server trust. */
export async function startApiProxy(host: string, target: string, authority: Authority): Promise<ApiProxy> {
  const { certificate: cert, key } = await authority.server('api-proxy', [host]);
  const agent = new Agent({ keepAlive: true, ca: authority.certificate });
  const server = createServer({ cert, key });
  const self: ApiProxy = {
    get url() {
      return `https://${host}:${(server.address() as AddressInfo).port}`;
    },
    requests: [],
    intercept: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      agent.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };

  function passOn(incoming: IncomingMessage, outgoing: ServerResponse, loseAnswer: boolean): void {
    const { method, headers, url } = incoming;
    const passed = send(new URL(url ?? '/', target), { method, headers, agent }, (answer) => {
      if (loseAnswer) {
        answer.resume().once('end', () => incoming.socket.destroy());
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
      answer.once('error', () => outgoing.destroy());
    });
    passed.once('error', () => outgoing.destroy());
    outgoing.once('close', () => passed.destroy());
    incoming.pipe(passed);
  }

  server.on('request', (incoming, outgoing) => {
    for (const stream of [incoming, outgoing]) stream.on('error', () => outgoing.destroy());
    const { method = 'GET', url = '/' } = incoming;
    const { pathname: path, searchParams: query } = new URL(url, target);
    self.requests.push(`${method} ${path}`);
    const fault = self.intercept?.({ method, path, query });
    if (fault === undefined || fault.kind === 'lost answer') return passOn(incoming, outgoing, fault !== undefined);
    if (fault.kind === 'silence') return;
    if (fault.kind === 'broken') return void incoming.socket.destroy();
    outgoing.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers });
    outgoing.end(JSON.stringify(fault.body ?? ''));
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve));
  server.unref();
  return self;
}

/** The answer of an API server that refuses: a Status object, as meta/v1 has it. */
export function refusal(code: number, reason: string, message: string, retryAfterSeconds?: number): Fault {
  return {
    kind: 'answer',
    status: code,
    ...(retryAfterSeconds === undefined ? {} : { headers: { 'retry-after': String(retryAfterSeconds) } }),
    body: { apiVersion: 'v1', kind: 'Status', status: 'Failure', code, reason, message },
  };
}
