/** `npm run bench:gitops`: how long a commit takes into the cluster, see USAGE. */
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { readOptions } from '../../scripts/options.ts';
import { ROOT } from '../../scripts/tools/cache.ts';
import { describeError } from '../../src/api/errors.ts';
import { measureLarge } from './large.ts';
import { measureMany } from './many.ts';
import { OBJECTS_EACH } from './policies.ts';
import { page } from './report.ts';

const USAGE = `usage: npm run bench:gitops [-- OPTIONS]

How long a commit takes into the cluster: the first one of a large repository, and a change of one file after it that is pushed and
announced to the receiver; through a real API server with the webhook in its path.

  --policies NUMBER  files of the large repository (default 1000)
  --pushes NUMBER    changes that are pushed (default 40)
  --syncs NUMBER     PolicySyncs that begin at the same time (default 100)
  --write            write docs/benchmarks-gitops.md
`;

/** Policies of each of the many. */
const EACH = 10;

async function main(): Promise<void> {
  const values = readOptions(USAGE, {
    policies: { type: 'string', default: '1000' },
    pushes: { type: 'string', default: '40' },
    syncs: { type: 'string', default: '100' },
    write: { type: 'boolean', default: false },
  });
  const whole = (text: string): number => {
    const number = Number(text);
    if (!Number.isInteger(number) || number < 1) throw new Error(`${text} is no whole number above 0`);
    return number;
  };
  const policies = whole(values.policies);
  const say = (line: string): void => console.error(line);
  const machine = `${availableParallelism()} processors (${cpus()[0]?.model ?? 'unknown'}), Node.js ${process.versions.node}`;
  const large = await measureLarge({ policies, pushes: whole(values.pushes) }, say);
  const many = await measureMany({ syncs: whole(values.syncs), policies: EACH }, say);
  const text = page({ machine, policies, objects: policies * OBJECTS_EACH, large, many });
  console.log(text);
  if (values.write) await writeFile(join(ROOT, 'docs', 'benchmarks-gitops.md'), text);
}

await main().catch((error: unknown) => {
  console.error(describeError(error));
  process.exitCode = 1;
});
process.exit();
