import type { Cluster } from './cluster.ts';
import { attachKubernetes, startKubernetes } from './kubernetes.ts';

/** Holds the folder of the lab that a test runner started for all of its tests. */
export const SHARED_LAB = 'BACKSTAY_TEST_LAB';

let own: Promise<Cluster> | undefined;

/**
 * The cluster that tests share: the runner's, or one that this process starts for itself when the test is run alone and that ends with
 * it. Tests take a namespace of their own in it; `stop` on the handle does nothing, so `await using` is fine.
 */
export async function sharedLab(): Promise<Cluster> {
  const folder = process.env[SHARED_LAB];
  if (folder) return attachKubernetes(folder);
  own ??= startKubernetes();
  return attachKubernetes((await own).folder);
}
