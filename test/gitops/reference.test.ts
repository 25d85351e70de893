// Which commit a PolicySync follows, and which names never reach git.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCode } from '../../src/api/errors.ts';
import { accessOf, secretsOf } from '../../src/gitops/source/access.ts';
import { parseCommit } from '../../src/gitops/source/commit.ts';
import { gitFailure, redact } from '../../src/gitops/source/failure.ts';
import {
  formatRevision,
  isRefName,
  parseAdvertised,
  referenceOf,
  refPatterns,
  resolveReference,
} from '../../src/gitops/source/reference.ts';
import { compareVersions, parseRange, parseVersion } from '../../src/gitops/source/semver.ts';
import { folderOf } from '../../src/gitops/source/tree.ts';
import { parseRepositoryURL } from '../../src/gitops/source/url.ts';

const test = suite('reference');
const oid = (digit: string): string => digit.repeat(40);

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return errorCode(error);
  }
  return 'no error';
}

test('a commit counts before a name, a range, a tag and a branch; without any it is main', () => {
  const all = { commit: oid('a'), name: 'refs/heads/x', semver: '>=1', tag: 't', branch: 'b' };
  const { commit: _c, ...noCommit } = all;
  const { name: _n, ...noName } = noCommit;
  const { semver: _s, ...noRange } = noName;
  const { tag: _t, ...onlyBranch } = noRange;
  assert.equal(
    [all, noCommit, noName, noRange, onlyBranch].map((ref) => referenceOf(ref).kind),
    ['commit', 'name', 'semver', 'tag', 'branch'],
  );
  assert.equal(referenceOf(undefined), { kind: 'branch', branch: 'main' });
});

test('names that git would take for something else are refused', () => {
  for (const branch of [
    '--upload-pack=touch /tmp/x',
    '-x',
    'a..b',
    'a b',
    'a\nb',
    'a~1',
    'a^{}',
    'a:b',
    'x.lock',
    '.x',
    'x/',
    'a//b',
    'a@{1}',
    'a*',
    'a\\b',
    '\u0000',
    'x/.y',
    '',
  ]) {
    assert.is(isRefName(`refs/heads/${branch}`), false, JSON.stringify(branch));
    assert.is(
      codeOf(() => referenceOf({ branch })),
      'InvalidReference',
      JSON.stringify(branch),
    );
    assert.is(
      codeOf(() => referenceOf({ tag: branch })),
      'InvalidReference',
      JSON.stringify(branch),
    );
  }
  assert.is(
    codeOf(() => referenceOf({ name: '--output=x' })),
    'InvalidReference',
  );
  assert.is(
    codeOf(() => referenceOf({ commit: 'HEAD' })),
    'InvalidReference',
  );
  assert.is(
    codeOf(() => referenceOf({ semver: 'newest' })),
    'InvalidReference',
  );
  for (const branch of ['main', 'release/1.2', 'füße', 'feature#1', 'a-b'])
    assert.is(isRefName(`refs/heads/${branch}`), true, branch);
});

test('an annotated tag stands for its commit, and a name is not confused with one that ends alike', () => {
  const refs = parseAdvertised(
    `${oid('1')}\trefs/heads/main\n${oid('2')}\trefs/heads/x/refs/heads/main\n${oid('3')}\trefs/tags/v1\n${oid('4')}\trefs/tags/v1^{}\n`,
  );
  assert.is(resolveReference({ kind: 'branch', branch: 'main' }, refs).oid, oid('1'));
  assert.equal(resolveReference({ kind: 'tag', tag: 'v1' }, refs), {
    ...{ oid: oid('4'), ref: 'refs/tags/v1', label: 'v1' },
    tag: oid('3'),
  });
  assert.is(
    codeOf(() => resolveReference({ kind: 'tag', tag: 'v2' }, refs)),
    'RefNotFound',
  );
});

test('what a server advertises is believed only where git itself would allow the name', () => {
  const refs = parseAdvertised(
    `${oid('1')}\trefs/tags/--x\n${oid('2')}\trefs/tags/v1\nnonsense\n${oid('3')}\trefs/tags/a b\n`,
  );
  assert.equal([...refs.keys()], ['refs/tags/v1']);
});

test('a range follows its newest tag, pre-releases only where it names one', () => {
  const tags = ['v1.0.0', '1.2.0', 'v1.10.0', 'v2.0.0-rc.1', 'v2.0.0', 'nightly', 'v1.9'];
  const refs = new Map(tags.map((tag, index) => [`refs/tags/${tag}`, oid(index.toString(16))]));
  const newest = (range: string): string | undefined => resolveReference({ kind: 'semver', range }, refs).label;
  assert.equal(
    [
      '>=1.0 <2',
      '*',
      '~1.2',
      '^1',
      '1.x',
      '<1.10.0',
      '>=1.0.0, <=1.9',
      '1.0 - 1.5',
      '<1 || 2',
      '>=2.0.0-0 <2.0.0',
      '!=2.0.0',
    ].map(newest),
    ['v1.10.0', 'v2.0.0', '1.2.0', 'v1.10.0', 'v1.10.0', 'v1.9', 'v1.9', '1.2.0', 'v2.0.0', 'v2.0.0-rc.1', 'v1.10.0'],
  );
  assert.is(
    codeOf(() => newest('>=3')),
    'RefNotFound',
  );
  assert.equal(refPatterns({ kind: 'semver', range: '*' }), ['refs/tags/*']);
});

test('versions order as semver.org says', () => {
  const ordered = [
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-beta',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    '1.0.0',
    '1.0.1',
    '1.10.0',
  ];
  const versions = ordered.map((text) => parseVersion(text));
  for (const [index, version] of versions.slice(1).entries()) {
    const former = versions[index];
    assert.ok(
      former !== undefined && version !== undefined && compareVersions(former, version) < 0,
      ordered[index + 1],
    );
  }
  assert.is(parseVersion('v1.2.3.4'), undefined);
  assert.is(parseRange(''), undefined);
  assert.is(parseRange('>= 1.2')?.({ major: 1, minor: 2, patch: 0, prerelease: [] }), true);
});

test('a revision is written as Flux writes it', () => {
  assert.is(formatRevision({ oid: oid('a'), ref: 'refs/heads/main', label: 'main' }), `main@sha1:${oid('a')}`);
  assert.is(formatRevision({ oid: oid('a'), ref: undefined, label: undefined }), `sha1:${oid('a')}`);
  assert.is(formatRevision({ oid: 'b'.repeat(64), ref: undefined, label: 'v1' }), `v1@sha256:${'b'.repeat(64)}`);
});

test('an address that chooses another transport, hides an option or holds credentials is refused', () => {
  const addresses = [
    'ext::sh -c touch% /tmp/x',
    'file:///etc',
    '/etc',
    'git@host:path',
    'git://host/x',
    '--upload-pack=x',
    'https://-oProxyCommand=x/y',
    'ssh://-oProxyCommand=x/y',
    'https://u:p@host/x',
    'https://u@host/x',
    'ssh://u:p@host/x',
    'ssh://-x@host/y',
    'https://host',
    'https://host/?a=b',
    'https://host/x#y',
    'https://host/x y',
    'https://host/\u0000',
    'HTTPS://host/x',
  ];
  for (const address of addresses)
    assert.is(
      codeOf(() => parseRepositoryURL(address)),
      'InvalidURL',
      address,
    );
  try {
    parseRepositoryURL('https://ada:hunter2@host/x');
  } catch (error) {
    assert.not.match(String(error), 'hunter2');
  }
  assert.equal(parseRepositoryURL('ssh://git@host:2222/x.git').user, 'git');
  assert.is(parseRepositoryURL('https://host:8443/x.git').host, 'host:8443');
});

test('a folder that leads out of the repository is refused', () => {
  for (const path of ['../x', 'a/../../b', 'a/..', 'a\nb'])
    assert.is(
      codeOf(() => folderOf(path)),
      'InvalidPath',
      path,
    );
  assert.equal([undefined, '', '.', './', './a/b/', 'a//b'].map(folderOf), ['', '', '', '', 'a/b', 'a/b']);
});

const encoded = (data: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]));

test('a Secret is read with the key names of Flux', () => {
  const https = parseRepositoryURL('https://host/x');
  assert.equal(accessOf(encoded({ username: 'ada', password: 'p' }), https, 'n/s').credentials, {
    kind: 'basic',
    username: 'ada',
    password: 'p',
  });
  assert.equal(accessOf(encoded({ bearerToken: 't\n' }), https, 'n/s').credentials, { kind: 'bearer', token: 't' });
  assert.equal(accessOf(encoded({ 'ca.crt': 'CA' }), https, 'n/s'), {
    credentials: { kind: 'none' },
    certificateAuthority: 'CA',
  });
  const ssh = parseRepositoryURL('ssh://git@host/x');
  assert.equal(accessOf(encoded({ identity: 'KEY', known_hosts: 'H' }), ssh, 'n/s').credentials, {
    kind: 'ssh',
    identity: 'KEY\n',
    knownHosts: 'H',
  });
});

test('a Secret that is incomplete or contradicts itself is named with its key', () => {
  const https = parseRepositoryURL('https://host/x');
  const ssh = parseRepositoryURL('ssh://git@host/x');
  const code = (data: Record<string, string>, url = https): string => codeOf(() => accessOf(encoded(data), url, 'n/s'));
  assert.is(code({ username: 'ada' }), 'SecretKeyMissing');
  assert.is(code({ 'tls.crt': 'c' }), 'SecretKeyMissing');
  assert.is(code({ identity: 'k' }, ssh), 'SecretKeyMissing');
  assert.is(code({ known_hosts: 'k' }, ssh), 'SecretKeyMissing');
  assert.is(code({ bearerToken: 't', password: 'p' }), 'SecretInvalid');
  assert.is(code({ bearerToken: 'a\r\nX-Evil: 1' }), 'SecretInvalid');
  assert.is(code({ bearerToken: 't' }, parseRepositoryURL('http://host/x')), 'InsecureCredentials');
});

test('no secret, in any of the forms that it is sent in, is in a message', () => {
  const access = accessOf(
    encoded({ username: 'ada', password: 'hunter 2' }),
    parseRepositoryURL('https://host/x'),
    'n/s',
  );
  const said = `fatal: Authentication failed for 'https://ada:hunter%202@host/x?token=abc' with hunter 2 and Authorization: Basic ${Buffer.from('ada:hunter 2').toString('base64')}`;
  const { message, code } = gitFailure('host', said, secretsOf(access));
  assert.is(code, 'AuthenticationFailed');
  assert.not.match(message, /hunter|YWRh|token=abc/);
  assert.not.match(redact('\u001b[31mred', []), '\u001b');
});

test('the same failure has the same message each time it is met', () => {
  const message = (ms: number): string =>
    gitFailure(
      'host',
      `fatal: unable to access 'https://host/x/': Failed to connect to host port 443 after ${ms} ms: Couldn't connect to server`,
      [],
    ).message;
  assert.is(message(3), message(12));
  assert.match(message(3), "Couldn't connect");
});

test('a commit is told by its author and the first line of its message, without control characters', () => {
  const raw =
    'tree 0\nparent 0\nauthor Ada \u001b[1mAuthor <ada@example.com> 1700000000 +0100\ncommitter B <b> 1 +0000\ngpgsig -----BEGIN\n author Eve <e> 1 +0\n\n\nAdd the shop\n\nbody\n';
  const commit = parseCommit(oid('a'), raw);
  assert.is(commit.author, 'Ada  [1mAuthor');
  assert.is(commit.subject, 'Add the shop');
  assert.is(commit.committedAt, 1000);
  const bare = parseCommit(oid('a'), 'tree 0\n');
  assert.equal([bare.subject, bare.committedAt], ['', undefined]);
});

test.run();
