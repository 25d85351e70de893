import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { type Clock, systemClock } from '../kube/clock.ts';
import type { RevisionTimes } from './revision-age.ts';

/** What is counted about PolicySyncs. */
export interface PolicySyncMetrics {
  reconciled(
    policySync: { namespace: string; name: string },
    outcome: 'applied' | 'failed',
    seconds: number,
    objects: number | undefined,
    now: Date,
  ): void;
  changed(action: 'created' | 'changed' | 'pruned', count: number): void;
  /** Objects that somebody had changed or deleted in the cluster, and that are as git says again. */
  corrected(policySync: { namespace: string; name: string }, count: number): void;
  /** When its commits were made: their age is what it is when somebody asks. */
  revisions(policySync: { namespace: string; name: string }, times: RevisionTimes): void;
  forgotten(policySync: { namespace: string; name: string }): void;
}

/** Registers the metrics; once per registry. */
export function createPolicySyncMetrics(registry: Registry, clock: Clock = systemClock): PolicySyncMetrics {
  const registers = [registry];
  const labelNames = ['namespace', 'name'];
  const reconciliations = new Counter({
    name: 'backstay_policysync_reconciliations_total',
    help: 'Reconciliations of a PolicySync, by how they ended',
    labelNames: [...labelNames, 'outcome'],
    registers,
  });
  const seconds = new Histogram({
    name: 'backstay_policysync_duration_seconds',
    help: 'How long a reconciliation of a PolicySync took',
    labelNames: ['outcome'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers,
  });
  const objects = new Gauge({
    name: 'backstay_policysync_objects',
    help: 'Objects of the revision that was applied',
    labelNames,
    registers,
  });
  const ready = new Gauge({
    name: 'backstay_policysync_ready',
    help: 'Whether the last reconciliation succeeded',
    labelNames,
    registers,
  });
  const lastSuccess = new Gauge({
    name: 'backstay_policysync_last_success_timestamp_seconds',
    help: 'When a reconciliation last succeeded',
    labelNames,
    registers,
  });
  const changes = new Counter({
    name: 'backstay_policysync_changes_total',
    help: 'Objects that were created, changed or pruned',
    labelNames: ['action'],
    registers,
  });
  const drift = new Counter({
    name: 'backstay_policysync_drift_corrected_total',
    help: 'Objects that were changed or deleted in the cluster and put right',
    labelNames,
    registers,
  });
  const known = new Map<string, { namespace: string; name: string; times: RevisionTimes }>();
  const ages = (of: (times: RevisionTimes) => number | undefined) =>
    function collect(this: Gauge): void {
      this.reset();
      const now = clock.date().getTime();
      for (const { namespace, name, times } of known.values()) {
        const madeAt = of(times);
        if (madeAt !== undefined) this.set({ namespace, name }, Math.max(0, now - madeAt) / 1000);
      }
    };
  new Gauge({
    name: 'backstay_policysync_revision_age_seconds',
    help: 'Age of the commit that is applied',
    labelNames,
    registers,
    collect: ages(({ applied }) => applied),
  });
  new Gauge({
    name: 'backstay_policysync_revision_waiting_seconds',
    help: 'Age of the commit that the repository has and that is not applied; none while all is applied',
    labelNames,
    registers,
    collect: ages(({ waiting }) => waiting?.since),
  });
  return {
    revisions: ({ namespace, name }, times) => known.set(`${namespace}/${name}`, { namespace, name, times }),
    corrected: ({ namespace, name }, count) => drift.inc({ namespace, name }, count),
    reconciled: ({ namespace, name }, outcome, took, count, now) => {
      reconciliations.inc({ namespace, name, outcome });
      seconds.observe({ outcome }, took);
      ready.set({ namespace, name }, outcome === 'applied' ? 1 : 0);
      if (count !== undefined) objects.set({ namespace, name }, count);
      if (outcome === 'applied') lastSuccess.set({ namespace, name }, now.getTime() / 1000);
    },
    changed: (action, count) => changes.inc({ action }, count),
    forgotten: ({ namespace, name }) => {
      known.delete(`${namespace}/${name}`);
      for (const metric of [objects, ready, lastSuccess, drift]) metric.remove({ namespace, name });
      for (const outcome of ['applied', 'failed']) reconciliations.remove({ namespace, name, outcome });
    },
  };
}
