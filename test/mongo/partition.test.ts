import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCode } from '../../src/api/errors.ts';
import type { ArchiveHeader } from '../../src/mongo/archive/format.ts';
import { partition, type SizedNamespace } from '../../src/mongo/dump/partition.ts';
import { type Prelude, requireWhole } from '../../src/mongo/load/parts.ts';

const MiB = 1024 * 1024;

const test = suite('a dump as several archives');

const small = (count: number): SizedNamespace[] =>
  Array.from({ length: count }, (_, n) => ({ name: `app${n % 7}.small${n}`, bytes: n * 1000 }));
const places = (namespaces: SizedNamespace[], archives: number): Map<string, number> =>
  new Map(partition(namespaces, archives).map((place, index) => [namespaces[index]?.name ?? '', place]));
const loads = (namespaces: SizedNamespace[], archives: number): number[] => {
  const sums = new Array<number>(archives).fill(0);
  for (const [index, place] of partition(namespaces, archives).entries())
    sums[place] = (sums[place] ?? 0) + (namespaces[index]?.bytes ?? 0);
  return sums;
};

test('every collection has one place, and one archive takes all', () => {
  for (const archives of [1, 2, 3, 8]) {
    const found = partition(small(500), archives);
    assert.is(found.length, 500);
    assert.equal([...new Set(found)].sort(), [...Array(archives).keys()]);
  }
});

test('small collections keep their places, whatever comes, goes or grows beside them', () => {
  const before = places(small(300), 3);
  const others = small(300)
    .filter((_, n) => n % 3 !== 0)
    .map(({ name, bytes = 0 }) => ({ name, bytes: bytes * 5 }));
  const after = places([{ name: 'new.one', bytes: 900 * MiB }, ...others, { name: 'new.two', bytes: undefined }], 3);
  for (const { name } of others) assert.is(after.get(name), before.get(name), name);
});

test('large collections are spread by their size', () => {
  const large = [800, 400, 390, 210, 200, 190, 100, 90].map((size, n) => ({ name: `big.c${n}`, bytes: size * MiB }));
  const sums = loads([...large, ...small(50)], 2).map((bytes) => bytes / MiB);
  assert.ok(Math.max(...sums) < 1.4 * Math.min(...sums), sums.join(' and '));
  const one = places([...small(20), { name: 'big.only', bytes: 5000 * MiB }], 4);
  assert.is(one.get('big.only'), 0);
});

test('large collections that grow stay where they are until one has doubled', () => {
  const sizes = [700, 520, 300, 260, 150, 130].map((size, n) => ({ name: `big.c${n}`, bytes: size * MiB }));
  const grown = sizes.map(({ name, bytes }, n) => ({ name, bytes: bytes + n * 20 * MiB }));
  assert.equal(partition(grown, 3), partition(sizes, 3));
  assert.equal(partition([...sizes].reverse(), 3).reverse(), partition(sizes, 3), 'the order does not matter');
});

test('a user who may not ask for sizes has them dealt by name', () => {
  const unknown = small(100).map(({ name }) => ({ name, bytes: undefined }));
  assert.equal(partition(unknown, 5), partition(small(100), 5));
});

const prelude = (names: string[], part?: ArchiveHeader['part']): Prelude => ({
  header: {
    concurrentCollections: 1,
    serverVersion: '6.0.5',
    toolVersion: '',
    checked: true,
    ...(part === undefined ? {} : { part }),
  },
  entries: names.map((name) => ({ db: 'a', collection: name, metadata: '', type: 'collection' })),
});
const refusal = (...preludes: Prelude[]): [code: string, message: string] | undefined => {
  try {
    requireWhole(preludes);
    return undefined;
  } catch (error) {
    return [errorCode(error), error instanceof Error ? error.message : ''];
  }
};

test('all archives of a dump have to be there, each once', () => {
  const [first, second, third] = [1, 2, 3].map((number) => prelude([`c${number}`], { number, of: 3 }));
  assert.ok(first && second && third);
  assert.is(refusal(third, first, second), undefined);
  assert.equal(refusal(first, third), ['ArchiveMissing', 'the dump is 3 archives, and number 2 is missing']);
  assert.equal(refusal(third), ['ArchiveMissing', 'the dump is 3 archives, and numbers 1 and 2 are missing']);
  assert.is(refusal(first, second, second)?.[0], 'ArchiveMissing');
  assert.is(refusal(first, second, third, third)?.[0], 'ArchivesOverlap');
  assert.is(refusal(first, second, prelude(['c3'], { number: 3, of: 4 }))?.[0], 'ArchiveMissing');
});

test('archives that know nothing of each other are loaded together unless they have the same collection', () => {
  assert.is(refusal(prelude(['x'])), undefined);
  assert.is(refusal(prelude(['x']), prelude(['y'])), undefined);
  assert.equal(refusal(prelude(['x', 'y']), prelude(['y'])), ['ArchivesOverlap', 'a.y is in two of the archives']);
});

test.run();
