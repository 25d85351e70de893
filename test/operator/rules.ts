import { connect } from '../../src/kube/client.ts';
import { silent } from '../../src/kube/log.ts';
import { createBackupPolicyRuleController } from '../../src/operator/backuppolicyrule/controller.ts';
import { type Caches, createCaches } from '../../src/operator/caches.ts';
import { TargetClaims } from '../../src/operator/claims.ts';
import { sharedLab } from '../lab/shared.ts';

/**
 * Keeps BackupPolicyRules with the rights of the operator, in the whole cluster: the operators of other tests look at namespaces of their
 * own and leave rules alone.
 */
export async function keepRules(): Promise<{ caches: Caches } & AsyncDisposable> {
  const cluster = await sharedLab();
  const administrator = await connect({ kubeconfig: cluster.kubeconfig, qps: 1000, burst: 1000 });
  const client = administrator.withToken(await cluster.tokenFor('backstay-system', 'backstay-operator'));
  const caches = createCaches({ client, log: silent });
  if (caches.rules === undefined) throw new Error('rules are kept where all namespaces are looked at');
  const controller = createBackupPolicyRuleController(
    {
      ...{ client, caches, claims: new TargetClaims(), settings: { image: 'none' }, log: silent, concurrency: 1 },
      notes: () => ({ note: () => {} }),
    },
    caches.rules,
  );
  const stop = new AbortController();
  const running = Promise.all([...caches.all.map((cache) => cache.run(stop.signal)), controller.run(stop.signal)]);
  return {
    caches,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}
