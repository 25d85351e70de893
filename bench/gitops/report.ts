import type { Percentiles } from '../webhook/percentiles.ts';

export interface Report {
  machine: string;
  policies: number;
  objects: number;
  /** Seconds from the PolicySync to its status that says what was applied. */
  firstSync: number;
  /** Milliseconds from the end of a push to the changed object in the cluster. */
  push: Percentiles;
  /** Of many PolicySyncs that arrive together. */
  many: { syncs: number; policies: number; seconds: number };
  /** Bytes that the process took at most after each of the two. */
  peak: { one: number; many: number };
  /** Requests of the git server for one reconciliation that finds nothing new. */
  unchanged: number;
}

/** The page of the documentation. */
export function page(report: Report): string {
  const { machine, policies, objects, firstSync, push, many, peak, unchanged } = report;
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
    `| memory at most, one PolicySync of ${policies} policies | ${mib(peak.one)} |`,
    `| ${many.syncs} PolicySyncs of ${many.policies} policies, all of them applied | ${many.seconds.toFixed(1)} s |`,
    `| memory at most, with these | ${mib(peak.many)} |`,
    '',
  ].join('\n');
}
