import { getCondition } from '../api/conditions.ts';
import type { Condition, PolicySync } from '../api/generated/types.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { Log } from '../kube/log.ts';
import { COMMIT_STATUS } from './commit-status/delivery.ts';
import { CONTESTED } from './drift/contest.ts';
import type { ReadRevision } from './revision-reader.ts';
import type { Commit } from './source/commit.ts';
import { describeChanges, type Outcome } from './status.ts';

const TROUBLES: readonly [type: string, bad: Condition['status'], reason: string][] = [
  [COMMIT_STATUS, 'False', 'CommitStatusFailed'],
  [CONTESTED, 'True', 'DriftContested'],
];

/** Says what happens to PolicySyncs, as Events and in the log. */
export class Notices {
  readonly #events: Pick<EventRecorder, 'record'>;
  readonly #log: Log;

  constructor(events: Pick<EventRecorder, 'record'>, log: Log) {
    this.#events = events;
    this.#log = log;
  }

  record(policySync: PolicySync, type: 'Normal' | 'Warning', reason: string, note: string): void {
    this.#events.record(policySync, { type, reason, action: 'Reconcile', note });
    const fields = { policySync: `${policySync.metadata.namespace}/${policySync.metadata.name}`, reason };
    if (type === 'Normal') this.#log.info(fields, note);
    else this.#log.warn(fields, note);
  }

  /** How a reconciliation ended. */
  outcome(policySync: PolicySync, outcome: Outcome, read: ReadRevision | undefined): void {
    const by = read === undefined ? '' : whose(read.commit);
    if (outcome.kind === 'applied') {
      const note = `${outcome.revision}${by}: ${describeChanges(outcome.changes)}`;
      this.record(policySync, 'Normal', 'ReconciliationSucceeded', note);
    } else this.record(policySync, 'Warning', outcome.code, `${outcome.message}${by}`);
  }

  /** What stands beside Ready and is in a bad way, each time that it says something new. */
  troubles(
    policySync: PolicySync,
    before: readonly Condition[] | undefined,
    after: readonly Condition[] | undefined,
  ): void {
    for (const [type, bad, reason] of TROUBLES) {
      const [former, present] = [getCondition(before, type), getCondition(after, type)];
      if (present?.status === bad && (former?.status !== bad || former.message !== present.message))
        this.record(policySync, 'Warning', reason, present.message);
    }
  }

  /** That what was applied took the place of something that it does not descend from. */
  succession(policySync: PolicySync, former: string | undefined, { history, revision, commit }: ReadRevision): void {
    const what = `${revision}${whose(commit)}`;
    if (history === 'rewritten') {
      const note = `${what} does not descend from ${former}, which was applied before`;
      this.record(policySync, 'Warning', 'HistoryRewritten', note);
    }
    if (history === 'moved') this.record(policySync, 'Warning', 'TagMoved', `${what}: the tag led to ${former} before`);
  }
}

function whose({ subject, author }: Commit): string {
  return ` (“${subject}” by ${author})`;
}
