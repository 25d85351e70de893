/**
 * One candidate of a leader election as a process of its own, for tests that kill and pause it. It writes its name and a count into a
 * ConfigMap as fast as it can while it leads. Arguments: kubeconfig, identity.
 */
import { ConfigMaps } from '../../src/kube/builtin.ts';
import { connect } from '../../src/kube/client.ts';
import { sleep } from '../../src/kube/clock.ts';
import { LeaderElection } from '../../src/kube/leader.ts';

const [kubeconfig, identity = ''] = process.argv.slice(2);
const client = await connect({ kubeconfig });
const election = new LeaderElection({
  ...{ client, namespace: 'default', name: 'race', identity },
  ...{ leaseSeconds: 3, renewDeadlineSeconds: 2, retrySeconds: 0.4 },
});
const guarded = client.withGuard(election.guard);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());

await election.run(stop.signal, async (signal) => {
  for (let count = 1; !signal.aborted; count++) {
    const data = { writer: identity, count: String(count) };
    await guarded.apply(
      ConfigMaps,
      { metadata: { namespace: 'default', name: 'race' }, data },
      { fieldManager: 'race', force: true },
    );
    await sleep(20, signal).catch(() => {});
  }
});
