/**
 * Carries out plans: the only place of the operator that writes.
 *
 * Nothing is written that the object says already. Generated objects are applied server-side under the controller's own field manager, and
 * only when they are the ones made earlier or nothing stands under their name: somebody else's CronJob is never taken over.
 */
import { BackstayError } from '../../api/errors.ts';
import { CLEANUP_FINALIZER } from '../../api/labels.ts';
import type { Client, JsonPatch } from '../../kube/client.ts';
import { RetryAfterError } from '../../kube/controller.ts';
import { isAlreadyExists, isConflict, isInvalid, isNotFound } from '../../kube/kube-error.ts';
import { type KubeObject, keyOf, type ResourceType, refOf } from '../../kube/resource.ts';
import { isSettled } from '../../kube/settled.ts';
import type { Note, Patch, Plan, Removal, StatusFields, Wanted } from './plan.ts';

/** Where notes for people go: Events of the object. */
export interface NoteSink {
  note(object: KubeObject, note: Note): void;
}

/** What a live copy is looked up in before the server is asked. */
export interface LiveObjects {
  find(type: ResourceType, object: KubeObject): KubeObject | undefined;
}

export interface PerformContext {
  client: Client;
  live: LiveObjects;
  notes: NoteSink;
  /** `backstay-operator-<controller>`. */
  fieldManager: string;
  type: ResourceType;
  signal: AbortSignal;
  /** Told what the server made of each write to the object itself. */
  wrote: (object: KubeObject) => void;
}

/** Does what a plan says about an object, in its order; returns when to look again, in milliseconds. */
export async function perform<S extends StatusFields>(
  object: KubeObject,
  plan: Plan<S>,
  context: PerformContext,
): Promise<number | undefined> {
  if (plan.hold === true) await setFinalizer(object, true, context);
  for (const wanted of plan.apply ?? []) await applyWanted(wanted, context);
  for (const wanted of plan.create ?? []) await createWanted(wanted, context);
  for (const patch of plan.patches ?? []) await patchObject(patch, context);
  for (const { type, object: other, status } of plan.related ?? []) {
    await writeStatus(other, status, type, context);
  }
  for (const removal of plan.remove ?? []) await removeObject(removal, context);
  if (plan.status !== undefined) await writeStatus(object, plan.status, context.type, context);
  for (const note of plan.events ?? []) context.notes.note(object, note);
  if (plan.letGo === true) await setFinalizer(object, false, context);
  return plan.requeueAfterMs;
}

async function applyWanted({ type, object, ours }: Wanted, context: PerformContext): Promise<void> {
  const { signal, fieldManager, client } = context;
  let live = context.live.find(type, object);
  // An object without our labels is in no cache; before one is made, the server says whether the name is free.
  live ??= await client.get(type, refOf(object), { signal });
  if (live !== undefined) {
    if (!ours(live)) throw nameTaken(type, object);
    if (live.metadata.deletionTimestamp !== undefined) return;
    if (isSettled(object, live, { fieldManager })) return;
  }
  await client.apply(type, object, { fieldManager, force: true, signal });
}

async function createWanted(
  { type, object, ours }: Wanted,
  { client, live, fieldManager, signal }: PerformContext,
): Promise<void> {
  const known = live.find(type, object);
  if (known !== undefined) {
    if (!ours(known)) throw nameTaken(type, object);
    return;
  }
  try {
    await client.create(type, object, { fieldManager, signal });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    // The cache is behind, or the operator died between making it and saying so.
    const found = await client.get(type, refOf(object), { signal });
    if (found !== undefined && !ours(found)) throw nameTaken(type, object);
  }
}

async function patchObject(
  { type, object, body, status }: Patch,
  { client, fieldManager, signal }: PerformContext,
): Promise<void> {
  try {
    const subresource = status === true ? { subresource: 'status' as const } : {};
    await client.patch(type, refOf(object), body, { type: 'merge', fieldManager, signal, ...subresource });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

async function removeObject({ type, object }: Removal, { client, signal }: PerformContext): Promise<void> {
  const { uid, deletionTimestamp } = object.metadata;
  if (deletionTimestamp !== undefined) return;
  try {
    await client.delete(type, refOf(object), { propagationPolicy: 'Background', uid, signal });
  } catch (error) {
    // Another object has the name by now.
    if (!isConflict(error) && !isNotFound(error)) throw error;
  }
}

async function writeStatus(
  object: KubeObject,
  status: StatusFields,
  type: ResourceType,
  context: PerformContext,
): Promise<void> {
  const { client, fieldManager, signal } = context;
  if (isSettled({ status }, object, { fieldManager, subresource: 'status' })) return;
  const { apiVersion, kind, metadata } = object;
  const identity = {
    name: metadata.name ?? '',
    ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
  };
  try {
    // The uid is a precondition: the status of an object that was deleted and made again is not overwritten.
    const uid = metadata.uid === undefined ? {} : { uid: metadata.uid };
    const body: KubeObject & { status: StatusFields } = { apiVersion, kind, metadata: { ...identity, ...uid }, status };
    const written = await client.applyStatus(type, body, { fieldManager, force: true, signal });
    if (type.kind === context.type.kind) context.wrote(written);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

async function setFinalizer(object: KubeObject, hold: boolean, context: PerformContext): Promise<void> {
  const { client, type, signal, fieldManager, wrote } = context;
  const { finalizers, deletionTimestamp } = object.metadata;
  if ((finalizers?.includes(CLEANUP_FINALIZER) ?? false) === hold || (hold && deletionTimestamp !== undefined)) return;
  const path = '/metadata/finalizers';
  const next = hold
    ? [...(finalizers ?? []), CLEANUP_FINALIZER]
    : (finalizers ?? []).filter((each) => each !== CLEANUP_FINALIZER);
  // The list is replaced as a whole, so the patch asks that it is still the one that was read; the server answers 422 when it is not.
  const body: JsonPatch =
    finalizers === undefined
      ? [{ op: 'add', path, value: next }]
      : [
          { op: 'test', path, value: finalizers },
          { op: 'replace', path, value: next },
        ];
  try {
    wrote(await client.patch(type, refOf(object), body, { type: 'json', fieldManager, signal }));
  } catch (error) {
    if (isInvalid(error))
      throw new RetryAfterError('Conflict', `the finalizers of ${type.kind} ${keyOf(object)} have changed`, 1, {
        cause: error,
      });
    if (!isNotFound(error)) throw error;
  }
}

function nameTaken(type: ResourceType, object: KubeObject): BackstayError {
  return new BackstayError('NameTaken', `${type.kind} ${keyOf(object)} exists and is not Backstay's`, {
    remedy: 'rename or delete it, or rename the object that Backstay makes it for',
  });
}
