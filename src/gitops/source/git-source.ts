import { chmod, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BackstayError, errorCode } from '../../api/errors.ts';
import { type Access, secretsOf } from './access.ts';
import { writeAccess } from './access-files.ts';
import { parseCommit } from './commit.ts';
import { Git } from './git.ts';
import { parseAdvertised, type Reference, type Revision, refPatterns, resolveReference } from './reference.ts';
import type { Snapshot, Source } from './source.ts';
import { folderOf, readTree, SOURCE_LIMITS, type SourceLimits, type TreeEntry } from './tree.ts';
import type { RepositoryURL } from './url.ts';

export interface GitSourceOptions {
  url: RepositoryURL;
  reference: Reference;
  access: Access;
  /** A folder of this source alone. It is a cache: it may be gone at any time, and may hold whatever a killed process left. */
  folder: string;
  limits?: SourceLimits;
}

/** The one reference of the copy; where git keeps what was fetched from being forgotten. */
const FETCHED = 'refs/backstay/fetched';
// Every fetch leaves a pack, and depth 1 forgets nothing by itself: after so many the copy is made anew.
const MAX_PACKS = 16;
const SIZE_CHECK_MS = 200;

/** Opens a git repository for reading. Nothing is asked of its server yet. */
export async function openGitSource(options: GitSourceOptions): Promise<Source> {
  const repository = join(options.folder, 'repository.git');
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  for (const entry of await readdir(options.folder)) {
    // Keys of a process that was killed.
    if (entry.startsWith('access-')) await rm(join(options.folder, entry), { recursive: true, force: true });
  }
  const keys = await mkdtemp(join(options.folder, 'access-'));
  await chmod(keys, 0o700);
  const { environment, config } = await writeAccess(options.access, options.url, keys);
  const git = new Git({
    folder: repository,
    host: options.url.host,
    environment,
    config,
    // The folder of the keys is another one each time; a message is to stay the same.
    secrets: [...secretsOf(options.access), keys],
  });
  return new GitSource(options, repository, keys, git);
}

class GitSource implements Source {
  readonly #url: RepositoryURL;
  readonly #reference: Reference;
  readonly #limits: SourceLimits;
  readonly #repository: string;
  readonly #keys: string;
  readonly #git: Git;

  constructor(options: GitSourceOptions, repository: string, keys: string, git: Git) {
    this.#url = options.url;
    this.#reference = options.reference;
    this.#limits = options.limits ?? SOURCE_LIMITS;
    this.#repository = repository;
    this.#keys = keys;
    this.#git = git;
  }

  async head(signal: AbortSignal): Promise<Revision> {
    const patterns = refPatterns(this.#reference);
    if (patterns.length === 0) return resolveReference(this.#reference, new Map());
    await this.#prepare(signal);
    const output = await this.#git.text(
      ['ls-remote', '--quiet', '--end-of-options', this.#url.href, ...patterns],
      signal,
    );
    return resolveReference(this.#reference, parseAdvertised(output));
  }

  async read(revision: Revision, path: string | undefined, signal: AbortSignal): Promise<Snapshot> {
    const folder = folderOf(path);
    try {
      return await this.#read(revision, folder, signal);
    } catch (error) {
      if (errorCode(error) !== 'CacheBroken') throw error;
      await rm(this.#repository, { recursive: true, force: true });
      return await this.#read(revision, folder, signal);
    }
  }

  async close(): Promise<void> {
    await rm(this.#keys, { recursive: true, force: true });
  }

  async #read(wanted: Revision, folder: string, signal: AbortSignal): Promise<Snapshot> {
    await this.#prepare(signal);
    const revision = (await this.#has(wanted.oid, signal))
      ? wanted
      : { ...wanted, oid: await this.#fetch(wanted, signal) };
    const commit = await this.#git.catFile(['commit', revision.oid], '', signal);
    const prefix = folder === '' ? '' : `${folder}/`;
    const tree = await this.#tree(revision.oid, folder, signal);
    const listing = await this.#git.text(['ls-tree', '-r', '-z', '-l', '--full-tree', tree], signal);
    const { entries, failures } = readTree(listing, prefix, this.#limits);
    const contents = await this.#blobs(entries, signal);
    return {
      revision,
      commit: parseCommit(revision.oid, commit.toString('utf8')),
      files: entries.map(({ path, oid }) => ({ path, content: contents.get(oid) ?? Buffer.alloc(0) })),
      failures,
    };
  }

  /** A bare repository that is ready for a fetch, whatever was there before. */
  async #prepare(signal: AbortSignal): Promise<void> {
    const packs = await readdir(join(this.#repository, 'objects', 'pack')).catch((): string[] => []);
    if (packs.filter((name) => name.endsWith('.pack')).length > MAX_PACKS)
      await rm(this.#repository, { recursive: true, force: true });
    await mkdir(this.#repository, { recursive: true, mode: 0o700 });
    await removeLeftovers(this.#repository);
    if (await exists(join(this.#repository, 'HEAD'))) return;
    await this.#git.text(['init', '--bare', '--quiet', '--template='], signal);
  }

  async #has(oid: string, signal: AbortSignal): Promise<boolean> {
    const answer = await this.#git.catFile(['--batch-check'], `${oid}\n`, signal);
    return answer.toString().startsWith(`${oid} commit `);
  }

  /** Fetches one commit and nothing before it; returns its id. */
  async #fetch({ oid, ref }: Revision, signal: AbortSignal): Promise<string> {
    const what = `+${ref ?? oid}:${FETCHED}`;
    const args = [
      'fetch',
      '--quiet',
      '--depth=1',
      '--no-tags',
      '--no-recurse-submodules',
      '--no-write-fetch-head',
      '--end-of-options',
      this.#url.href,
      what,
    ];
    await this.#bounded(signal, (bounded) => this.#git.text(args, bounded));
    const fetched = (
      await this.#git.text(['rev-parse', '--verify', '--end-of-options', `${FETCHED}^{commit}`], signal)
    ).trim();
    if (ref === undefined && fetched !== oid) {
      throw new BackstayError(
        'ContentRefused',
        `Cannot read the repository at ${this.#url.host}: it answered with commit ${fetched} for ${oid}`,
      );
    }
    return fetched;
  }

  /** Stops a transfer that grows beyond its limit. git has a limit for what it is sent only when it is the server. */
  async #bounded<T>(signal: AbortSignal, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = new AbortController();
    const before = await packBytes(this.#repository);
    const timer = setInterval(() => {
      void packBytes(this.#repository).then((bytes) => {
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

  /** The object id of the folder's tree. */
  async #tree(oid: string, folder: string, signal: AbortSignal): Promise<string> {
    const name = folder === '' ? `${oid}^{tree}` : `${oid}:${folder}`;
    const answer = (await this.#git.catFile(['--batch-check'], `${name}\n`, signal)).toString();
    const match = /^([0-9a-f]{40,64}) tree \d+$/m.exec(answer);
    if (match?.[1] !== undefined) return match[1];
    const what = answer.includes(' blob ') ? 'is a file, not a folder' : 'is not there';
    throw new BackstayError('PathNotFound', `${folder} ${what} in commit ${oid.slice(0, 12)}`, {
      remedy: 'correct spec.path; nothing was changed or pruned',
    });
  }

  /** The contents of blobs by their ids. */
  async #blobs(entries: readonly TreeEntry[], signal: AbortSignal): Promise<Map<string, Buffer>> {
    const contents = new Map<string, Buffer>();
    const oids = [...new Set(entries.map(({ oid }) => oid))];
    if (oids.length === 0) return contents;
    const output = await this.#git.catFile(['--batch'], `${oids.join('\n')}\n`, signal);
    // Each: `<oid> blob <size>`, a line break, the bytes, a line break (git-cat-file, "batch output").
    let offset = 0;
    for (const oid of oids) {
      const end = output.indexOf(0x0a, offset);
      const header = output.toString('latin1', offset, end);
      const size = new RegExp(`^${oid} blob (\\d+)$`).exec(header)?.[1];
      if (size === undefined)
        throw new BackstayError('CacheBroken', `Cannot read the local copy of the repository: ${header}`);
      contents.set(oid, output.subarray(end + 1, end + 1 + Number(size)));
      offset = end + 1 + Number(size) + 1;
    }
    return contents;
  }
}

/** Removes the locks and half-written packs of a git that was killed; nobody else works in this folder. */
async function removeLeftovers(repository: string): Promise<void> {
  const entries = await readdir(repository, { recursive: true, withFileTypes: true });
  await Promise.all(
    entries
      .filter((entry) => entry.isFile() && (entry.name.endsWith('.lock') || entry.name.startsWith('tmp_')))
      .map((entry) => rm(join(entry.parentPath, entry.name), { force: true })),
  );
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function packBytes(repository: string): Promise<number> {
  const folder = join(repository, 'objects', 'pack');
  const names = await readdir(folder).catch((): string[] => []);
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
