/** Access rights as wanted objects. Pure. */
import { RoleBindings, Roles, ServiceAccounts } from '../../kube/builtin.ts';
import { controllerOf, type KubeObject, type OwnerReference } from '../../kube/resource.ts';
import type { Removal, Wanted } from '../reconcile/plan.ts';
import { type Access, OWNER_LABEL } from './plan.ts';

/** Everything of an access, in the order in which it takes effect. */
export function accessWanted({ serviceAccount, roles, bindings }: Access, owner: OwnerReference): Wanted[] {
  const ours = (live: KubeObject): boolean =>
    controllerOf(live)?.uid === owner.uid || live.metadata.labels?.[OWNER_LABEL] === owner.uid;
  return [
    { type: ServiceAccounts, object: serviceAccount, ours },
    ...roles.map((object) => ({ type: Roles, object, ours })),
    ...bindings.map((object) => ({ type: RoleBindings, object, ours })),
  ];
}

/** Roles and bindings that were made for the owner and are in none of the accesses any more (a storage moved to another namespace). */
export function accessLeftovers(
  live: { roles: readonly KubeObject[]; bindings: readonly KubeObject[] },
  accesses: readonly Access[],
): Removal[] {
  const key = ({ metadata }: KubeObject): string => `${metadata.namespace}/${metadata.name}`;
  const roles = new Set(accesses.flatMap((access) => access.roles.map(key)));
  const bindings = new Set(accesses.flatMap((access) => access.bindings.map(key)));
  return [
    ...live.bindings.filter((object) => !bindings.has(key(object))).map((object) => ({ type: RoleBindings, object })),
    ...live.roles.filter((object) => !roles.has(key(object))).map((object) => ({ type: Roles, object })),
  ];
}
