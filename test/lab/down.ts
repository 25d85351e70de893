/**
 * `node test/lab/down.ts [--all]` removes the labs of this machine whose owner is gone: those that were kept, and what is left of one whose
 * watchdog was killed too. With `--all` it also removes labs that are in use.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeError } from '../../src/api/errors.ts';
import { until } from './process.ts';
import { reap } from './reap.ts';
import { startTime } from './record.ts';

interface Identity {
  pid: number;
  start: string;
}

const isAlive = ({ pid, start }: Identity): boolean => startTime(pid) === start;

const all = process.argv.includes('--all');
const base = process.env.BACKSTAY_LAB_DIR ?? tmpdir();
const folders = existsSync(base) ? readdirSync(base).filter((name) => name.startsWith('backstay-lab-')) : [];
let problems = 0;
for (const folder of folders.map((name) => join(base, name))) {
  const file = join(folder, 'ground.json');
  if (!existsSync(file)) continue; // it is just being made
  const { owner, watchdog }: { owner: Identity; watchdog: Identity } = JSON.parse(readFileSync(file, 'utf8'));
  if (isAlive(owner) && !all) {
    console.log(`${folder} is in use by process ${owner.pid}`);
    continue;
  }
  try {
    if (isAlive(watchdog)) {
      process.kill(watchdog.pid, 'SIGTERM');
      await until(`${folder} is removed`, async () => !isAlive(watchdog));
    }
    // Nothing is left to do after a watchdog that did its work.
    await reap(folder);
    console.log(`${folder} is removed`);
  } catch (error) {
    console.error(describeError(error));
    problems += 1;
  }
}
process.exit(problems === 0 ? 0 : 1);
