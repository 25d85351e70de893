import type { KubeObject, ManagedFieldsEntry } from '../../api/meta.ts';
import { isSettled } from '../../kube/settled.ts';
import { differences } from '../differences.ts';
import type { ObjectID } from '../object-id.ts';
import { FIELD_MANAGER } from '../ownership.ts';
import type { DesiredObject } from '../prepare.ts';
import { objectLabel } from '../read/objects.ts';

/** An object of git that the cluster has otherwise. */
export interface Drift {
  id: ObjectID;
  /** kind/namespace/name */
  object: string;
  kind: 'changed' | 'deleted';
  /** The fields that have other values. */
  fields: string[];
  /** The field manager that gave them these; undefined when the object does not say. */
  manager: string | undefined;
}

/** How an object differs from what git says; undefined when it does not, or when nothing is to be done about it. */
export function driftOf({ id, object, type }: DesiredObject, live: KubeObject | undefined): Drift | undefined {
  const about = { id, object: objectLabel(object) };
  if (live === undefined) {
    // A restore runs once, and is not made again when somebody tidies up.
    return type.kind === 'RestoreSession' ? undefined : { ...about, kind: 'deleted', fields: [], manager: undefined };
  }
  // It is made again once it is gone, which is another event.
  if (live.metadata.deletionTimestamp !== undefined) return undefined;
  if (isSettled(object, live, { fieldManager: FIELD_MANAGER })) return undefined;
  const fields = differences(object, live).map(({ field }) => field);
  return { ...about, kind: 'changed', fields, manager: managerOf(live, fields) };
}

/** Who last wrote one of the fields, as far as `managedFields` tells; who wrote last to the object otherwise. */
function managerOf({ metadata }: KubeObject, fields: readonly string[]): string | undefined {
  const others = (metadata.managedFields ?? [])
    .filter(({ manager, subresource }) => manager !== FIELD_MANAGER && subresource === undefined)
    .sort((a, b) => (b.time ?? '').localeCompare(a.time ?? ''));
  const owner = others.find((entry) => fields.some((field) => owns(entry, field)));
  return (owner ?? others[0])?.manager;
}

/** Whether the entry has the field, or the list that it is in: the items of a list are named by their keys there. */
function owns({ fieldsV1 }: ManagedFieldsEntry, field: string): boolean {
  const [path = ''] = field.split('[');
  let owned: unknown = fieldsV1;
  for (const name of path.split('.')) {
    if (typeof owned !== 'object' || owned === null || !Object.hasOwn(owned, `f:${name}`)) return false;
    owned = (owned as Record<string, unknown>)[`f:${name}`];
  }
  return true;
}
