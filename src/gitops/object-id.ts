import { API_GROUP } from '../api/group.ts';
import { isKind, KINDS } from '../api/kinds.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';
import { Secrets } from '../kube/builtin.ts';

/** Which object: `namespace_name_group_kind`, as Flux writes it, without a group for a Secret. None of the four can hold an underscore. */
export type ObjectID = string;

export function objectID({ apiVersion, kind, metadata }: KubeObject): ObjectID {
  const group = apiVersion === Secrets.apiVersion ? '' : API_GROUP;
  return [metadata.namespace ?? '', metadata.name ?? '', group, kind].join('_');
}

/** What an id stands for; undefined for one that is neither of Backstay's kinds nor a Secret. */
export function parseObjectID(
  id: ObjectID,
): { type: ResourceType; namespace: string | undefined; name: string } | undefined {
  const [namespace = '', name = '', group = '', kind = '', ...rest] = id.split('_');
  if (rest.length > 0 || name === '') return undefined;
  const place = { namespace: namespace === '' ? undefined : namespace, name };
  if (group === '' && kind === Secrets.kind) return { type: Secrets, ...place };
  return group === API_GROUP && isKind(kind) ? { type: KINDS[kind], ...place } : undefined;
}

/** Whether an id is that of a Secret: the operator never looks at these with rights of its own. */
export function isSecretID(id: ObjectID): boolean {
  return parseObjectID(id)?.type.kind === Secrets.kind;
}
