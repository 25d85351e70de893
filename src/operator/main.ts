/**
 * The operator as a process: caches, leader election, controllers, probes.
 *
 * Every replica keeps its caches warm; only the leader's controllers run, and each of their writes is checked against the lease right before it is
 * sent. A process that has lost its lease ends, and is started anew by its Deployment.
 */
import { Registry } from 'prom-client';
import type { Client } from '../kube/client.ts';
import type { Controller } from '../kube/controller.ts';
import { EventRecorder } from '../kube/events.ts';
import { LeaderElection } from '../kube/leader.ts';
import type { Log } from '../kube/log.ts';
import { createMetrics, type KubeMetrics } from '../kube/metrics.ts';
import { createBackupPolicyRuleController } from './backuppolicyrule/controller.ts';
import { type Caches, createCaches } from './caches.ts';
import { TargetClaims } from './claims.ts';
import type { ControllerFactory, OperatorContext } from './context.ts';
import { CONTROLLERS } from './controllers.ts';
import { serveProbes } from './http.ts';
import { registerOperatorMetrics } from './metrics.ts';
import type { NoteSink } from './reconcile/perform.ts';
import { type OperatorOptions, readPodTemplate } from './settings.ts';

const LEASE = 'backstay-operator';

export interface OperatorParts {
  client: Client;
  log: Log;
  registry: Registry;
  metrics: KubeMetrics;
  /** Controllers beside the operator's own, made when the process becomes the leader. */
  more?: readonly ((parts: { client: Client; caches: Caches; signal: AbortSignal }) => Controller)[];
  /** Told the port of the probes. */
  listening?: (port: number) => void;
}

/** A registry with the metrics of src/kube, for `connect` and `runOperator` alike. */
export function operatorRegistry(): { registry: Registry; metrics: KubeMetrics } {
  const registry = new Registry();
  return { registry, metrics: createMetrics(registry) };
}

/** Runs until the signal aborts, and lets what is under way finish. Rejects when the lease is lost. */
export async function runOperator(options: OperatorOptions, parts: OperatorParts, signal: AbortSignal): Promise<void> {
  const { client, log, metrics, registry } = parts;
  const podTemplate = await readPodTemplate(options.podTemplate);
  const settings = {
    image: options.image,
    ...(podTemplate === undefined ? {} : { podTemplate }),
    ...(options.pushgatewayURL === undefined ? {} : { pushgatewayURL: options.pushgatewayURL }),
  };
  const caches = createCaches({ client, namespaces: options.watchNamespaces, log, metrics });
  registerOperatorMetrics(registry, caches);
  await using probes = await serveProbes({ host: options.metricsHost, port: options.metricsPort }, registry, () =>
    missing(caches),
  );
  parts.listening?.(probes.port);
  const stop = new AbortController();
  const running = Promise.all(caches.all.map((cache) => cache.run(stop.signal)));

  const lead = async (leading: AbortSignal, guarded: Client): Promise<void> => {
    const recorders: EventRecorder[] = [];
    const notes = (controller: string): NoteSink => {
      const recorder = new EventRecorder({
        client: guarded,
        reportingController: `backstay.dev/${controller}`,
        reportingInstance: options.identity,
        log,
        metrics,
      });
      recorders.push(recorder);
      return {
        note: (object, { type, reason, message }) =>
          recorder.record(object, { type, reason, action: 'Reconcile', note: message }),
      };
    };
    const context: OperatorContext = {
      client: guarded,
      caches,
      claims: new TargetClaims(),
      settings,
      notes,
      log,
      metrics,
      concurrency: options.concurrency,
    };
    const own = CONTROLLERS.map((create: ControllerFactory) => create(context));
    const rules = caches.rules === undefined ? [] : [createBackupPolicyRuleController(context, caches.rules)];
    const more = (parts.more ?? []).map((create) => create({ client: guarded, caches, signal: leading }));
    await Promise.all([...own, ...rules, ...more].map((controller) => controller.run(leading)));
    await Promise.all(recorders.map((recorder) => recorder.close()));
  };

  try {
    if (!options.leaderElect) await lead(signal, client);
    else {
      const { namespace, identity } = options;
      const election = new LeaderElection({ client, namespace, name: LEASE, identity, log, metrics });
      await election.run(signal, (leading) => lead(leading, client.withGuard(election.guard)));
    }
  } finally {
    stop.abort();
    await running;
  }
}

function missing({ all }: Caches): string | undefined {
  const behind = all.filter((cache) => !cache.hasSynced).map(({ type }) => type.plural);
  return behind.length === 0 ? undefined : `not listed yet: ${behind.join(', ')}`;
}
