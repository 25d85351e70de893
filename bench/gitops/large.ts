import { createHmac } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PolicySyncSpec } from '../../src/api/generated/types.ts';
import { RetentionPolicies } from '../../src/api/kinds.ts';
import { Cache } from '../../src/kube/cache.ts';
import { percentiles } from '../webhook/percentiles.ts';
import { applied, type Field, holds, openField, TOKEN } from './field.ts';
import { policy } from './policies.ts';
import type { LargeFigures } from './report.ts';

const HOME = 'shop';
const NAME = 'policies';

/** One PolicySync of a large repository: its first synchronisation, and changes of one file that are pushed and announced. */
export async function measureLarge(
  { policies, pushes }: { policies: number; pushes: number },
  say: (line: string) => void,
): Promise<LargeFigures> {
  await using field = await openField(HOME);
  const { client, server } = field;
  const repository = server.repository('shop');
  repository.commit(
    Object.fromEntries(Array.from({ length: policies }, (_, index) => [`p/${index}.yaml`, policy(index)])),
  );
  const spec: PolicySyncSpec = {
    url: server.urlOf(repository),
    ...{ interval: '1h', retryInterval: '5s', timeout: '10m' },
    receiver: { type: 'Generic', secretRef: { name: 'hook' } },
  };
  const firstSync = (await applied(client, HOME, [[NAME, spec]])) / 1000;
  say(`first sync: ${firstSync.toFixed(1)} s`);

  const stop = new AbortController();
  const live = new Cache({ client, type: RetentionPolicies, namespaces: [HOME] });
  void live.run(stop.signal);
  await live.synced;
  const times: number[] = [];
  for (let push = 0; push < pushes; push += 1) {
    const index = Math.floor(Math.random() * policies);
    const last = 100 + push;
    repository.commit({ [`p/${index}.yaml`]: policy(index, last) });
    const startedAt = performance.now();
    await announce(field, String(push));
    await holds(() => live.getByKey(`${HOME}/db-${index}`)?.spec.successfulSnapshots?.last === last);
    times.push(performance.now() - startedAt);
    await sleep(300);
  }
  stop.abort();
  const push = percentiles(times);
  say(`push to applied: median ${push.median.toFixed(0)} ms, p95 ${push.p95.toFixed(0)} ms`);
  await sleep(1000);
  server.requests.length = 0;
  await announce(field, 'nothing new');
  await sleep(2000);
  return { firstSync, push, unchanged: server.requests.length, peak: await field.peak() };
}

async function announce({ port }: Field, body: string): Promise<void> {
  const signature = createHmac('sha256', TOKEN).update(body).digest('hex');
  const headers = { 'x-signature': `sha256=${signature}` };
  await fetch(`http://127.0.0.1:${port}/hook/${HOME}/${NAME}`, { method: 'POST', body, headers });
}
