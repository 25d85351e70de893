import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { quote } from '../../src/api/causes.ts';
import { formatDuration, parseDuration, parseRetentionPeriod } from '../../src/api/durations.ts';
import { BackstayError } from '../../src/api/errors.ts';
import { checkParameters, type DeclaredParameter, resolveParameters } from '../../src/api/parameters.ts';
import { allowsNamespace, matchesLabels, resolveReference, resolveTarget } from '../../src/api/references.ts';
import { didYouMean, suggest } from '../../src/api/suggest.ts';
import { expandVariables, requiredVariables } from '../../src/api/variables.ts';
import { variable } from './objects.ts';

const test = suite('durations, references, parameters and variables');

for (const [text, milliseconds] of [
  ['90s', 90_000],
  ['1h30m', 5_400_000],
  ['1.5h', 5_400_000],
  ['250ms', 250],
  ['0s', 0],
] as const) {
  test(`the duration ${text} is ${milliseconds} ms`, () => assert.is(parseDuration(text), milliseconds));
}

for (const text of ['', '5', '1d', '-1m', '1h 30m', '1H']) {
  test(`"${text}" is no duration`, () => assert.throws(() => parseDuration(text), isError('InvalidDuration')));
}

test('a duration that is formatted reads back as itself', () => {
  for (const milliseconds of [0, 1, 999, 1000, 61_000, 3_600_000, 90_061_001]) {
    assert.is(parseDuration(formatDuration(milliseconds)), milliseconds);
  }
  assert.is(formatDuration(5_400_000), '1h30m');
});

test('a month of retention is 30 days and a year 365, and m is minutes', () => {
  const day = 86_400_000;
  assert.is(parseRetentionPeriod('1y6mo'), 545 * day);
  assert.is(parseRetentionPeriod('2w3d4h5m'), 17 * day + 4 * 3_600_000 + 5 * 60_000);
  assert.is(parseRetentionPeriod('1d2d'), 3 * day);
  assert.throws(() => parseRetentionPeriod('1M'), isError('InvalidDuration'));
});

test('a reference means its own namespace unless it names one', () => {
  assert.equal(resolveReference({ name: 'a' }, 'shop'), { namespace: 'shop', name: 'a' });
  assert.equal(resolveReference({ namespace: 'vault', name: 'a' }, 'shop'), { namespace: 'vault', name: 'a' });
  assert.equal(resolveTarget({ name: 'a' }, 'shop'), {
    apiGroup: 'backstay.dev',
    kind: 'AppBinding',
    namespace: 'shop',
    name: 'a',
  });
});

const selector = { matchLabels: { team: 'a' } };
for (const [what, policy, labels, expected] of [
  ['no policy', undefined, {}, false],
  ['Same', { allowedNamespaces: { from: 'Same' } }, {}, false],
  ['All', { allowedNamespaces: { from: 'All' } }, undefined, true],
  ['a selector that chooses it', { allowedNamespaces: { from: 'Selector', selector } }, { team: 'a' }, true],
  ['a selector that does not', { allowedNamespaces: { from: 'Selector', selector } }, { team: 'b' }, false],
  ['a selector and unknown labels', { allowedNamespaces: { from: 'Selector', selector } }, undefined, undefined],
  ['Selector without a selector', { allowedNamespaces: { from: 'Selector' } }, { team: 'a' }, false],
] as const) {
  test(`another namespace is let in by ${what}: ${expected ?? 'unknown'}`, () => {
    assert.is(allowsNamespace(policy, 'vault', 'shop', labels), expected);
    assert.is(allowsNamespace(policy, 'shop', 'shop', labels), true);
  });
}

for (const [requirement, chosen] of [
  [{ key: 'team', operator: 'In', values: ['a', 'b'] }, true],
  [{ key: 'team', operator: 'In', values: [] }, false],
  [{ key: 'team', operator: 'NotIn', values: ['a'] }, false],
  [{ key: 'other', operator: 'NotIn', values: ['a'] }, true],
  [{ key: 'team', operator: 'Exists' }, true],
  [{ key: 'constructor', operator: 'Exists' }, false],
  [{ key: 'other', operator: 'DoesNotExist' }, true],
] as const) {
  test(`${requirement.key} ${requirement.operator} ${'values' in requirement ? requirement.values : ''} is ${chosen} for team=a`, () => {
    const matchExpressions = [{ ...requirement, values: [...('values' in requirement ? requirement.values : [])] }];
    assert.is(matchesLabels({ matchExpressions }, { team: 'a' }), chosen);
  });
}

test('an empty selector chooses everything', () => assert.ok(matchesLabels({}, {})));

const declared: DeclaredParameter[] = [
  { name: 'mode', enum: ['lock', 'none'], default: 'lock' },
  { name: 'maxLag', type: 'duration', default: '30s' },
  { name: 'workers', type: 'integer' },
  { name: 'users', type: 'boolean' },
];

test('parameters become text, with their defaults', () => {
  assert.equal(resolveParameters(declared, { workers: 4, users: true }), {
    mode: 'lock',
    maxLag: '30s',
    workers: '4',
    users: 'true',
  });
});

test('numbers and booleans may be quoted', () => {
  assert.equal(checkParameters(declared, { workers: '4', users: 'false', maxLag: '1m' }), []);
});

for (const [given, reason, words] of [
  [{ mode: 'lokc' }, 'FieldValueNotSupported', 'did you mean lock?'],
  [{ maxlag: '1s' }, 'FieldValueForbidden', 'did you mean maxLag?'],
  [{ workers: 1.5 }, 'FieldValueInvalid', 'a whole number'],
  [{ users: 'yes' }, 'FieldValueInvalid', 'true or false'],
  [{ maxLag: 30 }, 'FieldValueInvalid', 'a duration'],
  [{ mode: null }, 'FieldValueInvalid', 'text'],
  [{ mode: {} }, 'FieldValueInvalid', 'text'],
] as const) {
  test(`the parameter ${JSON.stringify(given)} is refused`, () => {
    const [problem] = checkParameters(declared, given);
    assert.is(problem?.reason, reason);
    assert.match(problem?.message ?? '', words);
    assert.throws(() => resolveParameters(declared, given), isError('ParameterInvalid'));
  });
}

test('variables are filled in once, from values or their defaults', () => {
  const text = `--a=${variable('a')} --b=${variable('b:=x y')} ${variable('a')}`;
  assert.is(expandVariables(text, { a: '1' }), '--a=1 --b=x y 1');
  assert.is(expandVariables(variable('b:='), {}), '');
  assert.is(expandVariables(variable('a'), { a: variable('b'), b: 'secret' }), variable('b'));
  assert.is(expandVariables('$HOME {a} $(a)', {}), '$HOME {a} $(a)');
  assert.equal(requiredVariables(text), ['a', 'a']);
});

test('a variable without a value is named', () => {
  assert.throws(() => expandVariables(variable('a'), {}), isError('VariableUnknown'));
  assert.throws(() => expandVariables(variable('constructor'), {}), isError('VariableUnknown'));
});

test('a mistyped word is recognised, a different one is not', () => {
  assert.is(suggest('sesions', ['sessions', 'backends']), 'sessions');
  assert.is(suggest('nigthly', ['nightly']), 'nightly');
  assert.is(suggest('FORBID', ['Forbid']), 'Forbid');
  assert.is(suggest('target', ['sessions', 'paused']), undefined);
  assert.is(suggest('x'.repeat(10_000), ['y']), undefined);
  assert.is(didYouMean('target', ['paused']), '');
});

test('a value in a message is short and has no credentials', () => {
  assert.is(quote('mongodb://me:secret@db'), '"…@db"');
  assert.is(quote('x'.repeat(500)).length, 78);
  assert.is(quote(undefined), 'nothing');
});

function isError(code: string): (error: unknown) => boolean {
  return (error) => error instanceof BackstayError && error.code === code;
}

test.run();
