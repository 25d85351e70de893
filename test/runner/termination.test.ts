import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import packageJson from '../../package.json' with { type: 'json' };
import { BackstayError } from '../../src/api/errors.ts';
import { parseManifest } from '../../src/runner/backup/manifest.ts';
import { formatSamples, groupURL } from '../../src/runner/metrics.ts';
import { exitCodeOf, failureResult, JobFailure, terminationMessage } from '../../src/runner/termination.ts';
import { BACKSTAY_VERSION } from '../../src/runner/version.ts';

const test = suite('what a Job leaves behind');
const same = (text: string): string => text;

test('a failure keeps its code, message and remedy, on one line and without secrets', () => {
  const error = new BackstayError('WrongPassword', 'the password\n  secret is wrong', { remedy: 'not secret' });
  const result = failureResult(error, (text) => text.replaceAll('secret', '***'));
  assert.equal(result, {
    code: 'WrongPassword',
    message: 'the password *** is wrong',
    remedy: 'not ***',
    retryable: false,
    data: {},
  });
});

const exits: [code: string, exitCode: number, retryable: boolean][] = [
  ['BackendUnreachable', 1, true],
  ['DatabaseUnreachable', 1, true],
  ['LockLost', 1, true],
  ['Terminated', 1, true],
  ['BackendDenied', 3, false],
  ['SecretKeyMissing', 3, false],
  ['TargetNotEmpty', 3, false],
  ['RestoreIncomplete', 3, false],
  ['RepositoryLocked', 4, true],
  ['LockRefused', 4, true],
  ['Paused', 4, true],
];

for (const [code, exitCode, retryable] of exits) {
  test(`${code} ends with exit code ${exitCode}`, () => {
    const result = failureResult(new BackstayError(code, 'x'), same);
    assert.is(exitCodeOf(result), exitCode);
    assert.is(result.retryable, retryable);
  });
}

test('what nobody foresaw may be tried again', () => {
  const result = failureResult(new TypeError('x is not a function'), same);
  assert.is(result.code, 'InternalError');
  assert.is(exitCodeOf(result), 1);
});

test('a failure tells what was achieved besides', () => {
  const cause = new BackstayError('DiskFull', 'full', { remedy: 'make room' });
  const { code, remedy, data } = failureResult(new JobFailure(cause, '1 of 2 failed', { bytes: 7 }), same);
  assert.equal({ code, remedy, data }, { code: 'DiskFull', remedy: 'make room', data: { bytes: 7 } });
});

test('the message is at most 4096 bytes of JSON, whatever is in it', () => {
  for (const message of ['x'.repeat(9000), '"\\\n'.repeat(3000), '😀'.repeat(3000), '\u0001'.repeat(3000)]) {
    const text = terminationMessage({ code: 'X', message, retryable: true, data: { more: 'y'.repeat(5000) } });
    assert.ok(Buffer.byteLength(text) <= 4096, `${Buffer.byteLength(text)} bytes`);
    const parsed = JSON.parse(text);
    assert.is(parsed.code, 'X');
    assert.ok(parsed.message.length > 100);
  }
});

test('data goes before the message is cut', () => {
  const text = terminationMessage({
    code: 'X',
    message: 'short',
    retryable: true,
    data: { more: 'y'.repeat(5000) },
  });
  assert.equal(JSON.parse(text), { code: 'X', message: 'short', retryable: true, data: {} });
});

test('metrics are in the text format, and unknown ones are left out', () => {
  assert.is(formatSamples({ a: 1, b: undefined, c: 0.5 }), '# TYPE a gauge\na 1\n# TYPE c gauge\nc 0.5\n');
});

test('labels of a group are safe in its URL', () => {
  assert.is(
    groupURL('http://push:9091/', { namespace: 'shop', configuration: 'a b', session: 'x/y', empty: '' }),
    'http://push:9091/metrics/job/backstay/namespace/shop/configuration/a%20b/session@base64/eC95/empty@base64/=',
  );
});

test('the version is the one of package.json', () => assert.is(BACKSTAY_VERSION, packageJson.version));

const snapshot = {
  apiVersion: 'backstay.dev/v1alpha1' as const,
  kind: 'Snapshot' as const,
  metadata: { namespace: 'shop', name: 's1' },
  spec: { snapshotID: 'id1', repository: 'r' },
  status: { components: [{ name: 'dump', resticSnapshotID: 'abc', hash: 'h1' }] },
};
const component = { name: 'dump', file: 'dump.archive', resticSnapshotID: 'abc', hash: 'h1' };

test('a manifest is read when it belongs to the Snapshot', () => {
  const text = JSON.stringify({ snapshotID: 'id1', components: [component] });
  assert.equal(parseManifest(text, snapshot).components, [component]);
});

const manifests: [what: string, text: string][] = [
  ['that is no JSON', '{'],
  ['without components', '{"snapshotID": "id1"}'],
  ['of another Snapshot', JSON.stringify({ snapshotID: 'id2', components: [component] })],
  ['that lacks a component of the status', JSON.stringify({ snapshotID: 'id1', components: [] })],
  ['with another hash', JSON.stringify({ snapshotID: 'id1', components: [{ ...component, hash: 'h2' }] })],
  [
    'with another archive',
    JSON.stringify({ snapshotID: 'id1', components: [{ ...component, resticSnapshotID: 'x' }] }),
  ],
];

for (const [what, text] of manifests) {
  test(`a manifest ${what} is refused`, () => {
    assert.throws(
      () => parseManifest(text, snapshot),
      (error: unknown) => error instanceof BackstayError && error.code === 'SnapshotInvalid',
    );
  });
}

test.run();
