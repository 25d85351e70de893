/** `npm run check`: format, lint and types, with what the programs say on the terminal. */
import { spawnSync } from 'node:child_process';
import { CHECKS } from '../test/run/checks.ts';
import { ROOT } from './tools/cache.ts';

const results = CHECKS.map(({ command, args }) => spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' }));
process.exitCode = results.every(({ status }) => status === 0) ? 0 : 1;
