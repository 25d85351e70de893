import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { MongoClient } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { killBoth, workerOf } from '../lab/family.ts';
import { takeGround } from '../lab/ground.ts';
import { until } from '../lab/process.ts';
import { startReplicaSet } from '../lab/replica-set.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;

const test = suite('watchdog of backstay dump');
const ground = await takeGround();
const set = await startReplicaSet({ on: ground, members: [{}, { hidden: true, priority: 0 }, {}] });
const client = await set.client();
const hidden = await set.member(1).client();

test.before(async () => {
  const documents = Array.from({ length: 1000 }, (_, index) => ({ index, text: 'x'.repeat(40_000) }));
  await client
    .db('shop')
    .collection('orders')
    .insertMany(documents, { writeConcern: { w: 3 } });
});
test.after(async () => {
  await Promise.all([client.close(), hidden.close()]);
  await set.stop();
  await ground[Symbol.asyncDispose]();
});

const isLocked = async (member: MongoClient): Promise<boolean> =>
  (await member.db('admin').command({ currentOp: 1, $ownOps: true })).fsyncLock === true;

/** A dump that holds its lock because nobody reads its output. */
async function stalledDump(): Promise<{ child: ChildProcess; stderr: Promise<string>; ended: Promise<unknown[]> }> {
  const uri = `mongodb://${set.member(0).address}/?replicaSet=rs0`;
  const child = spawn(process.execPath, [MAIN, 'dump', '--uri', uri], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'exit');
  const stderr = child.stderr === null ? Promise.resolve('') : text(child.stderr);
  await until('the dump holds the lock', () => isLocked(hidden));
  return { child, stderr, ended };
}

test('a dump that is killed while it holds the lock is unlocked by its watchdog, which says so', async () => {
  const { child, stderr, ended } = await stalledDump();
  process.kill(workerOf(child), 'SIGKILL');
  const [code] = await ended;
  assert.is(code, 137);
  assert.is(await isLocked(hidden), false);
  const { address } = set.member(1);
  assert.match(await stderr, new RegExp(`given back \\(${address}: released\\)`));
  assert.match(await stderr, /the dump was killed by SIGKILL, and .* is not locked by it any more/);
});

test('a dump whose watchdog is killed ends by itself and unlocks', async () => {
  const { child, stderr } = await stalledDump();
  child.kill('SIGKILL');
  await until('the member is unlocked', async () => !(await isLocked(hidden)));
  // Whoever reads the output may be gone with the watchdog, and that may be noticed first.
  assert.match(
    await stderr,
    /stopped by SIGTERM|the process that watches over this one was killed|EPIPE/,
    await stderr,
  );
});

test('who asks the command to end is heard by the dump', async () => {
  const { child, stderr, ended } = await stalledDump();
  child.kill('SIGINT');
  const [code] = await ended;
  assert.is(code, 1);
  assert.is(await isLocked(hidden), false);
  assert.match(await stderr, /stopped by SIGINT/);
});

test('the watchdog counts: a lock that somebody else took meanwhile stays', async () => {
  const { child, ended } = await stalledDump();
  const { lockCount } = await hidden.db('admin').command({ fsync: 1, lock: true });
  assert.is(Number(lockCount), 2);
  process.kill(workerOf(child), 'SIGKILL');
  await ended;
  assert.is(await isLocked(hidden), true);
  const left = await hidden.db('admin').command({ fsyncUnlock: 1 });
  assert.is(Number(left.lockCount), 0);
});

test('with both gone the lock stays, which is why a backup writes it down first', async () => {
  const { child, ended } = await stalledDump();
  killBoth(child);
  await ended;
  assert.is(await isLocked(hidden), true);
  await hidden.db('admin').command({ fsyncUnlock: 1 });
});

test.run();
