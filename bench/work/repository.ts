import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRestic, type ResticRepository } from '../../src/restic/repository.ts';

/** The repository that the environment names, as the benchmark sets it for every contender. */
export async function repository(): Promise<ResticRepository> {
  const { RESTIC = 'restic', RESTIC_REPOSITORY = '', RESTIC_PASSWORD = '' } = process.env;
  return openRestic({
    backend: { location: RESTIC_REPOSITORY, env: {}, options: {}, flags: [], files: [] },
    password: RESTIC_PASSWORD,
    folder: await mkdtemp(join(tmpdir(), 'backstay-bench-')),
    binary: RESTIC,
  });
}

export const STREAM = { filename: 'dump.archive', host: 'bench', tags: [] };
