import { BackstayError } from '../api/errors.ts';
import type { PolicySync } from '../api/generated/types.ts';
import { isNotFound } from '../kube/kube-error.ts';
import type { ApplyContext } from './apply.ts';
import { identityOf } from './follow.ts';
import { markOf } from './ownership.ts';
import type { ServiceAccountClients } from './service-account.ts';

/** The context of the writes, asked for when it is needed first: a settled PolicySync without Secrets needs none. */
export function contextOnce(
  policySync: PolicySync,
  surroundings: { accounts: ServiceAccountClients },
  signal: AbortSignal,
): () => Promise<ApplyContext> {
  let context: Promise<ApplyContext> | undefined;
  return () => {
    context ??= contextFor(policySync, surroundings, signal);
    return context;
  };
}

async function contextFor(
  policySync: PolicySync,
  { accounts }: { accounts: ServiceAccountClients },
  signal: AbortSignal,
): Promise<ApplyContext> {
  const { namespace, name } = identityOf(policySync);
  const account = policySync.spec.serviceAccountName ?? 'default';
  try {
    await accounts.check(namespace, account, signal);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new BackstayError(
      'ServiceAccountNotFound',
      `ServiceAccount ${namespace}/${account}, which spec.serviceAccountName names, does not exist`,
      {
        remedy: 'create it, and a RoleBinding that lets it write policies',
        cause: error,
      },
    );
  }
  return { client: accounts.as(namespace, account), mark: markOf({ namespace, name }), signal };
}
