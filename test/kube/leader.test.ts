import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Lease } from '../../src/kube/builtin.ts';
import type { Client } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import { LeaderElection, type LeaderElectionOptions, LeadershipLostError } from '../../src/kube/leader.ts';
import { type FakeClock, fakeClock, settle } from './fake-clock.ts';

/** One Lease with optimistic locking, as the API server keeps it. */
class LeaseStore {
  lease: Lease | undefined;
  version = 0;
  writes: string[] = [];
  /** Answers every request with this error. */
  failing: KubeError | undefined;
  /** Holds every answer back until it resolves. */
  slow: Promise<void> = Promise.resolve();

  /** The client of one candidate; `cut` takes its network away. */
  client(): Pick<Client, 'get' | 'create' | 'replace'> & { cut: boolean } {
    const answer = async (signal: AbortSignal | undefined): Promise<void> => {
      await settle();
      await this.slow;
      if (self.cut) {
        await new Promise((_resolve, reject) => {
          if (signal?.aborted) reject(signal.reason);
          signal?.addEventListener('abort', () => reject(signal.reason));
        });
      }
      if (this.failing) throw this.failing;
    };
    const write = (lease: Lease): Lease => {
      this.version += 1;
      this.lease = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(this.version) } };
      this.writes.push(lease.spec?.holderIdentity ?? '');
      return this.lease;
    };
    const self = {
      cut: false,
      get: async (_type: unknown, _ref: unknown, options?: { signal?: AbortSignal | undefined }) => {
        await answer(options?.signal);
        return this.lease;
      },
      create: async (_type: unknown, lease: Lease, options?: { signal?: AbortSignal | undefined }) => {
        await answer(options?.signal);
        if (this.lease) throw new KubeError('exists', { status: 409, reason: 'AlreadyExists' });
        return write(lease);
      },
      replace: async (_type: unknown, lease: Lease, options?: { signal?: AbortSignal | undefined }) => {
        await answer(options?.signal);
        if (!this.lease) throw new KubeError('not found', { status: 404, reason: 'NotFound' });
        if (this.lease.metadata.resourceVersion !== lease.metadata.resourceVersion)
          throw new KubeError('conflict', { status: 409, reason: 'Conflict' });
        return write(lease);
      },
    };
    return self as unknown as Pick<Client, 'get' | 'create' | 'replace'> & { cut: boolean };
  }
}

interface Candidate {
  election: LeaderElection;
  clock: FakeClock;
  client: ReturnType<LeaseStore['client']>;
  stop: AbortController;
  /** What `run` ended with. */
  outcome: Promise<unknown>;
  /** Aborts when the leader is told to stop. */
  leading: AbortSignal | undefined;
  ended: boolean;
}

function candidate(
  store: LeaseStore,
  identity: string,
  clock = fakeClock(),
  options: Partial<LeaderElectionOptions> = {},
): Candidate {
  const client = store.client();
  const election = new LeaderElection({
    client,
    namespace: 'backstay',
    name: 'operator',
    identity,
    clock,
    random: () => 0,
    ...options,
  });
  const stop = new AbortController();
  const self: Candidate = {
    election,
    clock,
    client,
    stop,
    leading: undefined,
    ended: false,
    outcome: Promise.resolve(),
  };
  self.outcome = election
    .run(stop.signal, async (signal) => {
      self.leading = signal;
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    })
    .then(
      () => 'stopped',
      (error: unknown) => error,
    )
    .finally(() => {
      self.ended = true;
    });
  return self;
}

/** Moves the clocks together, in small steps, and makes sure that there is never more than one leader. */
async function pass(seconds: number, ...candidates: Candidate[]): Promise<void> {
  const clocks = new Set(candidates.map((each) => each.clock));
  for (let i = 0; i < seconds * 10; i++) {
    for (const clock of clocks) await clock.advance(100);
    await settle();
    const leaders = candidates.filter((each) => each.election.isLeader());
    assert.ok(leaders.length <= 1, 'two leaders at once');
  }
}

const test = suite('leader election');

test('the first candidate takes the lease, the second waits and sees who has it', async () => {
  const store = new LeaseStore();
  const a = candidate(store, 'a');
  await pass(1, a);
  const b = candidate(store, 'b');
  await pass(60, a, b);
  assert.is(a.election.isLeader(), true);
  assert.is(b.election.isLeader(), false);
  assert.is(b.election.holder, 'a');
  assert.is(store.lease?.spec?.leaseDurationSeconds, 15);
  assert.is(store.lease?.spec?.leaseTransitions, 0);
  assert.match(store.lease?.spec?.renewTime ?? '', /\.\d{6}Z$/);
  assert.ok(store.writes.length >= 25, 'renewed every two seconds');
});

test('a holder that dies is replaced when its lease has run out, and not before', async () => {
  const store = new LeaseStore();
  const clock = fakeClock();
  const a = candidate(store, 'a', clock);
  await pass(1, a);
  const b = candidate(store, 'b');
  await pass(4, a, b);
  const renewals = store.writes.length;
  // Killed: its clock and with it everything it does stands still.
  await pass(14, b);
  assert.is(b.election.isLeader(), false);
  assert.is(store.writes.length, renewals);
  await pass(5, b);
  assert.is(b.election.isLeader(), true);
  assert.is(store.lease?.spec?.holderIdentity, 'b');
  assert.is(store.lease?.spec?.leaseTransitions, 1);
});

test('a holder that was paused beyond its lease is not the leader when it resumes, before any timer has fired', async () => {
  const store = new LeaseStore();
  const a = candidate(store, 'a');
  await pass(1, a);
  const b = candidate(store, 'b');
  await pass(4, a, b);
  await pass(20, b);
  assert.is(b.election.isLeader(), true);
  a.clock.freeze(20_000);
  assert.is(a.election.isLeader(), false);
  assert.throws(a.election.guard, (error: { code?: string }) => error.code === 'NotLeader');
  assert.is(a.leading?.aborted, false, 'nothing has told it yet');
  await pass(1, a, b);
  assert.is(a.leading?.aborted, true);
  assert.instance(await a.outcome, LeadershipLostError);
  assert.is(store.lease?.spec?.holderIdentity, 'b');
  assert.not(store.writes.slice(store.writes.indexOf('b')).includes('a'), 'and it wrote nothing');
});

test('a holder that was paused, but not for long, goes on', async () => {
  const store = new LeaseStore();
  const a = candidate(store, 'a');
  await pass(4, a);
  a.clock.freeze(6000);
  assert.is(a.election.isLeader(), true);
  await pass(5, a);
  assert.is(a.election.isLeader(), true);
});

test('a machine whose monotonic clock stood still is found out by the wall clock', async () => {
  const store = new LeaseStore();
  const a = candidate(store, 'a');
  await pass(1, a);
  a.clock.setBack(-20_000);
  assert.is(a.election.isLeader(), false);
});

test('the renewal deadline ends leadership when the server answers 500', async () => {
  const store = new LeaseStore();
  const a = candidate(store, 'a');
  await pass(5, a);
  store.failing = new KubeError('broken', { status: 500, reason: 'InternalError' });
  await pass(8, a);
  assert.is(a.election.isLeader(), true, 'it has ten seconds');
  await pass(4, a);
  assert.is(a.election.isLeader(), false);
  assert.instance(await a.outcome, LeadershipLostError);
});

test('the renewal deadline ends leadership when nothing answers', async () => {
  const store = new LeaseStore();
  const a = candidate(store, 'a');
  const b = candidate(store, 'b');
  await pass(5, a, b);
  const [holder, other] = a.election.isLeader() ? [a, b] : [b, a];
  holder.client.cut = true;
  await pass(13, a, b);
  assert.instance(await holder.outcome, LeadershipLostError);
  assert.is(other.election.isLeader(), false, 'the lease of the other has not run out yet');
  await pass(7, other);
  assert.is(other.election.isLeader(), true);
});

test('a renewal counts from when it was sent, however late its answer comes', async () => {
  const store = new LeaseStore();
  const a = candidate(store, 'a');
  await pass(3, a);
  const { promise, resolve } = Promise.withResolvers<void>();
  store.slow = promise;
  const writes = store.writes.length;
  await pass(8, a);
  resolve();
  await pass(0.1, a);
  assert.ok(store.writes.length > writes, 'the answer came');
  store.slow = new Promise(() => {});
  await pass(5, a);
  assert.is(a.election.isLeader(), false);
});

test('a short outage of the server costs nothing', async () => {
  const store = new LeaseStore();
  const a = candidate(store, 'a');
  await pass(5, a);
  store.failing = new KubeError('broken', { status: 503, reason: 'ServiceUnavailable' });
  await pass(6, a);
  store.failing = undefined;
  await pass(20, a);
  assert.is(a.election.isLeader(), true);
});

test('clocks that disagree by hours do not matter', async () => {
  const store = new LeaseStore();
  const early = fakeClock();
  early.setBack(3 * 3600 * 1000);
  const a = candidate(store, 'a', early);
  await pass(1, a);
  const late = fakeClock();
  late.setBack(-3 * 3600 * 1000);
  const b = candidate(store, 'b', late);
  await pass(30, a, b);
  assert.is(a.election.isLeader(), true);
  assert.is(b.election.isLeader(), false);
});

test('a lease that is deleted is made again by its holder', async () => {
  const store = new LeaseStore();
  const a = candidate(store, 'a');
  await pass(5, a);
  store.lease = undefined;
  await pass(3, a);
  assert.is(a.election.isLeader(), true);
  assert.is((store.lease as Lease | undefined)?.spec?.holderIdentity, 'a');
});

test('a lease that somebody else took is given up at once', async () => {
  const store = new LeaseStore();
  const a = candidate(store, 'a');
  await pass(5, a);
  const stolen = store.lease;
  assert.ok(stolen);
  store.lease = {
    ...stolen,
    metadata: { ...stolen.metadata, resourceVersion: '999' },
    spec: { ...stolen.spec, holderIdentity: 'thief' },
  };
  await pass(3, a);
  assert.is(a.election.isLeader(), false);
  assert.instance(await a.outcome, LeadershipLostError);
});

test('a leader that is told to stop gives the lease back, and the next need not wait', async () => {
  const store = new LeaseStore();
  const a = candidate(store, 'a');
  await pass(1, a);
  const b = candidate(store, 'b');
  await pass(4, a, b);
  a.stop.abort();
  await pass(1, a, b);
  assert.is(await a.outcome, 'stopped');
  await pass(3, b);
  assert.is(b.election.isLeader(), true);
  assert.ok(store.writes.includes(''), 'an empty holder');
});

test('the lease is kept, and given back only after the work has ended', async () => {
  const store = new LeaseStore();
  const clock = fakeClock();
  const election = new LeaderElection({
    client: store.client(),
    namespace: 'backstay',
    name: 'operator',
    identity: 'a',
    clock,
  });
  const stop = new AbortController();
  let finish = () => {};
  const running = election.run(stop.signal, () => new Promise((resolve) => (finish = resolve)));
  await clock.advance(1000);
  stop.abort();
  for (let i = 0; i < 300; i++) await clock.advance(100);
  assert.is(election.isLeader(), true, 'renewed while the work drains');
  assert.is(store.lease?.spec?.holderIdentity, 'a');
  finish();
  await running;
  assert.is(store.lease?.spec?.holderIdentity, '');
});

test('work that fails ends leadership with its error, and gives the lease back', async () => {
  const store = new LeaseStore();
  const clock = fakeClock();
  const election = new LeaderElection({
    client: store.client(),
    namespace: 'backstay',
    name: 'operator',
    identity: 'a',
    clock,
  });
  const outcome = election
    .run(new AbortController().signal, () => Promise.reject(new Error('work failed')))
    .catch((error: Error) => error.message);
  await clock.advance(1000);
  assert.is(await outcome, 'work failed');
  assert.is(store.lease?.spec?.holderIdentity, '');
});

test('a candidate that is told to stop leaves without a word', async () => {
  const store = new LeaseStore();
  const a = candidate(store, 'a');
  await pass(1, a);
  const b = candidate(store, 'b');
  await pass(3, a, b);
  b.stop.abort();
  await pass(3, a, b);
  assert.is(await b.outcome, 'stopped');
  assert.not(store.writes.includes('b'));
});

test('intervals that cannot work are refused', () => {
  const make = () =>
    new LeaderElection({
      client: new LeaseStore().client(),
      namespace: 'n',
      name: 'l',
      identity: 'a',
      leaseSeconds: 5,
      renewDeadlineSeconds: 10,
    });
  assert.throws(make, /retrySeconds < renewDeadlineSeconds < leaseSeconds/);
});

test.run();
