import type { PolicySync } from '../api/generated/types.ts';
import type { PolicySyncMetrics } from './metrics.ts';
import { type RevisionTimes, timesAfter, UNKNOWN_TIMES } from './revision-age.ts';
import type { Outcome } from './status.ts';

/** Hands on to the metrics what reconciliations did. */
export class Measures {
  readonly #metrics: PolicySyncMetrics | undefined;
  readonly #times = new Map<string, RevisionTimes>();

  constructor(metrics: PolicySyncMetrics | undefined) {
    this.#metrics = metrics;
  }

  /**
   * @param before the PolicySync when the reconciliation began
   * @param committedAt of the commit that it read, in milliseconds since 1970
   */
  ended(
    { metadata, status }: PolicySync,
    outcome: Outcome,
    committedAt: number | undefined,
    { now, tookMs }: { now: Date; tookMs: number },
  ): void {
    const { namespace = '', name = '' } = metadata;
    const which = { namespace, name };
    const objects = outcome.kind === 'applied' ? outcome.objects : undefined;
    this.#metrics?.reconciled(which, outcome.kind, tookMs / 1000, objects, now);
    for (const { action } of outcome.changes) this.#metrics?.changed(action, 1);
    // Nothing new in git or in the spec, and there was something to do.
    if (outcome.revision === status?.lastAppliedRevision && status?.observedGeneration === metadata.generation)
      this.#metrics?.corrected(which, outcome.changes.length);
    const key = `${namespace}/${name}`;
    const former = this.#times.get(key) ?? UNKNOWN_TIMES;
    const times = timesAfter(former, outcome, status?.lastAppliedRevision, committedAt, now.getTime());
    this.#times.set(key, times);
    this.#metrics?.revisions(which, times);
  }

  forget(which: { namespace: string; name: string }): void {
    this.#times.delete(`${which.namespace}/${which.name}`);
    this.#metrics?.forgotten(which);
  }
}
