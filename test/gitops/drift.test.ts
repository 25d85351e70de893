// Drift: who changed what of the objects that git says, when it is put right, and when somebody is told to stop.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PolicySyncStatus } from '../../src/api/generated/types.ts';
import { Addons, RestoreSessions, RetentionPolicies } from '../../src/api/kinds.ts';
import type { KubeObject, ManagedFieldsEntry, ResourceType } from '../../src/api/meta.ts';
import { type Contest, contestAfter, isCalm, isContested, withContests } from '../../src/gitops/drift/contest.ts';
import { type Drift, driftOf } from '../../src/gitops/drift/drift.ts';
import { DriftTracker } from '../../src/gitops/drift/tracker.ts';
import { touchedBy } from '../../src/gitops/drift/watch.ts';
import { objectID } from '../../src/gitops/object-id.ts';
import { FIELD_MANAGER } from '../../src/gitops/ownership.ts';
import type { DesiredObject } from '../../src/gitops/prepare.ts';
import type { Outcome } from '../../src/gitops/status.ts';
import type { CacheEvent } from '../../src/kube/cache.ts';

const test = suite('drift');
const MARK = 'shop.policies';

const written = (last: number): KubeObject & { spec: object } => ({
  apiVersion: 'backstay.dev/v1alpha1',
  kind: 'RetentionPolicy',
  metadata: { name: 'daily', namespace: 'shop', labels: { 'backstay.dev/policysync': MARK } },
  spec: { successfulSnapshots: { last } },
});
const desired = (object: KubeObject, type: ResourceType = RetentionPolicies): DesiredObject => ({
  object,
  type,
  id: objectID(object),
  digest: '',
  source: { path: 'a.yaml', line: () => 1 } as never,
});
const ours: ManagedFieldsEntry = {
  manager: FIELD_MANAGER,
  operation: 'Apply',
  apiVersion: 'backstay.dev/v1alpha1',
  time: '2026-01-01T00:00:00Z',
  fieldsV1: {
    'f:metadata': { 'f:labels': { 'f:backstay.dev/policysync': {} } },
    'f:spec': { 'f:successfulSnapshots': { 'f:last': {} } },
  },
};
const update = (manager: string, time: string, fieldsV1: Record<string, unknown>): ManagedFieldsEntry => ({
  manager,
  operation: 'Update',
  apiVersion: 'backstay.dev/v1alpha1',
  time,
  fieldsV1,
});
const spec = { 'f:spec': { 'f:successfulSnapshots': { 'f:last': {} } } };
const live = (last: number, ...managedFields: ManagedFieldsEntry[]): KubeObject => {
  const object = written(last);
  return { ...object, metadata: { ...object.metadata, uid: 'u', generation: 1, managedFields } };
};
const withoutSpec: ManagedFieldsEntry = {
  ...ours,
  fieldsV1: { 'f:metadata': { 'f:labels': { 'f:backstay.dev/policysync': {} } } },
};
const edited = live(
  1,
  withoutSpec,
  update('kubectl-edit', '2026-01-01T00:01:00Z', spec),
  update('labeller', '2026-01-01T00:02:00Z', { 'f:metadata': { 'f:labels': { 'f:team': {} } } }),
  { ...update('backstay-operator', '2026-01-01T00:03:00Z', spec), subresource: 'status' },
);
const id = objectID(written(7));

test('an object that is as git says is no drift, whoever wrote what beside it', () => {
  assert.is(driftOf(desired(written(7)), live(7, ours)), undefined);
  const label = update('labeller', '2026-01-01T00:02:00Z', { 'f:metadata': { 'f:labels': { 'f:team': {} } } });
  assert.is(driftOf(desired(written(7)), live(7, ours, label)), undefined);
});

test('a changed field is told with the manager that has it now, not with the last one to write something', () => {
  assert.equal(driftOf(desired(written(7)), edited), {
    id,
    object: 'RetentionPolicy/shop/daily',
    kind: 'changed',
    fields: ['spec.successfulSnapshots.last'],
    manager: 'kubectl-edit',
  });
  const gone = live(7, withoutSpec, update('remover', '2026-01-01T00:01:00Z', {}));
  assert.is(driftOf(desired(written(7)), gone)?.manager, 'remover');
  assert.is(driftOf(desired(written(7)), live(7, withoutSpec))?.manager, undefined);
});

test('a deleted object is drift; a restore that ran is not, nor is what is still being deleted', () => {
  assert.is(driftOf(desired(written(7)), undefined)?.kind, 'deleted');
  assert.is(driftOf(desired({ ...written(7), kind: 'RestoreSession' }, RestoreSessions), undefined), undefined);
  const ending = { ...edited, metadata: { ...edited.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
  assert.is(driftOf(desired(written(7)), ending), undefined);
});

test('a change wakes whom the object belongs to and belonged to; a status wakes nobody', () => {
  const base = live(7, ours);
  const marks = (event: CacheEvent<KubeObject>): string[] => touchedBy(event).marks;
  const { labels: _labels, ...bare } = base.metadata;
  const unmarked = { ...base, metadata: { ...bare, generation: 2 } };
  assert.equal(marks({ type: 'deleted', object: base }), [MARK]);
  assert.equal(marks({ type: 'updated', object: unmarked, previous: base }), [MARK]);
  assert.equal(marks({ type: 'added', object: unmarked }), []);
  const later = { ...base, metadata: { ...base.metadata, resourceVersion: '2' } };
  assert.equal(marks({ type: 'updated', object: later, previous: base }), []);
  assert.is(touchedBy({ type: 'deleted', object: base }).id, id);
});

const drift: Drift = {
  id,
  object: 'RetentionPolicy/shop/daily',
  kind: 'changed',
  fields: ['spec.x'],
  manager: 'rogue',
};

test('what is put right is put right again after growing waits, and is forgotten in peace', () => {
  let contest: Contest | undefined;
  const waits: number[] = [];
  let now = 0;
  for (let times = 0; times < 12; times += 1) {
    contest = contestAfter(contest, drift, true, now);
    waits.push(contest.retryAt - now);
    now = contest.retryAt;
  }
  assert.equal(waits.slice(0, 4), [5000, 10_000, 20_000, 40_000]);
  assert.is(waits.at(-1), 600_000);
  assert.ok(contest !== undefined && isContested(contest));
  assert.not.ok(isCalm(contest, now + 599_000));
  assert.ok(isCalm(contest, now + 601_000));
  assert.is(contestAfter(contest, drift, true, now + 601_000).count, 1);
  assert.not.ok(isContested(contestAfter(contestAfter(undefined, drift, true, 0), drift, true, 6000)));
});

test('the condition names the object, the field and the manager, and does not change while the fight goes on', () => {
  const metadata = { name: 'policies', namespace: 'shop', generation: 2 };
  const now = new Date('2026-01-01T00:00:00Z');
  const empty: PolicySyncStatus = {};
  const contest = (count: number, change: Partial<Drift> = {}): Contest => ({
    drift: { ...drift, ...change },
    count,
    tries: count,
    retryAt: 0,
  });
  assert.is(withContests({ metadata }, empty, [contest(2)], now), empty);
  const fought = withContests({ metadata }, empty, [contest(3)], now);
  const [condition] = fought.conditions ?? [];
  assert.equal([condition?.type, condition?.status, condition?.reason], ['DriftContested', 'True', 'ChangedByOther']);
  assert.match(condition?.message ?? '', /RetentionPolicy\/shop\/daily: field manager rogue sets spec\.x to other/);
  assert.is(withContests({ metadata }, fought, [contest(9)], new Date()), fought);
  const deleted = withContests({ metadata }, empty, [contest(3, { kind: 'deleted', manager: undefined })], now);
  assert.match(deleted.conditions?.[0]?.message ?? '', 'daily is deleted again and again');
  assert.equal(withContests({ metadata }, fought, [], now).conditions, []);
});

const outcome = (changes: string[] = []): Outcome => ({
  kind: 'applied',
  revision: 'main@sha1:0',
  inventory: [],
  objects: 1,
  changes: changes.map((one) => ({ id: one, action: 'changed', object: one })),
  notes: [],
});

test('own writes are no drift, and an object of an old commit is nobody’s', async () => {
  const tracker = new DriftTracker();
  const find = async (): Promise<Map<string, KubeObject>> => new Map([[id, live(7, ours)]]);
  tracker.suspect('k', id);
  tracker.clear('k');
  tracker.suspect('k', id);
  tracker.ended('k', outcome([id]), [desired(written(7))], [], 0);
  assert.equal(await tracker.look('k', find, 0), { drifts: [], nextInMs: undefined });
  const addon = { apiVersion: 'backstay.dev/v1alpha1', kind: 'Addon', metadata: { name: 'mongodb' } };
  tracker.ended('k', outcome([id]), [desired(addon, Addons)], [], 0);
  tracker.suspect('k', id);
  assert.equal(await tracker.look('k', async () => new Map(), 0), { drifts: [], nextInMs: undefined });
});

test('somebody who changes an object back each time is followed ever more slowly, and others at once', async () => {
  const tracker = new DriftTracker({ baseMs: 10, maxMs: 80 });
  const other = { ...written(7), metadata: { ...written(7).metadata, name: 'weekly' } };
  const objects = [desired(written(7)), desired(other)];
  const find = async (): Promise<Map<string, KubeObject>> => new Map([[id, edited]]);
  tracker.clear('k');
  tracker.ended('k', outcome(), objects, [], 0);
  let now = 0;
  const corrected: number[] = [];
  for (; now < 400; now += 5) {
    tracker.suspect('k', id);
    const { drifts, nextInMs } = await tracker.look('k', find, now);
    if (drifts.length === 0) {
      assert.ok((nextInMs ?? 0) > 0);
      continue;
    }
    tracker.clear('k');
    tracker.ended('k', outcome(drifts.map((one) => one.id)), objects, drifts, now);
    corrected.push(now);
  }
  assert.equal(corrected, [0, 10, 30, 70, 150, 230, 310, 390]);
  assert.ok(tracker.contests('k').some(isContested));
  tracker.suspect('k', objectID(other));
  const { drifts, nextInMs } = await tracker.look('k', find, now);
  assert.equal([drifts.map(({ kind }) => kind), nextInMs !== undefined], [['deleted'], true]);
  tracker.forget('k');
  assert.equal(tracker.contests('k'), []);
});

test('what could not be looked at is looked at again', async () => {
  const tracker = new DriftTracker();
  tracker.clear('k');
  tracker.ended('k', outcome(), [desired(written(7))], [], 0);
  tracker.suspect('k', id);
  const away = async (): Promise<never> => Promise.reject(new Error('the server is away'));
  const failure = await tracker.look('k', away, 0).catch((error: unknown) => String(error));
  assert.match(String(failure), 'away');
  const { drifts } = await tracker.look('k', async () => new Map([[id, edited]]), 0);
  assert.is(drifts.length, 1);
});

test('what cannot be put right, or is the same to the server, is tried more slowly too, and held against nobody', async () => {
  const find = async (): Promise<Map<string, KubeObject>> => new Map([[id, edited]]);
  for (const end of [outcome(), { ...outcome(), kind: 'failed', code: 'X', message: 'x', failures: [] } as Outcome]) {
    const tracker = new DriftTracker({ baseMs: 10, maxMs: 1000 });
    tracker.clear('k');
    tracker.ended('k', outcome(), [desired(written(7))], [], 0);
    let tries = 0;
    for (let now = 0; now < 400; now += 5) {
      tracker.suspect('k', id);
      const { drifts } = await tracker.look('k', find, now);
      tries += drifts.length;
      if (drifts.length > 0) tracker.ended('k', end, end.kind === 'applied' ? [desired(written(7))] : [], drifts, now);
    }
    assert.is(tries, 6);
    assert.not.ok(tracker.contests('k').some(isContested));
  }
});

test.run();
