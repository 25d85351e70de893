import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Event } from '../../src/kube/builtin.ts';
import type { Client } from '../../src/kube/client.ts';
import { EventRecorder, type EventToRecord } from '../../src/kube/events.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import type { ObjectMeta } from '../../src/kube/resource.ts';
import { fakeClock, settle } from './fake-clock.ts';
import type { Thing } from './fake-server.ts';

const thing = (name: string, metadata: ObjectMeta = {}): Thing => ({
  apiVersion: 'test.example/v1',
  kind: 'Thing',
  metadata: { namespace: 'shop', name, uid: `uid-${name}`, ...metadata },
});
const failed: EventToRecord = {
  type: 'Warning',
  reason: 'BackupFailed',
  action: 'Backup',
  note: 'The dump ended early',
};

function scene() {
  const clock = fakeClock();
  const created: Event[] = [];
  const patched: { name: string; count: number }[] = [];
  const dropped: string[] = [];
  const failing: { create?: Error; patch?: Error } = {};
  const slow = { create: Promise.resolve() };
  const client = {
    create: async (_type: unknown, event: Event) => {
      await slow.create;
      if (failing.create) throw failing.create;
      created.push(event);
      return event;
    },
    patch: async (_type: unknown, ref: { name: string }, body: { series: { count: number } }) => {
      if (failing.patch) throw failing.patch;
      patched.push({ name: ref.name, count: body.series.count });
    },
  } as unknown as Pick<Client, 'create' | 'patch'>;
  const recorder = new EventRecorder({
    client,
    clock,
    reportingController: 'backstay.dev/backupsession',
    reportingInstance: 'operator-0',
    metrics: { eventDropped: (reason) => dropped.push(reason) },
  });
  return { clock, created, patched, dropped, failing, slow, recorder };
}

const test = suite('the event recorder');

test('records an event with everything that kubectl describe shows', async () => {
  const { recorder, created } = scene();
  recorder.record(thing('a'), failed);
  await recorder.flush();
  const [event] = created;
  assert.is(event?.regarding?.kind, 'Thing');
  assert.is(event?.regarding?.uid, 'uid-a');
  assert.is(event?.metadata.namespace, 'shop');
  assert.match(event?.metadata.name ?? '', /^a\./);
  assert.is(event?.note, 'The dump ended early');
  assert.is(event?.reportingController, 'backstay.dev/backupsession');
  assert.match(event?.eventTime ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
});

test('turns the same event again into a series, written at most once a minute', async () => {
  const { recorder, created, patched, clock } = scene();
  for (let i = 0; i < 30; i++) {
    recorder.record(thing('a'), failed);
    await clock.advance(1000);
  }
  assert.is(created.length, 1);
  assert.equal(patched, []);
  await clock.advance(30_000);
  assert.equal(
    patched.map(({ count }) => count),
    [30],
  );
  assert.is(patched[0]?.name, created[0]?.metadata.name);
});

test('tells events of different objects, reasons and notes apart', async () => {
  const { recorder, created } = scene();
  recorder.record(thing('a'), failed);
  recorder.record(thing('b'), failed);
  recorder.record(thing('a'), { ...failed, reason: 'RestoreFailed' });
  recorder.record(thing('a'), { ...failed, note: 'The dump ended late' });
  recorder.record(thing('a', { uid: 'made-again' }), failed);
  await recorder.flush();
  assert.is(created.length, 5);
  assert.is(new Set(created.map((event) => event.metadata.name)).size, 5);
});

test('gives each object an allowance and drops what goes beyond it', async () => {
  const { recorder, created, dropped, clock } = scene();
  for (let i = 0; i < 40; i++) recorder.record(thing('a'), { ...failed, note: `attempt ${i}` });
  recorder.record(thing('b'), failed);
  await recorder.flush();
  assert.is(created.length, 26);
  assert.is(dropped.filter((reason) => reason === 'RateLimited').length, 15);
  await clock.advance(301_000);
  recorder.record(thing('a'), { ...failed, note: 'later' });
  await recorder.flush();
  assert.is(created.length, 27);
});

test('never fails its caller', async () => {
  const { recorder, failing, dropped } = scene();
  failing.create = new KubeError('forbidden', { status: 403, reason: 'Forbidden' });
  recorder.record(thing('a'), failed);
  await recorder.flush();
  assert.equal(dropped, ['Failed']);
});

test('starts a new event when the server has forgotten the old one', async () => {
  const { recorder, failing, created } = scene();
  recorder.record(thing('a'), failed);
  recorder.record(thing('a'), failed);
  failing.patch = new KubeError('gone', { status: 404, reason: 'NotFound' });
  await recorder.flush();
  recorder.record(thing('a'), failed);
  await recorder.flush();
  assert.is(created.length, 2);
});

test('does not write a count before the event itself is there', async () => {
  const { recorder, created, patched, slow } = scene();
  const { promise, resolve } = Promise.withResolvers<void>();
  slow.create = promise;
  recorder.record(thing('a'), failed);
  recorder.record(thing('a'), failed);
  const flushed = recorder.flush();
  await settle();
  assert.equal([created.length, patched.length], [0, 0]);
  resolve();
  await flushed;
  assert.equal([created.length, patched.length], [1, 1]);
});

test('cuts a note at the limit of the API, between characters', async () => {
  const { recorder, created } = scene();
  recorder.record(thing('a'), { ...failed, note: 'ü'.repeat(600) });
  await recorder.flush();
  const note = created[0]?.note ?? '';
  assert.ok(Buffer.byteLength(note) <= 1024);
  assert.match(note, /^ü{500,}…$/);
});

test('puts events of cluster-wide objects into the default namespace', async () => {
  const { recorder, created } = scene();
  recorder.record({ apiVersion: 'test.example/v1', kind: 'Wide', metadata: { name: 'w', uid: 'u' } }, failed);
  await recorder.flush();
  assert.is(created[0]?.metadata.namespace, 'default');
  assert.is(created[0]?.regarding?.namespace, undefined);
});

test('writes what is left when it is closed, and leaves no timer behind', async () => {
  const { recorder, patched, clock } = scene();
  recorder.record(thing('a'), failed);
  recorder.record(thing('a'), failed);
  await settle();
  await recorder.close();
  assert.equal(
    patched.map(({ count }) => count),
    [2],
  );
  assert.equal(clock.waits(), []);
});

test.run();
