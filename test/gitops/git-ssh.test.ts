// Reading from a real OpenSSH server: what is followed, and what is said of each key that does not fit.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Access, accessOf } from '../../src/gitops/source/access.ts';
import { parseRepositoryURL } from '../../src/gitops/source/url.ts';
import { trustedKeysOf } from '../../src/gitops/source/verify.ts';
import { type GitSSH, startGitSSH } from '../lab/git-ssh.ts';
import { TestRepository } from './git-server.ts';
import { failureOf, type ReadOptions, readCommit, texts } from './reading.ts';

interface Context {
  server: GitSSH;
  folder: string;
  repository: TestRepository;
  /** A key pair that the server does not know. */
  stranger: string;
}

const test = suite<Context>('git over ssh');

test.before(async (context) => {
  context.server = await startGitSSH();
  context.folder = mkdtempSync(join(tmpdir(), 'backstay-ssh-'));
  context.stranger = join(context.folder, 'stranger');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'eve', '-f', context.stranger]);
  context.repository = new TestRepository(context.folder, 'policies');
  context.repository.commit({ 'a.yaml': 'a: 1' });
});
test.after(async ({ server, folder }) => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The Secret of a user, with the keys that fit unless told otherwise. */
function secret({ server }: Context, change: Record<string, string | undefined> = {}): Record<string, string> {
  const values = { identity: server.identity, known_hosts: server.knownHosts, ...change };
  return Object.fromEntries(
    Object.entries(values).flatMap(([key, text]) =>
      text === undefined ? [] : [[key, Buffer.from(text).toString('base64')]],
    ),
  );
}

const urlOf = ({ server, repository }: Context): string => `${server.url}${repository.folder}/.git`;

const access = (context: Context, change: Record<string, string | undefined> = {}): Access =>
  accessOf(secret(context, change), parseRepositoryURL(urlOf(context)), 'shop/git');

const read = (context: Context, options: Partial<ReadOptions> = {}) =>
  readCommit({
    url: urlOf(context),
    folder: join(context.folder, 'cache'),
    access: options.access ?? access(context),
    ...options,
  });

test('a branch and a tag are followed, and no key is left on disk', async (context) => {
  const { repository, folder } = context;
  repository.git('tag', '-a', 'v1', '-m', 'one');
  assert.equal(texts(await read(context)), { 'a.yaml': 'a: 1' });
  const oid = repository.commit({ 'a.yaml': 'a: 2' });
  const next = await read(context, { ref: { branch: 'main' } });
  assert.equal([next.revision.oid, texts(next)], [oid, { 'a.yaml': 'a: 2' }]);
  assert.equal(texts(await read(context, { ref: { tag: 'v1' } })), { 'a.yaml': 'a: 1' });
  assert.equal(readdirSync(join(folder, 'cache')), ['repository.git']);
});

test('a commit that is signed with an ssh key is verified', async (context) => {
  const { repository, stranger } = context;
  const sign = ['-c', 'gpg.format=ssh', '-c', `user.signingKey=${stranger}`];
  repository.git(...sign, 'commit', '--quiet', '--allow-empty', '-S', '--message', 'Sign');
  const data = { 'eve.sshpub': readFileSync(`${stranger}.pub`).toString('base64') };
  const verification = { mode: 'HEAD', keys: trustedKeysOf(data, 'shop/trusted') } as const;
  assert.match((await read(context, { verification })).verified ?? '', /SHA256:/);
  repository.commit({}, 'Do not sign');
  assert.is((await failureOf(read(context, { verification }))).code, 'SignatureMissing');
});

/** Each failure names host, cause and remedy, and nothing of a key. */
async function refusal(context: Context, reading: () => Promise<unknown>, code: string, says: RegExp): Promise<void> {
  const failure = await failureOf((async () => reading())());
  assert.is(failure.code, code, failure.text);
  assert.match(failure.text, says);
  for (const line of context.server.identity.split('\n').filter((line) => line.length > 20))
    assert.not.ok(failure.text.includes(line), 'a line of the key is in the message');
  assert.not.match(failure.text, /access-|\n\s+at /);
}

test('a server whose host key is not known is not trusted', (context) =>
  refusal(
    context,
    () => read(context, { access: access(context, { known_hosts: 'other.example.com ssh-ed25519 AAAA\n' }) }),
    'HostKeyUnknown',
    /has no host key for the server.*ssh-keyscan/s,
  ));

test('a server with another host key than the known one is told apart from an unknown one', (context) => {
  const [host] = context.server.knownHosts.split(' ');
  const known_hosts = `${host} ${readFileSync(`${context.stranger}.pub`, 'utf8')}`;
  return refusal(
    context,
    () => read(context, { access: access(context, { known_hosts }) }),
    'HostKeyChanged',
    /another host key.*confirm/s,
  );
});

test('a key that the server does not know is not let in', (context) =>
  refusal(
    context,
    () => read(context, { access: access(context, { identity: readFileSync(context.stranger, 'utf8') }) }),
    'AuthenticationFailed',
    /does not let us in.*spec\.secretRef/s,
  ));

test('a key that is cut off is told apart from one that is not let in', (context) =>
  refusal(
    context,
    () => read(context, { access: access(context, { identity: context.server.identity.slice(0, 150) }) }),
    'KeyInvalid',
    /cannot be read.*identity of the Secret/s,
  ));

for (const key of ['known_hosts', 'identity'])
  test(`a Secret without ${key} is refused before anything is asked`, (context) =>
    refusal(
      context,
      () => read(context, { access: access(context, { [key]: undefined }) }),
      'SecretKeyMissing',
      new RegExp(`Secret shop/git has no key ${key}`),
    ));

test('a repository that is not there is named as that', (context) =>
  refusal(
    context,
    () => read(context, { url: `${context.server.url}/nowhere.git` }),
    'RepositoryNotFound',
    /no such repository.*spec\.url/s,
  ));

test('a server that is not there cannot be reached', (context) =>
  refusal(
    context,
    () => read(context, { url: 'ssh://git@127.0.0.1:1/policies.git' }),
    'Unreachable',
    /cannot be reached.*Connection refused/s,
  ));

test.run();
