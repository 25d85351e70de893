import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../src/api/errors.ts';
import type { Client } from '../src/kube/client.ts';
import type { Log } from '../src/kube/log.ts';
import { ensureAuthority } from './authority.ts';
import { publishBundle } from './ca-bundle.ts';
import { type Issued, makeLeaf, renewalTime } from './certificates.ts';

/** What the certificate is made for and with. */
export interface CertificateOptions {
  client: Pick<Client, 'get' | 'create' | 'replace' | 'apply'>;
  namespace: string;
  /** Name of the Service that the API server calls. */
  service: string;
  /** Name of the Secret that holds the authority. */
  secret: string;
  /** Name of the webhook configurations, the same for both. */
  configurations: string;
  log: Log;
  now?: () => Date;
  /** How long between two looks at the Secret and the configurations, in milliseconds. Default one minute. */
  intervalMs?: number;
  /** How long API servers may take to learn of another authority, in milliseconds. Default five seconds. */
  settleMs?: number;
}

const RETRY_MS = 2000;

/**
 * Keeps a certificate for the webhook: the authority lies in a Secret that all replicas share, and each replica signs a certificate of its
 * own that never leaves its memory.
 */
export class ServingCertificate {
  readonly #options: CertificateOptions;
  readonly #now: () => Date;
  #current: (Issued & { authority: string }) | undefined;
  /** Whether both configurations trusted the authority at the last look. */
  #trusted = false;

  constructor(options: CertificateOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => new Date());
  }

  /** The first certificate; tries until there is one. @throws the reason of the signal */
  async first(signal: AbortSignal): Promise<Issued> {
    for (;;) {
      try {
        return (await this.refresh(signal)) ?? this.#unchanged();
      } catch (error) {
        signal.throwIfAborted();
        this.#options.log.warn({ error: describeError(error) }, 'There is no certificate yet');
        await sleep(RETRY_MS, undefined, { signal });
      }
    }
  }

  /** Hands every later certificate to `use` until the signal aborts; never rejects. */
  async run(use: (pair: Issued) => void, signal: AbortSignal): Promise<void> {
    const { intervalMs = 60_000, log } = this.#options;
    // A look at the clock each minute instead of one long timer: it also finds out after a pause of the process.
    while (!signal.aborted) {
      // Until it is trusted every write of a policy fails: a configuration that is installed after this one must not wait a minute.
      await sleep(this.#trusted ? intervalMs : RETRY_MS, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        const pair = await this.refresh(signal);
        if (pair !== undefined) use(pair);
      } catch (error) {
        if (!signal.aborted) log.warn({ error: describeError(error) }, 'The certificate could not be looked after');
      }
    }
  }

  /** A new certificate when there is need for one: the first, after two thirds of its life, and when the authority has changed. */
  async refresh(signal?: AbortSignal): Promise<Issued | undefined> {
    const { client, namespace, service, secret, configurations, log, settleMs = 5000 } = this.#options;
    const now = this.#now();
    const options = signal === undefined ? { now } : { now, signal };
    const authority = await ensureAuthority(client, { namespace, name: secret }, options);
    // The API server must trust an authority before a certificate of it is served.
    const absent = await publishBundle(client, configurations, authority.bundle, signal);
    this.#trusted = absent.length === 0;
    if (!this.#trusted) log.warn({ kinds: absent, name: configurations }, 'There is no webhook configuration yet');
    const current = this.#current;
    if (current?.authority === authority.pair.cert && now < renewalTime(current)) return undefined;
    const names = [`${service}.${namespace}.svc`, `${service}.${namespace}.svc.cluster.local`];
    const leaf = await makeLeaf(authority.pair, names, now);
    if (current !== undefined && current.authority !== authority.pair.cert) {
      // Each API server reads of it by a watch, and until then it takes the old one only.
      await sleep(settleMs, undefined, signal === undefined ? {} : { signal });
    }
    this.#current = { ...leaf, authority: authority.pair.cert };
    log.info({ notAfter: leaf.notAfter.toISOString() }, 'A certificate was made');
    return leaf;
  }

  #unchanged(): Issued {
    if (this.#current === undefined) throw new TypeError('a refresh without a certificate made none');
    return this.#current;
  }
}
