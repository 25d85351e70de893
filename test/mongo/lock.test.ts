import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { MongoClient } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import { openClient } from '../../src/mongo/connection.ts';
import { unlockWithRetries } from '../../src/mongo/lock/release.ts';
import { boundsAcquisition } from '../../src/mongo/lock/state.ts';
import {
  type LockIntent,
  LockNotGranted,
  type LockOptions,
  lockMember,
  releaseLeftover,
} from '../../src/mongo/lock.ts';
import { startFaultProxy } from '../lab/fault-proxy.ts';
import { takeGround } from '../lab/ground.ts';
import { until } from '../lab/process.ts';
import { startReplicaSet } from '../lab/replica-set.ts';

const test = suite('lock');

const ground = await takeGround();
// A secondary that syncs from the locked one stands still as well, and takes half a minute to look for another source: a write of a majority
// would wait as long.
const set = await startReplicaSet({ on: ground, members: 3, auth: true, settings: { chainingAllowed: false } });
const secondary = (await set.secondaries())[0] as NonNullable<Awaited<ReturnType<typeof set.secondaries>>[number]>;
const credential = { kind: 'scram', ...(set.credentials as NonNullable<typeof set.credentials>) } as const;
const endpoint = { uri: `mongodb://${set.member(0).address}/?replicaSet=rs0`, credential };
const member = secondary.address;
const observer = await until('the root user is on the secondary', () => secondary.client().catch(() => undefined));
const primary = await set.client();

test.after.each(async () => {
  // whatever a test left behind must not keep the next one waiting
  while (await isLocked()) await unlock();
});
test.after(async () => {
  await observer.close();
  await primary.close();
  await set.stop();
  await ground[Symbol.asyncDispose]();
});

const isLocked = async (client: MongoClient = observer): Promise<boolean> =>
  (await client.db('admin').command({ currentOp: 1, $ownOps: true })).fsyncLock === true;
const lockAsSomebodyElse = async (): Promise<number> =>
  (await observer.db('admin').command({ fsync: 1, lock: true })).lockCount;
const unlock = async (): Promise<number> => (await observer.db('admin').command({ fsyncUnlock: 1 })).lockCount;
const intents: LockIntent[] = [];
const options = (more: Partial<LockOptions> = {}): LockOptions => ({
  member,
  onIntent: async (intent) => {
    intents.push(intent);
  },
  ...more,
});
const failure = async (promise: Promise<unknown>): Promise<BackstayError> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, BackstayError);
  return error as BackstayError;
};

/** A transaction that has written holds up every lock until it ends. The lock tests need it on the primary. */
async function openTransaction(): Promise<() => Promise<void>> {
  await primary.db('t').collection('c').insertOne({});
  const session = primary.startSession();
  session.startTransaction();
  await primary.db('t').collection('c').insertOne({}, { session });
  return async () => {
    await session.abortTransaction();
    await session.endSession();
  };
}

test('the intent is written down before the lock is there', async () => {
  let lockedThen: boolean | undefined;
  await using lock = await lockMember(
    endpoint,
    options({
      onIntent: async (intent) => {
        lockedThen = await isLocked();
        assert.is(intent.member, member);
        assert.match(intent.processId, /^[0-9a-f]{24}$/);
        assert.ok(Math.abs(Date.parse(intent.requestedAt) - Date.now()) < 60_000);
      },
    }),
  );
  assert.is(lockedThen, false);
  assert.is(await isLocked(), true);
  assert.ok(lock.lastApplied);
});

test('no lock is taken when the intent cannot be written down', async () => {
  const error = await failure(
    lockMember(
      endpoint,
      options({
        onIntent: async () => {
          throw new BackstayError('ApiServerDown', 'the API server does not answer');
        },
      }),
    ),
  );
  assert.is(error.code, 'ApiServerDown');
  assert.is(await isLocked(), false);
});

test('a member that stands still is verified, and released once', async () => {
  const lock = await lockMember(endpoint, options());
  await primary
    .db('t')
    .collection('c')
    .insertOne({}, { writeConcern: { w: 'majority' } });
  await lock.verify();
  assert.ok(lock.heldSeconds > 0);
  await Promise.all([lock.release(), lock.release()]);
  await lock.release();
  assert.is(await isLocked(), false);
  const held = lock.heldSeconds;
  assert.is(lock.heldSeconds, held);
});

test("somebody else's lock is refused, and its count stays", async () => {
  assert.is(await lockAsSomebodyElse(), 1);
  assert.is(await lockAsSomebodyElse(), 2);
  const before = intents.length;
  const error = await failure(lockMember(endpoint, options()));
  assert.is(error.code, 'LockRefused');
  assert.is(intents.length, before, 'nothing was written down');
  assert.is(await unlock(), 1);
  assert.is(await unlock(), 0);
});

test('a lock that somebody else takes between the look and the command is refused, and its count stays', async () => {
  const error = await failure(
    lockMember(
      endpoint,
      options({
        onIntent: async () => {
          await lockAsSomebodyElse();
        },
      }),
    ),
  );
  assert.is(error.code, 'LockRefused');
  assert.is(await isLocked(), true);
  assert.is(await unlock(), 0);
});

test('an unlock by somebody else is found out', async () => {
  await using lock = await lockMember(endpoint, options());
  await unlock();
  const error = await failure(lock.verify());
  assert.is(error.code, 'LockLost');
});

test('an unlock and a lock by somebody else are found out, and theirs stays', async () => {
  const lock = await lockMember(endpoint, options());
  await unlock();
  await lockAsSomebodyElse();
  assert.is((await failure(lock.verify())).code, 'LockLost');
  await lock.release();
  assert.is(await unlock(), 0, 'it was still theirs');
});

test('a server that restarted under the lock is found out, and released without harm', async () => {
  const lock = await lockMember(endpoint, options());
  await secondary.kill('SIGKILL');
  await secondary.start();
  await set.settled();
  assert.is((await failure(lock.verify())).code, 'LockLost');
  await lockAsSomebodyElse();
  await lock.release();
  assert.is(await unlock(), 0);
});

test('a server that restarts between the intent and the lock is not locked: nobody would know of it', async () => {
  const error = await failure(
    lockMember(
      endpoint,
      options({
        onIntent: async () => {
          await secondary.kill('SIGKILL');
          await secondary.start();
          await set.settled();
        },
      }),
    ),
  );
  assert.is(error.code, 'LockLost');
  if (error instanceof LockNotGranted) await error.settled;
  assert.is(await isLocked(), false);
});

test('a server that dies while it is being locked needs nothing once it is back', async () => {
  const error = await failure(
    lockMember(
      endpoint,
      options({
        onIntent: async () => {
          secondary.process.signal('SIGSTOP');
          setTimeout(async () => {
            await secondary.kill('SIGKILL');
            await secondary.start();
          }, 200);
        },
      }),
    ),
  );
  assert.is(error.code, 'LockLost');
  assert.instance(error, LockNotGranted);
  await (error as LockNotGranted).settled;
  await set.settled();
  assert.is(await isLocked(), false);
});

test('a user without the privilege is told what is missing', async () => {
  await primary.db('admin').command({ createUser: 'reader', pwd: 'reader', roles: ['backup', 'clusterMonitor'] }, {});
  await until('the user is on the member', async () => {
    const { users } = await observer.db('admin').command({ usersInfo: 'reader' });
    return users.length > 0;
  });
  const reader = { ...endpoint, credential: { kind: 'scram', username: 'reader', password: 'reader' } as const };
  const error = await failure(lockMember(reader, options()));
  assert.is(error.code, 'MissingPrivilege');
  assert.match(String(error.remedy), /fsync and unlock/);
  assert.is(await isLocked(), false);
});

test('a role with fsync, unlock and no more is enough to lock', async () => {
  const privileges = [{ resource: { cluster: true }, actions: ['fsync', 'unlock'] }];
  await primary.db('admin').command({ createRole: 'locker', privileges, roles: [] });
  await primary.db('admin').command({ createUser: 'locker', pwd: 'x', roles: ['locker'], writeConcern: { w: 3 } });
  const locker = { ...endpoint, credential: { kind: 'scram', username: 'locker', password: 'x' } as const };
  const lock = await lockMember(locker, options());
  await lock.verify();
  await lock.release();
  assert.is(await isLocked(), false);
});

test('a lock that is not granted in time is given up, and given back when it comes', async () => {
  const end = await openTransaction();
  const onPrimary = set.member(0);
  assert.is((await set.primary()).address, onPrimary.address);
  await using there = await onPrimary.client();
  const error = await failure(lockMember(endpoint, options({ member: onPrimary.address, timeoutMS: 300 })));
  assert.instance(error, LockNotGranted);
  assert.is(error.code, 'LockTimeout');
  await end();
  await (error as LockNotGranted).settled;
  assert.is(await isLocked(there), false);
  await primary.db('t').collection('c').insertOne({});
});

test('an abort while the lock is waited for gives it back when it comes', async () => {
  const end = await openTransaction();
  const stop = new AbortController();
  const promise = lockMember(
    endpoint,
    options({
      member: set.member(0).address,
      signal: stop.signal,
      onIntent: async () => {
        setTimeout(() => stop.abort(), 200);
      },
    }),
  );
  const error = await failure(promise);
  assert.is(error.code, 'Aborted');
  assert.instance(error, LockNotGranted);
  await end();
  await (error as LockNotGranted).settled;
  await using there = await set.member(0).client();
  assert.is(await isLocked(there), false);
});

/** A lock whose process is killed without a chance to release it. */
async function leftover(): Promise<{ written: LockIntent; held: LockIntent }> {
  const holder = spawn(process.execPath, [new URL('lock-holder.ts', import.meta.url).pathname], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  holder.stdin.end(JSON.stringify({ endpoint, member }));
  const [line] = await once(createInterface({ input: holder.stdout }), 'line');
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  assert.is(await isLocked(), true, 'the lock outlives its process');
  return JSON.parse(line);
}

test('the lock of a process that was killed is released by its intent', async () => {
  const { written } = await leftover();
  assert.is(await releaseLeftover(endpoint, written), 'released');
  assert.is(await isLocked(), false);
  assert.is(await releaseLeftover(endpoint, written), 'notLocked');
});

test('exactly one count of a lock is released', async () => {
  const { held } = await leftover();
  assert.is(await lockAsSomebodyElse(), 2);
  assert.is(await releaseLeftover(endpoint, held), 'released');
  assert.is(await isLocked(), true);
  assert.is(await unlock(), 0);
});

test("somebody else's lock stays when ours was given back but not struck out", async () => {
  const { held } = await leftover();
  assert.is(await lockAsSomebodyElse(), 2);
  assert.is(await unlock(), 1, 'ours, before its holder died');
  const error = await failure(releaseLeftover(endpoint, held));
  assert.is(error.code, 'LockUnclear');
  assert.match(error.remedy ?? '', /fsyncUnlock/);
  assert.is(await unlock(), 0, 'theirs');
  assert.is(await releaseLeftover(endpoint, held), 'notLocked');
});

test('a lock that was there before the intent is not released', async () => {
  await lockAsSomebodyElse();
  const intent = intents[0] as LockIntent;
  const { processId } = (await observer.db('admin').command({ hello: 1 })).topologyVersion;
  const later = { ...intent, processId: processId.toHexString(), afterOperation: 2 ** 31 - 1 };
  assert.is(await releaseLeftover(endpoint, later), 'notOurs');
  assert.is(await unlock(), 0);
});

test('a lock that is not the one that was held is not released', async () => {
  const { held } = await leftover();
  await unlock();
  await lockAsSomebodyElse();
  assert.is(await releaseLeftover(endpoint, held), 'notOurs');
  assert.is(await unlock(), 0);
});

test('a member that restarted holds nothing of ours', async () => {
  const { held } = await leftover();
  await secondary.kill('SIGKILL');
  await secondary.start();
  await set.settled();
  await lockAsSomebodyElse();
  assert.is(await releaseLeftover(endpoint, held), 'memberRestarted');
  assert.is(await unlock(), 0);
});

test('a lock that is still waited for is awaited and released', async () => {
  const end = await openTransaction();
  await using there = await set.member(0).client();
  let intent: LockIntent | undefined;
  const stop = new AbortController();
  const promise = lockMember(
    endpoint,
    options({
      member: set.member(0).address,
      signal: stop.signal,
      onIntent: async (written) => {
        intent = written;
      },
    }),
  ).catch(() => {});
  await until('the lock is waited for', async () => {
    const waiting = await there
      .db('admin')
      .aggregate([{ $currentOp: { allUsers: true, idleConnections: true } }, { $match: { desc: 'fsyncLockWorker' } }])
      .toArray();
    return waiting.length > 0;
  });
  const released = releaseLeftover(endpoint, intent as LockIntent);
  stop.abort();
  await promise;
  await end();
  assert.ok(['released', 'notLocked'].includes(await released));
  await until('the server is unlocked', async () => !(await isLocked(there)));
});

test('a release goes on trying while the member cannot be reached', async () => {
  const { host, port } = secondary;
  await using proxy = await startFaultProxy(ground.address(), await ground.port(), { host, port });
  const lock = await lockMember(endpoint, options({ member: `${proxy.host}:${proxy.port}` }));
  proxy.refuse();
  const released = lock.release();
  setTimeout(() => proxy.pass(), 1500);
  await released;
  assert.is(await isLocked(), false);
});

test('an unlock does not wait for ever for an answer that never comes', async () => {
  const { host, port } = secondary;
  await using proxy = await startFaultProxy(ground.address(), await ground.port(), { host, port });
  const lock = await lockMember(endpoint, options());
  const through = await openClient(endpoint, { member: `${proxy.host}:${proxy.port}`, answerMS: 500 });
  proxy.silence();
  const started = performance.now();
  await unlockWithRetries(through, lock.intent);
  // The driver's own monitor would find out after 20 s, when it is the server that is gone.
  assert.ok(performance.now() - started < 10_000);
  assert.is(await isLocked(), false);
  await Promise.all([through.close(), lock.release()]);
});

test('servers that bound the wait for a lock themselves are known', () => {
  for (const version of ['5.0.22', '6.0.11', '7.0.2', '7.0.14-8', '8.0.0', '7.1.0'])
    assert.ok(boundsAcquisition(version), version);
  for (const version of ['4.4.29', '5.0.21', '6.0.5', '6.0.10', '6.1.0', '7.0.1'])
    assert.not.ok(boundsAcquisition(version), version);
});

test.run();
