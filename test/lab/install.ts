import { fileURLToPath } from 'node:url';
import { buildBackstayImage, buildPushgatewayImage } from '../../scripts/image/build.ts';
import type { Cluster } from './cluster.ts';
import { until } from './process.ts';

const OVERLAY = fileURLToPath(new URL('../../manifests/overlays/lab', import.meta.url));
/** What the overlay writes for the network of the lab. */
const PLACEHOLDER = /127\.17\.0\./g;

/** Namespace that Backstay is installed in. */
export const SYSTEM_NAMESPACE = 'backstay-system';

/** Puts Backstay into a cluster of the lab, as manifests/ has it, and waits until operator and webhook are ready. */
export async function installBackstay(cluster: Cluster): Promise<void> {
  const images = (async () => {
    for (const image of await Promise.all([buildBackstayImage(), buildPushgatewayImage()]))
      await cluster.importImage(image);
  })();
  const rendered = await cluster.kubectl(['kustomize', OVERLAY]);
  await installFrom(cluster, rendered.replace(PLACEHOLDER, `127.${cluster.number}.0.`), images);
}

/** Applies rendered manifests, definitions first, and waits until operator and webhook are ready. */
export async function installFrom(
  cluster: Pick<Cluster, 'kubectl' | 'apply' | 'request'>,
  manifests: string,
  images: Promise<void>,
): Promise<void> {
  const documents = manifests.split(/^---$/m);
  const isDefinition = (document: string): boolean => /^kind: CustomResourceDefinition$/m.test(document);
  await cluster.apply(documents.filter(isDefinition).join('---\n'));
  await cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
  await images;
  await cluster.apply(documents.filter((document) => !isDefinition(document)).join('---\n'));
  for (const name of ['backstay-webhook', 'backstay-operator']) {
    await cluster.kubectl(['-n', SYSTEM_NAMESPACE, 'rollout', 'status', `deployment/${name}`, '--timeout=60s']);
  }
  await until('the API server calls the webhook', () => webhookAnswers(cluster), { timeoutMs: 30_000 });
}

/** Whether a dry run passes the webhook: the certificate authority may reach the API server later than the Pod is ready. */
async function webhookAnswers(cluster: Pick<Cluster, 'request'>): Promise<boolean> {
  const path = '/apis/backstay.dev/v1alpha1/namespaces/default/retentionpolicies?dryRun=All';
  const body = {
    apiVersion: 'backstay.dev/v1alpha1',
    kind: 'RetentionPolicy',
    metadata: { name: 'probe', namespace: 'default' },
    spec: { successfulSnapshots: { last: 1 } },
  };
  return (await cluster.request('POST', path, { body })).status === 201;
}
