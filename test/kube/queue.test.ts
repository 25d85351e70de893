import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Backoff, exponential } from '../../src/kube/backoff.ts';
import { TokenBucket } from '../../src/kube/bucket.ts';
import { sleep } from '../../src/kube/clock.ts';
import { Deadline } from '../../src/kube/deadline.ts';
import { WorkQueue, type WorkQueueOptions } from '../../src/kube/queue.ts';
import { fakeClock, settle } from './fake-clock.ts';

function queueAndClock(options: WorkQueueOptions = {}) {
  const clock = fakeClock();
  return { clock, queue: new WorkQueue({ ...options, clock }) };
}

/** The key that `take` gives at once, or nothing. */
async function takeNow(queue: WorkQueue): Promise<string | undefined> {
  return queue.length > 0 ? await queue.take() : undefined;
}

const queue = suite('a work queue');

queue('hands out keys in the order in which they were added', async () => {
  const { queue } = queueAndClock();
  for (const key of ['b', 'a', 'c']) queue.add(key);
  assert.equal([await queue.take(), await queue.take(), await queue.take()], ['b', 'a', 'c']);
});

queue('merges adds of a key that waits', async () => {
  const { queue } = queueAndClock();
  for (let i = 0; i < 10; i++) queue.add('a');
  assert.is(queue.length, 1);
});

queue('never gives a key to two workers, and gives it again if it was added meanwhile', async () => {
  const { queue } = queueAndClock();
  queue.add('a');
  assert.is(await queue.take(), 'a');
  queue.add('a');
  queue.add('a');
  assert.is(queue.length, 0, 'it waits for the first worker');
  queue.done('a');
  assert.is(await takeNow(queue), 'a');
  queue.done('a');
  assert.is(await takeNow(queue), undefined, 'once, not twice');
});

queue('wakes a worker that waits', async () => {
  const { queue } = queueAndClock();
  const taken = queue.take();
  queue.add('a');
  assert.is(await taken, 'a');
  assert.is(queue.length, 0);
});

queue('adds after a wait, the shortest of several', async () => {
  const { queue, clock } = queueAndClock();
  queue.addAfter('a', 1000);
  queue.addAfter('a', 300);
  queue.addAfter('a', 2000);
  await clock.advance(299);
  assert.is(queue.length, 0);
  await clock.advance(1);
  assert.is(await takeNow(queue), 'a');
  queue.done('a');
  await clock.advance(5000);
  assert.is(queue.length, 0, 'the longer waits were replaced');
});

queue('waits for longer than a timer can count', async () => {
  const { queue, clock } = queueAndClock();
  const month = 30 * 24 * 3600 * 1000;
  queue.addAfter('a', month);
  await clock.advance(month - 1);
  assert.is(queue.length, 0);
  await clock.advance(1);
  assert.is(queue.length, 1);
});

queue('doubles the wait of a failing key up to the longest, and begins anew when it is forgotten', async () => {
  const { queue, clock } = queueAndClock({ baseMs: 5, maxMs: 60 });
  const waits: number[] = [];
  const fail = async () => {
    queue.addLimited('a');
    waits.push(clock.waits()[0] ?? -1);
    await clock.advance(60);
    queue.done((await takeNow(queue)) ?? '');
  };
  for (let i = 0; i < 6; i++) await fail();
  assert.equal(waits, [5, 10, 20, 40, 60, 60]);
  assert.is(queue.failures('a'), 6);
  queue.forget('a');
  await fail();
  assert.is(waits.at(-1), 5);
});

queue('keeps the back-off of one key from others', async () => {
  const { queue, clock } = queueAndClock();
  for (let i = 0; i < 8; i++) queue.addLimited('a');
  queue.addLimited('b');
  assert.is(clock.waits()[0], 5);
});

queue('limits the retries of all keys together', async () => {
  const { queue, clock } = queueAndClock({ qps: 10, burst: 2 });
  for (const key of ['a', 'b', 'c', 'd']) queue.addLimited(key);
  assert.equal(clock.waits(), [5, 5, 100, 200]);
});

queue('drains: takes nothing more, drops what waits, and lets workers finish', async () => {
  const { queue, clock } = queueAndClock();
  queue.add('a');
  queue.add('b');
  queue.addAfter('c', 10);
  await queue.take();
  const idle = queue.drain(1000);
  queue.add('d');
  queue.add('a');
  assert.is(await queue.take(), undefined);
  queue.done('a');
  assert.is(await idle, true);
  await clock.advance(100);
  assert.is(queue.length, 0);
  assert.equal(clock.waits(), []);
});

queue('drains no longer than it may', async () => {
  const { queue, clock } = queueAndClock();
  queue.add('stuck');
  await queue.take();
  const idle = queue.drain(1000);
  await clock.advance(1000);
  assert.is(await idle, false);
});

queue('sends every waiting worker home when it closes', async () => {
  const { queue } = queueAndClock();
  const workers = [queue.take(), queue.take()];
  queue.close();
  assert.equal(await Promise.all(workers), [undefined, undefined]);
});

queue.run();

const waiting = suite('waiting');

function rejection(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'not rejected',
    (error: Error) => error.message,
  );
}

waiting('exponential steps stay finite', () => {
  assert.is(exponential(0, { baseMs: 5, maxMs: 1000 }), 5);
  assert.is(exponential(3, { baseMs: 5, maxMs: 1000 }), 40);
  assert.is(exponential(5000, { baseMs: 5, maxMs: 1000 }), 1000);
});

waiting('jitter spreads a wait over its whole length, and never cuts Retry-After short', () => {
  const draws = [0, 0.999, 0.5];
  const backoff = new Backoff({ baseMs: 1000, maxMs: 30_000, random: () => draws.shift() ?? 0 });
  assert.is(backoff.next(), 0);
  assert.is(backoff.next(), 1998);
  assert.is(backoff.next(5000), 5000 + 2000);
  backoff.reset();
  assert.is(backoff.attempts, 0);
});

waiting('a bucket gives its burst at once and then one token after the other', async () => {
  const clock = fakeClock();
  const bucket = new TokenBucket(10, 3, clock);
  assert.equal(
    [1, 2, 3, 4, 5].map(() => bucket.reserve()),
    [0, 0, 0, 100, 200],
  );
  await clock.advance(200);
  assert.is(bucket.tryTake(), false, 'what was reserved is still owed');
  await clock.advance(100);
  assert.is(bucket.tryTake(), true);
  await clock.advance(60_000);
  assert.equal(
    [1, 2, 3, 4].map(() => bucket.tryTake()),
    [true, true, true, false],
    'it never holds more than the burst',
  );
});

waiting('a wait for a token that is aborted gives the token back', async () => {
  const clock = fakeClock();
  const bucket = new TokenBucket(1, 1, clock);
  await bucket.take();
  const stop = new AbortController();
  const waits = bucket.take(stop.signal);
  stop.abort(new Error('stopped'));
  assert.is(await rejection(waits), 'stopped');
  assert.is(bucket.reserve(), 1000);
});

waiting('a sleep ends early with the reason of its signal, and leaves no timer behind', async () => {
  const clock = fakeClock();
  const stop = new AbortController();
  const slept = sleep(1e6, stop.signal, clock);
  stop.abort(new Error('stopped'));
  assert.is(await rejection(slept), 'stopped');
  assert.equal(clock.waits(), []);
});

waiting('a deadline fires once, extends, follows its parent and cleans up', async () => {
  const clock = fakeClock();
  const parent = new AbortController();
  const deadline = new Deadline(100, () => new Error('late'), parent.signal, clock);
  await clock.advance(99);
  deadline.extend();
  await clock.advance(99);
  assert.is(deadline.signal.aborted, false);
  await clock.advance(1);
  assert.is(deadline.expired, true);
  assert.is(deadline.signal.reason.message, 'late');
  const second = new Deadline(100, () => new Error('late'), parent.signal, clock);
  parent.abort(new Error('parent'));
  assert.is(second.signal.reason.message, 'parent');
  assert.is(second.expired, false);
  second[Symbol.dispose]();
  await settle();
  assert.equal(clock.waits(), []);
});

waiting.run();
