import { readyConditions, removeCondition, setCondition, timestamp } from '../api/conditions.ts';
import type { Condition, PolicySync, PolicySyncStatus, PolicySyncStatusHistory } from '../api/generated/types.ts';
import { sameValue } from '../api/json.ts';
import type { Change } from './apply.ts';
import type { InventoryEntry } from './plan.ts';
import type { Failure } from './read/objects.ts';

/** How a reconciliation ended. */
export type Outcome =
  | {
      kind: 'applied';
      revision: string;
      inventory: InventoryEntry[];
      /** How many objects the commit has. */
      objects: number;
      changes: Change[];
      /** What was left alone, as sentences. */
      notes: string[];
    }
  | {
      kind: 'failed';
      /** CamelCase, see BackstayError. */
      code: string;
      message: string;
      /** What was tried, as far as it was known. */
      revision: string | undefined;
      /** What is in the cluster now; undefined when nothing was touched. */
      inventory: InventoryEntry[] | undefined;
      failures: Failure[];
      changes: Change[];
    };

/** When things happened, and are to happen. */
export interface Times {
  now: Date;
  /** Milliseconds since the reconciliation began. */
  tookMs: number;
  /** Milliseconds until the next one. */
  nextInMs: number;
}

// Bounds of the schema.
const MAX_FAILURES = 50;
const MAX_HISTORY = 5;
const MAX_MESSAGE = 4096;
const MAX_FIELD = 1024;

/**
 * How old `lastReconcileTime` may get while nothing else changes, in milliseconds. Written at every interval, the two times would make
 * a settled PolicySync the busiest object of its cluster.
 */
const TIMES_EVERY_MS = 15 * 60_000;

// The same commit and the same object are no more right the next time: a person, or another commit, has to change something.
const STALLING = new Set([
  'ApplyRefused',
  'ContentRefused',
  'DecryptionFailed',
  'EmptyRevision',
  'HistoryRewritten',
  'HostKeyChanged',
  'HostKeyUnknown',
  'InsecureCredentials',
  'InvalidDuration',
  'InvalidPath',
  'InvalidReference',
  'InvalidURL',
  'KeyInvalid',
  'PathNotFound',
  'RefNotFound',
  'RedirectRefused',
  'RepositoryTooLarge',
  'SecretInvalid',
  'SignatureInvalid',
  'SignatureMissing',
  'SignatureUnsupported',
  'SignatureUntrusted',
  'TagMoved',
  'ValidationFailed',
]);

export function isStalling(code: string): boolean {
  return STALLING.has(code);
}

/**
 * The status after a reconciliation; the very same one when nothing is worth a write.
 *
 * @param verified the keys that signed the revision, when it was verified
 */
export function statusAfter(
  policySync: PolicySync,
  outcome: Outcome,
  times: Times,
  verified?: string,
): PolicySyncStatus {
  const { metadata, status = {} } = policySync;
  const generation = metadata.generation ?? 0;
  const { now, nextInMs } = times;
  const next: PolicySyncStatus = {
    ...status,
    observedGeneration: generation,
    ...handled(policySync),
    ...(outcome.revision === undefined ? {} : { lastAttemptedRevision: outcome.revision }),
    ...(outcome.inventory === undefined ? {} : { inventory: outcome.inventory }),
    conditions: signatureCondition(
      policySync,
      readyConditions(status.conditions, readiness(outcome), generation, now),
      outcome,
      verified,
      now,
    ),
    history: history(status.history ?? [], outcome, times),
  };
  if (outcome.kind === 'applied') {
    next.lastAppliedRevision = outcome.revision;
    next.objects = outcome.objects;
    delete next.failures;
  } else next.failures = outcome.failures.slice(0, MAX_FAILURES).map(bounded);

  const last = status.lastReconcileTime === undefined ? 0 : Date.parse(status.lastReconcileTime);
  if (sameValue(next, status) && now.getTime() - last < TIMES_EVERY_MS) return status;
  return {
    ...next,
    lastReconcileTime: timestamp(now),
    nextReconcileTime: timestamp(new Date(now.getTime() + nextInMs)),
  };
}

/** The status while a reconciliation is under way that will take a while: a first one, or one that writes. */
export function statusDuring(
  policySync: PolicySync,
  progress: { reason: string; message: string; revision?: string; inventory?: InventoryEntry[] },
  now: Date,
): PolicySyncStatus {
  const { metadata, status = {} } = policySync;
  const generation = metadata.generation ?? 0;
  const { reason, message, revision, inventory } = progress;
  return {
    ...status,
    observedGeneration: generation,
    ...(revision === undefined ? {} : { lastAttemptedRevision: revision }),
    ...(inventory === undefined ? {} : { inventory }),
    conditions: readyConditions(status.conditions, { state: 'Reconciling', reason, message }, generation, now),
  };
}

/** The status of a PolicySync that is told to do nothing: what was true stays true. */
export function statusSuspended(policySync: PolicySync, now: Date): PolicySyncStatus {
  const { metadata, status = {} } = policySync;
  const generation = metadata.generation ?? 0;
  const known = status.conditions?.find(({ type, status: is }) => type === 'Ready' && is !== 'Unknown');
  const conditions =
    known === undefined
      ? readyConditions(
          status.conditions,
          { state: 'NotReady', reason: 'Suspended', message: 'spec.suspend is true: nothing was read yet' },
          generation,
          now,
        )
      : (status.conditions ?? []).map((one) => ({ ...one, observedGeneration: generation }));
  return { ...status, observedGeneration: generation, conditions };
}

/** One sentence on what was done: "created 2, changed 1: RetentionPolicy/shop/daily, …". */
export function describeChanges(changes: readonly Change[]): string {
  const counts = (['created', 'changed', 'pruned'] as const)
    .map((action) => [action, changes.filter((change) => change.action === action).length] as const)
    .filter(([, count]) => count > 0)
    .map(([action, count]) => `${action} ${count}`);
  const names = changes.slice(0, 5).map(({ object }) => object);
  const more = changes.length > names.length ? ` and ${changes.length - names.length} more` : '';
  return changes.length === 0 ? 'Nothing to change' : `${capital(counts.join(', '))}: ${names.join(', ')}${more}`;
}

/** SourceVerified, as Flux has it: there when spec.verify is, and as it was while nothing was verified. */
function signatureCondition(
  { spec, metadata }: PolicySync,
  conditions: Condition[],
  outcome: Outcome,
  verified: string | undefined,
  now: Date,
): Condition[] {
  const type = 'SourceVerified';
  if (spec.verify === undefined) return removeCondition(conditions, type);
  const observedGeneration = metadata.generation ?? 0;
  if (verified !== undefined) {
    const message = `Signed by ${verified}`;
    return setCondition(conditions, { type, status: 'True', reason: 'Succeeded', message, observedGeneration }, now);
  }
  if (outcome.kind !== 'failed' || !outcome.code.startsWith('Signature')) return conditions;
  const { code: reason, message } = outcome;
  return setCondition(conditions, { type, status: 'False', reason, message, observedGeneration }, now);
}

function readiness(outcome: Outcome): { state: 'Ready' | 'NotReady' | 'Stalled'; reason: string; message: string } {
  if (outcome.kind === 'failed')
    return { state: isStalling(outcome.code) ? 'Stalled' : 'NotReady', reason: outcome.code, message: outcome.message };
  const notes = outcome.notes.length === 0 ? '' : `; ${outcome.notes.slice(0, 3).join('; ')}`;
  return { state: 'Ready', reason: 'ReconciliationSucceeded', message: `Applied revision ${outcome.revision}${notes}` };
}

function handled({ metadata }: PolicySync): Pick<PolicySyncStatus, 'lastHandledReconcileAt'> {
  const requested = requestOf(metadata.annotations);
  return requested === undefined ? {} : { lastHandledReconcileAt: requested };
}

/** The value of the annotation that asks for a reconciliation, no longer than the status can echo it. */
export function requestOf(annotations: Readonly<Record<string, string>> | undefined): string | undefined {
  return annotations?.['backstay.dev/reconcile']?.slice(0, 253);
}

/** Newest first. What repeats the newest is not told again. */
function history(
  former: readonly PolicySyncStatusHistory[],
  outcome: Outcome,
  { now, tookMs }: Times,
): PolicySyncStatusHistory[] {
  const entry: PolicySyncStatusHistory = {
    revision: outcome.revision ?? former[0]?.revision ?? 'unknown',
    time: timestamp(now),
    durationSeconds: Math.round(tookMs) / 1000,
    outcome: outcome.kind === 'applied' ? 'Applied' : 'Failed',
    message: cut(outcome.kind === 'applied' ? describeChanges(outcome.changes) : outcome.message, MAX_MESSAGE),
  };
  const [newest] = former;
  const repeats =
    outcome.kind === 'applied'
      ? outcome.changes.length === 0 && newest?.outcome === 'Applied' && newest.revision === entry.revision
      : newest?.outcome === 'Failed' && newest.revision === entry.revision && newest.message === entry.message;
  return repeats ? [...former] : [entry, ...former].slice(0, MAX_HISTORY);
}

function bounded({ file, field, object, message, line }: Failure): Failure {
  return {
    ...(file === undefined ? {} : { file: cut(file, MAX_FIELD) }),
    ...(line === undefined ? {} : { line }),
    ...(object === undefined ? {} : { object: cut(object, 640) }),
    ...(field === undefined ? {} : { field: cut(field, MAX_FIELD) }),
    message: cut(message, MAX_MESSAGE),
  };
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
