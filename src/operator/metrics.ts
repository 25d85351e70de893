/** Metrics of the operator's own, read from the caches when they are asked for. */
import { Gauge, type Registry } from 'prom-client';
import { BALANCER, heldBy } from '../api/held.ts';
import { isEnded } from './backupsession/status.ts';
import type { Caches } from './caches.ts';

/** Registers them; once per registry. */
export function registerOperatorMetrics(
  registry: Registry,
  caches: Pick<Caches, 'sessions' | 'configurations' | 'rules'>,
): void {
  const registers = [registry];
  new Gauge({
    name: 'backstay_locks_held',
    help: 'Locks that a runner left when it ended and that are not released yet',
    labelNames: ['namespace', 'configuration'],
    registers,
    collect() {
      this.reset();
      for (const session of caches.sessions.list()) {
        const configuration = session.spec.invoker.name;
        if (!isEnded(session)) continue;
        const members = heldBy(session).filter((name) => name !== BALANCER);
        this.inc({ namespace: session.metadata.namespace ?? '', configuration }, members.length);
      }
    },
  });
  new Gauge({
    name: 'backstay_balancers_stopped',
    help: 'Balancers that a runner stopped and that are not as they were yet, although it ended',
    labelNames: ['namespace', 'configuration'],
    registers,
    collect() {
      this.reset();
      for (const session of caches.sessions.list()) {
        const configuration = session.spec.invoker.name;
        if (!isEnded(session)) continue;
        const stopped = heldBy(session).includes(BALANCER) ? 1 : 0;
        this.inc({ namespace: session.metadata.namespace ?? '', configuration }, stopped);
      }
    },
  });
  new Gauge({
    name: 'backstay_policy_rule_violations',
    help: 'Objects that break a BackupPolicyRule now',
    labelNames: ['rule', 'enforcement'],
    registers,
    collect() {
      this.reset();
      for (const { metadata, spec, status } of caches.rules?.rules.list() ?? []) {
        if (status?.violating === undefined) continue;
        this.set({ rule: metadata.name ?? '', enforcement: spec.enforcement ?? 'Deny' }, status.violating);
      }
    },
  });
  new Gauge({
    name: 'backstay_configuration_ready',
    help: 'Whether a BackupConfiguration does what it says',
    labelNames: ['namespace', 'configuration'],
    registers,
    collect() {
      this.reset();
      for (const { metadata, status } of caches.configurations.list()) {
        const labels = { namespace: metadata.namespace ?? '', configuration: metadata.name ?? '' };
        this.set(labels, status?.phase === 'Ready' ? 1 : 0);
      }
    },
  });
}
