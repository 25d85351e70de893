import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** Who calls: each signs, and says what happened, in headers of its own. */
export type Sender = 'GitHub' | 'GitLab' | 'Gitea' | 'Generic';

/** A request of a git server, as far as it matters here. */
export interface Call {
  /** Names in lower case. */
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: Uint8Array;
}

/** What is to be done with a call. */
export type Judgement =
  /** It is genuine, and something was pushed. `id` is the same for the same call sent twice. */
  | { kind: 'push'; id: string }
  /** It is genuine, and nothing to do with us: a ping, an issue. */
  | { kind: 'other'; what: string }
  | { kind: 'refused' };

// Where each sender says what happened, and what of it can move a branch or a tag.
const EVENTS: Readonly<Record<Exclude<Sender, 'Generic'>, { header: string; pushes: readonly string[] }>> = {
  GitHub: { header: 'x-github-event', pushes: ['push', 'create', 'delete'] },
  GitLab: { header: 'x-gitlab-event', pushes: ['Push Hook', 'Tag Push Hook', 'System Hook'] },
  Gitea: { header: 'x-gitea-event', pushes: ['push', 'create', 'delete'] },
};

/**
 * Whether a call is genuine, and what it is about. Nothing that its body says is believed: which commit is followed is asked of the git
 * server.
 *
 * GitHub signs with `X-Hub-Signature-256: sha256=<hex>`, Gitea (and Forgejo) with `X-Gitea-Signature: <hex>`, generic senders with
 * `X-Signature: sha256=<hex>`: HMAC-SHA-256 of the body. GitLab sends the token itself, in `X-Gitlab-Token`.
 */
export function judgeCall(sender: Sender, token: string, { headers, body }: Call): Judgement {
  if (token === '' || !isGenuine(sender, token, headers, body)) return { kind: 'refused' };
  if (sender !== 'Generic') {
    const { header, pushes } = EVENTS[sender];
    const event = single(headers[header]) ?? '';
    if (!pushes.includes(event)) return { kind: 'other', what: event };
  }
  return { kind: 'push', id: createHash('sha256').update(`${sender}\0`).update(body).digest('base64') };
}

function isGenuine(sender: Sender, token: string, headers: Call['headers'], body: Uint8Array): boolean {
  const given = (name: string): string => single(headers[name]) ?? '';
  if (sender === 'GitLab') return isSame(given('x-gitlab-token'), token);
  const expected = createHmac('sha256', token).update(body).digest('hex');
  switch (sender) {
    case 'GitHub':
      return isSame(given('x-hub-signature-256'), `sha256=${expected}`);
    case 'Gitea':
      return isSame(given('x-gitea-signature'), expected);
    case 'Generic':
      return isSame(given('x-signature'), `sha256=${expected}`);
  }
}

/** In the same time whatever the texts are, and however long: digests are compared. */
function isSame(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? undefined : value;
}
