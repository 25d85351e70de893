import type { PolicySync } from '../api/generated/types.ts';
import type { Cache } from '../kube/cache.ts';
import type { Client } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { Log } from '../kube/log.ts';
import type { KubeMetrics } from '../kube/metrics.ts';
import type { ReporterDependencies } from './commit-status/reporter.ts';
import type { ContestBackoff } from './drift/contest.ts';
import type { KustomizeProgram } from './kustomize/build.ts';
import type { LiveObjects } from './live.ts';
import type { PolicySyncMetrics } from './metrics.ts';
import type { Surroundings } from './synchronise.ts';

/** What following git repositories needs of its surroundings. */
export interface PolicySyncDependencies {
  client: Client;
  /** All PolicySyncs that are followed. */
  policySyncs: Cache<PolicySync>;
  /** Objects in the cluster, of any kind that a policy repository may hold: `liveFrom` the client, or from caches. */
  live: LiveObjects;
  events: Pick<EventRecorder, 'record'>;
  /** A folder for copies of repositories. It may be emptied between two starts. */
  folder: string;
  /** What builds a folder with a kustomization; `kustomize build` unless given. */
  kustomize?: KustomizeProgram | undefined;
  /** What is wrong with an object that git holds; schema and rules unless given. */
  validate?: Surroundings['validate'];
  /** PolicySyncs at once. */
  concurrency?: number;
  log?: Log;
  clock?: Clock;
  kubeMetrics?: KubeMetrics;
  metrics?: PolicySyncMetrics;
  /** How commit statuses are sent. */
  commitStatus?: Pick<ReporterDependencies, 'limits' | 'backoff'>;
  /** How long what somebody changes again and again is left alone. */
  contestBackoff?: ContestBackoff;
  /** Aborts when this process may not act any more; what goes on beside the reconciliations ends then. */
  signal?: AbortSignal;
}
