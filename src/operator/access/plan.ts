/**
 * The access rights of Jobs: one service account for each owner, with Roles that name the objects it may read.
 *
 * Roles in the owner's namespace belong to it by ownerReference. Ones in other namespaces cannot (an owner must be in the same
 * namespace); they carry the owner's uid as a label instead, and its finalizer removes them.
 */
import { type Component, componentLabels } from '../../api/labels.ts';
import { shortName } from '../../api/names.ts';
import type { PolicyRule, Role, RoleBinding, ServiceAccount } from '../../kube/builtin.ts';
import type { OwnerReference } from '../../kube/resource.ts';

/** Uid of the object that a Role or RoleBinding in another namespace was made for. */
export const OWNER_LABEL = 'backstay.dev/owner-uid';

/** A right on objects of one namespace: on the named ones, or on all of them when `names` is left out. */
export interface Grant {
  namespace: string;
  group: string;
  resource: string;
  verbs: readonly string[];
  names?: readonly string[];
}

export interface AccessRequest {
  /** Name of the service account, and of its Roles. */
  name: string;
  namespace: string;
  component: Component;
  owner: OwnerReference;
  labels?: Record<string, string>;
  grants: readonly Grant[];
}

export interface Access {
  serviceAccount: ServiceAccount;
  roles: Role[];
  bindings: RoleBinding[];
}

/** The service account with the Roles and RoleBindings for exactly the grants. The order of the grants does not matter. */
export function planAccess({ name, namespace, component, owner, labels, grants }: AccessRequest): Access {
  const common = { ...labels, ...componentLabels(component) };
  const roles: Role[] = [];
  const bindings: RoleBinding[] = [];
  for (const place of [...new Set(grants.map((grant) => grant.namespace))].sort()) {
    const home = place === namespace;
    const metadata = {
      name: home ? name : shortName(`${name}-${namespace}`),
      namespace: place,
      labels: home ? common : { ...common, [OWNER_LABEL]: owner.uid },
      ...(home ? { ownerReferences: [owner] } : {}),
    };
    roles.push({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata,
      rules: rulesOf(grants.filter((grant) => grant.namespace === place)),
    });
    bindings.push({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
    });
  }
  return {
    serviceAccount: {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name, namespace, labels: common, ownerReferences: [owner] },
    },
    roles,
    bindings,
  };
}

/** One rule for each resource and set of verbs, with the names together and everything in order: equal grants make equal rules. */
function rulesOf(grants: readonly Grant[]): PolicyRule[] {
  const rules = new Map<string, PolicyRule>();
  for (const { group, resource, verbs, names } of grants) {
    const sorted = [...verbs].sort();
    const key = [group, resource, sorted.join(), names === undefined ? 'all' : 'named'].join('|');
    const former = rules.get(key);
    const all = [...new Set([...(former?.resourceNames ?? []), ...(names ?? [])])].sort();
    rules.set(key, {
      apiGroups: [group],
      resources: [resource],
      verbs: sorted,
      ...(names === undefined ? {} : { resourceNames: all }),
    });
  }
  return [...rules.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, rule]) => rule);
}
