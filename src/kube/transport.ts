/**
 * One HTTP exchange with the API server, over node:https: the only place that opens a request.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { Credentials, Endpoint } from './endpoint.ts';

export interface HttpRequest {
  method: string;
  /** With query. */
  path: string;
  headers: Record<string, string>;
  body?: string | undefined;
  signal: AbortSignal;
  /** Runs when a connection is ready, directly before the first byte is written; by throwing it stops the request. */
  beforeWrite?: (() => void) | undefined;
}

/** Sends a request and resolves with the head of the answer; rejects on a failed connection, an abort or a throwing `beforeWrite`. */
export function send(endpoint: Endpoint, credentials: Credentials, exchange: HttpRequest): Promise<IncomingMessage> {
  const { method, path, body, signal, beforeWrite } = exchange;
  const { server, agent } = endpoint;
  const headers: Record<string, string | number> = { ...credentials.headers, ...exchange.headers };
  if (body !== undefined) headers['content-length'] = Buffer.byteLength(body);
  const open = server.protocol === 'http:' ? httpRequest : httpsRequest;
  return new Promise((resolve, reject) => {
    const request = open({
      ...credentials.tls,
      protocol: server.protocol,
      hostname: server.hostname.replace(/^\[|\]$/g, ''),
      port: server.port || (server.protocol === 'http:' ? 80 : 443),
      path: `${server.pathname.replace(/\/$/, '')}${path}`,
      method,
      headers,
      agent,
      signal,
    });
    request.once('response', resolve);
    request.once('error', reject);
    if (beforeWrite === undefined) {
      request.end(body);
      return;
    }
    const write = () => {
      try {
        beforeWrite();
        request.end(body);
      } catch (error) {
        request.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    };
    request.once('socket', (socket: Socket & { secureConnecting?: boolean }) => {
      if (socket.secureConnecting) socket.once('secureConnect', write);
      else if (socket.connecting) socket.once('connect', write);
      else write();
    });
  });
}

/** The whole body. Rejects if the connection breaks or the request's signal aborts before the end. */
export async function readText(answer: IncomingMessage): Promise<string> {
  answer.setEncoding('utf8');
  let text = '';
  for await (const chunk of answer) text += chunk;
  return text;
}

/** An object of the API server is at most a few MB (etcd's limit is 1.5 MB); a line without an end must not fill the memory. */
const LONGEST_LINE = 32 * 1024 * 1024;

/** The lines of a body as they arrive. What follows the last newline is not a line: the connection broke in the middle of it. */
export async function* readLines(answer: Readable): AsyncGenerator<string> {
  answer.setEncoding('utf8');
  // Pieces of an unfinished line are joined once, when its end comes: adding chunk to chunk and searching again would be quadratic.
  let pieces: string[] = [];
  let length = 0;
  for await (const chunk of answer as AsyncIterable<string>) {
    let start = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', start)) {
      pieces.push(chunk.slice(start, end));
      const line = pieces.join('');
      pieces = [];
      length = 0;
      start = end + 1;
      if (line !== '') yield line;
    }
    if (start < chunk.length) {
      pieces.push(chunk.slice(start));
      length += chunk.length - start;
      if (length > LONGEST_LINE) throw new Error(`a line is longer than ${LONGEST_LINE} bytes`);
    }
  }
  if (pieces.length > 0) throw new Error('the stream ended in the middle of a line');
}
