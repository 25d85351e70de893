import { API_GROUP } from '../api/group.ts';
import { isKind, KINDS } from '../api/kinds.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';

/** Which object: `namespace_name_group_kind`, as Flux writes it. None of the four can hold an underscore. */
export type ObjectID = string;

export function objectID({ kind, metadata }: KubeObject): ObjectID {
  return [metadata.namespace ?? '', metadata.name ?? '', API_GROUP, kind].join('_');
}

/** What an id stands for; undefined for one that is not of Backstay's kinds. */
export function parseObjectID(
  id: ObjectID,
): { type: ResourceType; namespace: string | undefined; name: string } | undefined {
  const [namespace = '', name = '', group = '', kind = '', ...rest] = id.split('_');
  if (rest.length > 0 || name === '' || group !== API_GROUP || !isKind(kind)) return undefined;
  return { type: KINDS[kind], namespace: namespace === '' ? undefined : namespace, name };
}
