/**
 * What one pass over an object wants done: the result of every controller's pure `plan` function, carried out by `perform.ts`.
 *
 * The parts are carried out in the order of the fields below. A pass may die between any two of them; each can be done again, and the
 * status comes after what it speaks of.
 */
import type { Condition } from '../../api/generated/types.ts';
import { controllerOf, type KubeObject, type OwnerReference, type ResourceType } from '../../kube/resource.ts';

/** An object that should exist. */
export interface Wanted<T extends KubeObject = KubeObject> {
  type: ResourceType<T>;
  object: T;
  /** Whether an object found under the name is the one that was made earlier; somebody else's is never touched. */
  ours: (live: KubeObject) => boolean;
}

export interface Removal {
  type: ResourceType;
  object: KubeObject;
}

/** A merge patch of an object, such as a deletion policy. `path` of the status subresource when `status` is true. */
export interface Patch {
  type: ResourceType;
  object: KubeObject;
  body: object;
  status?: boolean;
}

/** The operator's part of a status. Fields that others write are never in it. */
export interface StatusFields {
  conditions?: Condition[];
}

/** The status of an object other than the one of the pass. */
export interface StatusWrite {
  type: ResourceType;
  object: KubeObject;
  status: StatusFields;
}

export interface Note {
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
}

export interface Plan<S extends StatusFields = StatusFields> {
  /** Adds the finalizer before anything else is done. */
  hold?: boolean;
  /** Kept as they are here: made, and mended when somebody changes or deletes them. */
  apply?: Wanted[];
  /** Made once; one that exists already is left alone. */
  create?: Wanted[];
  patches?: Patch[];
  related?: StatusWrite[];
  remove?: Removal[];
  status?: S;
  events?: Note[];
  /** Takes the finalizer away after everything else is done. */
  letGo?: boolean;
  /** Look again after this time, in milliseconds, should nothing happen before. */
  requeueAfterMs?: number;
}

/** Wants an object that its owner controls. */
export function owned<T extends KubeObject>(type: ResourceType<T>, object: T, owner: OwnerReference): Wanted {
  return { type: type as ResourceType, object, ours: (live) => controllerOf(live)?.uid === owner.uid };
}

/** The earliest of several times to look again. */
export function earliest(...times: (number | undefined)[]): number | undefined {
  const given = times.filter((time) => time !== undefined);
  return given.length === 0 ? undefined : Math.max(0, Math.min(...given));
}
