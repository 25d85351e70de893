import { setTimeout as sleep } from 'node:timers/promises';
import { BackstayError } from '../api/errors.ts';
import type { NamespacedName } from '../api/references.ts';
import { Secrets } from '../kube/builtin.ts';
import type { Client } from '../kube/client.ts';
import { isForbidden } from '../kube/kube-error.ts';
import type { KubeObject, ResourceType } from '../kube/resource.ts';
import type { SecretData } from '../restic/backends.ts';

interface ReadOptions {
  signal?: AbortSignal | undefined;
  /** Code of the error when there is no such object. */
  code: string;
}

// A Role takes effect on every API server within moments of its creation, which is just before this process starts.
const RBAC_TRIES = 5;
const RBAC_WAIT_MS = 1000;

/** The object; an error with the given code when there is none. */
export async function requireObject<T extends KubeObject>(
  client: Client,
  type: ResourceType<T>,
  ref: NamespacedName,
  { signal, code }: ReadOptions,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      const object = await client.get(type, ref, { signal });
      if (object !== undefined) return object;
      throw new BackstayError(code, `${type.kind} ${ref.namespace}/${ref.name} does not exist`, {
        remedy: `create ${type.kind} ${ref.namespace}/${ref.name}, or correct the reference to it`,
      });
    } catch (error) {
      if (!isForbidden(error) || tries === RBAC_TRIES) throw error;
      await sleep(RBAC_WAIT_MS, undefined, { signal });
    }
  }
}

/** What a Secret holds, as text. */
export async function readSecret(
  client: Client,
  ref: NamespacedName,
  signal?: AbortSignal | undefined,
): Promise<SecretData> {
  const { data = {} } = await requireObject(client, Secrets, ref, { signal, code: 'SecretNotFound' });
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
  );
}
