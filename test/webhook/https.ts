import type { RequestListener } from 'node:http';
import { Agent, request } from 'node:https';
import { makeAuthority, makeLeaf } from '../../webhook/certificates.ts';
import { listenTls } from '../../webhook/server.ts';
import type { Loose } from '../api/objects.ts';

/** Name that the certificates of these tests are for. */
export const SERVICE = 'backstay-webhook.backstay-system.svc';

/** An answer to a request. */
export interface Answer {
  status: number;
  headers: NodeJS.Dict<string | string[]>;
  text: string;
  json: () => Loose;
}

/** A server with TLS and a client that verifies it as the API server would. */
export async function startTls(app: RequestListener) {
  const authority = await makeAuthority(new Date());
  const pair = await makeLeaf(authority, [SERVICE], new Date());
  const { server, port } = await listenTls(app, pair, { host: '127.0.0.1', port: 0 });
  const agent = new Agent({ keepAlive: true, ca: authority.cert, servername: SERVICE });
  return {
    authority,
    server,
    port,
    agent,
    send: (method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}) =>
      send(agent, port, method, path, body, headers),
    async [Symbol.asyncDispose]() {
      agent.destroy();
      server.close();
      server.closeAllConnections();
    },
  };
}

/** One request over TLS. */
export function send(
  agent: Agent,
  port: number,
  method: string,
  path: string,
  body?: string | Buffer,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const call = request(
      { agent, host: '127.0.0.1', port, method, path, headers: { ...length, ...headers } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: () => JSON.parse(text) });
        });
      },
    );
    call.on('error', reject);
    call.end(body);
  });
}
