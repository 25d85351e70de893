import { readFileSync } from 'node:fs';
import type { ReplicaSet } from '../replica-set.ts';
import type { S3 } from '../s3.ts';

/** Namespace of everything in policies/example. */
export const NAMESPACE = 'shop';

/** What a platform team sets up once, beside the policies: the namespace, Secrets, the database's address and the sync itself. */
export function setUp(set: ReplicaSet, s3: S3, password: string, repository: string): object[] {
  const metadata = (name: string) => ({ name, namespace: NAMESPACE });
  const secret = (name: string, stringData: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadata(name),
    stringData,
  });
  const hosts = set.members.map((member) => new URL(member.uri()).host).join(',');
  const authority = set.tls?.authority;
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: NAMESPACE, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    },
    secret('s3-credentials', { AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey }),
    secret('restic-password', { RESTIC_PASSWORD: 'correct horse battery staple' }),
    secret('orders-auth', { username: 'backstay', password }),
    {
      apiVersion: 'backstay.dev/v1alpha1',
      kind: 'AppBinding',
      metadata: metadata('orders'),
      spec: {
        clientConfig: {
          url: `mongodb://${hosts}/?replicaSet=${set.name}`,
          ...(authority === undefined ? {} : { caBundle: readFileSync(authority.file).toString('base64') }),
        },
        secret: { name: 'orders-auth' },
      },
    },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: metadata('policy-sync') },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: metadata('policy-sync'),
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'backstay-policy' },
      subjects: [{ kind: 'ServiceAccount', name: 'policy-sync', namespace: NAMESPACE }],
    },
    {
      apiVersion: 'backstay.dev/v1alpha1',
      kind: 'PolicySync',
      metadata: metadata('production'),
      spec: {
        url: repository,
        ref: { branch: 'main' },
        path: 'production',
        interval: '2s',
        serviceAccountName: 'policy-sync',
      },
    },
  ];
}
