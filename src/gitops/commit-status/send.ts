import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Backoff } from '../../kube/backoff.ts';
import { sleep, systemClock } from '../../kube/clock.ts';
import { Deadline } from '../../kube/deadline.ts';
import type { Provider } from './api.ts';
import { type Answer, refusalOf, StatusError } from './refusal.ts';
import type { StatusRequest } from './request.ts';

export interface SendLimits {
  /** How long one try may take, in milliseconds. */
  tryMs: number;
  tries: number;
  /** The first wait between two tries, in milliseconds; the server may ask for more, up to `longestWaitMs`. */
  waitMs: number;
  longestWaitMs: number;
}

export const SEND_LIMITS: SendLimits = { tryMs: 10_000, tries: 3, waitMs: 500, longestWaitMs: 5000 };

/** The messages that are looked for are short; a body without an end must not fill the memory. */
const MAX_BODY = 64 << 10;

export interface SendOptions {
  provider: Provider;
  /** Of the request, so that no message repeats it. */
  token: string;
  /** PEM; the system's own authorities unless given. */
  certificateAuthority?: string | undefined;
  limits?: SendLimits | undefined;
}

/**
 * Sends a status until it is taken, a few times at most. No redirection is followed: the token would go along to an address that the server
 * chooses.
 *
 * @throws StatusError
 */
export async function sendStatus(request: StatusRequest, options: SendOptions, signal: AbortSignal): Promise<void> {
  const limits = options.limits ?? SEND_LIMITS;
  const backoff = new Backoff({ baseMs: limits.waitMs, maxMs: limits.longestWaitMs });
  for (let left = limits.tries - 1; ; left -= 1) {
    const error = await attempt(request, options, limits.tryMs, signal);
    if (error === undefined) return;
    signal.throwIfAborted();
    const asked = (error.retryAfterSeconds ?? 0) * 1000;
    if (!error.isTemporary || left <= 0 || asked > limits.longestWaitMs) throw error;
    await sleep(backoff.next(asked), signal);
  }
}

async function attempt(
  request: StatusRequest,
  { provider, token, certificateAuthority }: SendOptions,
  milliseconds: number,
  signal: AbortSignal,
): Promise<StatusError | undefined> {
  const { host } = new URL(request.url);
  const late = (): StatusError => unreachable(host, `it did not answer within ${milliseconds / 1000} s`, 'TimedOut');
  using deadline = new Deadline(milliseconds, late, signal);
  try {
    const answer = await exchange(request, certificateAuthority, deadline.signal);
    return refusalOf(provider, host, answer, token, systemClock.date().getTime());
  } catch (error) {
    if (deadline.expired) return late();
    // The words of a code: a message of the library may hold what was sent.
    return connectionError(host, error);
  }
}

async function exchange(
  { url, headers, body }: StatusRequest,
  certificateAuthority: string | undefined,
  signal: AbortSignal,
): Promise<Answer> {
  const open = url.startsWith('http:') ? httpRequest : httpsRequest;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const options = {
      method: 'POST',
      headers: { ...headers, 'content-length': Buffer.byteLength(body) },
      // One request in a while: nothing is kept open.
      agent: false as const,
      signal,
      ...(certificateAuthority === undefined ? {} : { ca: certificateAuthority }),
    };
    open(url, options, resolve).once('error', reject).end(body);
  });
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    parts.push(part);
    size += part.length;
    if (size > MAX_BODY) break;
  }
  const { statusCode = 0, headers: answered } = response;
  return { status: statusCode, headers: answered, body: Buffer.concat(parts).toString('utf8') };
}

const UNTRUSTED = /^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED|ERR_TLS_|ERR_SSL_|ERR_OSSL_)/;

function connectionError(host: string, error: unknown): StatusError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'no answer';
  if (!UNTRUSTED.test(code)) return unreachable(host, `it cannot be reached or broke off (${code})`, 'Unreachable');
  const what = `its certificate is not trusted (${code})`;
  return new StatusError('TLSFailed', `Cannot write the commit status at ${host}: ${what}`, {
    remedy: 'put the certificate authority into ca.crt of the Secret that spec.commitStatus.secretRef names',
  });
}

function unreachable(host: string, what: string, code: 'TimedOut' | 'Unreachable'): StatusError {
  return new StatusError(code, `Cannot write the commit status at ${host}: ${what}`, {
    remedy: 'check spec.commitStatus.apiURL, the network policies and the server; it is tried again by itself',
    isTemporary: true,
  });
}
