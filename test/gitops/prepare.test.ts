// An object of a file that is the same is prepared once, and anew when what it is prepared with changes.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Preparations, type PrepareOptions } from '../../src/gitops/prepare.ts';
import { readObjects, type SourceObject } from '../../src/gitops/read/objects.ts';

const test = suite('preparations');

const retention = (name: string, last: number): readonly SourceObject[] => {
  const text = `apiVersion: backstay.dev/v1alpha1\nkind: RetentionPolicy\nmetadata: {name: ${name}}\nspec: {successfulSnapshots: {last: ${last}}}\n`;
  return readObjects({ path: `${name}.yaml`, content: Buffer.from(text) }).objects;
};
const options: PrepareOptions = { mark: 'shop.policies', namespace: 'shop' };

test('what was read once is prepared once, and what was read anew is prepared anew', () => {
  const preparations = new Preparations();
  const [daily, hourly] = [retention('daily', 7), retention('hourly', 24)];
  const before = preparations.prepareAll([...daily, ...hourly], options);
  const after = preparations.prepareAll([...retention('daily', 8), ...hourly], options);
  assert.is(after[1], before[1]);
  assert.is.not(after[0]?.desired?.digest, before[0]?.desired?.digest);
  assert.equal(after[0]?.desired?.object, {
    apiVersion: 'backstay.dev/v1alpha1',
    kind: 'RetentionPolicy',
    metadata: { name: 'daily', namespace: 'shop', labels: { 'backstay.dev/policysync': 'shop.policies' } },
    spec: { successfulSnapshots: { last: 8 } },
  });
});

test('another namespace, another mark, and Secrets that are taken now, prepare all objects anew', () => {
  const preparations = new Preparations();
  const sources = retention('daily', 7);
  const ids = (given: Partial<PrepareOptions>): (string | undefined)[] =>
    preparations.prepareAll(sources, { ...options, ...given }).map(({ desired }) => desired?.id);
  assert.equal(ids({}), ['shop_daily_backstay.dev_RetentionPolicy']);
  assert.equal(ids({ namespace: 'bank' }), ['bank_daily_backstay.dev_RetentionPolicy']);
  const marks = preparations.prepareAll(sources, { ...options, mark: 'bank.policies' });
  assert.is(marks[0]?.desired?.object.metadata.labels?.['backstay.dev/policysync'], 'bank.policies');

  const text = 'apiVersion: v1\nkind: Secret\nmetadata: {name: login}\ndata: {a: YQ==}\n';
  const secret = readObjects({ path: 's.yaml', content: Buffer.from(text) }).objects;
  const taken = (decryption: boolean): boolean =>
    preparations.prepareAll(secret, { ...options, decryption })[0]?.desired !== undefined;
  assert.equal([taken(false), taken(true), taken(false)], [false, true, false]);
});

test('an object that is refused stays refused', () => {
  const preparations = new Preparations();
  const text = 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n';
  const sources = readObjects({ path: 'web.yaml', content: Buffer.from(text) }).objects;
  for (let turn = 0; turn < 2; turn += 1) {
    const [prepared] = preparations.prepareAll(sources, options);
    assert.is(prepared?.desired, undefined);
    assert.is(prepared?.failures[0]?.field, 'apiVersion');
  }
});

test.run();
