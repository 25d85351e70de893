// needs: own cluster
// time-limit: 300s
/** A sample of `npm run chaos`, which kills after every step. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { POINTS } from './chaos/points.ts';
import { playRound } from './chaos/round.ts';
import { openScene } from './chaos/scene.ts';
import type { Victim } from './chaos/victims.ts';

const chaos = suite('a sharded backup of which a part is killed');

const scene = await openScene();
chaos.after(async () => {
  await scene[Symbol.asyncDispose]();
});

/** The turn says how the runner is killed, and an odd one that the next session does not wait. */
const SAMPLE: readonly { victim: Victim; message: string; component: string; turn: number }[] = [
  { victim: 'both', message: 'member locked', component: 'sh1', turn: 5 },
  { victim: 'mongod', message: 'member locked', component: 'sh0', turn: 0 },
];

for (const { victim, message, component, turn } of SAMPLE) {
  const who = victim === 'both' ? 'runner and operator' : victim;
  chaos(`leaves no lock and no stopped balancer when ${who} die after "${message}"`, async () => {
    const point = POINTS.find((one) => one.message === message && one.component === component);
    assert.ok(point);
    const { killed, ended, problems } = await playRound(scene, victim, point, turn);
    assert.equal(problems, [], killed);
    assert.match(ended, /^Failed: \w+$/);
  });
}

chaos.run();
