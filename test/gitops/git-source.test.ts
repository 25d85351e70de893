// Reading from real git servers over http: what is there, what is refused, and what a kill leaves behind.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PolicySyncRef } from '../../src/api/generated/types.ts';
import type { Access } from '../../src/gitops/source/access.ts';

import { makeAuthority } from '../lab/certs.ts';
import { GitServer, type TestRepository } from './git-server.ts';
import { failureOf, type Read, type ReadOptions, readCommit, texts } from './reading.ts';

interface Context {
  server: GitServer;
  repository: TestRepository;
  folder: string;
}

const test = suite<Context>('git source');
let serial = 0;

test.before(async (context) => {
  context.server = await GitServer.start();
});
test.after(async (context) => {
  await context.server.stop();
});
test.before.each((context) => {
  serial += 1;
  context.repository = context.server.repository(`r${serial}`);
  context.folder = mkdtempSync(join(tmpdir(), 'backstay-cache-'));
  context.server.intercept = undefined;
  context.server.requests.length = 0;
});
test.after.each(({ folder }) => rmSync(folder, { recursive: true, force: true }));

function read({ server, repository, folder }: Context, options: Partial<ReadOptions> = {}): Promise<Read> {
  return readCommit({ url: server.urlOf(repository), folder, ...options });
}

test('policies are read from the tip of main, and other files are passed over', async (context) => {
  const oid = context.repository.commit(
    {
      'a.yaml': 'a: 1\n',
      'x/ä ö.yml': 'b: 2\n',
      'c.json': '{}',
      'README.md': '#',
      '.github/workflow.yaml': 'on: push',
    },
    'Add policies\n\nWhy',
  );
  const snapshot = await read(context);
  assert.equal(texts(snapshot), { 'a.yaml': 'a: 1\n', 'c.json': '{}', 'x/ä ö.yml': 'b: 2\n' });
  assert.is(snapshot.revision.oid, oid);
  const { committedAt = 0, ...commit } = snapshot.commit;
  assert.equal(commit, { oid, author: 'Ada Author', subject: 'Add policies' });
  assert.ok(Math.abs(Date.now() - committedAt) < 60_000);
  assert.equal(snapshot.failures, []);
});

test('a commit that is here already is not fetched again, and the next one is', async (context) => {
  context.repository.commit({ 'a.yaml': 'a: 1' });
  await read(context);
  context.server.requests.length = 0;
  await read(context);
  assert.is(context.server.requests.length, 1);
  context.repository.commit({ 'a.yaml': 'a: 2' });
  assert.equal(texts(await read(context)), { 'a.yaml': 'a: 2' });
});

test('a file whose content is known is named and not read', async (context) => {
  context.repository.commit({ 'a.yaml': 'a: 1', 'b.yaml': 'b: 1' });
  const before = await read(context);
  context.repository.commit({ 'a.yaml': 'a: 2' });
  const known = new Set(before.files.map(({ oid, path }) => `${oid} ${path}`));
  const asked: string[] = [];
  const isKnown = ({ oid, path }: { oid: string; path: string }): boolean => {
    asked.push(path);
    return known.has(`${oid} ${path}`);
  };
  assert.equal(texts(await read(context, { isKnown })), { 'a.yaml': 'a: 2' });
  assert.equal(asked, ['a.yaml', 'b.yaml']);
});

test('a tag that leads to no commit is an error', async (context) => {
  const { repository } = context;
  repository.commit({ 'a.yaml': '1' });
  const blob = repository.git('rev-parse', 'HEAD:a.yaml').trim();
  repository.git('tag', 'v1.0.0', blob);
  assert.is((await failureOf(read(context, { ref: { tag: 'v1.0.0' } }))).code, 'RefNotFound');
});

test('a branch, a tag, an annotated tag, a range, a name and a commit are followed', async (context) => {
  const { repository } = context;
  const first = repository.commit({ 'a.yaml': '1' });
  repository.git('tag', 'v1.0.0');
  repository.commit({ 'a.yaml': '2' });
  repository.git('tag', '--annotate', '--message', 'two', 'v1.5.0');
  repository.git('branch', 'release/1');
  repository.commit({ 'a.yaml': '3' });
  const value = async (ref: PolicySyncRef): Promise<string | undefined> =>
    texts(await read(context, { ref }))['a.yaml'];
  assert.is(await value({ branch: 'release/1' }), '2');
  assert.is(await value({ tag: 'v1.0.0' }), '1');
  assert.is(await value({ tag: 'v1.5.0' }), '2');
  assert.is(await value({ semver: '^1.0' }), '2');
  assert.is(await value({ name: 'refs/heads/main' }), '3');
  assert.is(await value({ commit: first }), '1');
});

test('a folder is read alone; one that is not there, or is a file, is an error and not an empty answer', async (context) => {
  context.repository.commit({ 'shop/a.yaml': 'a', 'b.yaml': 'b' });
  assert.equal(Object.keys(texts(await read(context, { path: './shop/' }))), ['shop/a.yaml']);
  assert.is((await failureOf(read(context, { path: 'nope' }))).code, 'PathNotFound');
  assert.is((await failureOf(read(context, { path: 'b.yaml' }))).code, 'PathNotFound');
});

test('history rewritten by a forced push is followed', async (context) => {
  context.repository.commit({ 'a.yaml': '1' });
  await read(context);
  context.repository.git('checkout', '--quiet', '--orphan', 'fresh');
  context.repository.commit({ 'a.yaml': '2' });
  context.repository.git('branch', '--force', 'main', 'fresh');
  assert.is(texts(await read(context))['a.yaml'], '2');
});

test('a commit is told to descend from the one before it, or not to', async (context) => {
  const { repository } = context;
  const first = repository.commit({ 'a.yaml': '1' });
  const since = (oid: string): Partial<ReadOptions> => ({ lastApplied: `main@sha1:${oid}` });
  assert.is((await read(context)).history, 'unknown');
  assert.is((await read(context, since(first))).history, 'forward');
  const second = repository.commit({ 'a.yaml': '2' });
  assert.is((await read(context, since(first))).history, 'forward');
  for (const text of ['3', '4', '5']) repository.commit({ 'a.yaml': text });
  assert.is((await read(context, since(second))).history, 'forward', 'several commits in one push');
  repository.git('reset', '--quiet', '--hard', first);
  repository.commit({ 'a.yaml': '6' });
  assert.is((await read(context, since(second))).history, 'rewritten');
  repository.git('tag', 'v1.0.0', second);
  const tag = { ref: { tag: 'v1.0.0' }, lastApplied: `v1.0.0@sha1:${first}` };
  assert.is((await read(context, tag)).history, 'moved');
});

test('symbolic links and submodules are named and refused', async (context) => {
  const { repository } = context;
  const oid = repository.commit({ 'a.yaml': 'a' });
  symlinkSync('/etc/passwd', join(repository.folder, 'passwd.yaml'));
  symlinkSync('../../outside', join(repository.folder, 'folder'));
  repository.git('update-index', '--add', '--cacheinfo', `160000,${oid},modules/other`);
  writeFileSync(
    join(repository.folder, '.gitmodules'),
    '[submodule "x"]\n\tpath = modules/other\n\turl = https://example.com/other\n',
  );
  repository.git('add', 'passwd.yaml', 'folder', '.gitmodules');
  repository.git('commit', '--quiet', '--message', 'links');
  const { failures, files } = await read(context);
  assert.equal(
    failures.map(({ file }) => file),
    ['folder', 'modules/other', 'passwd.yaml'],
  );
  assert.match(failures[1]?.message ?? '', 'submodule');
  assert.equal(
    files.map(({ path }) => path),
    ['a.yaml'],
  );
});

test('files that are too large, too deep or oddly named are named, and none of them is read', async (context) => {
  context.repository.commit({
    'big.yaml': `a: ${'x'.repeat(3000)}`,
    'a/b/c/d/deep.yaml': 'a',
    'ok.yaml': 'a',
    'new\nline.yaml': 'a',
  });
  writeFileSync(
    Buffer.concat([Buffer.from(`${context.repository.folder}/`), Buffer.from([0xff, 0xfe]), Buffer.from('.yaml')]),
    'a',
  );
  context.repository.commit({});
  const { failures, files } = await read(context, { limits: { fileBytes: 2000, depth: 3 } });
  assert.equal(
    files.map(({ path }) => path),
    ['ok.yaml'],
  );
  assert.is(failures.length, 4);
  assert.ok(failures.every(({ file }) => file !== undefined && !file.includes('\n')));
});

test('too many files and too many bytes in all end the reading', async (context) => {
  context.repository.commit(
    Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`${index}.yaml`, 'x'.repeat(100 + index)])),
  );
  assert.is((await failureOf(read(context, { limits: { files: 20 } }))).code, 'RepositoryTooLarge');
  assert.is((await failureOf(read(context, { limits: { totalBytes: 2000 } }))).code, 'RepositoryTooLarge');
});

test('a transfer that grows beyond its limit is stopped', async (context) => {
  const noise = Buffer.alloc(24 << 20);
  for (let offset = 0; offset < noise.length; offset += 4)
    noise.writeUInt32LE((Math.imul(offset, 2654435761) ^ (offset << 7)) >>> 0, offset);
  context.repository.git('config', 'core.compression', '0');
  context.repository.commit({ 'a.yaml': 'a', 'noise.bin': noise });
  const { server } = context;
  // Slow enough to be watched: the pack trickles.
  server.throttle = 16 << 20;
  try {
    assert.is((await failureOf(read(context, { limits: { packBytes: 1 << 20 } }))).code, 'RepositoryTooLarge');
  } finally {
    server.throttle = undefined;
  }
});

test('what is wrong with the server is told apart', async (context) => {
  const { server, repository } = context;
  repository.commit({ 'a.yaml': 'a' });
  const code = async (options: Partial<ReadOptions>): Promise<string> => (await failureOf(read(context, options))).code;
  assert.is(await code({ url: `${server.origin}/nothing/.git` }), 'RepositoryNotFound');
  assert.is(await code({ ref: { branch: 'gone' } }), 'RefNotFound');
  assert.is(await code({ ref: { commit: 'a'.repeat(40) } }), 'RefNotFound');
  assert.is(await code({ url: 'http://127.0.0.1:1/x.git' }), 'Unreachable');
  const answers: [number, string][] = [
    [401, 'AuthenticationFailed'],
    [403, 'AuthenticationFailed'],
    [404, 'RepositoryNotFound'],
    [500, 'Unreachable'],
    [503, 'Unreachable'],
  ];
  for (const [status, expected] of answers) {
    server.intercept = (_request, response) => {
      response.writeHead(status).end('no');
      return true;
    };
    assert.is(await code({}), expected, String(status));
  }
  server.intercept = (request) => {
    request.socket.destroy();
    return true;
  };
  assert.is(await code({}), 'Unreachable');
});

test('a server that never answers is given up at the deadline, and no process of it is left', async (context) => {
  context.server.intercept = () => true;
  const { code } = await failureOf(read(context, { signal: AbortSignal.timeout(500) }));
  assert.is(code, 'TimedOut');
  assert.equal(processesWith('git-remote-http', context.server.origin), []);
});

test('an abort ends the reading with its reason', async (context) => {
  const stop = new AbortController();
  context.server.intercept = () => {
    stop.abort(new Error('stopping'));
    return true;
  };
  assert.match((await failureOf(read(context, { signal: stop.signal }))).text, 'stopping');
});

test('locks and half a pack that a killed git left do not stop the next one', async (context) => {
  context.repository.commit({ 'a.yaml': '1' });
  await read(context);
  const bare = join(context.folder, 'repository.git');
  for (const name of [
    'shallow.lock',
    'config.lock',
    'HEAD.lock',
    'refs/backstay/fetched.lock',
    'objects/pack/tmp_pack_abc123',
  ])
    writeFileSync(join(bare, name), '');
  context.repository.commit({ 'a.yaml': '2' });
  assert.is(texts(await read(context))['a.yaml'], '2');
  assert.not.ok(existsSync(join(bare, 'objects/pack/tmp_pack_abc123')));
});

test('a copy that is damaged, or is something else altogether, is made anew', async (context) => {
  context.repository.commit({ 'a.yaml': '1' });
  await read(context);
  const packs = join(context.folder, 'repository.git/objects/pack');
  for (const name of readdirSync(packs)) {
    if (!name.endsWith('.pack')) continue;
    rmSync(join(packs, name));
    writeFileSync(join(packs, name), 'broken');
  }
  assert.is(texts(await read(context))['a.yaml'], '1');
  rmSync(join(context.folder, 'repository.git'), { recursive: true });
  assert.is(texts(await read(context))['a.yaml'], '1');
});

test('a process that is killed in the middle of a fetch leaves a folder that the next one can use', async (context) => {
  const { server, repository, folder } = context;
  const noise = Buffer.alloc(8 << 20);
  for (let offset = 0; offset < noise.length; offset += 4)
    noise.writeUInt32LE(Math.imul(offset, 2654435761) >>> 0, offset);
  repository.git('config', 'core.compression', '0');
  repository.commit({ 'a.yaml': 'a: 1', 'noise.bin': noise });
  server.throttle = 2 << 20;
  const script = `
    import { openGitSource } from ${JSON.stringify(new URL('../../src/gitops/source/git-source.ts', import.meta.url).href)};
    const url = { transport: 'http', href: ${JSON.stringify(server.urlOf(repository))}, host: 'x', user: undefined };
    const source = await openGitSource({ url, reference: { kind: 'branch', branch: 'main' }, access: { credentials: { kind: 'none' } }, folder: ${JSON.stringify(folder)} });
    const signal = AbortSignal.timeout(60000);
    await source.read(await source.head(signal), undefined, signal);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'ignore' });
  const packs = join(folder, 'repository.git/objects/pack');
  const deadline = Date.now() + 15_000;
  while (!(existsSync(packs) && readdirSync(packs).some((name) => name.startsWith('tmp_'))) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  child.kill('SIGKILL');
  await new Promise((resolve) => child.on('close', resolve));
  server.throttle = undefined;
  assert.equal(texts(await read(context)), { 'a.yaml': 'a: 1' });
});

test('credentials go to the server and are in no command line, message or file afterwards', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'backstay-certificates-'));
  const authority = await makeAuthority(folder);
  const certificate = await authority.server('git', ['127.0.0.1']);
  const server = await GitServer.start({ certificate });
  try {
    const repository = server.repository('private');
    repository.commit({ 'a.yaml': 'a' });
    const seen: string[] = [];
    server.intercept = (request, response) => {
      seen.push(commandLines());
      if (request.headers.authorization === `Basic ${Buffer.from('ada:hunter2').toString('base64')}`) return false;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
      return true;
    };
    const basic: Access = {
      credentials: { kind: 'basic', username: 'ada', password: 'hunter2' },
      certificateAuthority: authority.certificate,
    };
    const url = server.urlOf(repository);
    assert.is(texts(await read(context, { url, access: basic }))['a.yaml'], 'a');
    assert.ok(seen.some((lines) => lines.includes('git')));
    assert.ok(
      seen.every(
        (lines) => !lines.includes('hunter2') && !lines.includes(Buffer.from('ada:hunter2').toString('base64')),
      ),
    );
    const files = readdirSync(context.folder, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    assert.ok(files.length > 0);
    assert.ok(files.every((entry) => !readFileSync(join(entry.parentPath, entry.name)).includes('hunter2')));

    const wrong: Access = {
      credentials: { kind: 'bearer', token: 's3cret-token' },
      certificateAuthority: authority.certificate,
    };
    const refused = await failureOf(read(context, { url, access: wrong }));
    assert.is(refused.code, 'AuthenticationFailed');
    assert.not.match(refused.text, 's3cret');
    assert.is((await failureOf(read(context, { url }))).code, 'TLSFailed');
    assert.equal(
      readdirSync(context.folder).filter((name) => name.startsWith('access-')),
      [],
    );
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('with credentials no redirection is followed, so they reach no other server', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'backstay-certificates-'));
  const authority = await makeAuthority(folder);
  const certificate = await authority.server('git', ['127.0.0.1']);
  const server = await GitServer.start({ certificate });
  try {
    const target = context.server.urlOf(context.repository);
    context.repository.commit({ 'a.yaml': 'a' });
    server.intercept = (request, response) => {
      response.writeHead(302, { location: `${target}${(request.url ?? '').replace('/x.git', '')}` }).end();
      return true;
    };
    const access: Access = { credentials: { kind: 'bearer', token: 't' }, certificateAuthority: authority.certificate };
    assert.is((await failureOf(read(context, { url: `${server.origin}/x.git`, access }))).code, 'RedirectRefused');
    assert.equal(context.server.requests, []);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('ssh to nobody is unreachable, and nothing of its key is left', async (context) => {
  const access: Access = { credentials: { kind: 'ssh', identity: 'KEY\n', knownHosts: 'x' } };
  const { code, text } = await failureOf(read(context, { url: 'ssh://git@127.0.0.1:1/x.git', access }));
  assert.is(code, 'Unreachable');
  assert.not.match(text, 'access-');
  assert.equal(readdirSync(context.folder), ['repository.git']);
});

test('configuration, hooks and environment of the machine do not reach git', async (context) => {
  context.repository.commit({ 'a.yaml': 'a' });
  const home = mkdtempSync(join(tmpdir(), 'backstay-home-'));
  const marker = join(home, 'ran');
  writeFileSync(
    join(home, '.gitconfig'),
    `[core]\n\tfsmonitor = touch ${marker}\n[url "http://127.0.0.1:1/"]\n\tinsteadOf = ${context.server.origin}\n`,
  );
  const former = { HOME: process.env.HOME, GIT_DIR: process.env.GIT_DIR, GIT_SSL_CAINFO: process.env.GIT_SSL_CAINFO };
  Object.assign(process.env, { HOME: home, GIT_DIR: '/nowhere', GIT_SSL_CAINFO: '/nowhere' });
  try {
    assert.is(texts(await read(context))['a.yaml'], 'a');
    assert.not.ok(existsSync(marker));
  } finally {
    for (const [name, value] of Object.entries(former)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    rmSync(home, { recursive: true });
  }
});

/** Command lines of all processes of this machine. */
function commandLines(): string {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .join('\n');
}

function processesWith(program: string, argument: string): string[] {
  return commandLines()
    .split('\n')
    .filter((line) => line.includes(program) && line.includes(argument));
}

test.run();
