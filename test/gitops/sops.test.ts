// Secrets of a commit that are encrypted with SOPS: what is admitted, what is decrypted, and what is refused and why.
//
// The files in sops/ were made with sops 3.13.3 and age-keygen 1.3.2, with throw-away keys that open nothing else:
//   sops encrypt --age RECIPIENT --encrypted-regex '^(data|stringData)$' secret.yaml      (types.yaml, several.yaml, numbers.yaml alike)
//   sops encrypt --age RECIPIENT,RECIPIENT --encrypted-regex … secret.yaml                two-recipients.yaml
//   sops encrypt --age RECIPIENT several.yaml                                             everything.yaml
//   a .sops.yaml with mac_only_encrypted: true, and one with two key_groups and shamir_threshold: 2
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError, errorCode } from '../../src/api/errors.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { desiredObjects } from '../../src/gitops/desired.ts';
import { readBuilt } from '../../src/gitops/kustomize/built.ts';
import type { DesiredObject } from '../../src/gitops/prepare.ts';
import { type Failure, readObjects } from '../../src/gitops/read/objects.ts';
import { decryptDocuments } from '../../src/gitops/sops/decrypt.ts';
import { discreet } from '../../src/gitops/sops/discreet.ts';
import { type AgeIdentity, dataKeyOf, identitiesOf } from '../../src/gitops/sops/identities.ts';
import { parseMetadata } from '../../src/gitops/sops/metadata.ts';
import { decryptSecrets } from '../../src/gitops/sops/secrets.ts';
import { failureOf } from './reading.ts';

const test = suite('sops');
const FIXTURES = new URL('sops/', import.meta.url);
const fixture = (name: string): string => readFileSync(new URL(name, FIXTURES), 'utf8');
const encode = (text: string): string => Buffer.from(text).toString('base64');
const signal = AbortSignal.timeout(60_000);
const ONE = 'age15hqxpsncpl4nxvpu2ejqddrk7twl0wazgcf2ej9swha4gtn599psukqu5n';
const OTHER = 'age19mumnnj9s6h7a8ezj9l5h6xzjk4xrdns9n82wgaehd3ess9nxynsk9g9mj';

function keys(...names: string[]): Promise<AgeIdentity[]> {
  return identitiesOf(Object.fromEntries(names.map((name) => [name, encode(fixture(name))])), 'shop/keys');
}

function judged(text: string, decryption = true): { objects: DesiredObject[]; failures: Failure[] } {
  const read = readObjects({ path: 'secret.yaml', content: Buffer.from(text) });
  assert.equal(read.failures, []);
  return desiredObjects(read.objects, { mark: 'shop.policies', namespace: 'shop', decryption, validate: () => [] });
}

/** What is wrong with a file, as `line object field: message`. */
async function refusals(text: string, key = 'one.agekey'): Promise<string[]> {
  const { objects, failures } = judged(text);
  const all = failures.length > 0 ? failures : (await decryptSecrets(objects, await keys(key), signal)).failures;
  return all.map(({ file, line, object, field = '', message }) => {
    assert.is(file, 'secret.yaml');
    assert.not.match(message, /fixture/);
    return `${line} ${object ?? ''} ${field}: ${message}`;
  });
}

async function refuses(text: string, expected: RegExp, key?: string): Promise<void> {
  const [first = 'nothing is refused'] = await refusals(text, key);
  assert.ok(expected.test(first), first);
}

async function applied(text: string, ...names: string[]): Promise<KubeObject[]> {
  const { objects, failures } = judged(text);
  assert.equal(failures, []);
  const plain = await decryptSecrets(objects, await keys(...names), signal);
  assert.equal(plain.failures, []);
  return plain.objects.map(({ object }) => object);
}

const SECRET = {
  apiVersion: 'v1',
  kind: 'Secret',
  type: 'Opaque',
  immutable: false,
  metadata: { name: 'bucket', namespace: 'shop', labels: { team: 'shop', 'backstay.dev/policysync': 'shop.policies' } },
  data: {
    binary: 'AAECAwQ=',
    AWS_ACCESS_KEY_ID: encode('fixture-access-key'),
    AWS_SECRET_ACCESS_KEY: encode('fixture/secret+key'),
    empty: '',
    lines: encode('first line\nsecond line\n'),
  },
};

for (const name of ['secret', 'two-recipients', 'mac-only-encrypted'])
  test(`${name}.yaml is decrypted to what the API server takes, without a trace of SOPS`, async () => {
    assert.equal(await applied(fixture(`${name}.yaml`), 'one.agekey'), [SECRET]);
  });

test('either of two recipients will do, and a Secret may hold keys that do not fit beside one that does', async () => {
  assert.equal(await applied(fixture('two-recipients.yaml'), 'other.agekey', 'two.agekey'), [SECRET]);
});

test('the documents of one file are decrypted together', async () => {
  const [first, second] = (await applied(fixture('several.yaml'), 'one.agekey')) as (KubeObject & { data: object })[];
  assert.equal(first?.data, { token: encode('fixture-first') });
  assert.equal(second?.data, { token: encode('fixture-second') });
});

test('values keep their types', async () => {
  const [object] = readObjects({ path: 'x', content: Buffer.from(fixture('types.yaml')) }).objects;
  const document = object?.object as KubeObject & { sops: unknown };
  const metadata = parseMetadata(document.sops);
  if ('message' in metadata) throw new Error(metadata.message);
  const key = await dataKeyOf(metadata, await keys('one.agekey'));
  if ('message' in key) throw new Error(key.message);
  const [plain] = decryptDocuments([document], metadata, key) as (KubeObject & { stringData: object })[];
  assert.equal(plain?.stringData, { text: 'fixture-text', number: 42, float: 2.5, yes: true, no: false });
});

test('until it is applied, an object is kept encrypted, and its digest tells nothing about its values', () => {
  const { objects } = judged(fixture('secret.yaml'));
  assert.not.match(JSON.stringify(objects), /fixture/);
});

test('a value that is not text is none that a Secret can hold', async () => {
  await refuses(
    fixture('types.yaml'),
    /^7 Secret\/shop\/types stringData\[number\]: The value is not text; put it in quotes/,
  );
});

test('without spec.decryption a Secret is refused', () => {
  const [failure] = judged(fixture('secret.yaml'), false).failures;
  assert.match(failure?.message ?? '', /^Secret of v1 cannot stand here.*; set spec\.decryption/);
});

const PLAIN = 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: bucket\nstringData:\n  token: fixture\n';

test('a Secret that is not encrypted is refused', async () => {
  await refuses(PLAIN, /^1 Secret\/bucket : A Secret in git must be encrypted: sops encrypt --in-place/);
});

test('a Secret with one value that is not encrypted is refused at its line', async () => {
  const open = fixture('secret.yaml').replace('    empty: ""', '    token: fixture');
  await refuses(open, /^14 Secret\/bucket stringData\[token\]: The value is not encrypted; encrypt it/);
});

test('encrypted values without a sops block are refused', async () => {
  const [body = ''] = fixture('secret.yaml').split('sops:\n');
  await refuses(body, /It has encrypted values and no sops block/);
});

test('a file that is encrypted as a whole is refused, since nobody can tell what it is', async () => {
  await refuses(fixture('everything.yaml'), /^2 {2}kind: Everything in it is encrypted, even its kind/);
});

test('what is not a Secret may not be encrypted', async () => {
  const other = fixture('secret.yaml')
    .replace('apiVersion: v1', 'apiVersion: backstay.dev/v1alpha1')
    .replace('kind: Secret', 'kind: BackupStorage');
  await refuses(other, /^18 BackupStorage\/bucket sops: Only Secrets may be encrypted with SOPS/);
});

test('names that git should not hide are refused when they are encrypted', async () => {
  const hidden = fixture('secret.yaml').replace(
    'team: shop',
    'team: ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]',
  );
  await refuses(hidden, /^7 Secret\/bucket metadata\.labels\.team: Only data and stringData may be encrypted/);
});

test('a key that does not fit: the recipients that are wanted and those that are there', async () => {
  await refuses(
    fixture('secret.yaml'),
    new RegExp(`^19 Secret/shop/bucket sops\\.age: No key .* ${ONE}, .* ${OTHER};`),
    'other.agekey',
  );
});

test('a value that was altered is refused at its line', async () => {
  const altered = fixture('secret.yaml').replace('data:XtaTBeeD', 'data:YtaTBeeD');
  await refuses(altered, /^12 Secret\/shop\/bucket stringData\.AWS_ACCESS_KEY_ID: The encrypted value was altered/);
});

test('two values that changed places are refused', async () => {
  const swapped = fixture('secret.yaml')
    .replace('AWS_ACCESS_KEY_ID:', 'KEPT:')
    .replace('AWS_SECRET_ACCESS_KEY:', 'AWS_ACCESS_KEY_ID:')
    .replace('KEPT:', 'AWS_SECRET_ACCESS_KEY:');
  await refuses(swapped, /stood elsewhere/);
});

const MAC: [what: string, change: (text: string) => string][] = [
  ['a value was removed', (text) => text.replace(/^ {4}lines: .*\n/m, '')],
  ['the Secret has another name', (text) => text.replace('name: bucket', 'name: other')],
  [
    'the order is another',
    (text) =>
      text
        .replace(/^( {4}empty: ""\n)( {4}lines: .*\n)/m, '$2$1')
        .replace(/^( {4}AWS_ACCESS_KEY_ID: .*\n)( {4}AWS_S.*\n)/m, '$2$1'),
  ],
  ['the time is another', (text) => text.replace('lastmodified: "2026', 'lastmodified: "2027')],
  [
    'the MAC was made over other values',
    (text) => text.replace(/^ {4}version:/m, '    mac_only_encrypted: true\n    version:'),
  ],
  ['the MAC is another', (text) => text.replace('mac: ENC[AES256_GCM,data:u38u', 'mac: ENC[AES256_GCM,data:v38u')],
];
for (const [what, change] of MAC)
  test(`the MAC is broken when ${what}`, async () => {
    const text = change(fixture('secret.yaml'));
    assert.is.not(text, fixture('secret.yaml'));
    await refuses(text, /sops\.mac: The MAC does not fit the values: the file was changed without sops/);
  });

test('a document that was taken out of its file breaks the MAC of the others', async () => {
  await refuses(
    fixture('several.yaml').split('\n---\n')[1] ?? '',
    /Secret\/shop\/second sops\.mac: The MAC does not fit/,
  );
});

test('a MAC over keys whose order is lost is refused, and said to be for that', async () => {
  await refuses(fixture('numbers.yaml'), /sops\.mac: The MAC cannot be checked, because keys that are numbers/);
});

test('with a MAC over the encrypted values alone, what is readable may change', async () => {
  const renamed = fixture('mac-only-encrypted.yaml').replace('name: bucket', 'name: other');
  assert.is((await applied(renamed, 'one.agekey'))[0]?.metadata.name, 'other');
  await refuses(renamed.replace(/^ {4}lines: .*\n/m, ''), /The MAC does not fit/);
});

test('a key that is split among groups is refused', async () => {
  await refuses(fixture('key-groups.yaml'), /^\d+ Secret\/types sops\.key_groups: The key is split among key groups/);
});

const BLOCKS: [what: string, block: object, expected: RegExp][] = [
  ['PGP only', { pgp: [{ fp: 'AB', enc: 'x' }] }, /^sops It is encrypted for PGP only; add an age recipient/],
  [
    'clouds only',
    { kms: [{ arn: 'x' }], gcp_kms: [{}], azure_kv: [], hc_vault: [{}] },
    /for AWS KMS and Google Cloud KMS and HashiCorp Vault only/,
  ],
  ['nobody', {}, /for nobody/],
  ['a threshold', { age: [{ recipient: ONE, enc: 'x' }], shamir_threshold: 2 }, /^sops\.shamir_threshold/],
  ['comments that choose', { encrypted_comment_regex: 'x' }, /^sops\.encrypted_comment_regex/],
  ['no MAC', { age: [{ recipient: ONE, enc: 'x' }] }, /^sops\.mac/],
  ['a recipient without a key', { age: [{ recipient: ONE }] }, /^sops\.age/],
  ['too many recipients', { age: Array.from({ length: 101 }, () => ({ recipient: ONE, enc: 'x' })) }, /more than 100/],
];
for (const [what, block, expected] of BLOCKS)
  test(`a sops block with ${what} is refused`, () => {
    const parsed = parseMetadata(block);
    assert.match('message' in parsed ? `${parsed.field} ${parsed.message}` : 'nothing is refused', expected);
  });

test('a data key that is damaged is told from a key that does not fit', async () => {
  const damaged = fixture('secret.yaml').replace('YWdlLWVuY3J5', 'AAAALWVuY3J5');
  await refuses(damaged, /sops\.age: The data key for age15\S+ is damaged/);
});

const KEY_SECRETS: [what: string, data: Record<string, string>, code: string, text: RegExp][] = [
  ['no *.agekey', { 'age.key': fixture('one.agekey') }, 'SecretKeyMissing', /holds no age key.*ends in \.agekey/],
  ['comments alone', { 'a.agekey': '# nothing\n\n' }, 'SecretKeyMissing', /holds no age key/],
  [
    'a public key',
    { 'a.agekey': `# key\n${ONE}\n` },
    'SecretInvalid',
    /^Line 2 of key a\.agekey of Secret shop\/keys is no secret key/,
  ],
  [
    'a key that lost its end',
    { 'a.agekey': fixture('one.agekey').trim().slice(0, -4) },
    'SecretInvalid',
    /is no secret key of age/,
  ],
];
for (const [what, data, code, text] of KEY_SECRETS)
  test(`a Secret of keys with ${what} is refused without a word of its content`, async () => {
    const encoded = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, encode(value)]));
    const failure = await failureOf(identitiesOf(encoded, 'shop/keys'));
    assert.is(failure.code, code);
    assert.match(failure.text, text);
    assert.not.match(failure.text, /AGE-SECRET-KEY-1\w{4}/);
  });

const built = (change: (text: string) => string): DesiredObject[] => {
  const files = new Map([['secrets/bucket.yaml', Buffer.from(fixture('secret.yaml'))]]);
  // As kustomize prints it: in its own order of fields, with a namespace and the place of the origin.
  const output = change(fixture('secret.yaml')).replace(
    'metadata:\n',
    "metadata:\n    namespace: lima\n    annotations:\n        config.kubernetes.io/origin: 'path: ../secrets/bucket.yaml'\n",
  );
  const { objects } = readBuilt({ start: 'lima/kustomization.yaml', output, files });
  const desired = desiredObjects(objects, { mark: 'm', namespace: 'shop', decryption: true, validate: () => [] });
  assert.equal(desired.failures, []);
  return desired.objects;
};

test('what kustomize names otherwise is decrypted by the file that it comes from', async () => {
  const objects = built((text) => text.replace('name: bucket', 'name: lima-bucket'));
  const plain = await decryptSecrets(objects, await keys('one.agekey'), signal);
  assert.equal(plain.failures, []);
  const [secret] = plain.objects.map(({ object }) => object as KubeObject & { data: object });
  assert.is(`${secret?.metadata.namespace}/${secret?.metadata.name}`, 'lima/lima-bucket');
  assert.equal(secret?.data, SECRET.data);
});

test('what kustomize changed in an encrypted Secret is refused', async () => {
  const objects = built((text) => text.replace(/^ {4}lines: .*\n/m, ''));
  const { failures } = await decryptSecrets(objects, await keys('one.agekey'), signal);
  assert.match(failures[0]?.message ?? '', /^kustomize changed an encrypted Secret/);
  assert.is(failures[0]?.file, 'secrets/bucket.yaml');
});

test('a refusal of the server that quotes a value is shown without it', () => {
  const said = discreet(SECRET, 'denied: fixture-access-key, bigger context AAECAwQ=');
  assert.is(said, 'denied: ***, bigger context ***');
  assert.is(errorCode(new BackstayError('DecryptionFailed', said)), 'DecryptionFailed');
});

test.run();
