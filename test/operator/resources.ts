import { KINDS } from '../../src/api/kinds.ts';
import { ConfigMaps, CronJobs, Jobs, Secrets } from '../../src/kube/builtin.ts';
import type { KubeObject, ResourceType } from '../../src/kube/resource.ts';

/** Where an object of a test is found in the API. */
export function resourceFor({ apiVersion, kind }: KubeObject): ResourceType {
  const all: ResourceType[] = [...Object.values(KINDS), Secrets, ConfigMaps, CronJobs, Jobs];
  const found = all.find((type) => type.kind === kind && type.apiVersion === apiVersion);
  if (found === undefined) throw new Error(`no resource for ${kind}`);
  return found;
}
