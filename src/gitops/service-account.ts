import type { Client } from '../kube/client.ts';
import { type Clock, systemClock } from '../kube/clock.ts';
import { unlessAborted } from '../kube/wait.ts';

const LIFE_SECONDS = 3600;
/** How long an answer is waited for: others of the same account wait with it, and the next reconciliation asks anew. */
const ANSWER_MS = 5000;
/**
 * Requests of one account, a second and at once: as many as a handful of writers have answered. To the API server it is a user of its own,
 * which it has wait in a queue of its own when there is too much to do.
 */
const RATE = { qps: 500, burst: 500 };
/** A token is asked for anew when this part of its life is over. */
const REFRESH_AT = 0.8;

interface Held {
  token: string;
  /** Milliseconds of the clock. */
  refreshAt: number;
}

/**
 * Clients that act as service accounts, by tokens that the API server issues for an hour: the operator lends a PolicySync none of its
 * own rights, only those of the account that the PolicySync names in its own namespace.
 */
export class ServiceAccountClients {
  readonly #client: Pick<Client, 'createToken' | 'withToken'>;
  readonly #clock: Clock;
  readonly #tokens = new Map<string, Promise<Held>>();

  constructor(client: Pick<Client, 'createToken' | 'withToken'>, clock: Clock = systemClock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** A client for the account. A token is asked for at its first request, and again when the old one has grown old. */
  as(namespace: string, name: string): Client {
    return this.#client.withToken((refused) => this.#token(namespace, name, refused), RATE);
  }

  /**
   * Makes sure that there is a token. Fails as TokenRequest does: `NotFound` for an account that is not there.
   *
   * @param signal ends the wait; the request goes on, since others of the same account may wait for it
   */
  async check(namespace: string, name: string, signal: AbortSignal): Promise<void> {
    await unlessAborted(this.#token(namespace, name, false), signal);
  }

  /** @param refused the server does not take the last token: the account was deleted and made again */
  async #token(namespace: string, name: string, refused: boolean): Promise<string> {
    const key = `${namespace}/${name}`;
    const pending = this.#tokens.get(key);
    if (pending !== undefined) {
      const held = await pending;
      if (!refused && this.#clock.now() < held.refreshAt) return held.token;
    }
    // Whoever waited for the same old token finds the request of the first of them.
    const current = this.#tokens.get(key);
    const asked = current === undefined || current === pending ? this.#ask(namespace, name) : current;
    this.#tokens.set(key, asked);
    try {
      return (await asked).token;
    } catch (error) {
      if (this.#tokens.get(key) === asked) this.#tokens.delete(key);
      throw error;
    }
  }

  async #ask(namespace: string, name: string): Promise<Held> {
    const askedAt = this.#clock.now();
    const { token, expirationTimestamp } = await this.#client.createToken(
      { namespace, name },
      { expirationSeconds: LIFE_SECONDS },
      { timeoutMs: ANSWER_MS, retries: 1 },
    );
    // The server may shorten or lengthen what was asked for.
    const life = Date.parse(expirationTimestamp) - this.#clock.date().getTime();
    return { token, refreshAt: askedAt + (Number.isFinite(life) ? life : LIFE_SECONDS * 1000) * REFRESH_AT };
  }
}
