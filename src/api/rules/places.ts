import type { BackupStorage } from '../generated/types.ts';
import type { Findings } from './findings.ts';
import type { Draft } from './rule.ts';

/** Folder that Backstay keeps its marker in, below the prefix of every storage. */
export const MARKER_FOLDER = 'backstay-storage';

/** A path without slashes at its ends and without empty parts. */
export function normalPath(path: string): string {
  return path.split('/').filter(Boolean).join('/');
}

/** Whether one folder lies inside another one, or is it. */
export function isWithin(path: string, folder: string): boolean {
  return folder === '' || path === folder || path.startsWith(`${folder}/`);
}

/** Refuses the parts of a path that lead elsewhere. */
export function checkPath(findings: Findings, path: string | undefined, field: string): void {
  if (path?.split('/').some((part) => part === '..' || part === '.')) {
    findings.refuse(field, 'FieldValueInvalid', 'the path must not have the parts . and ..');
  }
}

/** Refuses a folder for a repository that leads elsewhere or that Backstay keeps for itself. */
export function checkRepositoryPath(findings: Findings, path: string | undefined, field: string): void {
  checkPath(findings, path, field);
  if (path === undefined) return;
  if (normalPath(path) === '') findings.refuse(field, 'FieldValueInvalid', 'the path must name a folder');
  if (isWithin(normalPath(path), MARKER_FOLDER)) {
    findings.refuse(field, 'FieldValueForbidden', `Backstay keeps the folder ${MARKER_FOLDER} for itself`);
  }
}

/** Where a storage lies: `root` tells buckets and volumes apart, `folder` is the place inside. */
export interface Place {
  root: string;
  folder: string;
  /** The place in words. */
  words: string;
}

/** Where a BackupStorage lies, as far as it says so. Two storages of one place have equal roots and folders. */
export function placeOf(storage: Draft<BackupStorage>, namespace: string): Place | undefined {
  const { s3, gcs, azure, local } = storage.spec?.storage ?? {};
  const place = (parts: (string | undefined)[], folder: string | undefined, words: string): Place | undefined =>
    parts.includes(undefined) ? undefined : { root: JSON.stringify(parts), folder: normalPath(folder ?? ''), words };
  switch (storage.spec?.storage?.provider) {
    case 's3':
      return s3 && place(['s3', normalEndpoint(s3.endpoint), s3.bucket], s3.prefix, `bucket ${s3.bucket}`);
    case 'gcs':
      return gcs && place(['gcs', gcs.bucket], gcs.prefix, `bucket ${gcs.bucket}`);
    case 'azure':
      return (
        azure && place(['azure', azure.storageAccount, azure.container], azure.prefix, `container ${azure.container}`)
      );
    case 'local': {
      if (local === undefined) return undefined;
      const { hostPath, nfs, persistentVolumeClaim: claim, subPath } = local;
      if (hostPath !== undefined)
        return place(['hostPath'], `${hostPath.path}/${subPath ?? ''}`, `folder ${hostPath.path}`);
      if (nfs !== undefined) return place(['nfs', nfs.server], `${nfs.path}/${subPath ?? ''}`, `share ${nfs.path}`);
      return claim && place(['claim', namespace, claim.claimName], subPath, `claim ${claim.claimName}`);
    }
    default:
      return undefined;
  }
}

/** host:port in lower case. Without an endpoint it is Amazon's, where the name of a bucket is unique in all regions. */
function normalEndpoint(endpoint: string | undefined): string {
  if (endpoint === undefined || endpoint === '') return 'amazon';
  const [, scheme = 'https', host = ''] = /^(?:(https?):\/\/)?([^/]*)/.exec(endpoint.toLowerCase()) ?? [];
  if (/(^|\.)amazonaws\.com(\.cn)?$/.test(host)) return 'amazon';
  return /:\d+$/.test(host) ? host : `${host}:${scheme === 'http' ? 80 : 443}`;
}
