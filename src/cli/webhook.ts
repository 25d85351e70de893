import { type Command, InvalidArgumentError } from 'commander';
import { pino } from 'pino';
import { runWebhook } from '../../webhook/run.ts';
import { connect } from '../kube/client.ts';
import { interruptible } from './signals.ts';

interface WebhookCommandOptions {
  kubeconfig?: string;
  host: string;
  port: number;
  metricsPort: number;
  namespace: string;
  service: string;
  secret: string;
  configurations: string;
  drain: number;
  logLevel: string;
}

export function configure(command: Command): void {
  const { env } = process;
  command
    .option('--kubeconfig <file>', 'how to reach the cluster (default: KUBECONFIG, or the service account of the Pod)')
    .option('--host <address>', 'address to listen on', env.BACKSTAY_WEBHOOK_HOST ?? '0.0.0.0')
    .option('--port <port>', 'port of the admission requests', port, port(env.BACKSTAY_WEBHOOK_PORT ?? '9443'))
    .option(
      '--metrics-port <port>',
      'port of /metrics, /healthz and /readyz',
      port,
      port(env.BACKSTAY_METRICS_PORT ?? '8080'),
    )
    .option('--namespace <name>', 'namespace of the webhook', env.POD_NAMESPACE ?? 'backstay-system')
    .option('--service <name>', 'Service that the API server calls', env.BACKSTAY_WEBHOOK_SERVICE ?? 'backstay-webhook')
    .option(
      '--secret <name>',
      'Secret that keeps the certificate authority',
      env.BACKSTAY_WEBHOOK_SECRET ?? 'backstay-webhook-ca',
    )
    .option(
      '--configurations <name>',
      'name of the webhook configurations that get the certificate authority',
      env.BACKSTAY_WEBHOOK_CONFIGURATIONS ?? 'backstay',
    )
    .option('--drain <seconds>', 'how long to answer after the signal to stop', seconds, 5)
    .action(async (_options: unknown, self: Command) => run(self.optsWithGlobals()));
}

async function run(options: WebhookCommandOptions): Promise<void> {
  const { kubeconfig, drain, logLevel, ...rest } = options;
  const log = pino({ name: 'webhook', level: logLevel, timestamp: pino.stdTimeFunctions.isoTime });
  const client = await connect({ kubeconfig, userAgent: 'backstay-webhook' });
  await interruptible((signal) => runWebhook({ ...rest, client, drainMs: drain * 1000, log, signal }));
}

function port(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0 || number > 65_535) throw new InvalidArgumentError('It must be a port.');
  return number;
}

function seconds(text: string): number {
  const number = Number(text.replace(/s$/, ''));
  if (!Number.isFinite(number) || number < 0) throw new InvalidArgumentError('It must be a number of seconds.');
  return number;
}
