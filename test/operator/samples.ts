import type {
  AppBinding,
  BackupConfiguration,
  BackupStorage,
  RestoreSession,
  RetentionPolicy,
} from '../../src/api/generated/types.ts';
import { API_VERSION } from '../../src/api/group.ts';
import type { Secret } from '../../src/kube/builtin.ts';

/** A database, a storage with its Secret, a password, a policy and a configuration with one session, all of one namespace. */
export function samples(namespace: string) {
  const meta = (name: string) => ({ namespace, name });
  const binding: AppBinding = {
    apiVersion: API_VERSION,
    kind: 'AppBinding',
    metadata: meta('orders'),
    spec: { clientConfig: { url: 'mongodb://127.0.0.1:27017' }, secret: { name: 'orders-auth' } },
  };
  const s3Secret = secret(namespace, 's3', { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' });
  const password = secret(namespace, 'password', { RESTIC_PASSWORD: 'x' });
  const storage: BackupStorage = {
    apiVersion: API_VERSION,
    kind: 'BackupStorage',
    metadata: meta('s3'),
    spec: {
      storage: {
        provider: 's3',
        s3: { endpoint: 'http://127.0.0.1:9000', bucket: 'backups', region: 'x', secretName: 's3' },
      },
    },
  };
  const policy: RetentionPolicy = {
    apiVersion: API_VERSION,
    kind: 'RetentionPolicy',
    metadata: meta('few'),
    spec: { successfulSnapshots: { last: 2 } },
  };
  const configuration: BackupConfiguration = {
    apiVersion: API_VERSION,
    kind: 'BackupConfiguration',
    metadata: meta('orders'),
    spec: {
      target: { name: 'orders' },
      backends: [{ name: 's3', storageRef: { name: 's3' }, retentionPolicy: { name: 'few' } }],
      sessions: [
        {
          name: 'daily',
          scheduler: { schedule: '0 3 * * *' },
          addon: { name: 'mongodb', tasks: [{ name: 'logical-backup' }] },
          repositories: [
            { name: 'orders', backend: 's3', directory: '/orders', encryptionSecret: { name: 'password' } },
          ],
        },
      ],
    },
  };
  const restore: RestoreSession = {
    apiVersion: API_VERSION,
    kind: 'RestoreSession',
    metadata: meta('again'),
    spec: {
      target: { name: 'orders' },
      dataSource: { repository: 'orders', snapshot: 'latest' },
      addon: { name: 'mongodb', tasks: [{ name: 'logical-backup-restore' }] },
    },
  };
  return { binding, s3Secret, password, storage, policy, configuration, restore };
}

export function secret(namespace: string, name: string, data: Record<string, string>): Secret {
  const encoded = Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  );
  return { apiVersion: 'v1', kind: 'Secret', metadata: { namespace, name }, data: encoded };
}
