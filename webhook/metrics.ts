import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What the webhook counts. */
export interface WebhookMetrics {
  reviewed(labels: { webhook: string; kind: string; operation: string; allowed: boolean }, seconds: number): void;
  certificateExpires(time: Date): void;
}

/** Registers the metrics of the webhook; once per registry. */
export function createWebhookMetrics(registry: Registry): WebhookMetrics {
  const registers = [registry];
  const requests = new Counter({
    name: 'backstay_webhook_requests_total',
    help: 'Admission requests answered',
    labelNames: ['webhook', 'kind', 'operation', 'allowed'],
    registers,
  });
  const seconds = new Histogram({
    name: 'backstay_webhook_request_duration_seconds',
    help: 'How long the answer to an admission request took',
    labelNames: ['webhook', 'kind', 'operation', 'allowed'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers,
  });
  const expiry = new Gauge({
    name: 'backstay_webhook_certificate_expiry_timestamp_seconds',
    help: 'When the certificate that is served expires',
    registers,
  });
  return {
    reviewed({ allowed, ...labels }, duration) {
      const all = { ...labels, allowed: String(allowed) };
      requests.inc(all);
      seconds.observe(all, duration);
    },
    certificateExpires: (time) => expiry.set(time.getTime() / 1000),
  };
}
