import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../../../src/api/errors.ts';
import type { BackupSession } from '../../../src/api/generated/types.ts';
import { heldBy } from '../../../src/api/held.ts';
import { isOver } from '../cluster.ts';
import { badEnd, foreignLocksGone, leftovers, unfinished } from './checks.ts';
import { followLog, holdAt, type LogLine } from './motion.ts';
import { nameOf, type Point } from './points.ts';
import { CONFIGURATION, type Scene } from './scene.ts';
import { killAt, type Victim } from './victims.ts';

export interface RoundResult {
  victim: Victim;
  point: string;
  balancer: 'on' | 'off';
  /** What died, in words. */
  killed: string;
  /** How the session ended: its phase and reason. */
  ended: string;
  /** Seconds from the return of the parts until nothing was left. */
  cleanSeconds: number | undefined;
  /** What is not as it should be; empty when all is. */
  problems: string[];
}

/** How long it may take after the parts are back before it is given up, in milliseconds. */
const GIVE_UP_MS = 180_000;

let rounds = 0;

/** Kills the victim right after a point of a backup, and looks at what becomes of it. */
export async function playRound(scene: Scene, victim: Victim, point: Point, turn: number): Promise<RoundResult> {
  rounds += 1;
  const name = `${victim}-${rounds}`;
  const result: RoundResult = {
    victim,
    point: nameOf(point),
    balancer: point.balancer,
    killed: '',
    ended: '',
    cleanSeconds: undefined,
    problems: [],
  };
  try {
    await play(scene, victim, point, turn, name, result);
  } catch (error) {
    result.problems.push(describeError(error));
  }
  return result;
}

async function play(
  scene: Scene,
  victim: Victim,
  point: Point,
  turn: number,
  name: string,
  result: RoundResult,
): Promise<void> {
  const { objects } = scene;
  await scene.setBalancer(point.balancer);
  const settings = await scene.settings();
  await objects.trigger(CONFIGURATION, 'nightly', name);
  const held = await holdAt(scene, name, point);
  const death = await killAt(scene, victim, held, point, turn);
  result.killed = death.what;
  held.resume();
  await death.revive();

  const back = performance.now();
  // Every other time the next session is there already while the first is released.
  const eager = turn % 2 === 1;
  const next = `${name}-next`;
  let triggered = false;
  let left: string[] = [];
  for (;;) {
    const started = triggered && (await sessionOf(scene, next)).status?.job !== undefined;
    const session = await sessionOf(scene, name);
    const held = heldBy(session);
    if (started && held.length > 0) result.problems.push(`the next session has begun, and ${held} is not released`);
    // The locks of a session that has begun are its own.
    left = started ? unfinished(session) : await leftovers(scene, session, settings);
    if (left.length === 0 || performance.now() - back > GIVE_UP_MS) break;
    if (eager && !triggered && isOver(session.status?.phase)) {
      await objects.trigger(CONFIGURATION, 'nightly', next);
      triggered = true;
    }
    await sleep(100);
  }
  const seconds = (performance.now() - back) / 1000;
  result.problems.push(...left);
  if (left.length === 0) result.cleanSeconds = seconds;
  const session = await sessionOf(scene, name);
  result.ended = endOf(session);
  const log = await followLog(scene, name)();
  result.problems.push(...(await badEnd(scene, session, death.fatal(log))), ...(await foreignLocksGone(scene)));
  if (result.problems.length > 0) result.problems.push(...lastWords(log));

  if (!triggered) await objects.trigger(CONFIGURATION, 'nightly', next);
  const after = await objects.ended(next);
  if (after.status?.phase !== 'Succeeded') result.problems.push(`the next session is ${endOf(after)}`);
  const still = await leftovers(scene, after, settings);
  result.problems.push(...still.map((what) => `after the next session ${what}`));
}

/** What the runner did last: without it nobody can tell why something is wrong. */
function lastWords(log: readonly LogLine[]): string[] {
  return log.slice(-14).map((line) => `the runner said ${JSON.stringify(line)}`);
}

async function sessionOf({ objects }: Scene, name: string): Promise<BackupSession> {
  return objects.when('BackupSession', name, () => true);
}

function endOf({ status }: BackupSession): string {
  const condition = status?.conditions?.find((one) => one.type === 'Failed' && one.status === 'True');
  return condition === undefined ? String(status?.phase) : `${status?.phase}: ${condition.reason}`;
}
