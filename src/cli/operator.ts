import { randomBytes } from 'node:crypto';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { pino } from 'pino';
import { describeError } from '../api/errors.ts';
import type { PolicySync } from '../api/generated/types.ts';
import { PolicySyncs } from '../api/kinds.ts';
import { liveFrom, liveFromCaches, policySyncController } from '../gitops/controller.ts';
import { createPolicySyncMetrics } from '../gitops/metrics.ts';
import { Hints } from '../gitops/push/hints.ts';
import { startReceiver } from '../gitops/push/receiver.ts';
import { Cache } from '../kube/cache.ts';
import { type Client, connect } from '../kube/client.ts';
import { EventRecorder } from '../kube/events.ts';
import type { Caches } from '../operator/caches.ts';
import { type OperatorParts, operatorRegistry, runOperator } from '../operator/main.ts';
import { REQUEST_RATE } from '../operator/settings.ts';
import { BACKSTAY_VERSION } from '../runner/version.ts';
import { interruptible } from './signals.ts';

interface OperatorCommandOptions {
  kubeconfig?: string;
  namespace: string;
  image: string;
  podTemplate?: string;
  pushgatewayUrl?: string;
  metricsHost?: string;
  metricsPort: number;
  receiverHost?: string;
  receiverPort?: number;
  leaderElect: boolean;
  concurrency: number;
  watchNamespaces?: string[];
  logLevel: string;
}

export function configure(command: Command): void {
  const { env } = process;
  command
    .option('--kubeconfig <file>', 'how to reach the cluster (default: KUBECONFIG, or the service account of the Pod)')
    .option('--namespace <name>', 'namespace of the operator', env.POD_NAMESPACE ?? 'backstay-system')
    .requiredOption('--image <image>', 'image of the Jobs', env.BACKSTAY_IMAGE)
    .option('--pod-template <file>', 'YAML that is laid over the Pod of every Job', env.BACKSTAY_POD_TEMPLATE)
    .option('--pushgateway-url <url>', 'where Jobs push their metrics', env.BACKSTAY_PUSHGATEWAY_URL)
    .option('--metrics-host <address>', 'address of that port', env.BACKSTAY_METRICS_HOST)
    .option(
      '--metrics-port <port>',
      'port of /metrics, /healthz and /readyz',
      whole,
      whole(env.BACKSTAY_METRICS_PORT ?? '8080'),
    )
    .option('--receiver-host <address>', 'address of the receiver', env.BACKSTAY_RECEIVER_HOST)
    .option(
      '--receiver-port <port>',
      'port at which git servers announce pushes, as plain HTTP (default: none)',
      whole,
      env.BACKSTAY_RECEIVER_PORT === undefined ? undefined : whole(env.BACKSTAY_RECEIVER_PORT),
    )
    .option('--no-leader-elect', 'start without a lease; only where there is one replica')
    .option('--concurrency <workers>', 'objects of a kind that are worked on at the same time', whole, 4)
    .option('--watch-namespaces <names>', 'look after these namespaces only, separated by commas', names)
    .action(async (_options: unknown, self: Command) => run(self.optsWithGlobals()));
}

async function run(options: OperatorCommandOptions): Promise<void> {
  const log = pino({ name: 'operator', level: options.logLevel, timestamp: pino.stdTimeFunctions.isoTime });
  const { registry, metrics } = operatorRegistry();
  const client = await connect({
    kubeconfig: options.kubeconfig,
    userAgent: `backstay-operator/${BACKSTAY_VERSION}`,
    onResponse: metrics.response,
    ...REQUEST_RATE,
  });
  // Unique even when a Pod's container is started again, and in a second process on one machine.
  const identity = `${process.env.POD_NAME ?? hostname()}_${randomBytes(4).toString('hex')}`;
  const { namespace, image, podTemplate, pushgatewayUrl, metricsPort, leaderElect, concurrency, watchNamespaces } =
    options;
  const settings = {
    namespace,
    identity,
    image,
    podTemplate,
    pushgatewayURL: pushgatewayUrl,
    metricsHost: options.metricsHost,
    metricsPort,
    leaderElect,
    concurrency,
    watchNamespaces,
  };
  const parts: OperatorParts = { client, log, registry, metrics, more: [policySyncs] };

  const policySyncMetrics = createPolicySyncMetrics(registry);
  function policySyncs({ client: guarded, caches, signal }: { client: Client; caches: Caches; signal: AbortSignal }) {
    const asked = liveFrom(guarded);
    // Where some namespaces are watched only, a cache does not know what is in the others.
    const live = watchNamespaces === undefined ? liveFromCaches(caches.all, asked) : asked;
    const cache = new Cache({ client: guarded, type: PolicySyncs, namespaces: watchNamespaces, log, metrics });
    void cache.run(signal);
    const hints = new Hints();
    void receive(guarded, cache, hints, signal);
    const dependencies = {
      client: guarded,
      policySyncs: cache,
      live,
      events: new EventRecorder({
        client: guarded,
        reportingController: 'backstay.dev/policysync',
        reportingInstance: identity,
        log,
        metrics,
      }),
      folder: join(tmpdir(), 'backstay-policysync'),
      log,
      signal,
      metrics: policySyncMetrics,
      kubeMetrics: metrics,
    };
    return policySyncController(dependencies, { hints, watched: caches.all });
  }

  /** Listens for git servers while this process leads: only then somebody acts on what they say. */
  async function receive(guarded: Client, cache: Cache<PolicySync>, hints: Hints, signal: AbortSignal): Promise<void> {
    const { receiverHost: host, receiverPort: port } = options;
    if (port === undefined || signal.aborted) return;
    try {
      const receiver = await startReceiver(
        { host, port },
        { client: guarded, policySync: (key) => cache.getByKey(key), hint: (key) => hints.give(key), log },
      );
      log.info({ port: receiver.port }, 'listening for git servers');
      if (signal.aborted) await receiver[Symbol.asyncDispose]();
      else signal.addEventListener('abort', () => void receiver[Symbol.asyncDispose](), { once: true });
    } catch (error) {
      // Polling goes on without it.
      log.error({ error: describeError(error), port }, 'cannot listen for git servers');
    }
  }

  await interruptible((signal) => runOperator(settings, parts, signal));
}

function whole(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0 || number > 65_535)
    throw new InvalidArgumentError('It must be a whole number.');
  return number;
}

function names(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
