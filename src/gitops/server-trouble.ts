import { BackstayError } from '../api/errors.ts';
import { isConflict, KubeError } from '../kube/kube-error.ts';

/**
 * Whether an error has nothing to do with the object that was asked for: the server is away, busy, or failing, does not know us, or somebody
 * wrote in the same moment. (A conflict over fields names their managers as causes; one over a version has none.)
 */
export function isTemporary(error: KubeError): boolean {
  const { status, causes } = error;
  if (status === 409) return isConflict(error) && causes.length === 0;
  return status === 0 || status === 401 || status === 408 || status === 429 || status >= 500;
}

/**
 * What such an error says of the API server, in words that stay the same while the trouble does: whichever of a thousand objects is the
 * first to fail, it is one trouble, told once.
 *
 * @param isPartial something of the commit was written before
 * @returns `APIServerUnavailable`, `APIServerThrottled`, `AdmissionUnavailable` or `WriteConflict`; undefined when the error speaks of an
 *   object
 */
export function serverTrouble(error: unknown, isPartial = false): BackstayError | undefined {
  if (!(error instanceof KubeError) || !isTemporary(error)) return undefined;
  const { code, what, remedy } = troubleOf(error);
  const so = isPartial ? 'a part of the commit is applied, the rest' : 'nothing was changed, and it';
  return new BackstayError(code, `${what}; ${so} is tried again by itself`, {
    ...(remedy === undefined ? {} : { remedy }),
    cause: error,
  });
}

function troubleOf(error: KubeError): { code: string; what: string; remedy?: string } {
  const { status, reason, cause, message, remedy } = error;
  const webhook = /failed calling webhook "([^"]+)": (.+)/s.exec(message);
  if (webhook !== null) {
    return {
      code: 'AdmissionUnavailable',
      what: `The webhook ${webhook[1]}, which the API server asks about every write, does not answer (${lastWords(webhook[2] ?? '')})`,
      remedy: 'when it lasts, see whether the Pods behind that webhook run',
    };
  }
  if (status === 409) return { code: 'WriteConflict', what: 'Somebody else wrote the same objects in the same moment' };
  if (status === 429) return { code: 'APIServerThrottled', what: 'The API server has too much to do, and puts us off' };
  const how = status === 0 ? (codeOf(cause) ?? reason) : `${status} ${reason}`;
  return {
    code: 'APIServerUnavailable',
    what: `The API server ${status === 0 ? 'does not answer' : 'fails'} (${how})`,
    ...(remedy === undefined ? {} : { remedy }),
  };
}

/** What Go says at the end of a chain of causes: `…: dial tcp 10.0.0.1:443: connect: connection refused`. */
function lastWords(text: string): string {
  return text.trim().split(': ').at(-1) ?? text;
}

function codeOf(cause: unknown): string | undefined {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
}
