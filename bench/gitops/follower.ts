// What the operator runs to follow git, as a process of its own: KUBECONFIG, and the folder of the copies as its argument.
import {
  AppBindings,
  BackupConfigurations,
  BackupStorages,
  PolicySyncs,
  RetentionPolicies,
} from '../../src/api/kinds.ts';
import { policySyncController } from '../../src/gitops/controller.ts';
import { liveFrom, liveFromCaches } from '../../src/gitops/live.ts';
import { Hints } from '../../src/gitops/push/hints.ts';
import { startReceiver } from '../../src/gitops/push/receiver.ts';
import { Cache } from '../../src/kube/cache.ts';
import { connect } from '../../src/kube/client.ts';
import type { KubeObject, ResourceType } from '../../src/kube/resource.ts';
import { REQUEST_RATE } from '../../src/operator/settings.ts';

const [folder = ''] = process.argv.slice(2);
const client = await connect(REQUEST_RATE);
const signal = new AbortController().signal;
const policySyncs = new Cache({ client, type: PolicySyncs });
void policySyncs.run(signal);
// The operator has them anyway.
const caches = [AppBindings, BackupStorages, RetentionPolicies, BackupConfigurations].map(
  (type) => new Cache<KubeObject>({ client, type: type as ResourceType }),
);
for (const cache of caches) void cache.run(signal);
const live = liveFromCaches(caches, liveFrom(client));
const hints = new Hints();
const controller = policySyncController(
  { client, policySyncs, folder, live, events: { record: () => {} } },
  { hints, watched: caches },
);
const receiver = await startReceiver(
  { host: '127.0.0.1', port: 0 },
  { client, policySync: (key) => policySyncs.getByKey(key), hint: (key) => hints.give(key) },
);
let peak = 0;
setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss());
}, 100).unref();
process.on('message', () => process.send?.({ peak }));
process.send?.({ port: receiver.port });
await controller.run(signal);
