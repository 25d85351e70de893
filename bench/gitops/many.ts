import type { PolicySyncSpec } from '../../src/api/generated/types.ts';
import { applied, openField } from './field.ts';
import { policy } from './policies.ts';
import type { ManyFigures } from './report.ts';

const HOME = 'many';

/** Many PolicySyncs that arrive together, each of a small repository of its own. */
export async function measureMany(
  { syncs, policies }: { syncs: number; policies: number },
  say: (line: string) => void,
): Promise<ManyFigures> {
  await using field = await openField(HOME);
  const { client, server } = field;
  const specs = Array.from({ length: syncs }, (_, number): [string, PolicySyncSpec] => {
    const repository = server.repository(`many-${number}`);
    const names = Array.from({ length: policies }, (_, index) => number * policies + index);
    repository.commit(Object.fromEntries(names.map((index) => [`${index}.yaml`, policy(index)])));
    const url = server.urlOf(repository);
    return [`policies-${number}`, { url, interval: '1h', retryInterval: '5s', timeout: '10m' }];
  });
  const seconds = (await applied(client, HOME, specs)) / 1000;
  const peak = await field.peak();
  say(`${syncs} PolicySyncs: ${seconds.toFixed(1)} s, at most ${Math.round(peak / (1 << 20))} MiB`);
  return { syncs, policies, seconds, peak };
}
