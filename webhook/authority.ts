import { BackstayError } from '../src/api/errors.ts';
import { type Secret, Secrets } from '../src/kube/builtin.ts';
import type { Client } from '../src/kube/client.ts';
import { KubeError } from '../src/kube/kube-error.ts';
import { type Issued, makeAuthority, readPair, renewalTime, validCertificates } from './certificates.ts';

/** The certificate authority that all replicas share. */
export interface Authority {
  pair: Issued;
  /** Every authority that is still valid as PEM, the current one first: what the API server verifies with. */
  bundle: string;
}

const CERT = 'tls.crt';
const KEY = 'tls.key';
const BUNDLE = 'ca.crt';

/**
 * The authority as the Secret has it. Whoever comes first makes it; whoever finds it two thirds through its life puts a new one in its
 * place and leaves the old one in the bundle, so that certificates of both are trusted while replicas change over.
 *
 * @throws KubeError, and BackstayError CertificateInvalid when the Secret holds something else
 */
export async function ensureAuthority(
  client: Pick<Client, 'get' | 'create' | 'replace'>,
  ref: { namespace: string; name: string },
  options: { now: Date; signal?: AbortSignal },
): Promise<Authority> {
  const { now, signal } = options;
  const request = signal === undefined ? {} : { signal };
  // Several replicas may start at once: one write wins, and the others read what it wrote.
  for (let attempt = 1; ; attempt++) {
    const secret = await client.get(Secrets, ref, request);
    const found = secret === undefined ? undefined : await readAuthority(secret, now);
    if (found !== undefined && now < renewalTime(found.pair)) return found;
    const pair = await makeAuthority(now);
    const bundle = [pair.cert, ...(found === undefined ? [] : validCertificates(found.bundle, now))];
    const made: Authority = { pair, bundle: `${bundle.map((pem) => pem.trim()).join('\n')}\n` };
    try {
      if (secret === undefined) await client.create(Secrets, toSecret(made, ref), request);
      else await client.replace(Secrets, { ...toSecret(made, ref), metadata: secret.metadata }, request);
      return made;
    } catch (error) {
      const lost = error instanceof KubeError && error.status === 409;
      if (!lost || attempt >= 5) throw error;
    }
  }
}

async function readAuthority(secret: Secret, now: Date): Promise<Authority> {
  const { namespace, name } = secret.metadata;
  const read = (key: string): string => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
  try {
    const pair = await readPair({ cert: read(CERT), key: read(KEY) });
    const bundle = validCertificates(`${pair.cert}\n${read(BUNDLE)}`, now);
    return { pair, bundle: `${bundle.join('\n')}\n` };
  } catch (error) {
    throw new BackstayError('CertificateInvalid', `Secret ${namespace}/${name} holds no certificate authority`, {
      remedy: 'delete it; the webhook makes another one',
      cause: error,
    });
  }
}

function toSecret({ pair, bundle }: Authority, { namespace, name }: { namespace: string; name: string }): Secret {
  const encode = (text: string): string => Buffer.from(text).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      namespace,
      name,
      labels: { 'app.kubernetes.io/name': 'backstay', 'app.kubernetes.io/component': 'webhook' },
    },
    type: 'kubernetes.io/tls',
    data: { [CERT]: encode(pair.cert), [KEY]: encode(pair.key), [BUNDLE]: encode(bundle) },
  };
}
