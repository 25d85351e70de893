import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BackstayError } from '../../src/api/errors.ts';
import { cacheFolder, exclusive, exists } from './cache.ts';
import type { Say } from './go.ts';
import type { DebianPackage, DebianSource } from './registry.ts';
import { run } from './run.ts';

/** Unpacks Debian packages below `folder` without installing them; `versions` in it says which ones they are. */
export async function unpackDebian(source: DebianSource, folder: string, say: Say): Promise<void> {
  const versions: string[] = [];
  for (const wanted of source.packages) {
    say(`downloading ${wanted.name} with apt-get`);
    const { file, version } = await download(wanted, folder, say);
    await run('dpkg-deb', ['--extract', file, folder]);
    await rm(file);
    versions.push(`${wanted.name} ${version}`);
  }
  await writeFile(join(folder, 'versions'), `${versions.join('\n')}\n`);
}

async function download(wanted: DebianPackage, folder: string, say: Say): Promise<{ file: string; version: string }> {
  const pinned = `${wanted.name}=${wanted.version}`;
  const { suite } = wanted;
  const options = suite === undefined ? [] : await optionsOf(suite, say);
  const attempts: [specification: string, prepare: () => Promise<unknown>][] = [
    [pinned, async () => {}],
    [pinned, () => (suite === undefined ? refreshLists(say) : refreshSuite(options))],
    [wanted.name, async () => say(`${pinned} is gone from the mirror: taking the current ${wanted.name}`)],
  ];
  let failure: unknown;
  for (const [specification, prepare] of attempts) {
    await prepare();
    try {
      // apt checks the file against its signed index, whichever version it is.
      const asRoot = ['-o', 'APT::Sandbox::User=root'];
      await run('apt-get', ['download', '--quiet', ...asRoot, ...options, specification], { cwd: folder });
      return await check(wanted, folder);
    } catch (error) {
      if (error instanceof BackstayError && error.code !== 'CommandFailed') throw error;
      failure = error;
    }
  }
  throw new BackstayError('NoSuchTool', `Debian package ${wanted.name} cannot be downloaded`, {
    remedy: 'run apt-get update as root and see what it says',
    cause: failure,
  });
}

async function check(wanted: DebianPackage, folder: string): Promise<{ file: string; version: string }> {
  const name = (await readdir(folder)).find((file) => file.startsWith(`${wanted.name}_`) && file.endsWith('.deb'));
  if (name === undefined) throw new BackstayError('NoSuchTool', `apt-get left no file for ${wanted.name}`);
  const file = join(folder, name);
  const version = (await run('dpkg-deb', ['--field', file, 'Version'])).trim();
  const architecture = (await run('dpkg-deb', ['--field', file, 'Architecture'])).trim();
  const expected = wanted.sha256[architecture];
  if (version === wanted.version && expected !== undefined) {
    const actual = createHash('sha256')
      .update(await readFile(file))
      .digest('hex');
    if (actual !== expected) {
      throw new BackstayError('WrongDigest', `${name} has SHA-256 ${actual}, and ${expected} is pinned`);
    }
  }
  return { file, version };
}

/** What makes apt look at another release, with lists of its own in the cache: the machine's sources stay as they are. */
async function optionsOf(suite: string, say: Say): Promise<string[]> {
  await using _lock = await exclusive(`apt ${suite}`);
  const folder = join(cacheFolder(), `apt-${suite}`);
  const list = join(folder, 'sources.list');
  const options = [
    `Dir::Etc::SourceList=${list}`,
    'Dir::Etc::SourceParts=/dev/null',
    `Dir::State::Lists=${join(folder, 'lists')}`,
    `Dir::Cache=${folder}`,
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false', // descriptions with pictures
    'Acquire::Languages=none',
  ].flatMap((option) => ['-o', option]);
  if (await exists(list)) return options;
  say(`reading the package lists of ${suite}`);
  const mirrors = await run('apt-get', ['indextargets', '--format', '$(SITE) $(REPO_URI)', 'Created-By: Packages']);
  const mirror = mirrors
    .split('\n')
    .find((line) => line !== '' && !line.includes('security'))
    ?.split(' ')[1];
  if (mirror === undefined) throw new BackstayError('NoSuchTool', 'apt-get knows no mirror of Debian');
  await mkdir(join(folder, 'lists', 'partial'), { recursive: true });
  await mkdir(join(folder, 'archives', 'partial'), { recursive: true });
  const draft = `${list}.draft`;
  await writeFile(draft, `deb ${mirror} ${suite} main\n`);
  await refreshSuite(options.map((option) => (option.endsWith(`=${list}`) ? `${option}.draft` : option)));
  await rename(draft, list); // its presence says that the lists are there
  return options;
}

async function refreshSuite(options: readonly string[]): Promise<void> {
  await run('apt-get', ['update', '--quiet', '-o', 'APT::Sandbox::User=root', ...options]);
}

let refreshed: Promise<unknown> | undefined;

/** Updates apt's lists once per process; needs root. */
function refreshLists(say: Say): Promise<unknown> {
  refreshed ??= (async () => {
    await using _lock = await exclusive('apt-get update');
    say('updating the package lists (apt-get update)');
    await run('apt-get', ['update', '--quiet']);
  })();
  return refreshed;
}
