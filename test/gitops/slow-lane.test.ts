// Servers that do not answer: how much room they are left.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SlowLane } from '../../src/gitops/slow-lane.ts';
import type { Outcome } from '../../src/gitops/status.ts';

const test = suite('slow lane');

const failure = (code: string): Outcome => ({
  ...{ kind: 'failed', code, message: '', revision: undefined, inventory: undefined, failures: [], changes: [] },
});
const applied: Outcome = { kind: 'applied', revision: 'main', inventory: [], objects: 0, changes: [], notes: [] };

test('those that timed out share half of the workers, and others are not held up by them', () => {
  const lane = new SlowLane(4);
  for (const key of ['a', 'b', 'c']) lane.ended(key, failure('TimedOut'), 1000);
  const first = lane.enter('a');
  assert.ok(first);
  assert.ok(lane.enter('b'));
  assert.is(lane.enter('c'), undefined, 'no room');
  for (const key of ['d', 'e', 'f']) assert.ok(lane.enter(key), key);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.ok(lane.enter('c'));
  assert.is(lane.enter('a'), undefined, 'a place that is left twice is one place');
});

test('a failure that came at once takes no room, and one that took long does, whatever it was', () => {
  const lane = new SlowLane(2);
  lane.ended('quick', failure('Unreachable'), 20);
  lane.ended('long', failure('Unreachable'), 30_000);
  lane.ended('longer', failure('Unreachable'), 30_000);
  assert.ok(lane.enter('long'));
  assert.is(lane.enter('longer'), undefined);
  assert.ok(lane.enter('quick'));
});

test('who is answered again, or gone, is no slow one any more', () => {
  const lane = new SlowLane(2);
  for (const key of ['a', 'b', 'c', 'd']) lane.ended(key, failure('TimedOut'), 1000);
  assert.ok(lane.enter('a'));
  lane.ended('b', applied, 30_000);
  lane.forget('c');
  assert.ok(lane.enter('b'));
  assert.ok(lane.enter('c'));
  assert.is(lane.enter('d'), undefined);
});

test('a single worker still gives them a turn', () => {
  const lane = new SlowLane(1);
  lane.ended('a', failure('TimedOut'), 1000);
  assert.ok(lane.enter('a'));
});

test.run();
