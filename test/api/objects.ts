import type { KubeObject, ResourceType } from '../../src/api/meta.ts';
import type { Lookup } from '../../src/api/rules/rule.ts';

/** An object of a kind of Backstay, for tests that change it as they like. */
// biome-ignore lint/suspicious/noExplicitAny: tests write what no type allows
export type Loose = any;

const base = (kind: string, name: string, spec: object, namespace: string | undefined = 'shop'): Loose => ({
  apiVersion: 'backstay.dev/v1alpha1',
  kind,
  metadata: namespace === undefined ? { name } : { name, namespace },
  spec,
});

export function storage(change: object = {}, name = 's3', namespace = 'shop'): Loose {
  const s3 = { bucket: 'backups', endpoint: 'https://minio.example.com', prefix: 'production' };
  return base('BackupStorage', name, { storage: { provider: 's3', s3 }, ...change }, namespace);
}

export function retention(change: object = {}, name = 'month', namespace = 'shop'): Loose {
  return base('RetentionPolicy', name, { maxRetentionPeriod: '30d', ...change }, namespace);
}

export function session(change: object = {}): Loose {
  return {
    name: 'nightly',
    scheduler: { schedule: '0 3 * * *' },
    addon: { name: 'mongodb', tasks: [{ name: 'logical-backup' }] },
    repositories: [{ name: 'orders', backend: 's3', directory: 'orders', encryptionSecret: { name: 'restic' } }],
    ...change,
  };
}

export function configuration(change: object = {}, name = 'orders', namespace = 'shop'): Loose {
  const backends = [{ name: 's3', storageRef: { name: 's3' } }];
  return base(
    'BackupConfiguration',
    name,
    { target: { name: 'orders' }, backends, sessions: [session()], ...change },
    namespace,
  );
}

export function repository(change: object = {}, name = 'orders', namespace = 'shop'): Loose {
  const references = { storageRef: { name: 's3' }, encryptionSecret: { name: 'restic' } };
  return base('Repository', name, { path: 'orders', ...references, ...change }, namespace);
}

export function policyRule(change: object = {}, name = 'house'): Loose {
  const object = base('BackupPolicyRule', name, { demands: { minStorages: 2 }, ...change });
  delete object.metadata.namespace;
  return object;
}

/** Every demand that there is. */
export const EVERY_DEMAND = {
  ...{
    maxInterval: '24h',
    minRetention: '30d',
    minStorages: 16,
    storages: ['a/*', '*/s-*'],
    encryptionSecrets: ['shop/*'],
  },
  ...{ encryptedTransport: true, providers: ['s3'], buckets: ['*'], endpoints: ['https://*'], addons: ['mongo*'] },
  ...{ tasks: ['*backup'], consistency: ['lock'], noHostPath: true, noHostNetwork: true },
};

export function backupSession(change: object = {}): Loose {
  return base('BackupSession', 'orders-nightly-1', { invoker: { name: 'orders' }, session: 'nightly', ...change });
}

export function snapshot(change: object = {}): Loose {
  return base('Snapshot', 'orders-1', { snapshotID: 'a', repository: 'orders', ...change });
}

export function restore(change: object = {}): Loose {
  const addon = { name: 'mongodb', tasks: [{ name: 'logical-restore' }] };
  return base('RestoreSession', 'again', {
    target: { name: 'orders' },
    dataSource: { repository: 'orders' },
    addon,
    ...change,
  });
}

export function addon(change: object = {}): Loose {
  const parameters = [
    { name: 'consistency', enum: ['lock', 'snapshot', 'none'], default: 'lock' },
    { name: 'maxLag', type: 'duration', default: '30s' },
    { name: 'workers', type: 'integer' },
  ];
  const spec = {
    backupTasks: [{ name: 'logical-backup', function: 'backup', parameters }],
    restoreTasks: [{ name: 'logical-restore', function: 'restore' }],
    ...change,
  };
  const object = base('Addon', 'mongodb', spec);
  delete object.metadata.namespace;
  return object;
}

/** How a Function writes a variable. */
export function variable(name: string): string {
  return `\${${name}}`;
}

export function aFunction(change: object = {}): Loose {
  const object = base('Function', 'backup', {
    args: ['job', 'backup', '--namespace', variable('namespace')],
    ...change,
  });
  delete object.metadata.namespace;
  return object;
}

export function binding(change: object = {}, name = 'orders', namespace = 'shop'): Loose {
  return base('AppBinding', name, { clientConfig: { url: 'mongodb://db.example.com:27017' }, ...change }, namespace);
}

export function policySync(change: object = {}): Loose {
  return base('PolicySync', 'production', { url: 'https://git.example.com/policies.git', ...change });
}

/** One good object of every kind. */
export const SAMPLES: Readonly<Record<string, () => Loose>> = {
  Addon: addon,
  AppBinding: binding,
  BackupConfiguration: configuration,
  BackupPolicyRule: policyRule,
  BackupSession: backupSession,
  BackupStorage: storage,
  Function: aFunction,
  PolicySync: policySync,
  Repository: repository,
  RestoreSession: restore,
  RetentionPolicy: retention,
  Snapshot: snapshot,
};

/** A namespace with its labels. */
export function namespace(name: string, labels: Record<string, string> = {}): Loose {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

/** A lookup that knows every kind and these objects. */
export function lookupOf(...objects: Loose[]): Lookup {
  const of = (type: ResourceType): Loose[] => objects.filter((one) => one.kind === type.kind);
  return {
    knows: () => true,
    get: <T extends KubeObject>(type: ResourceType<T>, inNamespace: string | undefined, name: string) =>
      of(type).find((one) => one.metadata.name === name && one.metadata.namespace === inNamespace) as T | undefined,
    list: <T extends KubeObject>(type: ResourceType<T>, inNamespace?: string) =>
      of(type).filter((one) => inNamespace === undefined || one.metadata.namespace === inNamespace) as T[],
  };
}
