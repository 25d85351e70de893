import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { progressBar, progressSentence } from '../../src/cli/terminal.ts';
import { nowAndThen, remainingSeconds } from '../../src/mongo/pace.ts';

const test = suite('progress');

const HALF_WAY = { namespace: 'shop.orders', documents: 1_250_000, bytes: 1.25e9, collections: 1, collectionsInAll: 4 };

test('the rest takes as long as what was done, at the same pace', () => {
  const cases: [done: number, inAll: number | undefined, seconds: number, remaining: number | undefined][] = [
    [50, 100, 10, 10],
    [1, 4, 1, 3],
    [100, 100, 10, 0],
    [120, 100, 10, 0],
    [1, 3, 0.1, 1],
    [0, 100, 10, undefined],
    [50, undefined, 10, undefined],
    [50, 100, 0, undefined],
  ];
  for (const [done, inAll, seconds, remaining] of cases) {
    assert.is(remainingSeconds(done, inAll, seconds), remaining, `${done} of ${inAll} in ${seconds} s`);
  }
});

test('a bar shows bytes, rate and the time that is left', () => {
  const share = { done: 1.25e9, inAll: 5e9 };
  assert.is(
    progressBar({ ...HALF_WAY, share }, 10),
    '[=====               ]  25 %  1.3 GB  125.0 MB/s  30 s left  1/4 collections  1,250,000 documents  shop.orders',
  );
  assert.match(progressBar({ ...HALF_WAY, share: { done: 1, inAll: 31 } }, 10), / 5 min 0 s left /);
  assert.match(progressBar({ ...HALF_WAY, share: { done: 1, inAll: 751 } }, 10), / 2 h 5 min left /);
});

test('without a total the collections tell how far it is, and nothing how long', () => {
  assert.is(progressSentence(HALF_WAY, 10), '25 %: 1 of 4 collections, 1,250,000 documents, 1.3 GB, 125.0 MB/s');
  assert.match(progressBar({ ...HALF_WAY, collectionsInAll: 0 }, 10), /^\[ {20}\] {3}0 %/);
});

test('an estimate that was too low is never more than whole', () => {
  assert.match(progressSentence({ ...HALF_WAY, share: { done: 3, inAll: 2 } }, 10), /^100 %.*, 0 s left$/);
});

test('now and then is not at once, and not twice', () => {
  const due = nowAndThen(3_600_000);
  assert.not.ok(due());
  const always = nowAndThen(0);
  assert.ok(always() && always());
});

test.run();
