import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseNamespace } from '../../src/mongo/namespace.ts';
import { renamer, selects } from '../../src/mongo/selection.ts';

const test = suite('selection of namespaces');

const selected = (include: string[], exclude: string[], names: string[]): string[] => {
  const picks = selects({ include, exclude });
  return names.filter((name) => picks(parseNamespace(name)));
};
const NAMES = ['shop.orders', 'shop.orders.old', 'shop2.orders', 'hr.people', 'hr.a+b', 'hr.line\nbreak'];

test('nothing chosen means everything', () => {
  assert.equal(selected([], [], NAMES), NAMES);
});

test('a name without a dot means a database', () => {
  assert.equal(selected(['shop'], [], NAMES), ['shop.orders', 'shop.orders.old']);
});

test('a star stands for any characters, dots and line breaks too', () => {
  assert.equal(selected(['*.orders'], [], NAMES), ['shop.orders', 'shop2.orders']);
  assert.equal(selected(['hr.*'], [], NAMES), ['hr.people', 'hr.a+b', 'hr.line\nbreak']);
  assert.equal(selected(['shop*'], [], NAMES), ['shop.orders', 'shop.orders.old', 'shop2.orders']);
});

test('an exclusion wins', () => {
  assert.equal(selected(['shop'], ['shop.orders.*'], NAMES), ['shop.orders']);
  assert.equal(selected([], ['shop*', 'hr.*e*'], NAMES), ['hr.a+b']);
});

test('other characters mean themselves', () => {
  assert.equal(selected(['hr.a+b'], [], NAMES), ['hr.a+b']);
  assert.equal(selected(['hr.a.b'], [], [...NAMES, 'hr.a.b']), ['hr.a.b']);
  assert.equal(selected(['d.\\*'], [], ['d.*', 'd.x']), ['d.*']);
  assert.equal(selected(['d.[x]-(y)'], [], ['d.[x]-(y)', 'd.x-y']), ['d.[x]-(y)']);
});

test('an empty pattern is refused', () => {
  assert.throws(() => selects({ include: [''] }), /not a pattern/);
  assert.throws(() => selects({ exclude: ['.x'] }), /not a pattern/);
});

const renamed = (from: string, to: string, name: string): string => {
  const { db, collection } = renamer([{ from, to }])(parseNamespace(name));
  return `${db}.${collection}`;
};

test('a rename carries what the stars stood for', () => {
  assert.is(renamed('shop.orders', 'shop.old', 'shop.orders'), 'shop.old');
  assert.is(renamed('shop', 'copy', 'shop.a.b'), 'copy.a.b');
  assert.is(renamed('*.o*', 'x.*_*', 'shop.orders'), 'x.shop_rders');
  assert.is(renamed('shop.*', 'copy.*', 'other.orders'), 'other.orders');
});

test('a rename with different numbers of stars is refused', () => {
  assert.throws(() => renamer([{ from: 'a.*', to: 'b.c' }]), /stars/);
});

test.run();
