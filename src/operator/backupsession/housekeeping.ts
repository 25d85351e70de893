/** What follows an ended run: retention, the history limit, another try. Pure; none of it changes how the run ended. */
import { timestamp } from '../../api/conditions.ts';
import { parseDuration } from '../../api/durations.ts';
import type {
  BackupConfigurationSession,
  BackupSession,
  BackupSessionStatusRetention,
  RetentionPolicy,
  Snapshot,
} from '../../api/generated/types.ts';
import { API_VERSION } from '../../api/group.ts';
import { heldBy } from '../../api/held.ts';
import { BackupSessions, Snapshots } from '../../api/kinds.ts';
import { CLEANUP_FINALIZER } from '../../api/labels.ts';
import { shortName } from '../../api/names.ts';
import { resolveReference } from '../../api/references.ts';
import { candidateOf, isCandidate, planRetention, retentionRulesOf } from '../../api/retention.ts';
import { isOwnedBy, ownerReference } from '../../kube/apply.ts';
import { policyProblems } from '../backupconfiguration/problems.ts';
import { earliest, type Patch, type Plan, type Removal } from '../reconcile/plan.ts';
import type { Conditions } from '../reconcile/status.ts';
import { sessionLabels } from './start.ts';
import { type Ending, isEnded } from './status.ts';
import type { SessionWorld } from './world.ts';

const DEFAULT_HISTORY = 3;
const DEFAULT_RETRY_DELAY = '1m';

/** The session in its configuration, if both are still there. */
export function configOf({ around, session }: SessionWorld): BackupConfigurationSession | undefined {
  return around?.configuration.spec.sessions.find(({ name }) => name === session.spec.session);
}

/** How often a failure of the session is still tried again. One that somebody made by hand without saying so goes by the configuration. */
export function retriesLeft(world: SessionWorld): number {
  const config = configOf(world);
  return world.session.spec.retryLeft ?? config?.retryConfig?.maxRetry ?? (config?.retryConfig === undefined ? 0 : 1);
}

/** When a run that ended so is tried again, if it is. */
export function nextRetry(world: SessionWorld, ending: Ending): { nextRetry: string } | undefined {
  if (ending.phase !== 'Failed' || !ending.retryable || retriesLeft(world) <= 0) return undefined;
  const delay = parseDuration(configOf(world)?.retryConfig?.delay ?? DEFAULT_RETRY_DELAY);
  return { nextRetry: timestamp(new Date(world.now.getTime() + delay)) };
}

/** Another BackupSession when its time has come; `retried` when it was made. */
export function planRetry(world: SessionWorld): Plan & { retried?: true } {
  const { session, around, now } = world;
  const { nextRetry: time, retried } = session.status ?? {};
  if (time === undefined || retried === true) return {};
  const { configuration } = around ?? {};
  const dropped =
    configuration === undefined ||
    configuration.metadata.deletionTimestamp !== undefined ||
    configOf(world) === undefined;
  if (dropped || configuration.spec.paused === true) return {};
  const waitMs = Date.parse(time) - now.getTime();
  if (waitMs > 0) return { requeueAfterMs: waitMs };
  const left = retriesLeft(world) - 1;
  const { backupTimeout, scheduledTime, invoker, session: name } = session.spec;
  const object: BackupSession = {
    apiVersion: API_VERSION,
    kind: 'BackupSession',
    metadata: {
      name: shortName(`${session.metadata.name?.replace(/-retry-[0-9]+$/, '')}-retry-${left}`),
      namespace: session.metadata.namespace ?? '',
      labels: sessionLabels(session),
      ownerReferences: [ownerReference(configuration)],
    },
    spec: {
      invoker,
      session: name,
      retryLeft: left,
      ...(backupTimeout === undefined ? {} : { backupTimeout }),
      ...(scheduledTime === undefined ? {} : { scheduledTime }),
    },
  };
  const ours = (live: Parameters<typeof isOwnedBy>[0]): boolean => isOwnedBy(live, configuration);
  return {
    create: [{ type: BackupSessions, object, ours }],
    events: [{ type: 'Normal', reason: 'Retried', message: `BackupSession ${object.metadata.name} tries again` }],
    retried: true,
  };
}

/** Older runs of the session beyond its history limit, for each outcome. One with locks, or with a retry to come, stays. */
export function planHistory(world: SessionWorld): Removal[] {
  const { session, siblings } = world;
  const limit = configOf(world)?.sessionHistoryLimit ?? DEFAULT_HISTORY;
  const order = ({ metadata }: BackupSession): string => `${metadata.creationTimestamp} ${metadata.name}`;
  const ended = siblings
    .filter(
      (one) =>
        one.spec.session === session.spec.session && isEnded(one) && one.metadata.deletionTimestamp === undefined,
    )
    .sort((a, b) => (order(a) < order(b) ? 1 : -1));
  return (['Succeeded', 'Failed', 'Skipped'] as const).flatMap((phase) =>
    ended
      .filter(({ status }) => status?.phase === phase)
      .slice(limit)
      .filter((one) => heldBy(one).length === 0 && (one.status?.nextRetry === undefined || one.status.retried === true))
      .map((object) => ({ type: BackupSessions, object })),
  );
}

/**
 * Applies the retention policies of the session's backends to the Snapshots that it made in each repository. After a failure only failed
 * Snapshots go: good ones are counted anew when there is a new good one. Judges the condition RetentionApplied.
 */
export function planRetentionOf(
  world: SessionWorld,
  conditions: Conditions,
): Plan & { retention: BackupSessionStatusRetention[] } {
  const { around, now } = world;
  const config = configOf(world);
  const patches: Patch[] = [];
  const remove: Removal[] = [];
  const retention: BackupSessionStatusRetention[] = [];
  const failures: string[] = [];
  for (const { name, backend: backendName } of config?.repositories ?? []) {
    const backend = around?.backends.find((one) => one.name === backendName);
    if (around === undefined || backend?.retentionPolicy === undefined) continue;
    const ref = resolveReference(backend.retentionPolicy, around.configuration.metadata.namespace ?? '');
    const policy = around.findPolicy(ref.namespace, ref.name);
    const [problem] = policyProblems(around, backend);
    if (policy === undefined || problem !== undefined) {
      const message = problem?.message ?? 'the RetentionPolicy does not exist';
      retention.push({ repository: name, phase: 'Failed', message });
      failures.push(message);
      continue;
    }
    const removed = removals(world, name, policy);
    for (const snapshot of removed.snapshots) {
      patches.push(wipeOut(snapshot));
      remove.push({ type: Snapshots, object: snapshot });
    }
    retention.push({ repository: name, phase: 'Applied', kept: removed.kept, removed: removed.snapshots.length });
  }
  if (failures.length > 0) conditions.set('RetentionApplied', 'False', 'RetentionFailed', failures.join('; '));
  else
    conditions.set(
      'RetentionApplied',
      'True',
      retention.length === 0 ? 'NoPolicy' : 'Applied',
      `applied at ${timestamp(now)}`,
    );
  return { patches, remove, retention };
}

function removals(
  world: SessionWorld,
  repository: string,
  policy: RetentionPolicy,
): { kept: number; snapshots: Snapshot[] } {
  const { session, now } = world;
  const own = world
    .snapshotsOf(repository)
    .filter((one) => one.spec.session === session.spec.session && isCandidate(one));
  const plan = planRetention(own.map(candidateOf), retentionRulesOf(policy), now.getTime());
  const succeeded = own.some(
    ({ spec, status }) => spec.backupSession === session.metadata.name && status?.phase === 'Succeeded',
  );
  const byName = new Map(own.map((snapshot) => [snapshot.metadata.name ?? '', snapshot]));
  const snapshots = plan.remove
    .flatMap(({ name }) => byName.get(name) ?? [])
    .filter(({ status }) => succeeded || status?.phase === 'Failed');
  return { kept: own.length - snapshots.length, snapshots };
}

/** The policy and the finalizer in one write: deleted between two writes, the object would go and its data would stay. */
function wipeOut(snapshot: Snapshot): Patch {
  const finalizers = [...new Set([...(snapshot.metadata.finalizers ?? []), CLEANUP_FINALIZER])];
  const { resourceVersion } = snapshot.metadata;
  const body = {
    metadata: { finalizers, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
    spec: { deletionPolicy: 'WipeOut' },
  };
  return { type: Snapshots, object: snapshot, body };
}

/** The earlier of two plans' times to look again. */
export function sooner(...plans: Plan[]): Pick<Plan, 'requeueAfterMs'> {
  const requeueAfterMs = earliest(...plans.map((plan) => plan.requeueAfterMs));
  return requeueAfterMs === undefined ? {} : { requeueAfterMs };
}
