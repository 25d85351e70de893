import { joinPath } from '../api/causes.ts';
import { isRecord, sameValue } from '../api/json.ts';
import type { KubeObject } from '../api/meta.ts';

/** A written field whose value in the cluster is another one. */
export interface Difference {
  /** `spec.sessions[0].name` */
  field: string;
  wanted: unknown;
  /** Undefined when it is not there. */
  live: unknown;
}

/** The fields that git writes and the cluster has otherwise. What the cluster has beside them is no difference. */
export function differences(wanted: KubeObject, live: KubeObject): Difference[] {
  return compare('', wanted, live);
}

function compare(field: string, wanted: unknown, live: unknown): Difference[] {
  if (sameValue(wanted, live)) return [];
  if (isRecord(wanted) && isRecord(live))
    return Object.entries(wanted).flatMap(([key, value]) => compare(joinPath(field, key), value, live[key]));
  if (Array.isArray(wanted) && Array.isArray(live) && wanted.length === live.length)
    return wanted.flatMap((value, index) => compare(joinPath(field, index), value, live[index]));
  return [{ field, wanted, live }];
}
