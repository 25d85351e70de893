import type { KubeObject, ResourceType } from '../api/meta.ts';
import { isSettled } from '../kube/settled.ts';
import { type ObjectID, parseObjectID } from './object-id.ts';
import { rankOf } from './order.ts';
import { FIELD_MANAGER, isMarked, otherManager, refusesPrune } from './ownership.ts';
import type { DesiredObject } from './prepare.ts';

/** An object that was applied, as `status.inventory` remembers it. */
export interface InventoryEntry {
  id: ObjectID;
  v?: string;
  /** Of what was applied; missing while that is under way. */
  digest?: string;
}

/** What is to happen with one object. */
export type Step =
  | { action: 'create'; desired: DesiredObject; force: boolean }
  | { action: 'change'; desired: DesiredObject; force: boolean; live: KubeObject }
  /** It is as it should be: nothing is sent. */
  | { action: 'keep'; desired: DesiredObject }
  /** It is left as it is, for a reason that a person should see. */
  | { action: 'skip'; id: ObjectID; reason: string; desired?: DesiredObject }
  | { action: 'conflict'; desired: DesiredObject; manager: string }
  | { action: 'prune'; id: ObjectID; type: ResourceType; live: KubeObject };

export interface PlanInput {
  /** The mark of this PolicySync. */
  mark: string;
  desired: readonly DesiredObject[];
  inventory: readonly InventoryEntry[];
  /** The object in the cluster, as last seen. */
  live: (id: ObjectID) => KubeObject | undefined;
  /** Whether there is a PolicySync with this mark. */
  exists: (mark: string) => boolean;
  /** spec.prune */
  prune: boolean;
  /** spec.force */
  force: boolean;
}

/**
 * What makes the cluster say what the commit says: what is applied, in the order of reference, and after all of it what is pruned, in
 * reverse.
 *
 * Pure: it may be asked as often as one likes, and what is done already does not come up again.
 */
export function plan(input: PlanInput): Step[] {
  const inventory = new Map(input.inventory.map((entry) => [entry.id, entry]));
  const applied = [...input.desired]
    .sort(compareDesired)
    .map((desired) => applyStep(desired, inventory.get(desired.id), input));
  const wanted = new Set(input.desired.map(({ id }) => id));
  const gone = input.inventory.map(({ id }) => id).filter((id) => !wanted.has(id));
  const pruned = gone
    .sort(compareIDs)
    .reverse()
    .flatMap((id) => pruneStep(id, input) ?? []);
  return [...applied, ...pruned];
}

function applyStep(
  desired: DesiredObject,
  entry: InventoryEntry | undefined,
  { live: find, mark, exists, force }: PlanInput,
): Step {
  const { object, id, type, digest } = desired;
  const live = find(id);
  if (type.kind === 'RestoreSession' && entry?.digest === digest) {
    // A restore runs once. Made again because somebody tidied up, it would overwrite what was written since.
    if (live === undefined)
      return { action: 'skip', id, desired, reason: 'it has run, and was deleted since; rename it to restore again' };
  }
  if (live === undefined) return { action: 'create', desired, force };
  const manager = force ? undefined : otherManager(live, object, mark, exists);
  if (manager !== undefined) return { action: 'conflict', desired, manager };
  if (live.metadata.deletionTimestamp !== undefined)
    return { action: 'skip', id, desired, reason: 'it is being deleted; it is made again once it is gone' };
  if (isSettled(object, live, { fieldManager: FIELD_MANAGER })) return { action: 'keep', desired };
  // What carries our mark was ours before: whatever was changed on it since is drift. Anything else is taken over only by agreement of
  // its fields.
  return { action: 'change', desired, live, force: force || isMarked(live, mark) };
}

function pruneStep(id: ObjectID, { live: find, mark, prune }: PlanInput): Step | undefined {
  const parsed = parseObjectID(id);
  if (parsed === undefined) return { action: 'skip', id, reason: 'it is of a kind that this version does not know' };
  const live = find(id);
  // Gone, or in other hands by now: nothing of ours is left to remove.
  if (live === undefined || !isMarked(live, mark)) return undefined;
  if (!prune) return { action: 'skip', id, reason: 'spec.prune is false' };
  if (refusesPrune(live)) return { action: 'skip', id, reason: 'its annotation says that it is not pruned' };
  if (live.metadata.deletionTimestamp !== undefined) return { action: 'skip', id, reason: 'it is being deleted' };
  return { action: 'prune', id, type: parsed.type, live };
}

function compareDesired(a: DesiredObject, b: DesiredObject): number {
  return rankOf(a.type.kind) - rankOf(b.type.kind) || (a.id < b.id ? -1 : 1);
}

function compareIDs(a: ObjectID, b: ObjectID): number {
  return rankOf(parseObjectID(a)?.type.kind ?? '') - rankOf(parseObjectID(b)?.type.kind ?? '') || (a < b ? -1 : 1);
}
