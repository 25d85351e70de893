import { BackstayError, describeError, errorCode } from '../api/errors.ts';
import type { PolicySync } from '../api/generated/types.ts';
import type { Client } from '../kube/client.ts';
import { isForbidden } from '../kube/kube-error.ts';
import { type Change, isWrite, perform, rehearse } from './apply.ts';
import { contextOnce } from './context.ts';
import { identityOf, type Reading, readIdentities, readRevision } from './follow.ts';
import { Ledger } from './ledger.ts';
import { type LiveObjects, liveSecrets } from './live.ts';
import { isSecretID } from './object-id.ts';
import { markOf } from './ownership.ts';
import { type InventoryEntry, plan, type Step } from './plan.ts';
import type { DesiredObject } from './prepare.ts';
import type { Failure } from './read/objects.ts';
import type { ReadRevision } from './revision-reader.ts';
import { serverTrouble } from './server-trouble.ts';
import type { ServiceAccountClients } from './service-account.ts';
import { decryptSecrets, hasSecrets, withoutSecrets } from './sops/secrets.ts';
import type { Outcome } from './status.ts';
import { conflictFailure, notesOf, summarise } from './wording.ts';

/** So many writes are over before anybody could read that they are under way; a status of thousands of objects takes longer to write. */
const FEW = 20;

/** What a synchronisation needs of its surroundings. */
export interface Surroundings extends Reading {
  accounts: ServiceAccountClients;
  live: LiveObjects;
  /** Whether there is a PolicySync with this mark. */
  exists: (mark: string) => boolean;
  /**
   * Called before the first write, with what will have been touched: it must be on record before it happens. Without it when all of that is on
   * record and little is to be written.
   */
  announce: (revision: string, inventory: InventoryEntry[] | undefined, signal: AbortSignal) => Promise<void>;
}

/**
 * Makes the cluster say what the followed commit says: asks git, reads, validates, rehearses, and only then writes. Whatever goes wrong
 * is in the outcome; only an abort of `stop`, the signal of the process, is thrown.
 */
export async function synchronise(
  policySync: PolicySync,
  surroundings: Surroundings,
  signal: AbortSignal,
  stop: AbortSignal,
): Promise<{ outcome: Outcome; read: ReadRevision | undefined }> {
  let read: ReadRevision | undefined;
  try {
    read = await readRevision(policySync, surroundings, signal);
    const outcome = await applyRevision(policySync, read, surroundings, signal);
    stop.throwIfAborted();
    return { outcome, read };
  } catch (error) {
    stop.throwIfAborted();
    return { outcome: failed(error, read?.revision), read };
  }
}

/** What a synchronisation would do now: reads, validates and plans, and changes nothing. Fails as one would. */
export async function preview(
  policySync: PolicySync,
  surroundings: Omit<Surroundings, 'accounts' | 'announce'>,
  signal: AbortSignal,
): Promise<{ read: ReadRevision; steps: Step[] }> {
  const read = await readRevision(policySync, surroundings, signal);
  requireHistory(policySync, read);
  if (read.failures.length > 0) return { read, steps: [] };
  const plain = await previewSecrets(policySync, read.objects, surroundings, signal);
  if (plain.failures.length > 0) return { read: { ...read, failures: plain.failures }, steps: [] };
  const prune = policySync.spec.prune !== false;
  const context = async (): Promise<Pick<Reading, 'client'>> => surroundings;
  // What is left out is neither compared nor taken for gone.
  const closed = new Set(plain.closed.map(({ id }) => id));
  const inventory = inventoryOf(policySync).filter(({ id }) => !closed.has(id));
  const known = { ...policySync, status: { ...policySync.status, inventory } };
  const steps = await planFor(known, plain.objects, { ...surroundings, prune, context }, signal);
  return { read, steps: [...steps, ...plain.closed] };
}

/**
 * The objects with their Secrets decrypted by the rights of whoever asks, and the Secrets that these do not reach to: what is in them is left
 * out, and said.
 */
async function previewSecrets(
  policySync: PolicySync,
  objects: readonly DesiredObject[],
  surroundings: Pick<Surroundings, 'client'>,
  signal: AbortSignal,
): Promise<{ objects: DesiredObject[]; failures: Failure[]; closed: Extract<Step, { action: 'skip' }>[] }> {
  if (!hasSecrets(objects)) return { objects: [...objects], failures: [], closed: [] };
  try {
    const identities = await readIdentities(policySync, surroundings, signal);
    return { ...(await decryptSecrets(objects, identities, signal)), closed: [] };
  } catch (error) {
    if (!isForbidden(error)) throw error;
    return {
      ...withoutSecrets(objects, 'it is encrypted, and you may not read the Secret with the keys'),
      failures: [],
    };
  }
}

/** Removes every object of the inventory that still carries the mark. Refusals are returned. */
export async function removeAll(
  policySync: PolicySync,
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<{ changes: Change[]; failures: Failure[] }> {
  const context = contextOnce(policySync, surroundings, signal);
  const steps = await planFor(policySync, [], { ...surroundings, prune: true, context }, signal);
  const changes: Change[] = [];
  const failures = await perform(steps, await context(), (_step, change) =>
    changes.push(...(change === undefined ? [] : [change])),
  );
  return { changes, failures };
}

async function applyRevision(
  policySync: PolicySync,
  read: ReadRevision,
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<Outcome> {
  const { revision, objects } = read;
  const inventory = inventoryOf(policySync);
  requireHistory(policySync, read);
  if (read.failures.length > 0) return refused('ValidationFailed', revision, read.failures);
  if (objects.length === 0 && inventory.length > 0) {
    throw new BackstayError('EmptyRevision', `${revision} holds no policies, and nothing is pruned for that`, {
      remedy: 'correct spec.path; to remove everything, delete the PolicySync with spec.deletionPolicy Delete',
    });
  }
  const plain = hasSecrets(objects)
    ? await decryptSecrets(objects, await readIdentities(policySync, surroundings, signal), signal)
    : { objects, failures: [] };
  if (plain.failures.length > 0) return refused('DecryptionFailed', revision, plain.failures);
  const prune = policySync.spec.prune !== false;
  const ask = contextOnce(policySync, surroundings, signal);
  const steps = await planFor(policySync, plain.objects, { ...surroundings, prune, context: ask }, signal);
  const conflicts = steps.flatMap((step) => (step.action === 'conflict' ? [conflictFailure(step)] : []));
  if (conflicts.length > 0) return refused('ManagedByOther', revision, conflicts);

  const ledger = new Ledger(inventory, steps);
  if (!steps.some(isWrite))
    return {
      kind: 'applied',
      revision,
      inventory: ledger.final(),
      objects: objects.length,
      changes: [],
      notes: notesOf(steps),
    };

  const context = await ask();
  const refusals = await rehearse(steps, context);
  if (refusals.length > 0) return refused('ApplyRefused', revision, refusals);

  const isSmall = steps.filter(isWrite).length <= FEW && ledger.knowsAll();
  await surroundings.announce(revision, isSmall ? undefined : ledger.intended(), signal);
  const changes: Change[] = [];
  try {
    const failures = await perform(steps, context, (step, change) => {
      ledger.done(step);
      if (change !== undefined) changes.push(change);
    });
    if (failures.length === 0)
      return {
        kind: 'applied',
        revision,
        inventory: ledger.final(),
        objects: objects.length,
        changes,
        notes: notesOf(steps),
      };
    return { ...refused('ApplyIncomplete', revision, failures), inventory: ledger.intended(), changes };
  } catch (error) {
    // What was written stays, and is on record; the next reconciliation goes on from there.
    return { ...failed(error, revision, changes.length > 0), inventory: ledger.intended(), changes };
  }
}

/** Fails with `HistoryRewritten` or `TagMoved` when spec.requireFastForward says that such a revision is not taken. */
function requireHistory({ spec, status }: PolicySync, { history, revision }: ReadRevision): void {
  const former = status?.lastAppliedRevision;
  if (spec.requireFastForward !== true || former === undefined || former === revision) return;
  if (history === 'forward' || former.split('@sha')[0] !== revision.split('@sha')[0]) return;
  const [code, what] =
    history === 'moved'
      ? ['TagMoved', `the tag led to ${former} before`]
      : ['HistoryRewritten', `it does not descend from ${former}, which was applied before`];
  throw new BackstayError(code, `${revision} is not applied: ${what}, and spec.requireFastForward is true`, {
    remedy: 'find out who did it; to accept it, set spec.requireFastForward to false until it is applied',
  });
}

interface Planning extends Pick<Surroundings, 'live' | 'exists'> {
  prune: boolean;
  /** By whose rights Secrets are read: those of whom they are written by. */
  context: () => Promise<{ client: Pick<Client, 'get'> }>;
}

async function planFor(
  policySync: PolicySync,
  desired: readonly DesiredObject[],
  { live, exists, prune, context }: Planning,
  signal: AbortSignal,
): Promise<Step[]> {
  const mark = markOf(identityOf(policySync));
  const inventory = inventoryOf(policySync);
  const ids = [...new Set([...desired, ...inventory].map(({ id }) => id))];
  const secrets = ids.filter(isSecretID);
  const others = ids.filter((id) => !isSecretID(id));
  const found = new Map(await live(others, mark, signal));
  if (secrets.length > 0)
    for (const [id, object] of await liveSecrets((await context()).client, secrets, signal)) found.set(id, object);
  return plan({
    mark,
    desired,
    inventory,
    live: (id) => found.get(id),
    exists,
    prune,
    force: policySync.spec.force === true,
  });
}

function inventoryOf({ status }: PolicySync): InventoryEntry[] {
  return status?.inventory ?? [];
}

function failed(error: unknown, revision: string | undefined, isPartial = false): Extract<Outcome, { kind: 'failed' }> {
  const told = serverTrouble(error, isPartial) ?? error;
  return {
    kind: 'failed',
    code: errorCode(told),
    message: describeError(told),
    revision,
    inventory: undefined,
    failures: [],
    changes: [],
  };
}

function refused(code: string, revision: string, failures: Failure[]): Extract<Outcome, { kind: 'failed' }> {
  return {
    kind: 'failed',
    code,
    message: summarise(code, revision, failures),
    revision,
    inventory: undefined,
    failures,
    changes: [],
  };
}
