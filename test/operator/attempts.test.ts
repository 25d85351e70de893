import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Job } from '../../src/kube/builtin.ts';
import { readAttempts, retryDelay } from '../../src/operator/jobs/attempts.ts';

const test = suite('attempts');

const NOW = Date.parse('2026-03-15T12:00:00Z');
const ago = (seconds: number): string => new Date(NOW - seconds * 1000).toISOString();

function attempt(
  number: number,
  end?: { ok: boolean; secondsAgo: number },
  { failures = 0, question = 'q' } = {},
): Job {
  const conditions =
    end === undefined
      ? []
      : [{ type: end.ok ? 'Complete' : 'Failed', status: 'True' as const, lastTransitionTime: ago(end.secondsAgo) }];
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: `storage-x-${number}`,
      uid: `${number}`,
      creationTimestamp: ago(1),
      annotations: {
        'backstay.dev/attempt': `${number}`,
        'backstay.dev/failures': `${failures}`,
        'backstay.dev/fingerprint': question,
      },
    },
    spec: { template: { spec: { containers: [] } } },
    status: { conditions },
  };
}

const read = (jobs: Job[], more: { fingerprint?: string; repeatAfterMs?: number } = {}) =>
  readAttempts({ jobs, pods: [], fingerprint: 'q', now: NOW, ...more });

test('the first try is number 1', () => {
  const { state, ...rest } = read([]);
  assert.is(state, 'start');
  assert.equal(rest, { attempt: 1, failures: 0, stale: [] });
});

test('a try that runs is waited for', () => {
  assert.is(read([attempt(1)]).state, 'running');
});

test('a success is the answer for as long as nothing changes', () => {
  assert.is(read([attempt(1, { ok: true, secondsAgo: 1e6 })]).state, 'ended');
});

test('a success that is to be repeated is, when it is old enough', () => {
  const repeatAfterMs = 1_800_000;
  assert.is(read([attempt(1, { ok: true, secondsAgo: 1799 })], { repeatAfterMs }).state, 'ended');
  const again = read([attempt(4, { ok: true, secondsAgo: 1800 })], { repeatAfterMs });
  assert.is(again.state, 'start');
  if (again.state !== 'start') return;
  assert.is(again.attempt, 5);
  assert.is(again.former?.ok, true);
  assert.is(again.stale.length, 1);
});

test('a failure is tried again after a wait that doubles from 10 s to 5 min', () => {
  assert.equal(
    [1, 2, 3, 4, 5, 6, 7, 50].map(retryDelay),
    [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000],
  );
  assert.is(read([attempt(1, { ok: false, secondsAgo: 9 })]).state, 'ended');
  const second = read([attempt(1, { ok: false, secondsAgo: 10 })]);
  assert.is(second.state, 'start');
  if (second.state === 'start') assert.equal([second.attempt, second.failures], [2, 1]);
  assert.is(read([attempt(2, { ok: false, secondsAgo: 19 }, { failures: 1 })]).state, 'ended');
  assert.is(read([attempt(2, { ok: false, secondsAgo: 20 }, { failures: 1 })]).state, 'start');
});

test('another question is asked at once, also while the old one is being answered', () => {
  for (const former of [
    attempt(3),
    attempt(3, { ok: false, secondsAgo: 0 }),
    attempt(3, { ok: true, secondsAgo: 0 }),
  ]) {
    const next = read([former], { fingerprint: 'other' });
    assert.is(next.state, 'start');
    if (next.state === 'start') assert.equal([next.attempt, next.failures, next.stale.length], [4, 0, 1]);
  }
});

test('only the last try is kept', () => {
  const ended = read([attempt(1, { ok: false, secondsAgo: 500 }), attempt(2, { ok: true, secondsAgo: 400 })]);
  assert.is(ended.state, 'ended');
  assert.equal(
    ended.stale.map(({ metadata }) => metadata.name),
    ['storage-x-1'],
  );
});

test('a Job that is being deleted is no answer, and its name is not used again', () => {
  const going = attempt(7, { ok: true, secondsAgo: 1 });
  going.metadata.deletionTimestamp = ago(0);
  const next = read([going]);
  assert.is(next.state, 'start');
  if (next.state === 'start') assert.is(next.attempt, 8);
});

test.run();
