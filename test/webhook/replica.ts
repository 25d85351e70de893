// A replica of the webhook as a process of its own, which looks after its certificate more often than once a minute.
import { pino } from 'pino';
import { connect } from '../../src/kube/client.ts';
import { runWebhook } from '../../webhook/run.ts';

const [kubeconfig = '', host = '', port = '', metricsPort = '', namespace = '', drainMs = ''] = process.argv.slice(2);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
await runWebhook({
  client: await connect({ kubeconfig, userAgent: 'backstay-webhook' }),
  host,
  port: Number(port),
  metricsPort: Number(metricsPort),
  namespace,
  service: 'backstay-webhook',
  secret: 'backstay-webhook-ca',
  configurations: 'backstay',
  drainMs: Number(drainMs),
  certificateTimes: { intervalMs: 300, settleMs: 500 },
  log: pino(),
  signal: stop.signal,
});
process.exit();
