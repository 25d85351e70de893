// time-limit: 120s
// Repositories that mean harm, each built here: refused with a clear condition, with bounded memory and disk, and nothing of them is run.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { review } from '../../src/api/review.ts';
import { desiredObjects } from '../../src/gitops/desired.ts';
import { readObjects } from '../../src/gitops/read/objects.ts';
import { isStalling } from '../../src/gitops/status.ts';
import { GitServer, type TestRepository } from './git-server.ts';
import { failureOf, type ReadOptions, readCommit, texts } from './reading.ts';

interface Context {
  server: GitServer;
  repository: TestRepository;
  folder: string;
  /** A file that exists once anything of a repository was run. */
  marker: string;
}

const test = suite<Context>('hostile repositories');
const MIB = 1 << 20;
/** A blob of a gigabyte takes ten seconds to make and to send; one of 64 MiB is beyond every limit too. */
const BLOB_BYTES = process.env.BACKSTAY_ROUNDS === undefined ? 64 * MIB : 1024 * MIB;
let serial = 0;

test.before(async (context) => {
  context.server = await GitServer.start();
});
test.after((context) => context.server.stop());
test.before.each((context) => {
  serial += 1;
  context.repository = context.server.repository(`r${serial}`);
  context.folder = mkdtempSync(join(tmpdir(), 'backstay-hostile-'));
  context.marker = join(context.folder, '..', `backstay-ran-${process.pid}`);
  context.server.intercept = undefined;
  context.server.requests.length = 0;
});
test.after.each(({ folder, marker }) => {
  const ran = existsSync(marker);
  rmSync(folder, { recursive: true, force: true });
  rmSync(marker, { force: true });
  assert.not.ok(ran, 'something of the repository was run');
});

const read = ({ server, repository, folder }: Context, options: Partial<ReadOptions> = {}) =>
  readCommit({ url: server.urlOf(repository), folder: join(folder, 'copy'), ...options });

/** What a PolicySync would say about the commit: everything that keeps it from being applied. */
async function complaints(context: Context): Promise<string[]> {
  const snapshot = await read(context);
  const found = snapshot.files.map(readObjects);
  const options = { mark: 'ns.name', namespace: 'ns', validate: () => [] };
  const { failures } = desiredObjects(
    found.flatMap(({ objects }) => objects),
    { ...options, validate: (kind, object, lookup) => review(kind, object, { lookup }).causes },
  );
  return [...snapshot.failures, ...found.flatMap((one) => one.failures), ...failures].map(
    ({ file, line, message }) => `${file}:${line ?? ''} ${message}`,
  );
}

function bytesIn(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

/** Stores an object as it is, whatever git thinks of it, and gives its id. */
function store({ folder }: TestRepository, type: string, content: Uint8Array | string): string {
  return execFileSync('git', ['hash-object', '-w', '--literally', '-t', type, '--stdin'], {
    cwd: folder,
    input: content,
    encoding: 'utf8',
  }).trim();
}

function tree(repository: TestRepository, entries: readonly (readonly [mode: string, name: string, oid: string])[]) {
  const parts = entries.flatMap(([mode, name, oid]) => [Buffer.from(`${mode} ${name}\0`), Buffer.from(oid, 'hex')]);
  return store(repository, 'tree', Buffer.concat(parts));
}

/** Makes the tree that of main. */
function publish(repository: TestRepository, oid: string): void {
  repository.git('update-ref', 'refs/heads/main', repository.git('commit-tree', '-m', 'x', oid));
}

const policy = (spec: string, name = 'name: daily'): string =>
  `apiVersion: backstay.dev/v1alpha1\nkind: RetentionPolicy\nmetadata:\n  ${name}\nspec:\n${spec}`;
const GOOD = policy('  successfulSnapshots: {last: 7}\n');

test('a link out of the tree, as a file and as a folder', async (context) => {
  const { repository } = context;
  symlinkSync('/etc/passwd', join(repository.folder, 'passwd.yaml'));
  symlinkSync('/', join(repository.folder, 'everything'));
  repository.commit({ 'a.yaml': GOOD });
  assert.equal(await complaints(context), [
    'everything: It is a symbolic link; write the file itself',
    'passwd.yaml: It is a symbolic link; write the file itself',
  ]);
});

test('a submodule, and one whose address is an option', async (context) => {
  const { repository, marker } = context;
  const oid = repository.commit({ 'a.yaml': GOOD });
  repository.git('update-index', '--add', '--cacheinfo', `160000,${oid},other`);
  repository.git('commit', '--quiet', '--message', 'x');
  assert.match((await complaints(context)).join(), 'other: It is a submodule');
  const modules = `[submodule "x"]\n\tpath = other\n\turl = -utouch\${IFS}${marker}\n`;
  writeFileSync(join(repository.folder, '.gitmodules'), modules);
  repository.git('add', '.gitmodules');
  repository.git('commit', '--quiet', '--message', 'x');
  assert.is((await failureOf(read(context))).code, 'ContentRefused');
});

test('folders and files that git itself would obey in a work tree', async (context) => {
  const { repository } = context;
  const blob = store(repository, 'blob', '[core]\n\tfsmonitor = x\n');
  for (const name of ['.git', '.GIT', 'git~1', '..']) {
    publish(repository, tree(repository, [['40000', name, tree(repository, [['100644', 'config', blob]])]]));
    assert.is((await failureOf(read(context))).code, 'ContentRefused', name);
  }
  publish(repository, tree(repository, [['120000', '.gitmodules', blob]]));
  assert.is((await failureOf(read(context))).code, 'ContentRefused');
});

test('hooks, attributes with filters and settings are text, and nothing more', async (context) => {
  const { repository, marker } = context;
  repository.commit({
    'a.yaml': GOOD,
    '.gitattributes': '*.yaml filter=evil diff=evil merge=evil ident\n',
    '.gitconfig': `[filter "evil"]\n\tsmudge = touch ${marker}\n`,
    'hooks/post-checkout': `#!/bin/sh\ntouch ${marker}\n`,
    'hooks/reference-transaction': `#!/bin/sh\ntouch ${marker}\n`,
  });
  assert.is(texts(await read(context))['a.yaml'], GOOD);
  assert.equal(await complaints(context), []);
});

test(`a blob of ${BLOB_BYTES / MIB} MiB that takes a fraction of it on the way`, async (context) => {
  const { repository } = context;
  const make = 'head -c "$1" /dev/zero > big.yaml && cp big.yaml big.bin && git add big.yaml big.bin';
  execFileSync('sh', ['-c', make, 'sh', String(BLOB_BYTES)], { cwd: repository.folder });
  repository.git('commit', '--quiet', '--message', 'x');
  rmSync(join(repository.folder, 'big.yaml'));
  const before = process.memoryUsage.rss();
  assert.equal(await complaints(context), [
    `big.yaml: It holds ${BLOB_BYTES} bytes, more than the ${MIB} that a policy file may hold; split it`,
  ]);
  assert.ok(process.memoryUsage.rss() - before < 48 * MIB, 'it is not read into memory');
  assert.ok(bytesIn(context.folder) < 8 * MIB);
});

test('a hundred thousand files', async (context) => {
  const { repository } = context;
  const files = Array.from({ length: 100_000 }, (_, index) => `M 100644 :1 ${index % 400}/${index}.yaml\n`).join('');
  const stream = `blob\nmark :1\ndata 1\na\ncommit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 1\nx\n${files}`;
  execFileSync('git', ['fast-import', '--quiet'], { cwd: repository.folder, input: stream });
  const { code, text } = await failureOf(read(context));
  assert.is(code, 'RepositoryTooLarge');
  assert.match(text, '100000 policy files, more than 10000');
});

test('a tree that holds itself many times over, and has ten billion files', async (context) => {
  const { repository } = context;
  let entry: readonly [string, string, string] = ['100644', 'a.yaml', store(repository, 'blob', GOOD)];
  for (let depth = 0; depth < 10; depth += 1) {
    const [mode, , oid] = entry;
    const names = Array.from({ length: 10 }, (_, index) => [mode, `d${index}`, oid] as const);
    entry = ['40000', 'd', tree(repository, names)];
  }
  publish(repository, entry[2]);
  const before = process.memoryUsage.rss();
  assert.is((await failureOf(read(context))).code, 'RepositoryTooLarge');
  assert.ok(process.memoryUsage.rss() - before < 400 * MIB);
});

test('YAML that blows up, is read differently by others, or is no policy at all', async (context) => {
  const bomb = [
    'a: &a [x, x, x, x, x, x, x, x, x]',
    ...[...'bcdefgh'].map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefg'[index]}`).join(', ')}]`),
  ].join('\n');
  const spec = '  successfulSnapshots: {last: 7}\n';
  context.repository.commit({
    'bomb.yaml': bomb,
    'deep.yaml': `${'['.repeat(5000)}`,
    'twice.yaml': policy(`${spec}${spec}`),
    'merge.yaml': policy('  successfulSnapshots:\n    last: 7\n    <<: {last: 1}\n'),
    'proto.yaml': policy(`${spec}  __proto__: {admin: true}\n`),
    'yes.yaml': policy(spec, 'name: yes'),
    'octal.yaml': policy(spec, 'name: 012'),
    'tag.yaml': policy('  successfulSnapshots: !!js/function "x"\n'),
    'lfs.yaml': 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n',
    'latin.yaml': Buffer.from([0x61, 0x3a, 0x20, 0xe4]),
    'many.yaml': '---\na: 1\n'.repeat(2001),
    'sub/kustomization.yaml': 'resources: [https://example.com/evil]\n',
    'pod.yaml': 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n',
    'role.yaml': 'apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x}\n',
  });
  const found = await complaints(context);
  const expected: [string, RegExp][] = [
    ['bomb.yaml', /more than 50000 values/],
    ['deep.yaml', /nested too deeply|bracket|flow/i],
    ['twice.yaml', /the key successfulSnapshots is there twice/],
    ['merge.yaml', /last stands before the <</],
    ['proto.yaml', /__proto__ is not allowed/],
    ['yes.yaml', /metadata.name is not text/],
    ['octal.yaml', /metadata.name is not text/],
    ['tag.yaml', /not one that Kubernetes knows/],
    ['lfs.yaml', /Git LFS pointer/],
    ['latin.yaml', /not text in UTF-8/],
    ['many.yaml', /documents, more than the 2000/],
    ['pod.yaml', /cannot stand here/],
    ['role.yaml', /cannot stand here/],
  ];
  assert.ok(found.some((one) => one.startsWith('sub/kustomization.yaml: It is for kustomize')));
  for (const [file, why] of expected) {
    const said = found.filter((one) => one.startsWith(`${file}:`)).join('\n');
    assert.match(said, why, file);
    assert.match(said, /^[\w.]+:\d+ /, `${file} has a line`);
  }
});

test('names of files that a terminal, a log or a shell would obey', async (context) => {
  const { repository, marker } = context;
  const blob = store(repository, 'blob', GOOD);
  const names = ['\u001b[2J.yaml', `$(touch ${marker.replaceAll('/', '_')}).yaml`, '--output=x.yaml', 'new\nline.yaml'];
  publish(
    repository,
    tree(
      repository,
      [...names].sort().map((name) => ['100644', name, blob] as const),
    ),
  );
  const found = await complaints(context);
  const refused = found.filter((one) => one.includes('control characters'));
  assert.equal(refused.map((one) => one.split(':')[0]).sort(), ['?[2J.yaml', 'new?line.yaml']);
  assert.ok(found.every((one) => !/\p{Cc}/u.test(one)));
});

test('references that are options, in the spec and on the server', async (context) => {
  const { repository, marker } = context;
  const oid = repository.commit({ 'a.yaml': GOOD });
  for (const ref of [
    { branch: `--upload-pack=touch ${marker}` },
    { branch: '-x' },
    { tag: '--exec=x' },
    { name: 'refs/heads/-x' },
    { name: '--all' },
    { branch: 'a..b' },
    { branch: 'main:refs/heads/x' },
  ])
    assert.is((await failureOf(read(context, { ref }))).code, 'InvalidReference', JSON.stringify(ref));
  const folder = join(repository.folder, '.git/refs/tags');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, '-v9.0.0'), `${oid}\n`);
  repository.git('tag', 'v1.0.0');
  const { revision } = await read(context, { ref: { semver: '*' } });
  assert.is(revision.label, 'v1.0.0');
});

test('addresses that run something, read this machine, or give a secret away', async (context) => {
  const { marker } = context;
  for (const url of [
    `ext::sh -c touch% ${marker}`,
    `file://${context.repository.folder}`,
    context.repository.folder,
    'git@127.0.0.1:x.git',
    'git://127.0.0.1/x.git',
    `ssh://-oProxyCommand=touch ${marker}/x`,
    'ssh://-oProxyCommand=x/x',
    'ssh://-x@127.0.0.1/x',
    'http://127.0.0.1/x.git\n--upload-pack=x',
    'https://ada:hunter2@127.0.0.1/x.git',
    'https://hunter2@127.0.0.1/x.git',
    'https://127.0.0.1/x.git?access_token=hunter2',
  ]) {
    const { code, text } = await failureOf(read(context, { url }));
    assert.is(code, 'InvalidURL', url);
    assert.not.match(text, 'hunter2');
  }
  assert.equal(context.server.requests, []);
});

test('a redirection to another host reaches nobody, with and without credentials', async (context) => {
  const other = await GitServer.start();
  try {
    context.server.intercept = (request, response) => {
      response.writeHead(302, { location: `${other.origin}${request.url}` }).end();
      return true;
    };
    const { code } = await failureOf(read(context));
    assert.is(code, 'RedirectRefused');
    assert.equal(other.requests, []);
  } finally {
    await other.stop();
  }
});

test('each of the codes stops the PolicySync until somebody acts', () => {
  for (const code of ['ContentRefused', 'InvalidReference', 'InvalidURL', 'RedirectRefused', 'RepositoryTooLarge'])
    assert.ok(isStalling(code), code);
});

test.run();
