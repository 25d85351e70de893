/** Volumes of storages with provider `local`: pure functions. */
import type { BackupStorage } from '../../api/generated/types.ts';
import type { Container, Volume } from '../../kube/builtin.ts';
import { sameJSON } from '../reconcile/fingerprint.ts';

export interface LocalVolume {
  volume: Volume;
  mount: NonNullable<Container['volumeMounts']>[number];
}

const MOUNT_PATH = '/backstay/storage';

/**
 * The volumes that a Pod needs to reach the storages, one for each mount path; none for storages that are reached through the network.
 * A claim belongs to the namespace of its storage: Pods elsewhere cannot mount it, which `claimElsewhere` tells.
 */
export function localVolumes(storages: readonly BackupStorage[]): LocalVolume[] {
  const byPath = new Map<string, LocalVolume>();
  for (const { spec } of storages) {
    const local = spec.storage.local;
    if (local === undefined) continue;
    const { hostPath, persistentVolumeClaim, nfs, subPath } = local;
    const mountPath = local.mountPath ?? MOUNT_PATH;
    if (byPath.has(mountPath)) continue;
    byPath.set(mountPath, {
      volume: {
        name: byPath.size === 0 ? 'storage' : `storage-${byPath.size}`,
        ...(hostPath === undefined ? {} : { hostPath: hostPathOf(hostPath) }),
        ...(persistentVolumeClaim === undefined ? {} : { persistentVolumeClaim }),
        ...(nfs === undefined ? {} : { nfs }),
      },
      mount: {
        name: byPath.size === 0 ? 'storage' : `storage-${byPath.size}`,
        mountPath,
        ...(subPath === undefined ? {} : { subPath }),
      },
    });
  }
  return [...byPath.values()];
}

/**
 * Why two storages cannot be mounted by one Pod: different volumes at one path, where one would hide the other. Undefined when they can.
 */
export function collidingMounts(storages: readonly BackupStorage[]): string | undefined {
  const byPath = new Map<string, BackupStorage>();
  for (const storage of storages) {
    const local = storage.spec.storage.local;
    if (local === undefined) continue;
    const mountPath = local.mountPath ?? MOUNT_PATH;
    const other = byPath.get(mountPath);
    byPath.set(mountPath, other ?? storage);
    if (other === undefined || sameJSON(other.spec.storage.local, local)) continue;
    const names = [other, storage].map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).join(' and ');
    return `the local BackupStorages ${names} are both mounted at ${mountPath}; give one of them another spec.storage.local.mountPath`;
  }
  return undefined;
}

/** The claim of a storage in another namespace than the Pod's, if that is how it is kept. */
export function claimElsewhere(storage: BackupStorage, podNamespace: string): string | undefined {
  const claim = storage.spec.storage.local?.persistentVolumeClaim?.claimName;
  return storage.metadata.namespace === podNamespace ? undefined : claim;
}

function hostPathOf({ path, type }: { path: string; type?: string }): { path: string; type?: string } {
  return type === undefined ? { path } : { path, type };
}
