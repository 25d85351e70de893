/** A BackupStorage as somebody who refers to it finds it. Pure. */
import type { BackupStorage, ObjectReference, UsagePolicy } from '../api/generated/types.ts';
import { allowsNamespace, resolveReference } from '../api/references.ts';
import { claimElsewhere } from './jobs/volumes.ts';

export type StorageFinding =
  | { usable: true; storage: BackupStorage }
  | {
      usable: false;
      /** Undefined when it does not exist. */
      storage: BackupStorage | undefined;
      reason: 'StorageNotFound' | 'StorageNotReady' | 'NotAllowed';
      message: string;
    };

/**
 * Judges the storage that a reference from namespace `from` names.
 *
 * @param storage the object, undefined when it does not exist
 * @param labels labels of the namespace `from`
 */
export function judgeStorage(
  reference: ObjectReference,
  from: string,
  storage: BackupStorage | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): StorageFinding {
  const { namespace, name } = resolveReference(reference, from);
  const what = `BackupStorage ${namespace}/${name}`;
  if (storage === undefined || storage.metadata.deletionTimestamp !== undefined) {
    return {
      usable: false,
      storage,
      reason: 'StorageNotFound',
      message: `${what} does not exist; create it, or mend the reference`,
    };
  }
  if (!mayUse(storage.spec.usagePolicy, namespace, from, labels)) {
    return {
      usable: false,
      storage,
      reason: 'NotAllowed',
      message: `${what} may not be used from namespace ${from}; allow it in its spec.usagePolicy`,
    };
  }
  const claim = claimElsewhere(storage, from);
  if (claim !== undefined) {
    return {
      usable: false,
      storage,
      reason: 'StorageNotReady',
      message: `${what} is the PersistentVolumeClaim ${claim} of namespace ${namespace}, which Pods in ${from} cannot mount; use a storage there`,
    };
  }
  const ready = storage.status?.conditions?.find(({ type }) => type === 'Ready');
  if (ready?.status !== 'True') {
    const why = ready === undefined ? 'it was not reached yet' : `${ready.reason}: ${ready.message}`;
    return { usable: false, storage, reason: 'StorageNotReady', message: `${what} cannot be used: ${why}` };
  }
  return { usable: true, storage };
}

/** Whether an object of namespace `owner` may be used from namespace `user`; not, while the labels that decide are unknown. */
export function mayUse(
  policy: UsagePolicy | undefined,
  owner: string,
  user: string,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  return allowsNamespace(policy, owner, user, labels) === true;
}
