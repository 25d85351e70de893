import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { defaultBackends } from '../../src/api/backends.ts';
import { applyDefaults, missingDefaults } from '../../src/api/defaults.ts';
import type { Kind } from '../../src/api/kinds.ts';
import { review } from '../../src/api/review.ts';
import { configuration, type Loose, lookupOf, retention, SAMPLES, session, storage } from './objects.ts';

const test = suite('defaults');

test('defaults reach into objects, lists and what a default has just made', () => {
  const { spec } = applyDefaults('BackupConfiguration', configuration());
  assert.equal(spec.target, { name: 'orders', apiGroup: 'backstay.dev', kind: 'AppBinding' });
  assert.is(spec.sessions[0].scheduler.concurrencyPolicy, 'Forbid');
  assert.is(spec.sessions[0].repositories[0].deletionPolicy, 'Retain');
  assert.equal(applyDefaults('BackupStorage', storage()).spec.usagePolicy, { allowedNamespaces: { from: 'Same' } });
});

test('what is written stays, false and empty values too', () => {
  const object = storage({ deletionPolicy: 'Delete', usagePolicy: { allowedNamespaces: { from: 'All' } } });
  assert.equal(applyDefaults('BackupStorage', object).spec, object.spec);
  const sync = SAMPLES.PolicySync?.();
  sync.spec.prune = false;
  assert.is(applyDefaults('PolicySync', sync).spec.prune, false);
});

test('null counts as missing where a field is not nullable', () => {
  const object = storage({ deletionPolicy: null });
  assert.is(applyDefaults('BackupStorage', object).spec.deletionPolicy, 'Delete');
});

test('unknown fields and what a schema leaves open are not touched', () => {
  const object = configuration({
    sessions: [
      session({ extra: { name: null }, addon: { name: 'm', tasks: [{ name: 'a', params: { driver: null } }] } }),
    ],
  });
  const filled = applyDefaults('BackupConfiguration', object);
  assert.equal(filled.spec.sessions[0].extra, { name: null });
  assert.equal(filled.spec.sessions[0].addon.tasks[0].params, { driver: null });
});

test('values of a wrong type are left for the schema to refuse', () => {
  for (const spec of [null, 5, 'x', [], [{}]]) {
    assert.equal(applyDefaults('BackupStorage', { ...storage(), spec }).spec, spec);
  }
});

test('a key called __proto__ is data', () => {
  const object = JSON.parse('{"spec":{"storage":{"provider":"s3"},"__proto__":{"a":1}}}');
  const filled = applyDefaults('BackupStorage', object);
  assert.ok(Object.hasOwn(filled.spec, '__proto__'));
  assert.is(Object.getPrototypeOf(filled.spec), Object.prototype);
  assert.is(filled.spec.a, undefined);
});

for (const [kind, make] of Object.entries(SAMPLES)) {
  test(`filling in a ${kind} twice is filling it in once, leaves the given object alone, and passes review`, () => {
    const object = make();
    const before = structuredClone(object);
    const once = applyDefaults(kind as Kind, object);
    assert.equal(object, before);
    assert.is(applyDefaults(kind as Kind, once), once);
    assert.equal(missingDefaults(kind as Kind, once), []);
    assert.equal(review(kind as Kind, once).causes, []);
  });

  test(`what is missing in a ${kind}, added where it is missing, is the object filled in`, () => {
    const object = structuredClone(make());
    for (const { path, value } of missingDefaults(kind as Kind, object)) {
      const parent = path.slice(0, -1).reduce((at: Loose, key) => at[key], object);
      parent[path.at(-1) ?? ''] = value;
    }
    assert.equal(object, applyDefaults(kind as Kind, make()));
  });
}

const withoutBackends = configuration({ backends: undefined });
delete withoutBackends.spec.backends;

test('a configuration without backends gets the default storage and policy under the name that its sessions use', () => {
  const lookup = lookupOf(storage({ default: true }), storage({}, 'other'), retention({ default: true }));
  assert.equal(defaultBackends(withoutBackends, 'shop', lookup), [
    {
      name: 's3',
      storageRef: { namespace: 'shop', name: 's3' },
      retentionPolicy: { namespace: 'shop', name: 'month' },
    },
  ]);
});

test('without a default policy Snapshots are kept for ever', () => {
  const [backend] = defaultBackends(withoutBackends, 'shop', lookupOf(storage({ default: true }))) ?? [];
  assert.is(backend?.retentionPolicy, undefined);
});

test('nothing is filled in without a default storage of the namespace, or where backends are written', () => {
  assert.is(defaultBackends(withoutBackends, 'shop', lookupOf(storage())), undefined);
  assert.is(defaultBackends(withoutBackends, 'shop', lookupOf(storage({ default: true }, 's3', 'vault'))), undefined);
  assert.is(defaultBackends(configuration(), 'shop', lookupOf(storage({ default: true }))), undefined);
  assert.is(defaultBackends(configuration({ backends: [] }), 'shop', lookupOf(storage({ default: true }))), undefined);
});

test.run();
