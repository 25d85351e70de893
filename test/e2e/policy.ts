const METADATA = (namespace: string, name: string) => ({ name, namespace });
const apiVersion = 'backstay.dev/v1alpha1';

export function namespaceOf(name: string): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
}

export function secretOf(namespace: string, name: string, stringData: Record<string, string>): object {
  return { apiVersion: 'v1', kind: 'Secret', metadata: METADATA(namespace, name), stringData };
}

export function storageOf(namespace: string, name: string, storage: object): object {
  return { apiVersion, kind: 'BackupStorage', metadata: METADATA(namespace, name), spec: { storage } };
}

export function bindingOf(namespace: string, name: string, spec: object): object {
  return { apiVersion, kind: 'AppBinding', metadata: METADATA(namespace, name), spec };
}

/** A configuration with one session, `nightly`, into one repository of the same name as the configuration. */
export function configurationOf(namespace: string, name: string, storage: string): object {
  return {
    apiVersion,
    kind: 'BackupConfiguration',
    metadata: METADATA(namespace, name),
    spec: {
      target: { name },
      backends: [{ name: 'main', storageRef: { name: storage } }],
      sessions: [
        {
          name: 'nightly',
          scheduler: { schedule: '30 2 * * *' },
          addon: { name: 'mongodb', tasks: [{ name: 'logical-backup' }] },
          repositories: [
            { name, backend: 'main', directory: `${namespace}/${name}`, encryptionSecret: { name: 'restic-password' } },
          ],
        },
      ],
    },
  };
}

export function restoreOf(namespace: string, name: string, repository: string): object {
  return {
    apiVersion,
    kind: 'RestoreSession',
    metadata: METADATA(namespace, name),
    spec: {
      target: { name: repository },
      dataSource: { repository },
      addon: { name: 'mongodb', tasks: [{ name: 'logical-backup-restore' }] },
    },
  };
}
