// A process that follows git as the operator does, to be killed at any moment: KUBECONFIG, and the folder of the copies as its argument.
import { PolicySyncs } from '../../src/api/kinds.ts';
import { policySyncController } from '../../src/gitops/controller.ts';
import { liveFrom } from '../../src/gitops/live.ts';
import { Cache } from '../../src/kube/cache.ts';
import { connect } from '../../src/kube/client.ts';

const [folder = ''] = process.argv.slice(2);
const client = await connect({ qps: 1e6, burst: 1e6 });
const signal = new AbortController().signal;
const policySyncs = new Cache({ client, type: PolicySyncs });
void policySyncs.run(signal);
await policySyncController({
  client,
  policySyncs,
  folder,
  live: liveFrom(client),
  events: { record: () => {} },
}).run(signal);
