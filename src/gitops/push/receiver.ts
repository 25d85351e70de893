import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describeError } from '../../api/errors.ts';
import type { PolicySync } from '../../api/generated/types.ts';
import { TokenBucket } from '../../kube/bucket.ts';
import { Secrets } from '../../kube/builtin.ts';
import type { Client } from '../../kube/client.ts';
import { type Clock, systemClock } from '../../kube/clock.ts';
import { type Log, silent } from '../../kube/log.ts';
import { type Judgement, judgeCall } from './hook.ts';

export interface ReceiverDependencies {
  client: Pick<Client, 'get'>;
  /** The PolicySync with this key, `namespace/name`. */
  policySync: (key: string) => PolicySync | undefined;
  /** Told that somebody pushed to the repository of that PolicySync. */
  hint: (key: string) => void;
  clock?: Clock;
  log?: Log;
}

/** A server that git servers call after a push. */
export interface Receiver extends AsyncDisposable {
  readonly port: number;
}

/** `/hook/<namespace>/<name>` of the PolicySync. */
const PATH = /^\/hook\/([a-z0-9][-a-z0-9]{0,62})\/([a-z0-9][-a-z0-9.]{0,252})$/;
/** Key of the Secret that spec.receiver names, as in Flux's Receiver. */
const TOKEN_KEY = 'token';
const MAX_BODY = 5 << 20;
/** A sender has so long to send its request, in milliseconds. */
const REQUEST_MS = 10_000;
const MAX_CONNECTIONS = 100;
/** Calls for one PolicySync: so many at once, and so many a second after that. What is beyond is found by polling. */
const BURST = 20;
const PER_SECOND = 2;
/** Secrets are read again after so long: nobody who calls without knowing one makes us ask the API server each time. */
const TOKEN_MS = 15_000;
/** Calls that are remembered to be told from their repetition, of all PolicySyncs together, and for how long. */
const MAX_SEEN = 4096;
const SEEN_MS = 10 * 60_000;

/** Starts the server. What it is told is a hint and no more: it makes a PolicySync ask its git server now, and not at its interval. */
export async function startReceiver(
  { host, port }: { host?: string | undefined; port: number },
  dependencies: ReceiverDependencies,
): Promise<Receiver> {
  const calls = new Calls(dependencies);
  const server = createServer({ requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS }, (request, response) => {
    calls.answer(request, response).catch((error: unknown) => {
      dependencies.log?.warn({ error: describeError(error) }, 'a call of a git server was not answered');
      if (response.headersSent) response.destroy();
      else reply(response, 500, 'not now');
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen({ host, port }, resolve));
  return { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: () => close(server) };
}

class Calls {
  readonly #dependencies: ReceiverDependencies;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #tokens = new Map<string, { secret: string; token: string; until: number }>();
  readonly #seen = new Map<string, number>();

  constructor(dependencies: ReceiverDependencies) {
    this.#dependencies = dependencies;
    this.#clock = dependencies.clock ?? systemClock;
    this.#log = dependencies.log ?? silent;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const match = PATH.exec(request.url?.split('?')[0] ?? '');
    if (match === null) return reply(response, 404, 'not found');
    if (request.method !== 'POST') return reply(response, 405, 'only POST is answered');
    const key = `${match[1]}/${match[2]}`;
    const policySync = this.#dependencies.policySync(key);
    const receiver = policySync?.spec.receiver;
    // Whether there is such a PolicySync is not for everybody to know: the answer is that to a wrong signature.
    if (policySync === undefined || receiver === undefined) return refuse(request, response);
    if (!this.#bucket(key).tryTake()) {
      response.setHeader('retry-after', '5');
      return reply(response, 429, 'too many calls');
    }
    const body = await readBody(request);
    if (body === undefined) return reply(response, 413, 'too large');
    const token = await this.#token(key, policySync.metadata.namespace ?? '', receiver.secretRef.name);
    const judgement = judgeCall(receiver.type, token, { headers: request.headers, body });
    this.#act(key, judgement);
    if (judgement.kind === 'refused') return reply(response, 401, 'not signed with the token of this PolicySync');
    return reply(response, 200, judgement.kind === 'push' ? 'ok' : 'nothing to do');
  }

  #act(key: string, judgement: Judgement): void {
    if (judgement.kind === 'refused')
      this.#log.warn({ policySync: key }, 'a call without a valid signature was refused');
    if (judgement.kind !== 'push') return;
    const id = `${key} ${judgement.id}`;
    if (this.#wasSeen(id)) return;
    this.#log.debug({ policySync: key }, 'a push was announced');
    this.#dependencies.hint(key);
  }

  #bucket(key: string): TokenBucket {
    const bucket = this.#buckets.get(key) ?? new TokenBucket(PER_SECOND, BURST, this.#clock);
    this.#buckets.set(key, bucket);
    return bucket;
  }

  /** The token that signs; empty when there is none, which no call is genuine for. */
  async #token(key: string, namespace: string, name: string): Promise<string> {
    const now = this.#clock.now();
    const known = this.#tokens.get(key);
    if (known !== undefined && known.secret === name && now < known.until) return known.token;
    const secret = await this.#dependencies.client.get(Secrets, { namespace, name });
    const token = Buffer.from(secret?.data?.[TOKEN_KEY] ?? '', 'base64')
      .toString('utf8')
      .replace(/\r?\n$/, '');
    this.#tokens.set(key, { secret: name, token, until: now + TOKEN_MS });
    return token;
  }

  #wasSeen(id: string): boolean {
    const now = this.#clock.now();
    for (const [old, at] of this.#seen) {
      if (now - at < SEEN_MS && this.#seen.size < MAX_SEEN) break;
      this.#seen.delete(old);
    }
    if (this.#seen.has(id)) return true;
    this.#seen.set(id, now);
    return false;
  }
}

/** The body; undefined when it is larger than allowed, and what follows is not read. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY) return undefined;
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_BODY) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function refuse(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  reply(response, 401, 'not signed with the token of this PolicySync');
}

function reply(response: ServerResponse, status: number, text: string): void {
  // What was not read of the request is not waited for.
  const headers = { 'content-type': 'text/plain', ...(status >= 400 ? { connection: 'close' } : {}) };
  response.writeHead(status, headers).end(`${text}\n`);
}

function close(server: Server): Promise<void> {
  server.closeIdleConnections();
  setTimeout(() => server.closeAllConnections(), 2000).unref();
  return new Promise((resolve) => server.close(() => resolve()));
}
