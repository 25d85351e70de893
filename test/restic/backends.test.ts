import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import type { BackupStorage, BackupStorageStorage } from '../../src/api/generated/types.ts';
import { resticBackend, type SecretData, secretNameOf } from '../../src/restic/backends.ts';

const test = suite('backends');

function storage(place: BackupStorageStorage): BackupStorage {
  return {
    apiVersion: 'backstay.dev/v1alpha1',
    kind: 'BackupStorage',
    metadata: { namespace: 'shop', name: 'offsite' },
    spec: { storage: place },
  };
}

interface Row {
  title: string;
  place: BackupStorageStorage;
  secret?: SecretData;
  path?: string;
  expected: ReturnType<typeof resticBackend>;
}

const s3Keys = { AWS_ACCESS_KEY_ID: 'AKIA', AWS_SECRET_ACCESS_KEY: 'secret' };
const nothing = { env: {}, options: {}, flags: [], files: [] };

const rows: Row[] = [
  {
    title: 's3 with an endpoint, a prefix and keys',
    place: {
      provider: 's3',
      s3: { endpoint: 'http://minio:9000/', bucket: 'b', prefix: 'x/y/', region: 'eu-central-1', secretName: 's' },
    },
    secret: s3Keys,
    expected: {
      ...nothing,
      location: 's3:http://minio:9000/b/x/y/shop/db',
      env: { AWS_DEFAULT_REGION: 'eu-central-1', ...s3Keys },
    },
  },
  {
    title: 's3 with an endpoint without a scheme speaks https',
    place: { provider: 's3', s3: { endpoint: 'minio.example.com', bucket: 'b', secretName: 's' } },
    secret: s3Keys,
    expected: { ...nothing, location: 's3:https://minio.example.com/b/shop/db', env: s3Keys },
  },
  {
    title: 's3 of Amazon with the identity of the Pod',
    place: { provider: 's3', s3: { bucket: 'b', region: 'eu-central-1' } },
    expected: {
      ...nothing,
      location: 's3:https://s3.amazonaws.com/b/shop/db',
      env: { AWS_DEFAULT_REGION: 'eu-central-1' },
    },
  },
  {
    title: 's3 of Amazon in China has its own domain',
    place: { provider: 's3', s3: { bucket: 'b', region: 'cn-north-1' } },
    expected: {
      ...nothing,
      location: 's3:https://s3.cn-north-1.amazonaws.com.cn/b/shop/db',
      env: { AWS_DEFAULT_REGION: 'cn-north-1' },
    },
  },
  {
    title: 's3 with a private authority, a session token, connections and an unverified certificate',
    place: { provider: 's3', s3: { bucket: 'b', secretName: 's', maxConnections: 9, insecureTLS: true } },
    secret: { ...s3Keys, AWS_SESSION_TOKEN: 'token\n', CA_CERT_DATA: 'PEM\n' },
    expected: {
      location: 's3:https://s3.amazonaws.com/b/shop/db',
      env: { ...s3Keys, AWS_SESSION_TOKEN: 'token' },
      options: { 's3.connections': '9' },
      flags: ['--insecure-tls'],
      files: [{ variable: 'RESTIC_CACERT', name: 'ca.pem', content: 'PEM' }],
    },
  },
  {
    title: 's3 keys lose the line break that echo left in the Secret',
    place: { provider: 's3', s3: { bucket: 'b', secretName: 's' } },
    secret: { AWS_ACCESS_KEY_ID: 'AKIA\n', AWS_SECRET_ACCESS_KEY: 'secret\r\n' },
    expected: { ...nothing, location: 's3:https://s3.amazonaws.com/b/shop/db', env: s3Keys },
  },
  {
    title: 'gcs with a key of a service account',
    place: { provider: 'gcs', gcs: { bucket: 'b', prefix: 'x', secretName: 's', maxConnections: 3 } },
    secret: { GOOGLE_SERVICE_ACCOUNT_JSON_KEY: '{"type":"service_account"}', GOOGLE_PROJECT_ID: 'p' },
    expected: {
      location: 'gs:b:/x/shop/db',
      env: { GOOGLE_PROJECT_ID: 'p' },
      options: { 'gs.connections': '3' },
      flags: [],
      files: [{ variable: 'GOOGLE_APPLICATION_CREDENTIALS', name: 'gcs.json', content: '{"type":"service_account"}' }],
    },
  },
  {
    title: 'gcs with the identity of the Pod',
    place: { provider: 'gcs', gcs: { bucket: 'b' } },
    expected: { ...nothing, location: 'gs:b:/shop/db' },
  },
  {
    title: 'azure with a key',
    place: { provider: 'azure', azure: { storageAccount: 'acc', container: 'c', prefix: 'x', secretName: 's' } },
    secret: { AZURE_ACCOUNT_KEY: 'a2V5' },
    expected: {
      ...nothing,
      location: 'azure:c:/x/shop/db',
      env: { AZURE_ACCOUNT_NAME: 'acc', AZURE_ACCOUNT_KEY: 'a2V5' },
    },
  },
  {
    title: 'azure with a shared access signature in another cloud',
    place: { provider: 'azure', azure: { storageAccount: 'acc', container: 'c', secretName: 's', maxConnections: 2 } },
    secret: { AZURE_ACCOUNT_SAS: 'sv=1', AZURE_ENDPOINT_SUFFIX: 'core.chinacloudapi.cn' },
    expected: {
      ...nothing,
      location: 'azure:c:/shop/db',
      env: {
        AZURE_ACCOUNT_NAME: 'acc',
        AZURE_ACCOUNT_SAS: 'sv=1',
        AZURE_ENDPOINT_SUFFIX: 'core.chinacloudapi.cn',
      },
      options: { 'azure.connections': '2' },
    },
  },
  {
    title: 'local in the default mount path',
    place: { provider: 'local', local: { persistentVolumeClaim: { claimName: 'c' } } },
    expected: { ...nothing, location: '/backstay/storage/shop/db' },
  },
  {
    title: 'local elsewhere; the folder of the volume is the mount’s business',
    place: {
      provider: 'local',
      local: { hostPath: { path: '/srv' }, mountPath: '/mnt/x/', subPath: 'a', maxConnections: 4 },
    },
    path: '/shop//db/',
    expected: { ...nothing, location: '/mnt/x/shop/db', options: { 'local.connections': '4' } },
  },
];

for (const { title, place, secret, path = 'shop/db', expected } of rows) {
  test(title, () => assert.equal(resticBackend(storage(place), secret, path), expected));
}

function codeOf(run: () => unknown): { code: string; message: string } {
  try {
    run();
  } catch (error) {
    assert.instance(error, BackstayError);
    return error as BackstayError;
  }
  throw new Error('nothing was thrown');
}

test('a key that the Secret lacks is named, and its value is not', () => {
  const place: BackupStorageStorage = { provider: 's3', s3: { bucket: 'b', secretName: 'keys' } };
  const { code, message } = codeOf(() => resticBackend(storage(place), { AWS_ACCESS_KEY_ID: 'AKIA' }, 'p'));
  assert.is(code, 'SecretKeyMissing');
  assert.is(message, 'BackupStorage shop/offsite: Secret keys has no key AWS_SECRET_ACCESS_KEY');
});

test('an empty value counts as a missing key', () => {
  const place: BackupStorageStorage = { provider: 'gcs', gcs: { bucket: 'b', secretName: 'keys' } };
  const { code } = codeOf(() => resticBackend(storage(place), { GOOGLE_SERVICE_ACCOUNT_JSON_KEY: '\n' }, 'p'));
  assert.is(code, 'SecretKeyMissing');
});

test('a path that climbs out of the prefix is refused', () => {
  const place: BackupStorageStorage = { provider: 's3', s3: { bucket: 'b', prefix: 'mine' } };
  assert.is(codeOf(() => resticBackend(storage(place), undefined, '../theirs')).code, 'PathInvalid');
});

test('a provider without its block is refused', () => {
  assert.is(codeOf(() => resticBackend(storage({ provider: 'azure' }), undefined, 'p')).code, 'StorageInvalid');
});

test('the Secret of a storage is the one its provider’s block names', () => {
  assert.is(secretNameOf(storage({ provider: 'gcs', gcs: { bucket: 'b', secretName: 'g' } })), 'g');
  assert.is(secretNameOf(storage({ provider: 'local', local: {} })), undefined);
});

test.run();
