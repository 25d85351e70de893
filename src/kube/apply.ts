/**
 * Objects that a controller owns: made, kept and removed with server-side apply, and never taken from somebody else.
 *
 * An object of the wanted name that another controller owns, or that nobody owns and a person may have made, is left alone: the caller gets
 * `NameCollisionError` and shows it.
 */
import { BackstayError } from '../api/errors.ts';
import type { Applied, Client } from './client.ts';
import { type Clock, sleep, systemClock } from './clock.ts';
import { isImmutable } from './kube-error.ts';
import {
  controllerOf,
  type KubeObject,
  keyOf,
  type ObjectRef,
  type OwnerReference,
  type ResourceType,
  refOf,
} from './resource.ts';
import { isSettled } from './settled.ts';

/** The name is taken by an object that is not ours to change. */
export class NameCollisionError extends BackstayError {
  constructor(type: ResourceType, object: KubeObject, owner: KubeObject) {
    const other = controllerOf(object);
    const whose = other === undefined ? 'was not made for it' : `belongs to ${other.kind} ${other.name}`;
    super(
      'NameCollision',
      `${type.kind} ${keyOf(object)} ${whose}, so ${owner.kind} ${keyOf(owner)} cannot use the name`,
      {
        remedy: `delete or rename ${type.kind} ${keyOf(object)}`,
      },
    );
  }

  override get name(): string {
    return 'NameCollisionError';
  }
}

/** The reference that makes `owner` the controller of an object; deleting the owner deletes the object. */
export function ownerReference(owner: KubeObject): OwnerReference {
  const { name = '', uid } = owner.metadata;
  if (uid === undefined)
    throw new TypeError(`${owner.kind} ${keyOf(owner)} has no uid: only an object read from the server can own others`);
  return { apiVersion: owner.apiVersion, kind: owner.kind, name, uid, controller: true, blockOwnerDeletion: true };
}

/** Whether this very object (not a former one of the same name) controls the other. */
export function isOwnedBy(object: KubeObject, owner: KubeObject): boolean {
  const controller = controllerOf(object);
  return controller !== undefined && controller.uid === owner.metadata.uid;
}

export interface ApplyOwnedOptions<T> {
  fieldManager: string;
  owner: KubeObject;
  /** The object as the cache shows it, if it does: spares the read, and the write if nothing would change. */
  live?: T | undefined;
  /**
   * Take over an object of this name that nobody controls. Default false. For objects that users are told to create beforehand.
   */
  adoptOrphan?: boolean | undefined;
  /** Delete and create anew when only immutable fields stand in the way (the template of a Job). Default false. */
  recreate?: boolean | undefined;
  signal?: AbortSignal | undefined;
  clock?: Clock | undefined;
}

export interface AppliedOwned<T> {
  object: T;
  change: 'none' | 'created' | 'changed' | 'recreated';
}

/** Makes the object as wanted, with the owner as its controller. Fields of other managers stay; fields that we no longer want go. */
export async function applyOwned<T extends KubeObject>(
  client: Pick<Client, 'get' | 'apply' | 'delete'>,
  type: ResourceType<T>,
  wanted: Applied<NoInfer<T>>,
  options: ApplyOwnedOptions<NoInfer<T>>,
): Promise<AppliedOwned<T>> {
  const { fieldManager, owner, adoptOrphan = false, recreate = false, signal } = options;
  const ref = refOf(wanted);
  const object: Applied<T> = { ...wanted, metadata: { ...wanted.metadata, ownerReferences: [ownerReference(owner)] } };
  // A cache may not show yet what exists; an apply would merge into it. Creating is rare enough for one read.
  const live = options.live ?? (await client.get(type, ref, { signal }));
  const force = { fieldManager, force: true, signal };
  if (live === undefined) return { object: await client.apply(type, object, force), change: 'created' };

  const orphan = controllerOf(live) === undefined;
  if (!isOwnedBy(live, owner) && !(orphan && adoptOrphan)) throw new NameCollisionError(type, live, owner);
  if (isSettled(object, live, { fieldManager })) return { object: live, change: 'none' };
  try {
    // With the uid as a precondition this is the object that was looked at, not a later one of the same name.
    const metadata = { ...object.metadata, ...(live.metadata.uid === undefined ? {} : { uid: live.metadata.uid }) };
    const precise: Applied<T> = { ...object, metadata };
    const applied = await client.apply<T>(type, precise, force);
    const changed = applied.metadata.resourceVersion !== live.metadata.resourceVersion;
    return { object: applied, change: changed ? 'changed' : 'none' };
  } catch (error) {
    if (!recreate || !isImmutable(error)) throw error;
  }
  await deleteAndWait(client, type, live, options);
  return { object: await client.apply(type, object, force), change: 'recreated' };
}

/** Applies the status unless it already is as wanted. `live` is the object as last seen. */
export async function applyStatus<T extends KubeObject>(
  client: Pick<Client, 'applyStatus'>,
  type: ResourceType<T>,
  live: T,
  status: 'status' extends keyof T ? NonNullable<T['status' & keyof T]> : never,
  options: { fieldManager: string; signal?: AbortSignal | undefined },
): Promise<T> {
  const { namespace, name, uid } = live.metadata;
  const metadata = Object.fromEntries(
    Object.entries({ namespace, name, uid }).filter(([, value]) => value !== undefined),
  );
  const wanted = { metadata, status } as unknown as Applied<T>;
  if (isSettled(wanted, live, { fieldManager: options.fieldManager, subresource: 'status' })) return live;
  return await client.applyStatus(type, wanted, { ...options, force: true });
}

/** Deletes an object if the owner controls it. False if there is nothing of ours to delete. */
export async function deleteOwned(
  client: Pick<Client, 'get' | 'delete'>,
  type: ResourceType,
  ref: ObjectRef,
  owner: KubeObject,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<boolean> {
  const live = await client.get(type, ref, options);
  if (live === undefined || !isOwnedBy(live, owner)) return false;
  return await client.delete(type, ref, { ...options, uid: live.metadata.uid, propagationPolicy: 'Background' });
}

async function deleteAndWait<T extends KubeObject>(
  client: Pick<Client, 'get' | 'delete'>,
  type: ResourceType<T>,
  live: T,
  { signal, clock = systemClock }: { signal?: AbortSignal | undefined; clock?: Clock | undefined },
): Promise<void> {
  const ref = refOf(live);
  await client.delete(type, ref, { uid: live.metadata.uid, propagationPolicy: 'Background', signal });
  // Finalizers can hold it for a while; the deadline of the reconciliation ends the wait.
  while ((await client.get(type, ref, { signal }))?.metadata.uid === live.metadata.uid) await sleep(200, signal, clock);
}
