import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { PolicySync, PolicySyncSpec } from '../../src/api/generated/types.ts';
import { API_VERSION } from '../../src/api/group.ts';
import { AppBindings, PolicySyncs, RestoreSessions, RetentionPolicies } from '../../src/api/kinds.ts';
import {
  type CustomResourceDefinition,
  CustomResourceDefinitions,
  Namespaces,
  type Role,
  RoleBindings,
  Roles,
  ServiceAccounts,
} from '../../src/kube/builtin.ts';
import type { Cache } from '../../src/kube/cache.ts';
import type { Client } from '../../src/kube/client.ts';
import { type KubeObject, keyOf, type ResourceType } from '../../src/kube/resource.ts';
import { until } from '../lab/process.ts';
import type { GitServer, TestRepository } from './git-server.ts';

/** What a test of a PolicySync acts upon: a cluster, a git server, and a namespace and a repository of its own. */
export interface Scene {
  client: Client;
  cache: Cache<PolicySync>;
  server: GitServer;
  namespace: string;
  repository: TestRepository;
}

const CRDS = new URL('../../manifests/crds/', import.meta.url);
const FIELD_MANAGER = { fieldManager: 'test' };

/** Makes Backstay's kinds known to an API server. */
export async function serveKinds(client: Client): Promise<void> {
  for (const file of readdirSync(CRDS).filter((name) => name.endsWith('.backstay.dev.yaml'))) {
    const crd: CustomResourceDefinition = parse(readFileSync(new URL(file, CRDS), 'utf8'));
    await client.apply(CustomResourceDefinitions, crd, FIELD_MANAGER);
  }
  await until('the kinds are served', async () => {
    const kinds: ResourceType[] = [PolicySyncs, RetentionPolicies, RestoreSessions, AppBindings];
    for (const kind of kinds) await client.list(kind);
    return true;
  });
}

/** A namespace with the account `git`, which may write policies in it. */
export async function makeNamespace(scene: Pick<Scene, 'client' | 'namespace'>): Promise<void> {
  const { client, namespace } = scene;
  await client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  await account(scene, 'git', [
    { apiGroups: ['backstay.dev'], resources: ['*'], verbs: ['get', 'create', 'patch', 'delete'] },
  ]);
}

export async function account(
  { client, namespace }: Pick<Scene, 'client' | 'namespace'>,
  name: string,
  rules: Role['rules'],
): Promise<void> {
  const metadata = { name, namespace };
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name };
  await client.apply(ServiceAccounts, { metadata }, FIELD_MANAGER);
  await client.apply(Roles, { metadata, rules }, FIELD_MANAGER);
  const subjects = [{ kind: 'ServiceAccount', name, namespace }];
  await client.apply(RoleBindings, { metadata, roleRef, subjects }, FIELD_MANAGER);
}

export async function declare(
  { client, server, repository, namespace, cache }: Scene,
  spec: Partial<PolicySyncSpec> = {},
  name = 'policies',
): Promise<PolicySync> {
  const object = await client.apply(
    PolicySyncs,
    {
      metadata: { name, namespace },
      spec: { url: server.urlOf(repository), serviceAccountName: 'git', retryInterval: '5s', ...spec },
    },
    FIELD_MANAGER,
  );
  await seen(cache, object);
  return object;
}

export async function seen(cache: Cache<PolicySync>, object: PolicySync): Promise<void> {
  await until('the cache has seen the PolicySync', async () => {
    const version = Number(cache.getByKey(keyOf(object))?.metadata.resourceVersion ?? 0);
    return version >= Number(object.metadata.resourceVersion);
  });
}

let requests = 0;

/** Asks for a reconciliation by the annotation, and returns when the cache has seen that. */
export async function request({ client, namespace, cache }: Scene, name = 'policies'): Promise<void> {
  requests += 1;
  const body = { metadata: { annotations: { 'backstay.dev/reconcile': `request-${requests}` } } };
  const asked = await client.patch(PolicySyncs, { namespace, name }, body, { type: 'merge', ...FIELD_MANAGER });
  await seen(cache, asked);
}

export async function policySyncOf({ client, namespace }: Scene, name = 'policies'): Promise<PolicySync> {
  return present(await client.get(PolicySyncs, { namespace, name }));
}

export function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('it is not there');
  return value;
}

/** A condition as `True ReconciliationSucceeded`. */
export function condition({ status }: PolicySync, type: string): string | undefined {
  const found = status?.conditions?.find((one) => one.type === type);
  return found === undefined ? undefined : `${found.status} ${found.reason}`;
}

/** A policy that is easily told from others by its number. */
export function retention(name: string, last: number, extra = ''): string {
  return `apiVersion: ${API_VERSION}\nkind: RetentionPolicy\nmetadata:\n  name: ${name}\n${extra}spec:\n  successfulSnapshots:\n    last: ${last}\n`;
}

/** The policies in the namespace, with their numbers. */
export async function retentions({
  client,
  namespace,
}: Pick<Scene, 'client' | 'namespace'>): Promise<Record<string, number | undefined>> {
  const all = await client.listAll(RetentionPolicies, { namespace });
  return Object.fromEntries(all.map(({ metadata, spec }) => [metadata.name ?? '', spec.successfulSnapshots?.last]));
}

/** A client that notes every write that is not a rehearsal, its own and that of the accounts it acts as. */
export function recording(client: Client, writes: string[]): Client {
  return new Proxy(client, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name === 'withToken')
        return (...args: Parameters<Client['withToken']>) => recording(target.withToken(...args), writes);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const last = args.at(-1) as { dryRun?: boolean } | undefined;
        if (WRITES.has(String(name)) && last?.dryRun !== true) {
          const [type, what] = args as [ResourceType, Partial<KubeObject> & { name?: string }];
          writes.push(`${String(name)} ${type.kind} ${what.metadata?.name ?? what.name}`);
        }
        return Reflect.apply(value, target, args);
      };
    },
  });
}

const WRITES = new Set(['create', 'apply', 'applyStatus', 'patch', 'replace', 'delete']);
