import type { Target } from '../api/generated/types.ts';
import { API_GROUP } from '../api/group.ts';
import { AppBindings } from '../api/kinds.ts';
import { type NamespacedName, resolveTarget } from '../api/references.ts';
import { defineResource, type KubeObject } from '../kube/resource.ts';
import type { MongoEndpoint } from '../mongo/connection.ts';
import type { SecretData } from '../restic/backends.ts';
import { type Binding, mongoEndpoint } from './endpoint.ts';
import type { JobContext } from './job.ts';
import { readSecret, requireObject } from './objects.ts';

/** The AppBinding that KubeDB and others make. A MongoDB of kubedb.com has one of its own name. */
const CatalogAppBindings = defineResource<KubeObject & Binding>(
  'appcatalog.appscode.com/v1alpha1',
  'AppBinding',
  'appbindings',
);

/** Reads how the target of an object in namespace `from` is reached. Its secrets are hidden in the log from then on. */
export async function readTarget(
  { client, hide, signal }: Pick<JobContext, 'client' | 'hide' | 'signal'>,
  target: Target,
  from: string,
): Promise<{ name: NamespacedName; endpoint: MongoEndpoint }> {
  const { apiGroup, namespace, name } = resolveTarget(target, from);
  const ref = { namespace, name };
  const missing = { signal, code: 'TargetNotFound' };
  const binding: Binding =
    apiGroup === API_GROUP
      ? await requireObject(client, AppBindings, ref, missing)
      : await requireObject(client, CatalogAppBindings, ref, missing);
  const secretOf = async (reference: { name: string } | undefined): Promise<SecretData | undefined> => {
    // Some operators write a reference without a name for "none".
    if (reference === undefined || !reference.name) return undefined;
    return readSecret(client, { namespace, name: reference.name }, signal);
  };
  const [secret, tlsSecret] = await Promise.all([secretOf(binding.spec.secret), secretOf(binding.spec.tlsSecret)]);
  const endpoint = mongoEndpoint(binding, secret, tlsSecret);
  const { credential, tls } = endpoint;
  if (credential?.kind === 'scram') hide([credential.password]);
  if (tls?.certificate !== undefined) hide([tls.certificate]);
  return { name: ref, endpoint };
}
