// Whether an apply would change anything. The live objects are what an API server 1.36 answers, cut down; api-server.test.ts asks one.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { applyOwned, isOwnedBy, NameCollisionError, ownerReference } from '../../src/kube/apply.ts';
import type { ConfigMap } from '../../src/kube/builtin.ts';
import { ConfigMaps } from '../../src/kube/builtin.ts';
import type { Client } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import type { KubeObject, ObjectMeta } from '../../src/kube/resource.ts';
import { isSettled } from '../../src/kube/settled.ts';

type Fields = Record<string, unknown>;

function live(fields: Fields, claims: Record<string, Fields>, subresource?: 'status'): KubeObject {
  const managedFields = Object.entries(claims).map(([manager, fieldsV1]) => ({
    ...{ manager, operation: 'Apply', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1 },
    ...(subresource === undefined ? {} : { subresource }),
  }));
  const { metadata = {}, ...rest } = fields;
  return {
    apiVersion: 'v1',
    kind: 'X',
    ...rest,
    metadata: { name: 'x', resourceVersion: '5', ...(metadata as ObjectMeta), managedFields },
  };
}

const us = { fieldManager: 'us' };
const test = suite('an object is settled');

test('when we own the fields that we want, with their values', () => {
  const object = live(
    { data: { a: '1', b: '2' } },
    { us: { 'f:data': { 'f:a': {} } }, them: { 'f:data': { 'f:b': {} } } },
  );
  assert.ok(isSettled({ metadata: { name: 'x' }, data: { a: '1' } }, object, us));
  assert.not(isSettled({ data: { a: '2' } }, object, us), 'another value');
  assert.not(isSettled({ data: { a: '1', b: '2' } }, object, us), 'right, but not ours');
  assert.not(isSettled({ data: {} }, object, us), 'ours, but no longer wanted');
  assert.not(isSettled({ data: { a: '1' } }, object, { fieldManager: 'nobody' }));
});

test('only if it was applied, in this version, and through this subresource', () => {
  const claim = { us: { 'f:status': { 'f:phase': {} } } };
  const status = live({ status: { phase: 'Ready' } }, claim, 'status');
  const wanted = { metadata: { name: 'x', labels: { a: 'b' } }, spec: { size: 1 }, status: { phase: 'Ready' } };
  assert.ok(isSettled(wanted, status, { ...us, subresource: 'status' }), 'the spec does not matter for it');
  assert.not(isSettled({ status: { phase: 'Ready' } }, status, us));
  const [entry] = status.metadata.managedFields ?? [];
  for (const change of [{ operation: 'Update' }, { apiVersion: 'v2' }]) {
    const other = { ...status, metadata: { ...status.metadata, managedFields: [{ ...entry, ...change }] } };
    assert.not(isSettled(wanted, other, { ...us, subresource: 'status' }));
  }
});

test('when lists by key hold our items, in our order, beside those of others', () => {
  const key = (name: string) => `k:{"name":"${name}"}`;
  const item = { '.': {}, 'f:name': {}, 'f:value': {} };
  const env = [
    { name: 'theirs', value: '0' },
    { name: 'a', value: '1' },
    { name: 'b', value: '2' },
  ];
  const object = live({ env }, { us: { 'f:env': { [key('a')]: item, [key('b')]: item } } });
  const [a, b] = [
    { name: 'a', value: '1' },
    { name: 'b', value: '2' },
  ];
  assert.ok(isSettled({ env: [a, b] }, object, us));
  assert.not(isSettled({ env: [b, a] }, object, us), 'another order');
  assert.not(isSettled({ env: [a] }, object, us), 'one less');
  assert.not(isSettled({ env: [a, b, { name: 'c', value: '3' }] }, object, us), 'one more');
  assert.not(isSettled({ env: [a, { name: 'b' }] }, object, us), 'a field less');
  assert.not(isSettled({ env: [a, { name: 'b', value: '3' }] }, object, us), 'another value');
});

test('though the server filled in a part of a key', () => {
  const ports = [{ containerPort: 80, protocol: 'TCP' }];
  const claim = {
    'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {}, 'f:protocol': {} } },
  };
  assert.ok(isSettled({ ports: [{ containerPort: 80 }] }, live({ ports }, { us: claim }), us));
  assert.not(isSettled({ ports: [{ containerPort: 80, protocol: 'UDP' }] }, live({ ports }, { us: claim }), us));
});

test('when sets hold our values, and lists without keys are the same', () => {
  const object = live(
    { finalizers: ['a', 'z'], args: ['x', 'y'] },
    { us: { 'f:finalizers': { 'v:"a"': {} }, 'f:args': {} } },
  );
  assert.ok(isSettled({ finalizers: ['a'], args: ['x', 'y'] }, object, us));
  assert.not(isSettled({ finalizers: ['a', 'b'], args: ['x', 'y'] }, object, us));
  assert.not(isSettled({ finalizers: ['a'], args: ['y', 'x'] }, object, us));
  assert.not(isSettled({ finalizers: ['a'], args: ['x', 'y', 'z'] }, object, us));
  assert.not(isSettled({ finalizers: ['a'], args: ['x'] }, object, us));
  assert.not(isSettled({ finalizers: ['a'] }, object, us));
});

test('when the server only added to what is owned as a whole', () => {
  const object = live({ ref: { path: 'p', apiVersion: 'v1' } }, { us: { 'f:ref': {} } });
  assert.ok(isSettled({ ref: { path: 'p' } }, object, us));
  assert.not(isSettled({ ref: { path: 'q' } }, object, us));
});

test('when an item of a list by key is owned as a whole, as owner references are', () => {
  const reference = { uid: 'u-1', name: 'owner', controller: true };
  const object = live({ owners: [{ uid: 'u-0' }, reference] }, { us: { 'f:owners': { 'k:{"uid":"u-1"}': {} } } });
  assert.ok(isSettled({ owners: [reference] }, object, us));
  assert.not(isSettled({ owners: [{ ...reference, controller: false }] }, object, us));
});

test('though empty things were dropped, or kept', () => {
  assert.ok(isSettled({ labels: {}, list: [], none: undefined, a: '1' }, live({ a: '1' }, { us: { 'f:a': {} } }), us));
  assert.ok(isSettled({ emptyDir: {} }, live({ emptyDir: {} }, { us: { 'f:emptyDir': {} } }), us));
  assert.not(isSettled({}, live({ emptyDir: {} }, { us: { 'f:emptyDir': {} } }), us));
});

test('not when nothing is known of who owns it', () => {
  assert.not(isSettled({ a: '1' }, { apiVersion: 'v1', kind: 'X', metadata: {} }, us));
});

test.run();

const owning = suite('an owned object');

const owner: KubeObject = {
  apiVersion: 'test.example/v1',
  kind: 'Thing',
  metadata: { namespace: 'shop', name: 'owner', uid: 'u-1' },
};
const wanted = { metadata: { namespace: 'shop', name: 'x' }, data: { a: '1' } };

function map(metadata: ObjectMeta, data: Record<string, string> = {}): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace: 'shop', name: 'x', uid: 'x-1', resourceVersion: '7', ...metadata },
    data,
  };
}

/** A client that holds one object and writes down what is done to it. */
function clientWith(present: ConfigMap | undefined, apply?: () => Promise<ConfigMap>) {
  const calls: string[] = [];
  let object = present;
  const client = {
    get: async () => {
      calls.push('get');
      return object;
    },
    delete: async (_type: unknown, _ref: unknown, options: { uid?: string }) => {
      calls.push(`delete ${options.uid}`);
      object = undefined;
      return true;
    },
    apply: async (_type: unknown, applied: ConfigMap) => {
      calls.push(`apply ${applied.metadata.uid ?? 'anything'}`);
      if (apply && object) return apply();
      return { ...applied, metadata: { ...applied.metadata, resourceVersion: '8' } };
    },
  } as unknown as Client;
  return { client, calls };
}

owning('names its controller, by uid', () => {
  const reference = ownerReference(owner);
  assert.equal([reference.uid, reference.controller, reference.blockOwnerDeletion], ['u-1', true, true]);
  assert.ok(isOwnedBy(map({ ownerReferences: [reference] }), owner));
  assert.not(
    isOwnedBy(map({ ownerReferences: [{ ...reference, uid: 'u-0' }] }), owner),
    'a former owner of the same name',
  );
  assert.not(isOwnedBy(map({ ownerReferences: [{ ...reference, controller: false }] }), owner));
  assert.throws(() => ownerReference({ ...owner, metadata: {} }), /has no uid/);
});

owning('is looked for before it is created, because a cache may be behind', async () => {
  const { client, calls } = clientWith(undefined);
  assert.is((await applyOwned(client, ConfigMaps, wanted, { ...us, owner })).change, 'created');
  assert.equal(calls, ['get', 'apply anything']);
});

owning('is changed only as the very object that was looked at', async () => {
  const { client, calls } = clientWith(undefined);
  const present = map({ ownerReferences: [ownerReference(owner)] });
  assert.is((await applyOwned(client, ConfigMaps, wanted, { ...us, owner, live: present })).change, 'changed');
  assert.equal(calls, ['apply x-1']);
});

owning('of the same name that is not ours is left alone, and the error says whose it is', async () => {
  const foreign = { ...ownerReference(owner), kind: 'HelmRelease', name: 'shop', uid: 'h-1' };
  for (const [ownerReferences, whose] of [
    [[foreign], 'belongs to HelmRelease shop'],
    [[], 'was not made for it'],
  ] as const) {
    const { client, calls } = clientWith(map({ ownerReferences: [...ownerReferences] }));
    const error = await applyOwned(client, ConfigMaps, wanted, { ...us, owner }).catch((reason: unknown) => reason);
    assert.instance(error, NameCollisionError);
    assert.is((error as Error).message, `ConfigMap shop/x ${whose}, so Thing shop/owner cannot use the name`);
    assert.equal(calls, ['get']);
  }
});

owning('that may not change is deleted and made anew, if that is asked for', async () => {
  const immutable = new KubeError('Cannot apply', {
    status: 422,
    reason: 'Invalid',
    causes: [{ field: 'data', message: 'field is immutable', reason: '' }],
  });
  const present = map({ ownerReferences: [ownerReference(owner)] });
  const refusing = () => Promise.reject(immutable);
  const first = clientWith(present, refusing);
  assert.is(
    await applyOwned(first.client, ConfigMaps, wanted, { ...us, owner }).catch((reason: unknown) => reason),
    immutable,
  );
  const second = clientWith(present, refusing);
  const { change } = await applyOwned(second.client, ConfigMaps, wanted, { ...us, owner, recreate: true });
  assert.is(change, 'recreated');
  assert.equal(second.calls, ['get', 'apply x-1', 'delete x-1', 'get', 'apply anything']);
});

owning.run();
