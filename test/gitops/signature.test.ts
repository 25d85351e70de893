// Signatures of commits and tags, made by real git, ssh-keygen and gpg: which count, and what is said of those that do not.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { trustedKeysOf, type Verification } from '../../src/gitops/source/verify.ts';
import { GitServer, type TestRepository } from './git-server.ts';
import { failureOf, readCommit } from './reading.ts';

interface Context {
  server: GitServer;
  folder: string;
  repository: TestRepository;
}

const test = suite<Context>('signatures');
const LONG_AGO = ['--faked-system-time', '20200101T000000!'];
let serial = 0;

test.before(async (context) => {
  context.server = await GitServer.start();
  context.folder = mkdtempSync(join(tmpdir(), 'backstay-signatures-'));
  for (const name of ['ada', 'eve'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(context.folder, name)]);
  mkdirSync(join(context.folder, 'pgp'), { mode: 0o700 });
  const make = ['--passphrase', '', '--quick-gen-key'];
  for (const name of ['ada', 'eve']) gpg(context, ...make, `${name} <${name}@example.com>`, 'ed25519', 'sign', 'never');
  gpg(context, ...LONG_AGO, ...make, 'old <old@example.com>', 'ed25519', 'sign', '1d');
});
test.after(async ({ server, folder }) => {
  execFileSync('gpgconf', ['--homedir', join(folder, 'pgp'), '--kill', 'gpg-agent']);
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});
test.before.each((context) => {
  serial += 1;
  context.repository = context.server.repository(`r${serial}`);
});

function gpg({ folder }: Context, ...args: string[]): string {
  return execFileSync('gpg', ['--homedir', join(folder, 'pgp'), '--batch', '--quiet', ...args], { encoding: 'utf8' });
}

const ssh = ({ folder }: Context, name: string): string[] => [
  ...['-c', 'gpg.format=ssh', '-c', `user.signingKey=${join(folder, name)}`],
];

/** Settings to sign with a PGP key; gpg is told its home by a script, because the repository's git has a closed environment. */
function pgp({ folder }: Context, name: string, ...extra: string[]): string[] {
  const script = join(folder, `gpg-${name}`);
  writeFileSync(script, `#!/bin/sh\nexec gpg --homedir ${join(folder, 'pgp')} ${extra.join(' ')} "$@"\n`, {
    mode: 0o755,
  });
  return ['-c', `gpg.program=${script}`, '-c', `user.signingKey=${name}@example.com`];
}

function commit({ repository }: Context, settings: readonly string[]): string {
  writeFileSync(join(repository.folder, 'a.yaml'), `a: ${Math.random()}`);
  repository.git('add', '--all');
  repository.git(...settings, 'commit', '--quiet', '-S', '--message', 'x');
  return repository.git('rev-parse', 'HEAD');
}

function trust(context: Context, keys: readonly string[], mode: Verification['mode'] = 'HEAD'): Verification {
  const { folder } = context;
  const data = Object.fromEntries(
    keys.map((key) => {
      const [kind, name = ''] = key.split(' ');
      return kind === 'ssh'
        ? [`${name}.sshpub`, readFileSync(join(folder, `${name}.pub`)).toString('base64')]
        : [`${name}.asc`, Buffer.from(gpg(context, '--armor', '--export', `${name}@example.com`)).toString('base64')];
    }),
  );
  return { mode, keys: trustedKeysOf(data, 'shop/keys') };
}

const copy = ({ folder, repository }: Context): string => join(folder, `copy-${repository.name}`);

async function verified(context: Context, verification: Verification, ref?: { tag: string }): Promise<string> {
  const { server, repository } = context;
  const given = ref === undefined ? {} : { ref };
  const reading = readCommit({ url: server.urlOf(repository), folder: copy(context), verification, ...given });
  const { code } = await failureOf(reading);
  return code === 'no error' ? ((await reading).verified ?? 'nothing verified') : code;
}

test('a commit that a trusted ssh key signed is taken; unsigned, or by another key, it is not', async (context) => {
  commit(context, ssh(context, 'ada'));
  assert.match(await verified(context, trust(context, ['ssh ada'])), /^SSH key SHA256:[\w+/]{43}$/);
  assert.match(await verified(context, trust(context, ['ssh eve', 'ssh ada', 'pgp ada'])), /^SSH key/);
  assert.is(await verified(context, trust(context, ['ssh eve'])), 'SignatureUntrusted');
  assert.is(await verified(context, trust(context, ['pgp ada'])), 'SignatureUntrusted');
  context.repository.commit({ 'a.yaml': 'unsigned' });
  assert.is(await verified(context, trust(context, ['ssh ada'])), 'SignatureMissing');
  assert.equal(
    readdirSync(copy(context)).filter((name) => name.startsWith('access-')),
    [],
  );
});

test('a commit that a trusted PGP key signed is taken; by another or an expired key it is not', async (context) => {
  commit(context, pgp(context, 'ada'));
  assert.match(await verified(context, trust(context, ['pgp ada'])), /^PGP key [0-9A-F]{40}$/);
  assert.is(await verified(context, trust(context, ['pgp eve'])), 'SignatureUntrusted');
  commit(context, pgp(context, 'old', ...LONG_AGO));
  assert.is(await verified(context, trust(context, ['pgp old'])), 'SignatureInvalid');
});

test('a good signature on other content, and the words of one in a message, are worth nothing', async (context) => {
  const { repository } = context;
  for (const settings of [ssh(context, 'ada'), pgp(context, 'ada')]) {
    const oid = commit(context, settings);
    const raw = execFileSync('git', ['cat-file', 'commit', oid], { cwd: repository.folder, encoding: 'utf8' });
    const forge = (text: string): void => {
      const stdin = { cwd: repository.folder, input: text, encoding: 'utf8' } as const;
      const forged = execFileSync('git', ['hash-object', '-w', '-t', 'commit', '--stdin'], stdin).trim();
      repository.git('update-ref', 'refs/heads/main', forged);
    };
    const keys = trust(context, ['ssh ada', 'pgp ada']);
    forge(raw.replace(/x\n$/, 'y\n'));
    assert.is(await verified(context, keys), 'SignatureInvalid');
    const armor = /^gpgsig ([\s\S]+?-----END[^\n]+)\n/m.exec(raw)?.[1]?.replaceAll('\n ', '\n') ?? '';
    assert.match(armor, 'SIGNATURE');
    forge(`${raw.replace(/^gpgsig [\s\S]+?-----END[^\n]+\n( ?\n)?/m, '')}${armor}\n`);
    assert.match(await verified(context, keys), /^Signature(Invalid|Missing)$/);
  }
});

test('a tag is verified on its own, and together with its commit', async (context) => {
  const { repository } = context;
  repository.commit({ 'a.yaml': 'unsigned' });
  repository.git(...ssh(context, 'ada'), 'tag', '--sign', '--message', 'x', 'v1');
  repository.git('tag', '--annotate', '--message', 'x', 'v2');
  repository.git('tag', 'v3');
  commit(context, pgp(context, 'ada'));
  repository.git(...ssh(context, 'ada'), 'tag', '--sign', '--message', 'x', 'v4');
  const keys = ['ssh ada', 'pgp ada'];
  assert.match(await verified(context, trust(context, keys, 'Tag'), { tag: 'v1' }), /^SSH key/);
  assert.is(await verified(context, trust(context, keys, 'TagAndHEAD'), { tag: 'v1' }), 'SignatureMissing');
  assert.is(await verified(context, trust(context, keys, 'Tag'), { tag: 'v2' }), 'SignatureMissing');
  assert.is(await verified(context, trust(context, keys, 'Tag'), { tag: 'v3' }), 'SignatureMissing');
  assert.match(await verified(context, trust(context, keys, 'TagAndHEAD'), { tag: 'v4' }), /^SSH key.*, PGP key/);
  assert.is(await verified(context, trust(context, ['ssh eve'], 'Tag'), { tag: 'v1' }), 'SignatureUntrusted');
});

test('a Secret without a key, or with something else under its name, is told', async () => {
  const code = async (data: Record<string, string>): Promise<string> =>
    (await failureOf(Promise.resolve().then(() => trustedKeysOf(data, 'shop/keys')))).code;
  assert.is(await code({ known_hosts: '' }), 'SecretKeyMissing');
  assert.is(
    await code({ 'a.sshpub': Buffer.from('cert-authority ssh-ed25519 AAAA').toString('base64') }),
    'SecretInvalid',
  );
});

test('a file that is no PGP key is told as one', async (context) => {
  commit(context, ssh(context, 'ada'));
  const keys = { ssh: [], pgp: ['no key'] };
  assert.is(await verified(context, { mode: 'HEAD', keys }), 'SecretInvalid');
});

test.run();
