import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { diagnose, lastWords, resticFailure } from '../../src/restic/failure.ts';
import { redactor } from '../../src/restic/redact.ts';

const test = suite('failures of restic');

const texts: [text: string, code: string][] = [
  ['write /r/data/01/x-tmp-6: no space left on device', 'DiskFull'],
  ['client.PutObject: Storage backend has reached its minimum free drive threshold.', 'DiskFull'],
  ['Stat: The specified bucket does not exist.', 'BucketNotFound'],
  ["storage: bucket doesn't exist", 'BucketNotFound'],
  ['RESPONSE 404: 404 The specified container does not exist.\nERROR CODE: ContainerNotFound', 'BucketNotFound'],
  ['client.GetObject: Bucket name cannot be shorter than 3 characters', 'BucketNotFound'],
  ['Stat: Access Denied.', 'BackendDenied'],
  ['The request signature we calculated does not match the signature you provided.', 'BackendDenied'],
  ['No user exists with the provided access key ID.', 'BackendDenied'],
  ['The AWS Access Key Id you provided does not exist in our records.', 'BackendDenied'],
  ['googleapi: Error 403: sa@p.iam does not have storage.objects.get access', 'BackendDenied'],
  ['oauth2: "invalid_grant" "Invalid JWT Signature."', 'BackendDenied'],
  ['Server failed to authenticate the request.', 'BackendDenied'],
  ['mkdir /backstay/storage/shop: permission denied', 'BackendDenied'],
  ['open /x: read-only file system', 'BackendDenied'],
  ['tls: failed to verify certificate: x509: certificate signed by unknown authority', 'TLSFailed'],
  ['http: server gave HTTP response to HTTPS client', 'TLSFailed'],
  ['dial tcp 127.0.0.1:9: connect: connection refused', 'BackendUnreachable'],
  ['dial tcp: lookup minio on 10.0.0.10:53: no such host', 'BackendUnreachable'],
  ['dial tcp 10.1.2.3:443: i/o timeout', 'BackendUnreachable'],
  ['client.PutObject: 503 Slow Down', 'BackendUnreachable'],
  ['failed to find snapshot: no matching ID found for prefix "aaaa"', 'ResticSnapshotNotFound'],
  ['ciphertext verification failed', 'RepositoryDamaged'],
];

for (const [text, code] of texts) {
  test(`"${text.slice(0, 60)}" is ${code}`, () => assert.is(diagnose(text)?.code, code));
}

test('the wait before the next try is not taken for a status', () => {
  assert.is(diagnose('Stat(<config/>) returned error, retrying after 503.403ms: something odd'), undefined);
  assert.is(diagnose('Stat(<config/>) returned error, retrying after 403.1ms: 503 later')?.code, 'BackendUnreachable');
});

const exits: [exitCode: number | null, signal: NodeJS.Signals | null, code: string][] = [
  [10, null, 'RepositoryNotFound'],
  [11, null, 'RepositoryLocked'],
  [12, null, 'WrongPassword'],
  [130, null, 'Interrupted'],
  [null, 'SIGKILL', 'ResticKilled'],
  [1, null, 'ResticFailed'],
  [3, null, 'ResticFailed'],
];

for (const [exitCode, signal, code] of exits) {
  test(`exit code ${exitCode ?? signal} is ${code}`, () => {
    const failure = resticFailure({ exitCode, signal, stderr: '' }, 'list snapshots', 's3:x/y');
    assert.is(failure.code, code);
    assert.match(failure.message, /^cannot list snapshots in s3:x\/y: /);
  });
}

test('the message is the cause that restic named last, on one line', () => {
  const stderr = [
    '{"message_type":"error","error":{"message":"something"},"during":"archival"}',
    '{"message_type":"exit_error","code":1,"message":"Fatal: create repository at s3:x failed: Fatal: unable to open repository at s3:x: no such host\\nIs there a repository?"}',
    '',
  ].join('\n');
  assert.is(lastWords(stderr), 'create repository at s3:x failed: unable to open repository at s3:x: no such host');
});

test('a last word that says nothing is explained by what came before', () => {
  const stderr = [
    'Stat(<config/>) returned error, retrying after 1.2s: Stat: Access Denied.',
    '{"message_type":"exit_error","code":1,"message":"Fatal: unable to open config file: context canceled"}',
  ].join('\n');
  assert.is(resticFailure({ exitCode: 1, signal: null, stderr }, 'x', 'y').code, 'BackendDenied');
});

test('secrets are hidden, also percent-encoded, inside JSON and as a line of a key file', () => {
  const redact = redactor(['p@ss:w/rd', 'quo"te"d', '-----BEGIN\nMIIEabcdef\n-----END', 'true', '']);
  assert.is(redact('a p@ss:w/rd b'), 'a *** b');
  assert.is(redact('mongodb://u:p%40ss%3Aw%2Frd@h'), 'mongodb://u:***@h');
  assert.is(redact('{"x":"quo\\"te\\"d"}'), '{"x":"***"}');
  assert.is(redact('key MIIEabcdef'), 'key ***');
  assert.is(redact('it is true'), 'it is true');
});

test('of two secrets where one begins the other, the longer one is hidden whole', () => {
  assert.is(redactor(['secret', 'secret-longer'])('x secret-longer y'), 'x *** y');
});

test.run();
