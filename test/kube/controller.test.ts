import { Registry } from 'prom-client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import type { Cache, CacheEvent, CacheHandler } from '../../src/kube/cache.ts';
import {
  Controller,
  type ControllerOptions,
  enqueueFor,
  enqueueOwner,
  enqueueSelf,
  type Result,
  RetryAfterError,
  StallingError,
  specChanged,
} from '../../src/kube/controller.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import { createMetrics } from '../../src/kube/metrics.ts';
import { keyOf, type ObjectMeta } from '../../src/kube/resource.ts';
import { type FakeClock, fakeClock, settle } from './fake-clock.ts';
import { type Thing, Things } from './fake-server.ts';

function thing(name: string, metadata: ObjectMeta = {}): Thing {
  return { apiVersion: Things.apiVersion, kind: Things.kind, metadata: { namespace: 'shop', name, ...metadata } };
}

/** A cache that a test fills by hand. */
class HandCache {
  readonly objects = new Map<string, Thing>();
  readonly synced = Promise.resolve();
  #handler: CacheHandler<Thing> = () => {};
  on(handler: CacheHandler<Thing>): () => void {
    this.#handler = handler;
    for (const object of this.objects.values()) handler({ type: 'added', object });
    return () => {
      this.#handler = () => {};
    };
  }
  list(): Thing[] {
    return [...this.objects.values()];
  }
  emit(event: CacheEvent<Thing>): void {
    if (event.type === 'deleted') this.objects.delete(keyOf(event.object));
    else this.objects.set(keyOf(event.object), event.object);
    this.#handler(event);
  }
  asCache(): Cache<Thing> {
    return this as unknown as Cache<Thing>;
  }
}

interface Scene {
  clock: FakeClock;
  cache: HandCache;
  controller: Controller;
  /** Keys as reconcile was called with them. */
  calls: string[];
  registry: Registry;
  stop(): Promise<void>;
}

async function scene(
  reconcile: (key: string, signal: AbortSignal, calls: string[]) => Promise<Result | undefined>,
  options: Partial<ControllerOptions> = {},
): Promise<Scene> {
  const clock = fakeClock();
  const cache = new HandCache();
  const registry = new Registry();
  const calls: string[] = [];
  const controller = new Controller({
    name: 'thing',
    clock,
    metrics: createMetrics(registry),
    ...options,
    reconcile: (key, signal) => {
      calls.push(key);
      return reconcile(key, signal, calls);
    },
  });
  controller.watch(cache.asCache(), enqueueSelf);
  const abort = new AbortController();
  const running = controller.run(abort.signal);
  await settle();
  return {
    clock,
    cache,
    controller,
    calls,
    registry,
    stop: async () => {
      abort.abort();
      await settle();
      await clock.advance(60_000);
      await running;
    },
  };
}

async function counted(registry: Registry, result: string): Promise<number> {
  const metric = await registry.getSingleMetric('controller_runtime_reconcile_total')?.get();
  return metric?.values.find((value) => value.labels.result === result)?.value ?? 0;
}

const test = suite('a controller');

test('looks at what is there when it starts, and at each change', async () => {
  const at = await scene(async () => undefined);
  at.cache.emit({ type: 'added', object: thing('a') });
  await settle();
  at.cache.emit({ type: 'deleted', object: thing('a') });
  await settle();
  assert.equal(at.calls, ['shop/a', 'shop/a']);
  assert.is(await counted(at.registry, 'success'), 2);
  await at.stop();
});

test('comes back after the time that was asked for', async () => {
  const at = await scene(async (_key, _signal, calls) =>
    calls.length === 1 ? { requeueAfterSeconds: 30 } : undefined,
  );
  at.cache.emit({ type: 'added', object: thing('a') });
  await at.clock.advance(29_999);
  assert.is(at.calls.length, 1);
  await at.clock.advance(1);
  assert.is(at.calls.length, 2);
  assert.is(await counted(at.registry, 'requeue_after'), 1);
  await at.stop();
});

test('retries a failure after a wait that doubles', async () => {
  const times: number[] = [];
  const at = await scene(async () => {
    times.push(at.clock.now());
    throw new Error('broken');
  });
  at.cache.emit({ type: 'added', object: thing('a') });
  await at.clock.advance(40);
  assert.equal(times, [0, 5, 15, 35]);
  assert.is(await counted(at.registry, 'error'), 4);
  await at.stop();
});

test('leaves a stalled object alone until it changes', async () => {
  const at = await scene(async () => {
    throw new StallingError('BadSchedule', 'The schedule of Thing shop/a cannot be read');
  });
  at.cache.emit({ type: 'added', object: thing('a') });
  await at.clock.advance(3_600_000);
  assert.is(at.calls.length, 1);
  at.cache.emit({ type: 'updated', object: thing('a'), previous: thing('a') });
  await settle();
  assert.is(at.calls.length, 2);
  assert.is(await counted(at.registry, 'stalled'), 2);
  await at.stop();
});

test('postpones for as long as a RetryAfterError says', async () => {
  const at = await scene(async (_key, _signal, calls) => {
    if (calls.length === 1) throw new RetryAfterError('SecretMissing', 'Secret shop/s3 does not exist', 12);
    return undefined;
  });
  at.cache.emit({ type: 'added', object: thing('a') });
  await at.clock.advance(11_999);
  assert.is(at.calls.length, 1);
  await at.clock.advance(1);
  assert.is(at.calls.length, 2);
  await at.stop();
});

test('takes a conflict for everyday life: no error, a short wait', async () => {
  const logged: string[] = [];
  const log = {
    debug() {},
    info() {},
    warn: (_: object, m: string) => logged.push(m),
    error: (_: object, m: string) => logged.push(m),
  };
  const at = await scene(
    async (_key, _signal, calls) => {
      if (calls.length < 4) throw new KubeError('Cannot apply', { status: 409, reason: 'Conflict' });
      return undefined;
    },
    { log },
  );
  at.cache.emit({ type: 'added', object: thing('a') });
  await at.clock.advance(40);
  assert.is(at.calls.length, 4);
  assert.equal(logged, []);
  assert.is(await counted(at.registry, 'requeue'), 3);
  assert.is(await counted(at.registry, 'error'), 0);
  await at.stop();
});

test('begins the back-off anew after a success', async () => {
  const at = await scene(async (_key, _signal, calls) => {
    if (calls.length !== 3) throw new Error('broken');
    return undefined;
  });
  at.cache.emit({ type: 'added', object: thing('a') });
  await at.clock.advance(15);
  assert.is(at.calls.length, 3);
  at.cache.emit({ type: 'updated', object: thing('a'), previous: thing('a') });
  await settle();
  assert.is(at.controller.queue.failures('shop/a'), 1);
  await at.stop();
});

test('ends a reconciliation at its deadline, and says so', async () => {
  let reason: unknown;
  const at = await scene(
    (_key, signal) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          reason = signal.reason;
          reject(signal.reason);
        }),
      ),
    { deadlineSeconds: 7 },
  );
  at.cache.emit({ type: 'added', object: thing('a') });
  await at.clock.advance(7000);
  assert.instance(reason, BackstayError);
  assert.match(String(reason), /Reconciling shop\/a took longer than 7 s/);
  assert.is(await counted(at.registry, 'error'), 1);
  await at.stop();
});

test('works on as many keys at once as it may, and on one key never twice', async () => {
  const open = new Map<string, () => void>();
  let most = 0;
  const at = await scene(
    (key) =>
      new Promise((resolve) => {
        assert.not(open.has(key));
        open.set(key, () => {
          open.delete(key);
          resolve(undefined);
        });
        most = Math.max(most, open.size);
      }),
    { concurrency: 3 },
  );
  for (const name of ['a', 'b', 'c', 'd', 'a']) at.cache.emit({ type: 'added', object: thing(name) });
  await settle();
  assert.equal([...open.keys()], ['shop/a', 'shop/b', 'shop/c']);
  open.get('shop/a')?.();
  await settle();
  assert.equal([...open.keys()], ['shop/b', 'shop/c', 'shop/d']);
  open.get('shop/b')?.();
  await settle();
  assert.ok(open.has('shop/a'), 'the second add of a');
  for (const finish of [...open.values()]) finish();
  await settle();
  assert.is(most, 3);
  await at.stop();
});

test('looks at every object again at the resync interval', async () => {
  const at = await scene(async () => undefined, { resyncSeconds: 100 });
  at.cache.emit({ type: 'added', object: thing('a') });
  at.cache.emit({ type: 'added', object: thing('b') });
  await at.clock.advance(99_000);
  assert.is(at.calls.length, 2);
  await at.clock.advance(11_001);
  assert.equal(at.calls.slice(2).sort(), ['shop/a', 'shop/b'], 'spread over a tenth of the interval');
  await at.stop();
});

test('finishes what it began when it is stopped, starts nothing more, and tells the signal', async () => {
  let finish: (() => void) | undefined;
  let aborted = false;
  const at = await scene(
    (_key, signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          aborted = true;
        });
        finish = () => resolve(undefined);
      }),
    { concurrency: 1 },
  );
  at.cache.emit({ type: 'added', object: thing('a') });
  at.cache.emit({ type: 'added', object: thing('b') });
  await settle();
  const stopped = at.stop();
  await settle();
  assert.is(aborted, true);
  finish?.();
  await stopped;
  assert.equal(at.calls, ['shop/a']);
});

test('starts only when its caches are complete', async () => {
  const cache = new HandCache();
  const { promise, resolve } = Promise.withResolvers<void>();
  Object.assign(cache, { synced: promise });
  cache.objects.set('shop/a', thing('a'));
  const calls: string[] = [];
  const controller = new Controller({
    name: 'thing',
    reconcile: async (key) => {
      calls.push(key);
      return undefined;
    },
  });
  controller.watch(cache.asCache(), enqueueSelf);
  const stop = new AbortController();
  const running = controller.run(stop.signal);
  await settle();
  assert.equal(calls, []);
  resolve();
  await settle();
  assert.equal(calls, ['shop/a']);
  stop.abort();
  await running;
});

test.run();

const mapping = suite('a change wakes');

const owned = (name: string, kind = 'Thing', apiVersion = 'test.example/v1') =>
  thing('child', { ownerReferences: [{ apiVersion, kind, name, uid: 'u', controller: true }] });

mapping('the owner that controls the object', () => {
  const map = enqueueOwner(Things);
  assert.equal([...map({ type: 'added', object: owned('a') })], ['shop/a']);
  assert.equal(
    [...map({ type: 'added', object: owned('a', 'Thing', 'test.example/v2') })],
    ['shop/a'],
    'in another version too',
  );
  assert.equal([...map({ type: 'added', object: owned('a', 'Other') })], []);
  assert.equal([...map({ type: 'added', object: owned('a', 'Thing', 'else.example/v1') })], []);
  assert.equal(
    [
      ...map({
        type: 'added',
        object: thing('x', {
          ownerReferences: [{ apiVersion: 'test.example/v1', kind: 'Thing', name: 'a', uid: 'u' }],
        }),
      }),
    ],
    [],
  );
});

mapping('both owners, when it changed hands', () => {
  const keys = [...enqueueOwner(Things)({ type: 'updated', object: owned('new'), previous: owned('old') })];
  assert.equal(keys, ['shop/new', 'shop/old']);
});

mapping('whoever a function names, before and after, once', () => {
  const map = enqueueFor<Thing>((object) => [object.metadata.labels?.for ?? 'nobody', 'all']);
  const event = {
    type: 'updated',
    object: thing('x', { labels: { for: 'b' } }),
    previous: thing('x', { labels: { for: 'a' } }),
  } as const;
  assert.equal([...map(event)], ['b', 'all', 'a']);
});

mapping('nobody, when only the status was written and that is filtered', () => {
  const update = (now: ObjectMeta, before: ObjectMeta) =>
    specChanged({ type: 'updated', object: thing('a', now), previous: thing('a', before) });
  assert.is(update({ generation: 1, resourceVersion: '2' }, { generation: 1, resourceVersion: '1' }), false);
  assert.is(update({ generation: 2 }, { generation: 1 }), true);
  assert.is(update({ generation: 1, annotations: { requestedAt: 'now' } }, { generation: 1 }), true);
  assert.is(update({ generation: 1, finalizers: [] }, { generation: 1, finalizers: ['x'] }), true);
  assert.is(update({}, {}), true, 'a kind without generations');
  assert.is(specChanged({ type: 'deleted', object: thing('a') }), true);
});

mapping.run();
