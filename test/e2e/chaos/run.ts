/** `npm run chaos`: kills after every step of a backup, see USAGE. */
import { readOptions } from '../../../scripts/options.ts';
import { tools } from '../../../scripts/tools/tool.ts';
import { describeError } from '../../../src/api/errors.ts';
import { nameOf, POINTS, spread } from './points.ts';
import { playRound, type RoundResult } from './round.ts';
import { openScene } from './scene.ts';
import { VICTIMS, type Victim } from './victims.ts';

/** How long it may take until all is clean, on a machine that does nothing else. */
const CLEAN_WITHIN_SECONDS = 30;

const USAGE = `usage: npm run chaos [-- OPTIONS]

Kills a victim right after every step of a sharded backup that is recorded, and looks whether anything is left behind, and whether that
took longer than ${CLEAN_WITHIN_SECONDS} s.

  --points NUMBER   how many of the ${POINTS.length} steps, spread over all of them (default all)
  --victim NAMES    who is killed, of ${VICTIMS.join(',')} (default all)
  --step WORDS      only the steps that have the words in their name
`;

async function main(): Promise<number> {
  const values = readOptions(USAGE, {
    points: { type: 'string', default: String(POINTS.length) },
    step: { type: 'string', default: '' },
    victim: { type: 'string', default: VICTIMS.join(',') },
  });
  const count = Number(values.points);
  const victims = values.victim.split(',').map(victimOf);
  if (!(count > 0)) throw new Error(`${values.points} is no number of points`);
  await tools(['mongod', 'restic', 'pushgateway', 'kubernetes', 'containerd', 'pause'], { onProgress: console.error });
  await using scene = await openScene();
  const results: RoundResult[] = [];
  for (const victim of victims) {
    for (const [turn, point] of spread(count).entries()) {
      if (!nameOf(point).includes(values.step)) continue;
      const result = judged(await playRound(scene, victim, point, turn));
      results.push(result);
      console.log(lineOf(result));
    }
  }
  console.log(`\n${table(results)}\n`);
  const failed = results.filter(({ problems }) => problems.length > 0).length;
  console.log(`${results.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

function judged(result: RoundResult): RoundResult {
  const { cleanSeconds = 0, problems } = result;
  if (cleanSeconds <= CLEAN_WITHIN_SECONDS) return result;
  return { ...result, problems: [...problems, `clean only after ${CLEAN_WITHIN_SECONDS} s`] };
}

function victimOf(word: string): Victim {
  const found = VICTIMS.find((victim) => victim === word);
  if (found === undefined) throw new Error(`there is no victim ${word}: use one of ${VICTIMS.join(', ')}`);
  return found;
}

function lineOf({ victim, point, balancer, killed, ended, cleanSeconds, problems }: RoundResult): string {
  const verdict = problems.length === 0 ? 'ok  ' : 'FAIL';
  const clean = cleanSeconds === undefined ? 'not clean' : `clean after ${cleanSeconds.toFixed(1)} s`;
  const line = `${verdict} ${victim}: after "${point}", balancer ${balancer}: ${killed} killed; ${ended}; ${clean}`;
  return [line, ...problems.map((problem) => `       ${problem}`)].join('\n');
}

/** For each victim: points, how many are good, and the seconds until all was clean. */
function table(results: readonly RoundResult[]): string {
  const rows = [...new Set(results.map(({ victim }) => victim))].map((victim) => {
    const own = results.filter((result) => result.victim === victim);
    const times = own.flatMap(({ cleanSeconds }) => cleanSeconds ?? []).sort((a, b) => a - b);
    const middle = times[Math.floor(times.length / 2)];
    const good = own.filter(({ problems }) => problems.length === 0).length;
    return [victim, own.length, good, middle?.toFixed(1) ?? '-', times.at(-1)?.toFixed(1) ?? '-'];
  });
  const head = ['victim', 'points', 'passed', 'median s', 'most s'];
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

const ticking = setInterval(() => {}, 1 << 30); // a lab keeps no process alive
try {
  process.exitCode = await main();
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
clearInterval(ticking);
process.exit();
