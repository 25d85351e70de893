import { describeError, errorCode } from '../../src/api/errors.ts';
import type { PolicySyncRef } from '../../src/api/generated/types.ts';
import type { KustomizeProgram } from '../../src/gitops/kustomize/build.ts';
import type { SourceFile } from '../../src/gitops/read/objects.ts';
import { type Access, NO_ACCESS } from '../../src/gitops/source/access.ts';
import { openGitSource } from '../../src/gitops/source/git-source.ts';
import { referenceOf } from '../../src/gitops/source/reference.ts';
import type { IsKnown, Snapshot } from '../../src/gitops/source/source.ts';
import { SOURCE_LIMITS, type SourceLimits } from '../../src/gitops/source/tree.ts';
import { parseRepositoryURL } from '../../src/gitops/source/url.ts';
import type { Verification } from '../../src/gitops/source/verify.ts';

export interface ReadOptions {
  url: string;
  /** Of the copy. */
  folder: string;
  ref?: PolicySyncRef;
  path?: string;
  access?: Access;
  kustomize?: KustomizeProgram;
  limits?: Partial<SourceLimits>;
  verification?: Verification;
  lastApplied?: string;
  isKnown?: IsKnown;
  signal?: AbortSignal;
}

/** With the files that were read, without those that are known. */
export type Read = Omit<Snapshot, 'files'> & { files: SourceFile[] };

/** Reads what a PolicySync with this spec would read. */
export async function readCommit(options: ReadOptions): Promise<Read> {
  const { url, folder, ref, path, access = NO_ACCESS, limits, kustomize, verification, lastApplied, isKnown } = options;
  const signal = options.signal ?? AbortSignal.timeout(30_000);
  const source = await openGitSource({
    url: parseRepositoryURL(url),
    reference: referenceOf(ref),
    access,
    folder,
    limits: { ...SOURCE_LIMITS, ...limits },
    kustomize,
    verification,
    lastApplied,
  });
  try {
    const { files, ...snapshot } = await source.read(await source.head(signal), path, signal, isKnown);
    return { ...snapshot, files: files.filter((file) => file.content !== undefined) };
  } finally {
    await source.close();
  }
}

export async function failureOf(reading: Promise<unknown>): Promise<{ code: string; text: string }> {
  try {
    await reading;
  } catch (error) {
    return { code: errorCode(error), text: describeError(error) };
  }
  return { code: 'no error', text: '' };
}

export const texts = ({ files }: Read): Record<string, string> =>
  Object.fromEntries(files.map(({ path, content }) => [path, Buffer.from(content).toString()]));
