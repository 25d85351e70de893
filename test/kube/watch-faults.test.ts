// Every way in which a watch is known to go blind, each against a server that does just that. A test passes when the cache ends equal to
// what the server has. Waits are cut to milliseconds; what is waited for is a state, never a time.
import type { ServerResponse } from 'node:http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Cache, type CacheEvent, type CacheOptions } from '../../src/kube/cache.ts';
import type { Log } from '../../src/kube/log.ts';
import { keyOf } from '../../src/kube/resource.ts';
import { until } from '../lab/process.ts';
import { fakeClock } from './fake-clock.ts';
import { FakeServer, type Fault, gone, refusing, resetting, type Thing, Things } from './fake-server.ts';

/** The inactivity timer of a watch that is open. */
const SILENCE_MS = 180_000;

interface Scene extends AsyncDisposable {
  server: FakeServer;
  cache: Cache<Thing>;
  events: CacheEvent<Thing>[];
  /** Waits until the cache shows exactly what the server has. */
  equal(): Promise<void>;
  /** Waits until the server has a watch. */
  watching(): Promise<void>;
}

async function scene(
  options: Partial<CacheOptions<Thing>> & { before?: (server: FakeServer) => void } = {},
): Promise<Scene> {
  const { before, ...rest } = options;
  const server = await FakeServer.start();
  server.put('first', 1);
  server.put('second', 2);
  before?.(server);
  const cache = new Cache({ client: server.client(), type: Things, backoff: { baseMs: 2, maxMs: 10 }, ...rest });
  const events: CacheEvent<Thing>[] = [];
  cache.on((event) => events.push(event));
  const stop = new AbortController();
  const running = cache.run(stop.signal);
  const shown = () =>
    Object.fromEntries(cache.list().map((object) => [keyOf(object), object.metadata.resourceVersion]));
  const same = () =>
    JSON.stringify(Object.entries(shown()).sort()) === JSON.stringify(Object.entries(server.state()).sort());
  return {
    server,
    cache,
    events,
    equal: async () => {
      await until('the cache equals the server', async () => cache.hasSynced && same(), {
        timeoutMs: 10_000,
        everyMs: 2,
      });
    },
    watching: async () => {
      await until('a watch', async () => server.watchers > 0, { timeoutMs: 10_000, everyMs: 2 });
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      await server[Symbol.asyncDispose]();
    },
  };
}

const test = suite('a cache');

test('shows what was there before, and every change after', async () => {
  await using at = await scene();
  await at.cache.synced;
  await at.watching();
  at.server.put('third');
  at.server.put('first', 7);
  at.server.remove('second');
  await at.equal();
  assert.equal(at.cache.get('shop', 'first')?.spec?.size, 7);
  assert.equal(
    at.events.map(({ type, object }) => `${type} ${object.metadata.name}`),
    ['added first', 'added second', 'added third', 'updated first', 'deleted second'],
  );
  assert.equal(at.cache.get('shop', 'first')?.kind, 'Thing', 'the kind that lists leave out is filled in');
});

test('reads a long list page by page', async () => {
  await using at = await scene({
    before: (server) => {
      for (let i = 0; i < 1203; i++) server.put(`many-${i}`);
    },
  });
  await at.equal();
  assert.is(at.server.count('list'), 3);
  assert.is(at.cache.size, 1205);
});

test('reads the list in one piece when a page token expires', async () => {
  await using at = await scene({
    before: (server) => {
      for (let i = 0; i < 600; i++) server.put(`many-${i}`);
      server.next(
        'list',
        (_response, _request, pass) => pass(),
        (response) => gone(response),
      );
    },
  });
  await at.equal();
  assert.is(at.server.requests.at(2)?.url.searchParams.get('limit'), null);
});

test('asks for bookmarks and for an end of the watch after 290 to 580 seconds', async () => {
  await using at = await scene();
  await at.watching();
  const query = at.server.requests.find((request) => request.kind === 'watch')?.url.searchParams;
  assert.is(query?.get('allowWatchBookmarks'), 'true');
  const seconds = Number(query?.get('timeoutSeconds'));
  assert.ok(seconds >= 290 && seconds <= 580, `timeoutSeconds is ${seconds}`);
});

test('does not trust a watch that has gone silent (half-open connection)', async () => {
  const open: ServerResponse[] = [];
  await using at = await scene({
    inactivityMs: 50,
    before: (server) =>
      server.next('watch', (response) => {
        response.writeHead(200).flushHeaders();
        open.push(response);
      }),
  });
  await until('the dead watch', async () => open.length === 1, { everyMs: 2 });
  at.server.put('third');
  await at.equal();
});

test('trusts a watch for as long as it says something, if only bookmarks', async () => {
  const clock = fakeClock();
  await using at = await scene({ clock });
  await at.watching();
  for (let i = 0; i < 5; i++) {
    await clock.advance(0.9 * SILENCE_MS);
    at.server.bookmark();
    await until('the timer begins anew', async () => clock.waits()[0] === SILENCE_MS, { everyMs: 2 });
  }
  assert.is(at.server.count('watch'), 1);
  await clock.advance(SILENCE_MS);
  assert.is(at.cache.lastError, undefined, 'and silence is no error');
  await until(
    'the next watch',
    async () => {
      await clock.advance(1000);
      return at.server.count('watch') === 2;
    },
    { everyMs: 2 },
  );
});

test('resumes a watch that ended cleanly from where it was, without a new list', async () => {
  await using at = await scene();
  await at.watching();
  at.server.endWatches();
  at.server.put('third');
  await at.equal();
  assert.is(at.server.count('list'), 1);
});

test('waits longer and longer for a server that ends every watch at once', async () => {
  const clock = fakeClock();
  const closing: Fault = (response) => void response.writeHead(200).end();
  await using at = await scene({
    clock,
    random: () => 0.5,
    backoff: { baseMs: 1000, maxMs: 8000 },
    before: (server) => server.next('watch', closing, closing, closing, closing, closing),
  });
  const waits: number[] = [];
  while (waits.length < 5) {
    const watches = waits.length + 1;
    await until('the wait', async () => at.server.count('watch') === watches && clock.waits()[0] !== SILENCE_MS, {
      everyMs: 2,
    });
    const [wait = 0] = clock.waits();
    waits.push(wait);
    await clock.advance(wait);
  }
  assert.equal(waits, [500, 1000, 2000, 4000, 4000]);
  assert.is(at.server.count('list'), 1);
});

test('lists again when the watch says 410 in its stream', async () => {
  await using at = await scene();
  await at.watching();
  at.server.unseen(() => {
    at.server.put('third');
    at.server.remove('first');
  });
  at.server.event('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' });
  await at.equal();
  assert.is(at.server.count('list'), 2);
  const vanished = at.events.filter((event) => event.type === 'deleted');
  assert.equal(
    vanished.map((event) => event.object.metadata.name),
    ['first'],
    'what vanished between is reported',
  );
});

test('lists again when the watch is refused with 410', async () => {
  await using at = await scene();
  await at.watching();
  at.server.unseen(() => {
    at.server.put('third');
    at.server.remove('second');
  });
  at.server.compact();
  at.server.endWatches();
  await at.equal();
  assert.is(at.server.count('list'), 2);
});

test('survives a watch that is refused with 500', async () => {
  await using at = await scene({
    before: (server) => server.next('watch', refusing(500, 'InternalError'), refusing(500, 'InternalError')),
  });
  await at.watching();
  at.server.put('third');
  await at.equal();
  assert.is(at.server.count('list'), 1);
});

test('leaves the server alone for as long as its 429 asks', async () => {
  const clock = fakeClock();
  await using at = await scene({
    clock,
    before: (server) => server.next('watch', refusing(429, 'TooManyRequests', { 'retry-after': '17' })),
  });
  await until('the wait', async () => (clock.waits()[0] ?? 0) >= 17_000 && clock.waits()[0] !== SILENCE_MS, {
    everyMs: 2,
  });
  await clock.advance(16_999);
  assert.is(at.server.count('watch'), 1);
  await clock.advance(1000);
  await at.watching();
  at.server.put('third');
  await at.equal();
});

test('survives a list that fails at the start', async () => {
  await using at = await scene({
    before: (server) =>
      server.next(
        'list',
        refusing(500, 'InternalError'),
        resetting,
        refusing(403, 'Forbidden'),
        refusing(429, 'TooManyRequests'),
      ),
  });
  await at.equal();
  assert.is(at.cache.lastError, undefined);
});

test('survives a connection that is reset', async () => {
  await using at = await scene();
  await at.watching();
  at.server.resetWatches();
  at.server.put('third');
  await at.equal();
});

test('survives a connection that is reset in the middle of a line', async () => {
  await using at = await scene();
  await at.watching();
  at.server.unseen(() => at.server.put('third'));
  at.server.send('{"type":"ADDED","object":{"metadata":{"name":"thi');
  await new Promise((resolve) => setTimeout(resolve, 10));
  at.server.resetWatches();
  await at.equal();
});

test('survives a clean end in the middle of a line', async () => {
  await using at = await scene();
  await at.watching();
  at.server.unseen(() => at.server.put('third'));
  at.server.send('{"type":"ADDED","obj');
  at.server.endWatches();
  await at.equal();
});

test('reads again what a line of broken JSON should have said', async () => {
  await using at = await scene();
  await at.watching();
  at.server.unseen(() => at.server.put('third'));
  at.server.send('{"type":"ADDED","object":{]}\n');
  await at.equal();
  assert.is(at.server.count('list'), 1, 'resumed from the last good event');
});

test('puts an event together that arrives byte by byte, umlauts in two pieces', async () => {
  await using at = await scene();
  await at.watching();
  const object = { ...at.server.put('third'), spec: { size: 3, note: 'größer' } };
  const version = String(Number(object.metadata.resourceVersion) + 1);
  const line = Buffer.from(
    `${JSON.stringify({ type: 'MODIFIED', object: { ...object, metadata: { ...object.metadata, resourceVersion: version } } })}\n`,
  );
  for (const byte of line) at.server.send(Buffer.from([byte]));
  await until('the event', async () => at.cache.get('shop', 'third')?.metadata.resourceVersion === version, {
    everyMs: 2,
  });
  assert.is((at.cache.get('shop', 'third') as { spec?: { note?: string } }).spec?.note, 'größer');
});

test('isolates a handler that throws', async () => {
  const logged: string[] = [];
  const log: Log = { debug() {}, info() {}, warn() {}, error: (_fields, message) => logged.push(message) };
  await using at = await scene({ log });
  await at.cache.synced;
  at.cache.on(() => {
    throw new Error('a bug');
  });
  const seen: string[] = [];
  at.cache.on((event) => seen.push(event.object.metadata.name ?? ''));
  await at.watching();
  at.server.put('third');
  await at.equal();
  assert.equal(seen, ['first', 'second', 'third'], 'the handler after it is still called');
  assert.is(logged.length, 3);
});

test('ignores events that come twice', async () => {
  await using at = await scene();
  await at.watching();
  const third = at.server.put('third', 1);
  at.server.event('ADDED', third);
  at.server.event('ADDED', third);
  at.server.put('third', 2);
  at.server.event('ADDED', third);
  at.server.remove('second');
  at.server.event('DELETED', { ...third, metadata: { ...third.metadata, name: 'second', uid: 'u' } });
  at.server.put('fourth');
  await at.equal();
  assert.is(at.cache.get('shop', 'third')?.spec?.size, 2);
  assert.is(at.events.filter(({ object }) => object.metadata.name === 'third').length, 2);
  assert.is(at.server.count('list'), 1);
});

test('ignores an old state of an object that arrives after a newer one', async () => {
  await using at = await scene();
  await at.watching();
  const old = at.server.put('first', 10);
  at.server.put('first', 11);
  at.server.event('MODIFIED', old);
  at.server.put('third');
  await at.equal();
  assert.is(at.cache.get('shop', 'first')?.spec?.size, 11);
  assert.is(at.server.count('list'), 1);
});

test('lists again when events lost their order and one of them was news', async () => {
  await using at = await scene();
  await at.watching();
  let late: object = {};
  at.server.unseen(() => {
    late = at.server.put('third');
  });
  at.server.put('fourth');
  at.server.event('ADDED', late);
  await at.equal();
  assert.is(at.server.count('list'), 2);
});

test('does not bring a deleted object back to life for a late event', async () => {
  await using at = await scene();
  await at.watching();
  const late = at.server.put('third');
  at.server.remove('third');
  at.server.event('MODIFIED', late);
  at.server.put('fourth');
  await at.equal();
  assert.is(at.cache.get('shop', 'third'), undefined);
});

test('resumes from a bookmark, though the versions before it are compacted away', async () => {
  await using at = await scene();
  await at.watching();
  at.server.bookmark();
  const bookmarked = at.server.version;
  at.server.compact();
  at.server.endWatches();
  at.server.put('third');
  await at.equal();
  const resumed = at.server.requests.filter(({ kind }) => kind === 'watch').at(1);
  assert.is(resumed?.url.searchParams.get('resourceVersion'), bookmarked);
  assert.is(at.server.count('list'), 1);
});

test('waits for a kind that does not exist yet', async () => {
  await using at = await scene({ before: (server) => (server.installed = false) });
  await until('some lists', async () => at.server.count('list') > 2, { everyMs: 2 });
  assert.not(at.cache.hasSynced);
  assert.is((at.cache.lastError as { code?: string }).code, 'NotFound');
  at.server.installed = true;
  await at.equal();
});

test('takes an optional kind that does not exist for an empty one, until it appears', async () => {
  await using at = await scene({ optional: true, before: (server) => (server.installed = false) });
  await at.cache.synced;
  assert.is(at.cache.size, 0);
  assert.is(at.cache.lastError, undefined);
  at.server.installed = true;
  await at.equal();
  assert.is(at.cache.size, 2);
});

test('asks again for a list whose body stops on the way', async () => {
  const server = await FakeServer.start();
  server.put('first');
  server.next('list', (response) => void response.writeHead(200).write('{"items":['));
  const patient = server.client();
  const hasty: typeof patient.pages = (type, query, options) =>
    patient.pages(type, query, { ...options, timeoutMs: 50 });
  const cache = new Cache({
    client: { pages: hasty, list: patient.list.bind(patient), watch: patient.watch.bind(patient) },
    type: Things,
    backoff: { baseMs: 1, maxMs: 2 },
  });
  const stop = new AbortController();
  const running = cache.run(stop.signal);
  try {
    await cache.synced;
    assert.is(cache.size, 1);
  } finally {
    stop.abort();
    await running;
    await server[Symbol.asyncDispose]();
  }
});

test('reports an object that was deleted and made again as two', async () => {
  await using at = await scene();
  await at.watching();
  at.server.unseen(() => {
    at.server.remove('first');
    at.server.put('first', 5);
  });
  at.server.compact();
  at.server.endWatches();
  await at.equal();
  assert.equal(
    at.events.slice(2).map(({ type, object }) => `${type} ${object.spec?.size}`),
    ['deleted 1', 'added 5'],
  );
});

test('finds out by its audit what a watch did not deliver, and counts it', async () => {
  let missed = 0;
  const nothing = () => {};
  const metrics = {
    ...{
      listed: nothing,
      watched: nothing,
      event: nothing,
      reconnected: nothing,
      objects: nothing,
      synced: nothing,
      handlerFailed: nothing,
    },
    missed: (count: number) => (missed += count),
  };
  const kube = { cache: () => metrics } as unknown as NonNullable<CacheOptions<Thing>['metrics']>;
  await using at = await scene({ metrics: kube, auditMs: 0 });
  await at.watching();
  at.server.unseen(() => at.server.put('third'));
  at.server.put('fourth');
  await until('the event after it', async () => at.cache.get('shop', 'fourth') !== undefined, { everyMs: 2 });
  assert.is(at.cache.get('shop', 'third'), undefined, 'the watch has passed it by');
  at.server.endWatches();
  await at.equal();
  assert.is(missed, 1);
});

test('watches several namespaces, each for itself', async () => {
  await using at = await scene({
    namespaces: ['shop', 'bank'],
    before: (server) => {
      server.put('account', 1, 'bank');
    },
  });
  await at.cache.synced;
  await until('two watches', async () => at.server.watchers === 2, { everyMs: 2 });
  at.server.remove('account', 'bank');
  at.server.put('teller', 1, 'bank');
  await at.equal();
  assert.equal(at.cache.list('bank').map(keyOf), ['bank/teller']);
  assert.is(at.cache.list('shop').length, 2);
});

test('keeps its objects from being changed', async () => {
  await using at = await scene();
  await at.cache.synced;
  const first = at.cache.get('shop', 'first');
  assert.throws(() => {
    if (first?.spec) first.spec.size = 99;
  }, /read only/);
});

test('finds objects by index, as they change and go', async () => {
  await using at = await scene({
    indexes: { size: (thing) => (thing.spec?.size === undefined ? [] : [String(thing.spec.size)]) },
  });
  await at.cache.synced;
  await at.watching();
  const names = (value: string) => at.cache.byIndex('size', value).map((thing) => thing.metadata.name);
  assert.equal(names('2'), ['second']);
  at.server.put('first', 2);
  at.server.remove('second');
  await at.equal();
  assert.equal(names('2'), ['first']);
  assert.equal(names('1'), []);
  assert.throws(() => at.cache.byIndex('colour', 'red'), /no index colour/);
});

test('stops when it is told to, also while it waits', async () => {
  const server = await FakeServer.start();
  server.installed = false;
  const stop = new AbortController();
  const running = new Cache({ client: server.client(), type: Things, backoff: { baseMs: 1e6, maxMs: 1e6 } }).run(
    stop.signal,
  );
  await until('the first list', async () => server.count('list') > 0, { everyMs: 2 });
  stop.abort();
  await running;
  await server[Symbol.asyncDispose]();
});

test.run();
