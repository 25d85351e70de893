import type { IncomingHttpHeaders } from 'node:http';
import { BackstayError } from '../../api/errors.ts';
import { isRecord } from '../../api/json.ts';
import { parseRetryAfter } from '../../kube/kube-error.ts';
import { redact } from '../source/failure.ts';
import type { Provider } from './api.ts';

/** An answer of the API, its body as far as it was read. */
export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** The git server was not told, and why. */
export class StatusError extends BackstayError {
  /** Whether the same request may succeed in a while. */
  readonly isTemporary: boolean;
  /** How long the server wants to be left alone, in seconds. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: string,
    message: string,
    details: { remedy?: string; isTemporary?: boolean; retryAfterSeconds?: number | undefined } = {},
  ) {
    super(code, message, details.remedy === undefined ? {} : { remedy: details.remedy });
    this.isTemporary = details.isTemporary === true;
    this.retryAfterSeconds = details.retryAfterSeconds;
  }

  override get name(): string {
    return 'StatusError';
  }
}

const PERMISSION: Readonly<Record<Provider, string>> = {
  GitHub: 'Commit statuses: write of a fine-grained token, or the scope repo:status',
  GitLab: 'the scope api, and the role Developer or a higher one',
  Gitea: 'write:repository, for an account that may push',
};
const SAID_LENGTH = 200;

/**
 * What an answer means; undefined when the status is written. Of the body only the message is shown that the API puts into JSON: whatever
 * else answers at that address is nobody's business.
 *
 * @param place host of the API, for messages
 * @param now milliseconds since 1970
 */
export function refusalOf(
  provider: Provider,
  place: string,
  { status, headers, body }: Answer,
  token: string,
  now: number,
): StatusError | undefined {
  if (status >= 200 && status < 300) return undefined;
  const said = messageOf(body);
  // GitLab does not take a state that a status has already; that was our own lost answer.
  if (provider === 'GitLab' && status === 400 && /^Cannot transition status/.test(said)) return undefined;
  const shown = redact(said, [token]).slice(0, SAID_LENGTH);
  const details = shown === '' ? `it answered ${status}` : `it answered ${status}: ${shown}`;
  const refused = (code: string, what: string, more: ConstructorParameters<typeof StatusError>[2] = {}): StatusError =>
    new StatusError(code, `Cannot write the commit status at ${place}: ${what} (${details})`, more);
  const retryAfterSeconds = waitOf(headers, now);
  // GitHub says 403 when its limits are reached.
  if (status === 429 || (status === 403 && retryAfterSeconds !== undefined)) {
    const remedy = 'it is tried again by itself';
    return refused('RateLimited', 'the server takes no more requests for now', {
      remedy,
      isTemporary: true,
      retryAfterSeconds,
    });
  }
  if (status >= 300 && status < 400) {
    const remedy = 'put that address into spec.url or spec.commitStatus.apiURL';
    return refused('RedirectRefused', 'the server redirects to another address', { remedy });
  }
  if (status === 401) {
    const remedy = 'put a valid token into the Secret that spec.commitStatus.secretRef names';
    return refused('AuthenticationFailed', 'the token is not accepted', { remedy });
  }
  if (status === 403) return refused('Forbidden', 'the token may not', { remedy: `give it ${PERMISSION[provider]}` });
  if (status === 404) {
    const remedy = `check spec.url and spec.commitStatus.apiURL, and that the token has ${PERMISSION[provider]}`;
    return refused('RepositoryNotFound', 'there is no such repository or commit, or it is hidden from the token', {
      remedy,
    });
  }
  if (status >= 500 || status === 408) {
    const remedy = 'it is tried again by itself';
    return refused('Unreachable', 'the server fails', { remedy, isTemporary: true, retryAfterSeconds });
  }
  return refused('StatusRefused', 'the server refuses it', { remedy: 'check spec.commitStatus' });
}

/** Retry-After, or what GitHub says when nothing is left: the second in which it counts anew. */
function waitOf(headers: IncomingHttpHeaders, now: number): number | undefined {
  const after = parseRetryAfter(headers['retry-after'], now);
  if (after !== undefined) return after;
  const reset = Number(headers['x-ratelimit-reset']);
  if (headers['x-ratelimit-remaining'] !== '0' || !Number.isFinite(reset)) return undefined;
  return Math.max(0, Math.ceil(reset - now / 1000));
}

/** The text that an API gives with an error: `message`, which GitLab sometimes makes a list or an object of. */
function messageOf(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    if (!isRecord(parsed)) return '';
    const { message } = parsed;
    return typeof message === 'string' ? message : message === undefined ? '' : JSON.stringify(message);
  } catch {
    return '';
  }
}
