import { createServer } from 'node:http';
import express from 'express';
import { Registry } from 'prom-client';
import type { Client } from '../src/kube/client.ts';
import type { Log } from '../src/kube/log.ts';
import { createMetrics } from '../src/kube/metrics.ts';
import { createApp, createHealth } from './app.ts';
import { CachedLookup } from './lookup.ts';
import { createWebhookMetrics } from './metrics.ts';
import { listen, listenTls, stopGracefully } from './server.ts';
import { type CertificateOptions, ServingCertificate } from './serving-certificate.ts';

/** What a webhook runs with. */
export interface WebhookOptions {
  client: Client;
  host: string;
  /** Port of the admission requests, with TLS; 0 lets the system choose. */
  port: number;
  /** Port of /metrics, /healthz and /readyz, without TLS. */
  metricsPort: number;
  namespace: string;
  service: string;
  secret: string;
  configurations: string;
  /** How long requests are still answered after the signal, in milliseconds: until the Service has forgotten the Pod. */
  drainMs: number;
  /** See CertificateOptions. */
  certificateTimes?: Pick<CertificateOptions, 'intervalMs' | 'settleMs'>;
  log: Log;
  signal: AbortSignal;
  /** Called once it listens. */
  onListening?: (ports: { port: number; metricsPort: number }) => void;
}

const GRACE_MS = 10_000;

/** Runs the admission webhook until the signal aborts, and stops without losing a request. */
export async function runWebhook(options: WebhookOptions): Promise<void> {
  const { client, host, log, signal } = options;
  const registry = new Registry();
  const metrics = createWebhookMetrics(registry);
  const lookup = new CachedLookup({ client, log, metrics: createMetrics(registry) });
  // While requests are drained the caches stay fresh.
  const background = new AbortController();
  let listening = false;
  const missing = (): string[] => {
    if (signal.aborted) return ['its end'];
    return listening ? lookup.missing : ['a certificate', ...lookup.missing];
  };
  const plain = createServer(
    createHealth(missing).use(
      express.Router().get('/metrics', async (_, response) => {
        response.type(registry.contentType).send(await registry.metrics());
      }),
    ),
  );
  const running: Promise<void>[] = [];
  try {
    const metricsPort = await listen(plain, { host, port: options.metricsPort });
    running.push(lookup.run(background.signal));
    const certificate = new ServingCertificate({ ...options, ...options.certificateTimes });
    const first = await certificate.first(signal);
    metrics.certificateExpires(first.notAfter);
    const app = createApp({ lookup, missing, metrics, log });
    const { server, port } = await listenTls(app, first, { host, port: options.port });
    listening = true;
    log.info({ port, metricsPort }, 'The webhook listens');
    options.onListening?.({ port, metricsPort });
    running.push(
      certificate.run((pair) => {
        // Connections that are open keep theirs; a pair that does not fit throws and leaves the old one in use.
        server.setSecureContext({ ...pair, minVersion: 'TLSv1.2' });
        metrics.certificateExpires(pair.notAfter);
      }, background.signal),
    );
    await aborted(signal);
    log.info({}, 'The webhook stops');
    await stopGracefully(server, { drainMs: options.drainMs, graceMs: GRACE_MS });
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    background.abort();
    plain.close();
    plain.closeAllConnections();
    await Promise.all(running);
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
