import type { Percentiles } from '../webhook/percentiles.ts';

/** Of one PolicySync of a large repository. */
export interface LargeFigures {
  /** Seconds from the PolicySync to its status that says what was applied. */
  firstSync: number;
  /** Milliseconds from the end of a push to the changed object in the cluster. */
  push: Percentiles;
  /** Requests of the git server for one reconciliation that finds nothing new. */
  unchanged: number;
  /** Bytes that the process took at most. */
  peak: number;
}

/** Of many PolicySyncs that arrive together, in a process of its own. */
export interface ManyFigures {
  syncs: number;
  /** Of each. */
  policies: number;
  /** Until all of them are applied. */
  seconds: number;
  /** Bytes that the process took at most. */
  peak: number;
}

export interface Report {
  machine: string;
  policies: number;
  objects: number;
  large: LargeFigures;
  many: ManyFigures;
}

/** The page of the documentation. */
export function page({ machine, policies, objects, large, many }: Report): string {
  const { firstSync, push, unchanged } = large;
  const mib = (bytes: number): string => `${Math.round(bytes / (1 << 20))} MiB`;
  const ms = (value: number): string => `${value.toFixed(0)} ms`;
  return [
    '# Benchmarks of PolicySync',
    '',
    `On ${machine}, which etcd, the API server, two replicas of the webhook, the git server and Backstay share.`,
    '`npm run bench:gitops -- --write` writes this page.',
    '',
    '| what | figure |',
    '|---|---|',
    `| first sync of ${policies} policies, ${objects} objects, each rehearsed and then written through the webhook | ${firstSync.toFixed(1)} s |`,
    `| push to applied, one file of ${policies} changed, announced to the receiver: median of ${push.count} | ${ms(push.median)} |`,
    `| the same, p95 | ${ms(push.p95)} |`,
    `| the same, longest | ${ms(push.max)} |`,
    `| requests of the git server when nothing is new | ${unchanged} |`,
    `| memory at most, one PolicySync of ${policies} policies | ${mib(large.peak)} |`,
    `| ${many.syncs} PolicySyncs of ${many.policies} policies, all of them applied | ${many.seconds.toFixed(1)} s |`,
    `| memory at most with these, in a process of their own | ${mib(many.peak)} |`,
    '',
  ].join('\n');
}
