/**
 * One call to the API server with its retries: the level between a verb of `Client` and an HTTP exchange.
 *
 * What is sent again, and when: a request that the server did not take (429, 503, or any 5xx with Retry-After, as client-go does), after
 * the time it asks for; a request without an answer only if doing it twice is the same as doing it once; a 401 once, with credentials read
 * anew. Everything else is the caller's decision. The caller's signal ends all of it.
 */
import type { IncomingMessage } from 'node:http';
import { Backoff } from './backoff.ts';
import { TokenBucket } from './bucket.ts';
import type { ConnectOptions, RequestOptions, RequestRate, TokenSource } from './client.ts';
import { sleep } from './clock.ts';
import { Deadline } from './deadline.ts';
import { type Endpoint, tokenEndpoint } from './endpoint.ts';
import { answerError, describeTarget, KubeError, type RequestTarget, unreachable } from './kube-error.ts';
import { type Query, withQuery } from './paths.ts';
import { readLines, readText, send } from './transport.ts';
import { unlessAborted } from './wait.ts';

const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_RETRIES = 5;

export interface Call {
  target: RequestTarget;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  query?: Query;
  body?: unknown;
  contentType?: string;
  accept?: string;
  /** Doing it twice leaves the same state as doing it once. */
  idempotent: boolean;
  onWarning?: ((message: string) => void) | undefined;
}

/** An endpoint with a rate limit, and perhaps a check before each write. */
export class Rest {
  readonly #endpoint: Endpoint;
  readonly #options: ConnectOptions;
  readonly #bucket: TokenBucket;
  readonly #guard: (() => void) | undefined;
  /** The server refused the credentials: read them anew for the next request. */
  #refused = false;

  constructor(endpoint: Endpoint, options: ConnectOptions, bucket?: TokenBucket, guard?: () => void) {
    this.#endpoint = endpoint;
    this.#options = options;
    this.#bucket = bucket ?? new TokenBucket(options.qps ?? 50, options.burst ?? 100);
    this.#guard = guard;
  }

  withToken(token: TokenSource, rate?: RequestRate): Rest {
    const bucket = rate === undefined ? this.#bucket : new TokenBucket(rate.qps, rate.burst);
    return new Rest(tokenEndpoint(this.#endpoint, token), this.#options, bucket, this.#guard);
  }

  withGuard(guard: () => void): Rest {
    return new Rest(this.#endpoint, this.#options, this.#bucket, guard);
  }

  /** The object in a 2xx answer. */
  async json<T>(call: Call, options: RequestOptions): Promise<T> {
    const text = await this.text(call, options);
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      const message = `Cannot ${describeTarget(call.target)}: the answer of ${this.#endpoint.server.host} is not JSON`;
      throw new KubeError(message, { status: 200, reason: 'BrokenAnswer', cause: error });
    }
  }

  /** The body of a 2xx answer. */
  async text(call: Call, options: RequestOptions): Promise<string> {
    const { signal, retries = DEFAULT_RETRIES } = options;
    const backoff = new Backoff({ baseMs: 100, maxMs: 10_000 });
    let refreshed = false;
    for (;;) {
      try {
        return await this.#attempt(call, options);
      } catch (error) {
        if (!(error instanceof KubeError)) throw error;
        if (error.status === 401 && !refreshed) {
          refreshed = true;
          continue;
        }
        if (backoff.attempts >= retries || !worthRetrying(error, call.idempotent)) throw error;
        await sleep(backoff.next((error.retryAfterSeconds ?? 0) * 1000), signal);
      }
    }
  }

  /** The lines of a streamed answer, as they come, until the server ends it. Not retried. Stopping to read closes the connection. */
  async *lines(call: Call, signal?: AbortSignal): AsyncGenerator<string> {
    const stop = new AbortController();
    const abort = () => stop.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      signal?.throwIfAborted();
      await this.#bucket.take(signal);
      const answer = await this.#send(call, stop.signal);
      if (answer.statusCode !== 200) {
        throw answerError(call.target, answer.statusCode ?? 500, await readText(answer), answer.headers['retry-after']);
      }
      yield* readLines(answer);
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof KubeError ? error : unreachable(call.target, this.#endpoint.server.host, error);
    } finally {
      signal?.removeEventListener('abort', abort);
      stop.abort();
    }
  }

  async #attempt(call: Call, { signal, timeoutMs = DEFAULT_TIMEOUT_MS }: RequestOptions): Promise<string> {
    await this.#bucket.take(signal);
    const { host } = this.#endpoint.server;
    const late = () =>
      new KubeError(`Cannot ${describeTarget(call.target)}: no answer from ${host} within ${timeoutMs / 1000} s`, {
        status: 0,
        reason: 'RequestTimeout',
      });
    using deadline = new Deadline(timeoutMs, late, signal);
    let refusal: unknown;
    try {
      const answer = await this.#send(call, deadline.signal, (error) => {
        refusal = error;
      });
      const text = await readText(answer);
      const status = answer.statusCode ?? 500;
      if (status < 200 || status >= 300) throw answerError(call.target, status, text, answer.headers['retry-after']);
      if (call.onWarning) for (const warning of warnings(answer)) call.onWarning(warning);
      return text;
    } catch (error) {
      if (refusal !== undefined) throw refusal;
      if (deadline.signal.aborted) throw deadline.signal.reason;
      throw error instanceof KubeError ? error : unreachable(call.target, host, error);
    }
  }

  async #send(call: Call, signal: AbortSignal, onRefusal?: (error: unknown) => void): Promise<IncomingMessage> {
    const { method, path, query, body } = call;
    const { host } = this.#endpoint.server;
    const guard = method === 'GET' ? undefined : this.#guard;
    const headers: Record<string, string> = {
      accept: call.accept ?? 'application/json',
      'user-agent': this.#options.userAgent ?? 'backstay',
    };
    if (body !== undefined) headers['content-type'] = call.contentType ?? 'application/json';
    const beforeWrite =
      guard &&
      (() => {
        try {
          guard();
        } catch (error) {
          onRefusal?.(error);
          throw error;
        }
      });
    const refused = this.#refused;
    this.#refused = false;
    // a token that is asked for elsewhere must not hold up this request for longer than it may last
    const credentials = await unlessAborted(Promise.resolve(this.#endpoint.credentials(refused)), signal);
    let status = 0;
    try {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const answer = await send(this.#endpoint, credentials, {
        method,
        path: withQuery(path, query),
        headers,
        body: text,
        signal,
        beforeWrite,
      });
      status = answer.statusCode ?? 0;
      if (status === 401) this.#refused = true;
      return answer;
    } finally {
      this.#options.onResponse?.({ method, host, status });
    }
  }
}

/** Refused before it was looked at, or lost on the way where sending it twice does no harm. */
function worthRetrying(error: KubeError, idempotent: boolean): boolean {
  if (error.status === 429 || error.status === 503) return true;
  if (error.status >= 500) return error.retryAfterSeconds !== undefined;
  if (error.status !== 0) return false;
  return (
    idempotent || (error.cause instanceof Error && 'code' in error.cause && NEVER_SENT.has(String(error.cause.code)))
  );
}

const NEVER_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/** The texts of Warning headers (RFC 7234, `299 - "text"`), which admission webhooks and deprecated versions send. */
function* warnings(answer: IncomingMessage): Generator<string> {
  for (const header of answer.headersDistinct.warning ?? []) {
    for (const match of header.matchAll(/299 \S+ "((?:[^"\\]|\\.)*)"/g))
      yield (match[1] ?? '').replaceAll(/\\(.)/g, '$1');
  }
}
