import { stringify } from 'yaml';
import { configuration, retention, storage } from '../../test/api/objects.ts';

/** Objects of one policy. */
export const OBJECTS_EACH = 4;

/** One file of a policy repository: where backups of one database go, how long they stay, and when they are made. */
export function policy(index: number, last = 7): string {
  const name = `db-${index}`;
  const backends = [{ name: 's3', storageRef: { name }, retentionPolicy: { name } }];
  const binding = {
    ...{ apiVersion: 'backstay.dev/v1alpha1', kind: 'AppBinding', metadata: { name } },
    spec: { type: 'mongodb', clientConfig: { url: `mongodb://${name}:27017` } },
  };
  const objects = [
    binding,
    storage(
      { storage: { provider: 's3', s3: { bucket: 'backups', endpoint: 'https://s3.example.com', prefix: name } } },
      name,
    ),
    retention({ successfulSnapshots: { last } }, name),
    configuration({ target: { name }, backends }, name),
  ];
  for (const { metadata } of objects) delete metadata.namespace;
  return objects.map((object) => stringify(object)).join('---\n');
}
