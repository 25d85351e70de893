// What YAML means: the same as to sigs.k8s.io/yaml, whose answers (goyaml/main.go) are in yaml-cases.json.
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { JSONValue } from '../../src/gitops/read/node-reader.ts';
import { locate, readYAML } from '../../src/gitops/read/yaml.ts';

interface Case {
  yaml: string;
  json?: JSONValue;
  error?: string;
}

const cases: Case[] = JSON.parse(readFileSync(new URL('yaml-cases.json', import.meta.url), 'utf8'));

// Where we say no and Go says yes: numbers that JSON loses digits of, tags that mean nothing to Kubernetes, keys that are two in Go and
// one in JSON.
const STRICTER = new Set([
  'v: 12345678901234567890',
  'v: 18446744073709551615',
  'v: 18446744073709551616',
  'a: 0x8000000000000000',
  'a: -9223372036854775809',
  'a: 9007199254740993',
  'v: !!binary aGVsbG8=',
  'v: !foo bar',
  'v: !!timestamp 2026-01-01',
  'a: !!set {x, y}',
  'a: !!omap [x: 1]',
  '%TAG ! tag:x,2000:\n---\na: !y b',
  '.inf: a',
  '1: a\n"1": b',
  '__proto__: {a: 1}',
]);
// Where Go's strict mode says no and its usual one, which kubectl uses, yes: what a merge key brings may be overridden after it.
const MERGES = new Set([
  'x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3',
  'x: &x {a: 1}\nz: &z {a: 2, c: 3}\ny:\n  <<: [*x, *z]',
  'x: &x {a: 1}\ny:\n  <<: *x\n  <<: *x',
]);

const test = suite('yaml');

test('every case means what it means to sigs.k8s.io/yaml', () => {
  let compared = 0;
  for (const { yaml, json, error } of cases) {
    if (STRICTER.has(yaml) || MERGES.has(yaml)) continue;
    const { documents, problems } = readYAML(yaml);
    const shown = JSON.stringify(yaml);
    if (error === undefined) {
      assert.equal(problems, [], shown);
      assert.equal(JSON.parse(JSON.stringify(documents[0]?.value ?? null)), json, shown);
    } else assert.not.equal(problems, [], `${shown} is an error to Go: ${error}`);
    compared += 1;
  }
  assert.is(compared, cases.length - STRICTER.size - MERGES.size);
});

test('what cannot be held exactly, or means nothing to Kubernetes, is refused', () => {
  for (const yaml of STRICTER) assert.is(readYAML(yaml).problems.length, 1, yaml);
});

test('a merge key gives way to the keys after it and to earlier maps of its list', () => {
  const merged = (yaml: string): unknown => (readYAML(yaml).documents[0]?.value as { m: unknown } | undefined)?.m;
  assert.equal(merged('x: &x {a: 1, b: 2}\nm:\n  <<: *x\n  b: 3'), { a: 1, b: 3 });
  assert.equal(merged('x: &x {a: 1}\nz: &z {a: 2, c: 3}\nm: {<<: [*x, *z]}'), { a: 1, c: 3 });
});

test('a key before the merge key that brings it too is refused, because readers disagree', () => {
  const { problems } = readYAML('x: &x {a: 1}\nm:\n  a: 2\n  <<: *x\n');
  assert.equal(
    problems.map(({ line }) => line),
    [4],
  );
  assert.match(problems[0]?.message ?? '', 'put << first');
});

test('an alias means the anchor before it, even when the name is given again', () => {
  const { documents } = readYAML('a: &x 1\nb: &y [*x]\nc: &x 2\nd: *y\ne: *x\n');
  assert.equal(documents[0]?.value, { a: 1, b: [1], c: 2, d: [1], e: 2 });
});

test('what two aliases stand for is not shared', () => {
  const { documents } = readYAML('a: &x {n: 1}\nb: *x\nc: *x\n');
  const value = documents[0]?.value as { a: object; b: object; c: object };
  assert.is.not(value.b, value.c);
  assert.is.not(value.a, value.b);
});

test('an alias bomb is refused before it is laid out', () => {
  const levels = ['a: &a [x, x, x, x, x, x, x, x, x]'];
  for (const [index, name] of [...'bcdefghijklm'].entries()) {
    const former = 'abcdefghijkl'[index];
    levels.push(`${name}: &${name} [${Array(9).fill(`*${former}`).join(', ')}]`);
  }
  const before = process.memoryUsage().heapUsed;
  const { documents, problems } = readYAML(levels.join('\n'));
  assert.equal(documents, []);
  assert.match(problems[0]?.message ?? '', 'more than 50000 values');
  assert.ok(process.memoryUsage().heapUsed - before < 64 << 20);
});

test('nesting without end is refused, in flow and in block style', () => {
  for (const yaml of [
    '['.repeat(100_000),
    `${'['.repeat(200)}${']'.repeat(200)}`,
    Array.from({ length: 200 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'),
  ]) {
    const { documents, problems } = readYAML(yaml);
    assert.equal(documents, []);
    assert.ok(problems.length > 0);
  }
});

test('ten thousand keys of one map are read in linear time, and a duplicate among them is found', () => {
  const keys = Array.from({ length: 10_000 }, (_, index) => `k${index}: ${index}`);
  assert.is(Object.keys(readYAML(keys.join('\n')).documents[0]?.value as object).length, 10_000);
  const { problems } = readYAML([...keys, 'k77: again'].join('\n'));
  assert.equal(
    problems.map(({ line, message }) => ({ line, message })),
    [{ line: 10_001, message: 'the key k77 is there twice' }],
  );
});

test('documents without content are left out, and the others keep their numbers', () => {
  const { documents } = readYAML('---\n# nothing\n---\na: 1\n---\n---\nb: 2\n...\n');
  assert.equal(
    documents.map(({ index, value, start }) => ({ index, value, line: start.line })),
    [
      { index: 1, value: { a: 1 }, line: 4 },
      { index: 3, value: { b: 2 }, line: 7 },
    ],
  );
});

test('a problem in one document leaves the others readable', () => {
  const { documents, problems } = readYAML('a: 1\n---\nb: [1\n---\nc: 3\n');
  assert.ok(problems.length > 0);
  assert.ok(documents.some(({ value }) => (value as { a?: number }).a === 1));
});

test('line breaks that only YAML 1.1 knows are refused', () => {
  const { problems } = readYAML('a: 1\nb: x\u2028y\n');
  assert.equal(
    problems.map(({ line }) => line),
    [2],
  );
});

test('a place is that of the key, in windows line ends and after a byte order mark too', () => {
  const yaml = '\uFEFFkind: A\r\nspec:\r\n  sessions:\r\n    - name: one\r\n      on: 012\r\n';
  assert.equal(locate(yaml, 0, ['spec', 'sessions', 0, 'name']), { line: 4, column: 7 });
  assert.is(locate(yaml, 0, ['spec', 'sessions', 0, 'on']).line, 5);
  assert.is(locate(yaml, 0, ['spec', 'missing', 'deeper']).line, 2);
});

test('the place of a value that a merge key brought is the map it was brought into', () => {
  const yaml = 'base: &b\n  schedule: x\nspec:\n  <<: *b\n  name: y\n';
  assert.is(locate(yaml, 0, ['spec', 'schedule']).line, 3);
});

test.run();
