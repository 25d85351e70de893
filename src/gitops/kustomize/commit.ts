import { BackstayError } from '../../api/errors.ts';
import type { Failure } from '../read/objects.ts';
import { type BuildOptions, build } from './build.ts';
import type { Built } from './built.ts';
import { type Commit, type GatherLimits, gather } from './gather.ts';

/**
 * Builds a kustomization out of a commit. What is wrong with the commit is a failure with its place.
 *
 * @param start path of the kustomization from the repository's root
 * @throws BackstayError RepositoryTooLarge; the reason of the signal
 */
export async function buildCommit(
  start: string,
  commit: Commit,
  limits: GatherLimits,
  options: Pick<BuildOptions, 'program' | 'scratch' | 'maxOutput'>,
  signal: AbortSignal,
): Promise<{ built?: Built; failures: Failure[] }> {
  const { files, failures } = await gather(start, commit, limits);
  if (failures.length > 0) return { failures };
  try {
    return { built: { start, files, output: await build({ ...options, start, files }, signal) }, failures: [] };
  } catch (error) {
    if (!(error instanceof BackstayError) || !error.code.startsWith('Kustomize')) throw error;
    const { message, remedy } = error;
    return { failures: [{ file: start, message: remedy === undefined ? message : `${message}; ${remedy}` }] };
  }
}
