import { BackstayError } from '../api/errors.ts';
import type {
  BackupStorage,
  BackupStorageStorageAzure,
  BackupStorageStorageGcs,
  BackupStorageStorageLocal,
  BackupStorageStorageS3,
} from '../api/generated/types.ts';

/** A file that restic reads by the path in an environment variable. */
export interface BackendFile {
  /** Variable that holds the path: RESTIC_CACERT, GOOGLE_APPLICATION_CREDENTIALS. */
  variable: string;
  /** Name inside the private folder of the repository. */
  name: string;
  content: string;
}

/** How restic reaches one repository: everything but the password. */
export interface ResticBackend {
  /** restic's location of the repository, such as s3:https://minio:9000/bucket/prefix/path. Never a secret. */
  location: string;
  env: Record<string, string>;
  /** Extended options, each becoming `-o key=value`. */
  options: Record<string, string>;
  /** Global flags that have no variable. */
  flags: string[];
  files: BackendFile[];
}

/** What a Secret holds, decoded to text. */
export type SecretData = Readonly<Record<string, string>>;

/**
 * The table of backends: how restic reaches the repository at `path` below the prefix of a BackupStorage.
 *
 * @param secret data of the Secret that the provider's block names; undefined when it names none, and the identity of the Pod is used
 * @throws BackstayError SecretKeyMissing, PathInvalid or StorageInvalid
 */
export function resticBackend(storage: BackupStorage, secret: SecretData | undefined, path: string): ResticBackend {
  const { storage: place } = storage.spec;
  const where = `BackupStorage ${storage.metadata.namespace}/${storage.metadata.name}`;
  if (place.s3 !== undefined) return s3(place.s3, keysOf(secret, place.s3.secretName, where), path);
  if (place.gcs !== undefined) return gcs(place.gcs, keysOf(secret, place.gcs.secretName, where), path);
  if (place.azure !== undefined) return azure(place.azure, keysOf(secret, place.azure.secretName, where), path);
  if (place.local !== undefined) return local(place.local, path);
  throw new BackstayError('StorageInvalid', `${where}: spec.storage.${place.provider} is missing`, {
    remedy: `add spec.storage.${place.provider}`,
  });
}

/** Name of the Secret that the provider's block names, if any. */
export function secretNameOf(storage: BackupStorage): string | undefined {
  const { s3: ofS3, gcs: ofGcs, azure: ofAzure } = storage.spec.storage;
  return (ofS3 ?? ofGcs ?? ofAzure)?.secretName;
}

function s3(block: BackupStorageStorageS3, keys: Keys, path: string): ResticBackend {
  const backend = empty(`s3:${s3Endpoint(block)}/${joinPath(block.bucket, block.prefix, path)}`);
  if (block.region !== undefined) backend.env.AWS_DEFAULT_REGION = block.region;
  if (keys.given) {
    backend.env.AWS_ACCESS_KEY_ID = keys.required('AWS_ACCESS_KEY_ID');
    backend.env.AWS_SECRET_ACCESS_KEY = keys.required('AWS_SECRET_ACCESS_KEY');
    copyOptional(keys, backend.env, 'AWS_SESSION_TOKEN');
    const authority = keys.optional('CA_CERT_DATA');
    if (authority !== undefined) backend.files.push({ variable: 'RESTIC_CACERT', name: 'ca.pem', content: authority });
  }
  if (block.insecureTLS === true) backend.flags.push('--insecure-tls');
  return withConnections(backend, 's3', block.maxConnections);
}

/** Amazon's own endpoint is found by the region; only China has another domain. */
function s3Endpoint(block: BackupStorageStorageS3): string {
  const { endpoint, region } = block;
  if (endpoint === undefined || endpoint === '') {
    return region?.startsWith('cn-') === true ? `https://s3.${region}.amazonaws.com.cn` : 'https://s3.amazonaws.com';
  }
  const trimmed = endpoint.replace(/\/+$/, '');
  return /^https?:\/\//.test(trimmed) ? trimmed : `https://${trimmed}`;
}

function gcs(block: BackupStorageStorageGcs, keys: Keys, path: string): ResticBackend {
  const backend = empty(`gs:${block.bucket}:/${joinPath(block.prefix, path)}`);
  if (keys.given) {
    copyOptional(keys, backend.env, 'GOOGLE_PROJECT_ID');
    const content = keys.required('GOOGLE_SERVICE_ACCOUNT_JSON_KEY');
    backend.files.push({ variable: 'GOOGLE_APPLICATION_CREDENTIALS', name: 'gcs.json', content });
  }
  return withConnections(backend, 'gs', block.maxConnections);
}

function azure(block: BackupStorageStorageAzure, keys: Keys, path: string): ResticBackend {
  const backend = empty(`azure:${block.container}:/${joinPath(block.prefix, path)}`);
  backend.env.AZURE_ACCOUNT_NAME = block.storageAccount;
  if (keys.given) {
    const token = keys.optional('AZURE_ACCOUNT_SAS');
    if (token === undefined) backend.env.AZURE_ACCOUNT_KEY = keys.required('AZURE_ACCOUNT_KEY');
    else backend.env.AZURE_ACCOUNT_SAS = token;
    copyOptional(keys, backend.env, 'AZURE_ENDPOINT_SUFFIX');
  }
  return withConnections(backend, 'azure', block.maxConnections);
}

/** The operator mounts the volume, or the folder of it that subPath names, at mountPath. */
function local(block: BackupStorageStorageLocal, path: string): ResticBackend {
  const mountPath = (block.mountPath ?? '/backstay/storage').replace(/\/+$/, '');
  return withConnections(empty(`${mountPath}/${joinPath(path)}`), 'local', block.maxConnections);
}

function empty(location: string): ResticBackend {
  return { location, env: {}, options: {}, flags: [], files: [] };
}

function withConnections(backend: ResticBackend, provider: string, connections: number | undefined): ResticBackend {
  if (connections !== undefined) backend.options[`${provider}.connections`] = String(connections);
  return backend;
}

/** Joins folders into one path without a slash at either end; no part may climb out of the prefix. */
function joinPath(...parts: (string | undefined)[]): string {
  const segments = parts.flatMap((part) => (part ?? '').split('/')).filter((segment) => segment !== '');
  const climbing = segments.find((segment) => segment === '.' || segment === '..');
  if (climbing !== undefined) {
    throw new BackstayError('PathInvalid', `the path ${parts.join('/')} has a part "${climbing}"`, {
      remedy: 'use a path below the prefix of the storage, made of plain names',
    });
  }
  return segments.join('/');
}

interface Keys {
  /** Whether the storage names a Secret at all. */
  given: boolean;
  required(key: string): string;
  optional(key: string): string | undefined;
}

function keysOf(secret: SecretData | undefined, name: string | undefined, where: string): Keys {
  const optional = (key: string): string | undefined => {
    // Secrets made with `echo` end in a line break that is part of no key.
    const value = secret?.[key]?.replace(/[\r\n]+$/, '');
    return value === '' ? undefined : value;
  };
  const required = (key: string): string => {
    const value = optional(key);
    if (value !== undefined) return value;
    throw new BackstayError('SecretKeyMissing', `${where}: Secret ${name ?? ''} has no key ${key}`, {
      remedy: `add the key ${key} to the Secret`,
    });
  };
  return { given: name !== undefined && name !== '', required, optional };
}

function copyOptional(keys: Keys, env: Record<string, string>, key: string): void {
  const value = keys.optional(key);
  if (value !== undefined) env[key] = value;
}
