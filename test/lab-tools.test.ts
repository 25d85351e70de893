// time-limit: 180s
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { archive } from '../scripts/image/archive.ts';
import { buildBackstayImage, buildPauseImage } from '../scripts/image/build.ts';
import { dockerfile } from '../scripts/image/dockerfile.ts';
import { ROOT } from '../scripts/tools/cache.ts';
import { tool } from '../scripts/tools/tool.ts';

const execute = promisify(execFile);
const test = suite('lab tools');

async function inCache<T>(use: (cache: string) => Promise<T>): Promise<T> {
  const cache = await mkdtemp(join(tmpdir(), 'backstay-cache-'));
  try {
    return await use(cache);
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}

const install = (cache: string, more: NodeJS.ProcessEnv = {}): Promise<{ stdout: string; stderr: string }> =>
  execute(process.execPath, ['scripts/tools/install.ts', 'pause'], {
    cwd: ROOT,
    env: { ...process.env, BACKSTAY_CACHE: cache, ...more },
  });

test('two processes that want the same tool at once build it once', async () => {
  await inCache(async (cache) => {
    const [one, other] = await Promise.all([install(cache), install(cache)]);
    assert.is(one.stdout, other.stdout);
    const builders = [one, other].filter(({ stderr }) => stderr.includes('compiling'));
    assert.is(builders.length, 1);
    assert.is((await readdir(cache)).length, 1);
    const third = await install(cache);
    assert.is(third.stderr, '');
  });
});

test('a tool that is named in the environment is taken as it is, and must be a program', async () => {
  await inCache(async (cache) => {
    const { stdout } = await install(cache, { PAUSE: process.execPath });
    assert.is(stdout, `pause ${process.execPath}\n`);
    const failed = await install(cache, { PAUSE: join(cache, 'nothing') }).catch((error: { stderr: string }) => error);
    assert.match(failed.stderr, /^PAUSE is .*, which is no program; correct PAUSE or unset it$/m);
    assert.equal(await readdir(cache), []);
  });
});

test('the restic of the lab knows what the runner relies on', async () => {
  const { stdout } = await execute(await tool('restic'), ['backup', '--help']);
  assert.match(stdout, /--stdin-from-command/);
  assert.match(stdout, /^Exit status is 10 if the repository does not exist/m);
});

test('the Dockerfile says what the list of contents says', async () => {
  assert.is(await readFile(join(ROOT, 'Dockerfile'), 'utf8'), dockerfile(), 'run node scripts/image/dockerfile.ts');
});

test('an image is an archive that tar and every OCI tool can read', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'backstay-image-'));
  try {
    const image = await buildPauseImage();
    const pieces: Buffer[] = [];
    for await (const piece of archive(image)) pieces.push(piece);
    const listing = execFile('tar', ['--extract', '--directory', folder]);
    listing.stdin?.end(Buffer.concat(pieces));
    await new Promise((resolve) => listing.once('close', resolve));
    const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8'));
    const blob = async (digest: string): Promise<{ rootfs?: unknown; layers: { digest: string }[] }> =>
      JSON.parse(await readFile(join(folder, 'blobs', digest.replace(':', '/')), 'utf8'));
    const manifest = await blob(index.manifests[0].digest);
    const layer = join(folder, 'blobs', (manifest.layers[0]?.digest ?? '').replace(':', '/'));
    const { stdout } = await execute('tar', ['--list', '--gzip', '--file', layer]);
    assert.ok(stdout.split('\n').includes('pause'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('the image has the programs that Backstay calls, and nothing that is for development only', async () => {
  const { layers, config } = await buildBackstayImage();
  const names = new Set<string>();
  for (const { file } of layers) {
    const { stdout } = await execute('tar', ['--list', '--gzip', '--file', file], { maxBuffer: 1 << 26 });
    for (const name of stdout.split('\n')) names.add(name);
  }
  for (const path of ['usr/local/bin/node', 'usr/local/bin/restic', 'usr/bin/git', 'usr/bin/ssh', 'app/package.json'])
    assert.ok(names.has(path), path);
  assert.ok(names.has('app/node_modules/mongodb/package.json'));
  assert.not([...names].some((name) => /node_modules\/(typescript|uvu|@biomejs)\//.test(name)));
  assert.not([...names].some((name) => /node_modules\/.*\.d\.ts$/.test(name)));
  assert.is(config.User, '65532:65532');
});

test.run();
