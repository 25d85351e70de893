import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BackstayError } from '../../api/errors.ts';
import { type GitObject, readAll, treeName } from './contents.ts';
import { exists, packBytes, removeLeftovers } from './copy.ts';
import type { Git } from './git.ts';
import type { Revision } from './reference.ts';
import type { SourceLimits } from './tree.ts';
import type { RepositoryURL } from './url.ts';

/** The one reference of the copy; where git keeps what was fetched from being forgotten. */
const FETCHED = 'refs/backstay/fetched';
// Every fetch leaves a pack, and depth 1 forgets nothing by itself: after so many the copy is made anew.
const MAX_PACKS = 16;
const SIZE_CHECK_MS = 200;

/** A commit that is in the copy. */
export interface Found {
  revision: Revision;
  /** As git stores it. */
  commit: string;
  /** What stands at the folder that was asked for. */
  tree: GitObject | undefined;
}

/** The bare copy of a repository that what is followed is fetched into. */
export class BareCopy {
  readonly folder: string;
  readonly #git: Git;
  readonly #url: RepositoryURL;
  readonly #limits: Pick<SourceLimits, 'packBytes'>;

  constructor(folder: string, git: Git, url: RepositoryURL, limits: Pick<SourceLimits, 'packBytes'>) {
    this.folder = folder;
    this.#git = git;
    this.#url = url;
    this.#limits = limits;
  }

  /** A bare repository that is ready for a fetch, whatever was there before. */
  async prepare(signal: AbortSignal): Promise<void> {
    const packs = await readdir(join(this.folder, 'objects', 'pack')).catch((): string[] => []);
    const isFull = (await packBytes(this.folder)) > this.#limits.packBytes;
    if (isFull || packs.filter((name) => name.endsWith('.pack')).length > MAX_PACKS)
      await rm(this.folder, { recursive: true, force: true });
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    await removeLeftovers(this.folder);
    if (await exists(join(this.folder, 'HEAD'))) return;
    await this.#git.text(['init', '--bare', '--quiet', '--template='], signal);
  }

  /** The commit, if it is here, and so is the tag that leads to it. @param folder whose tree is wanted */
  async find(wanted: Revision, folder: string, signal: AbortSignal): Promise<Found | undefined> {
    const { oid, tag } = wanted;
    const names = [oid, treeName(oid, folder), ...(tag === undefined ? [] : [tag])];
    const [commit, tree, leading] = await readAll(this.#git, names, signal);
    if (commit?.type !== 'commit' || (tag !== undefined && leading?.type !== 'tag')) return undefined;
    return { revision: wanted, commit: commit.content.toString('utf8'), tree };
  }

  /** Fetches a commit and nothing before it; the answer is what was there: a branch may have moved. */
  async fetch(wanted: Revision, folder: string, signal: AbortSignal): Promise<Found> {
    await this.transfer(wanted, 1, signal);
    const names = [FETCHED, `${FETCHED}^{commit}`, treeName(FETCHED, folder)];
    const [object, commit, tree] = await readAll(this.#git, names, signal);
    const { ref, label } = wanted;
    if (commit === undefined || object === undefined) {
      throw new BackstayError('RefNotFound', `${label} of the repository at ${this.#url.host} leads to no commit`, {
        remedy: 'correct spec.ref',
      });
    }
    const { oid } = commit;
    if (ref === undefined && oid !== wanted.oid) {
      throw new BackstayError(
        'ContentRefused',
        `Cannot read the repository at ${this.#url.host}: it answered with commit ${oid} for ${wanted.oid}`,
      );
    }
    const revision = object.oid === oid ? { oid, ref, label } : { oid, ref, label, tag: object.oid };
    return { revision, commit: commit.content.toString('utf8'), tree };
  }

  /** Fetches a commit with so many before it. */
  async transfer({ oid, ref }: Revision, depth: number, signal: AbortSignal): Promise<void> {
    const args = [
      'fetch',
      '--quiet',
      `--depth=${depth}`,
      '--no-tags',
      '--no-recurse-submodules',
      '--no-write-fetch-head',
      '--end-of-options',
      this.#url.href,
      `+${ref ?? oid}:${FETCHED}`,
    ];
    await this.#bounded(signal, (bounded) => this.#git.text(args, bounded));
  }

  /** Stops a transfer that grows beyond its limit. git has a limit for what it is sent only when it is the server. */
  async #bounded<T>(signal: AbortSignal, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = new AbortController();
    const before = await packBytes(this.folder);
    const timer = setInterval(() => {
      void packBytes(this.folder).then((bytes) => {
        if (bytes - before > this.#limits.packBytes) limit.abort(this.#tooLarge());
      });
    }, SIZE_CHECK_MS);
    try {
      return await run(AbortSignal.any([signal, limit.signal]));
    } finally {
      clearInterval(timer);
    }
  }

  #tooLarge(): BackstayError {
    return new BackstayError(
      'RepositoryTooLarge',
      `Cannot read the repository at ${this.#url.host}: one commit of it takes more than ${this.#limits.packBytes} bytes`,
      {
        remedy: 'keep policies in a repository without large files',
      },
    );
  }
}
