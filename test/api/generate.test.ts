import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { crd, generateCrd } from '../../scripts/generate/crd.ts';
import { readSource } from '../../scripts/generate/source.ts';
import { toJavaScriptPattern } from '../../scripts/generate/validators.ts';
import { isKind, KINDS } from '../../src/api/kinds.ts';
import { CEL_RULES } from '../../src/api/rules/cel.ts';
import type { Schema } from '../../src/api/schema.ts';
import { PATTERN_WORDS } from '../../src/api/wording.ts';

const root = join(import.meta.dirname, '../..');
const source = readSource(join(root, 'schemas'));
const test = suite('generated files');

/** Every node of a schema with its path. */
function nodes(schema: Schema, path: string): [string, Schema][] {
  const children: [string, Schema][] = [
    ...Object.entries(schema.properties ?? {}).map(([key, node]): [string, Schema] => [`${path}.${key}`, node]),
    ...(schema.items === undefined ? [] : [[`${path}[]`, schema.items] as [string, Schema]]),
    ...(schema.additionalProperties === undefined
      ? []
      : [[`${path}.*`, schema.additionalProperties] as [string, Schema]]),
  ];
  return [[path, schema], ...children.flatMap(([at, node]) => nodes(node, at))];
}

const all = source.kinds.flatMap(({ kind, schema }) => nodes(schema, kind));

test('nothing is stale: npm run generate would change no file', () => {
  execFileSync(process.execPath, ['scripts/generate.ts', '--check'], { cwd: root, stdio: 'pipe' });
});

test('every field has a description that ends like a sentence', () => {
  const silent = all.filter(([, { description }]) => !/[.…)]$/.test(description ?? ''));
  assert.equal(
    silent.map(([path]) => path),
    [],
  );
});

test('every string, list and map has a bound, or the API server could not tell what a rule costs', () => {
  const unbounded = all.filter(([, node]) => {
    if (node.type === 'string') return node.maxLength === undefined && node.enum === undefined;
    if (node.type === 'array') return node.maxItems === undefined;
    return node.additionalProperties !== undefined && node.maxProperties === undefined;
  });
  assert.equal(
    unbounded.map(([path]) => path),
    [],
  );
});

test('every integer stays within what JavaScript counts exactly', () => {
  const loose = all.filter(
    ([, node]) =>
      node.type === 'integer' && !((node.minimum ?? -Infinity) >= -(2 ** 53) && (node.maximum ?? Infinity) < 2 ** 53),
  );
  assert.equal(
    loose.map(([path]) => path),
    [],
  );
});

test('every list says how it is merged, and the keys of a list of type map are required or have a default', () => {
  for (const [path, node] of all) {
    if (node.type !== 'array') continue;
    assert.ok(node['x-kubernetes-list-type'], path);
    if (node['x-kubernetes-list-type'] !== 'map') continue;
    for (const key of node['x-kubernetes-list-map-keys'] ?? []) {
      const item = node.items ?? {};
      assert.ok(item.required?.includes(key) || item.properties?.[key]?.default !== undefined, `${path} ${key}`);
    }
  }
});

test('every CEL rule has a rule of our own beside it, and none is left over', () => {
  const rules = new Set(all.flatMap(([, node]) => (node['x-kubernetes-validations'] ?? []).map(({ rule }) => rule)));
  assert.equal([...rules].sort(), Object.keys(CEL_RULES).sort());
});

test('every pattern has words, and none are left over', () => {
  const patterns = new Set(all.flatMap(([, { pattern }]) => pattern ?? []));
  assert.equal([...patterns].sort(), Object.keys(PATTERN_WORDS).sort());
});

test('the registry of kinds and the schemas say the same', () => {
  assert.equal(
    source.kinds.map(({ kind }) => kind),
    Object.keys(KINDS).sort(),
  );
  for (const { kind, plural, scope } of source.kinds) {
    assert.ok(isKind(kind));
    assert.is(KINDS[kind].plural, plural);
    assert.is(KINDS[kind].namespaced, scope === 'Namespaced');
  }
});

test('short names and plurals belong to one kind each', () => {
  const names = source.kinds.flatMap(({ plural, singular, shortNames }) => [plural, singular, ...shortNames]);
  assert.is(new Set(names).size, names.length);
});

test('a CRD has a status subresource exactly when its kind has a status', () => {
  for (const kind of source.kinds) {
    const { versions } = (crd(kind) as { spec: { versions: [{ subresources?: object }] } }).spec;
    assert.is(versions[0].subresources !== undefined, kind.schema.properties?.status !== undefined, kind.kind);
  }
});

test('YAML 1.1 and YAML 1.2 read a CRD alike', () => {
  for (const kind of source.kinds) {
    const yaml = generateCrd(kind);
    assert.equal(parse(yaml, { version: '1.1' }), parse(yaml, { version: '1.2' }));
    assert.equal(parse(yaml), JSON.parse(JSON.stringify(crd(kind))));
  }
});

test('every link of the reference leads to a heading', () => {
  const text = readFileSync(join(root, 'docs/api.md'), 'utf8');
  const anchors = [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
  const links = [...text.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor ?? '');
  assert.equal(
    links.filter((anchor) => !anchors.includes(anchor)),
    [],
  );
});

// What the API server drops without a word, or refuses with a path that means nothing to the author.
for (const [what, change, expected] of [
  ['const', { const: 'x' }, 'cannot express the keyword const'],
  ['if', { if: {} }, 'cannot express the keyword if'],
  ['$defs', { $defs: {} }, 'cannot express the keyword $defs'],
  ['oneOf', { oneOf: [] }, 'cannot express the keyword oneOf'],
  ['two types', { type: ['string', 'null'] }, 'one type is required'],
  ['no type', { type: undefined }, 'one type is required'],
  ['a format that nobody checks', { format: 'cron' }, 'does not check the format cron'],
  ['additionalProperties: false', { type: 'object', additionalProperties: false }, 'must be a schema'],
  ['a reference to another file', { type: undefined, $ref: 'other.json#/$defs/X' }, '$ref must start with'],
  ['a reference to nothing', { type: undefined, $ref: 'common.json#/$defs/Nothing' }, 'does not exist'],
  ['a required field that is none', { type: 'object', required: ['x'], properties: {} }, 'which is no property'],
] as [string, object, string][]) {
  test(`a schema with ${what} is refused by the generator`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'schemas-'));
    try {
      cpSync(join(root, 'schemas'), folder, { recursive: true });
      const file = join(folder, 'retentionpolicy.json');
      const schema = JSON.parse(readFileSync(file, 'utf8'));
      schema.properties.spec.properties.probe = { description: 'A probe.', type: 'string', ...change };
      writeFileSync(file, JSON.stringify(schema));
      assert.throws(
        () => readSource(folder),
        (error: Error) => error.message.includes(expected),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

test('exclusive bounds become the flags of OpenAPI 3.0', () => {
  const kind = source.kinds.find((one) => one.kind === 'RetentionPolicy');
  assert.ok(kind);
  const schema: Schema = {
    type: 'object',
    properties: { spec: { type: 'integer', exclusiveMinimum: 0, exclusiveMaximum: 9 } },
  };
  const text = JSON.stringify(crd({ ...kind, schema }));
  assert.match(
    text,
    '"spec":{"type":"integer","minimum":0,"exclusiveMinimum":true,"maximum":9,"exclusiveMaximum":true}',
  );
});

for (const [pattern, expected] of [
  ['^a.b$', '^a[^\\n]b$'],
  ['^[.a]$', '^[.a]$'],
  ['^[^/@\\s]+$', '^[^/@\\t\\n\\f\\r ]+$'],
  ['^\\w+\\s$', '^\\w+[\\t\\n\\f\\r ]$'],
  ['^a\\.b$', '^a\\.b$'],
] as const) {
  test(`the pattern ${pattern} means the same in JavaScript`, () => assert.is(toJavaScriptPattern(pattern), expected));
}

for (const pattern of ['a(?!b)', '(?i)a', '\\u0041', '\\bword']) {
  test(`the pattern ${pattern} is refused: not everybody reads it alike`, () => {
    assert.throws(() => toJavaScriptPattern(pattern));
  });
}

test.run();
