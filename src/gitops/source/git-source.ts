import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BackstayError, errorCode } from '../../api/errors.ts';
import { KUSTOMIZE, type KustomizeProgram } from '../kustomize/build.ts';
import { buildCommit } from '../kustomize/commit.ts';
import { kustomizationIn } from '../kustomize/gather.ts';
import { type Access, secretsOf } from './access.ts';
import { writeAccess } from './access-files.ts';
import { parseCommit } from './commit.ts';
import { exists, packBytes, removeLeftovers } from './copy.ts';
import { Git } from './git.ts';
import { formerCommit, type History, parentsOf } from './history.ts';
import { parseAdvertised, type Reference, type Revision, refPatterns, resolveReference } from './reference.ts';
import type { Snapshot, Source } from './source.ts';
import { entriesOf, folderOf, readTree, SOURCE_LIMITS, type SourceLimits } from './tree.ts';
import type { RepositoryURL } from './url.ts';
import { judgeSignature, signatureFormat, type Verification, writeTrust } from './verify.ts';

export interface GitSourceOptions {
  url: RepositoryURL;
  reference: Reference;
  access: Access;
  /** A folder of this source alone. It is a cache: it may be gone at any time, and may hold whatever a killed process left. */
  folder: string;
  limits?: SourceLimits;
  /** What builds a folder with a kustomization; `kustomize build` unless given. */
  kustomize?: KustomizeProgram | undefined;
  /** What has to be signed; nothing, unless given. */
  verification?: Verification | undefined;
  /** `status.lastAppliedRevision`: the revision that the next one is to descend from. */
  lastApplied?: string | undefined;
}

/** The one reference of the copy; where git keeps what was fetched from being forgotten. */
const FETCHED = 'refs/backstay/fetched';
// Every fetch leaves a pack, and depth 1 forgets nothing by itself: after so many the copy is made anew.
const MAX_PACKS = 16;
const SIZE_CHECK_MS = 200;
/** How many commits back a former one is looked for, in steps: one that was not pushed just now seldom lies far behind. */
const HISTORY_DEPTHS = [64, 2048];

/** Opens a git repository for reading. Nothing is asked of its server yet. */
export async function openGitSource(options: GitSourceOptions): Promise<Source> {
  const repository = join(options.folder, 'repository.git');
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  for (const entry of await readdir(options.folder)) {
    // Keys and builds of a process that was killed.
    if (entry.startsWith('access-') || entry.startsWith('build-'))
      await rm(join(options.folder, entry), { recursive: true, force: true });
  }
  const keys = await mkdtemp(join(options.folder, 'access-'));
  await chmod(keys, 0o700);
  const access = await writeAccess(options.access, options.url, keys);
  const trust = options.verification === undefined ? undefined : await writeTrust(options.verification.keys, keys);
  const git = new Git({
    folder: repository,
    host: options.url.host,
    environment: { ...access.environment, ...trust?.environment },
    config: [...access.config, ...(trust?.config ?? [])],
    // The folder of the keys is another one each time; a message is to stay the same.
    secrets: [...secretsOf(options.access), keys],
  });
  return new GitSource(options, repository, keys, git);
}

class GitSource implements Source {
  readonly #url: RepositoryURL;
  readonly #reference: Reference;
  readonly #limits: SourceLimits;
  readonly #verification: Verification | undefined;
  readonly #lastApplied: string | undefined;
  readonly #kustomize: KustomizeProgram;
  readonly #folder: string;
  readonly #repository: string;
  readonly #keys: string;
  readonly #git: Git;

  constructor(options: GitSourceOptions, repository: string, keys: string, git: Git) {
    this.#url = options.url;
    this.#reference = options.reference;
    this.#limits = options.limits ?? SOURCE_LIMITS;
    this.#verification = options.verification;
    this.#lastApplied = options.lastApplied;
    this.#kustomize = options.kustomize ?? KUSTOMIZE;
    this.#folder = options.folder;
    this.#repository = repository;
    this.#keys = keys;
    this.#git = git;
  }

  async head(signal: AbortSignal): Promise<Revision> {
    const patterns = refPatterns(this.#reference);
    if (patterns.length === 0) return resolveReference(this.#reference, new Map());
    await this.#prepare(signal);
    // The first version of the protocol: one request. Its successor asks for the capabilities first.
    const output = await this.#git.text(
      ['-c', 'protocol.version=0', 'ls-remote', '--quiet', '--end-of-options', this.#url.href, ...patterns],
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
    const revision = (await this.#has(wanted, signal)) ? wanted : await this.#fetch(wanted, signal);
    const commit = (await this.#git.catFile(['commit', revision.oid], '', signal)).toString('utf8');
    const verified = await this.#verify(revision, commit, signal);
    const history = await this.#history(revision, commit, signal);
    const prefix = folder === '' ? '' : `${folder}/`;
    const tree = await this.#tree(revision.oid, folder, signal);
    const listing = await this.#git.text(['ls-tree', '-r', '-z', '-l', '--full-tree', tree], signal);
    const about = { revision, commit: parseCommit(revision.oid, commit), history, verified };
    const start = kustomizationIn('', (name) => listing.includes(`\t${name}\0`));
    if (start !== undefined)
      return { ...about, files: [], ...(await this.#build(revision.oid, prefix + start, signal)) };
    const { entries, failures } = readTree(listing, prefix, this.#limits);
    const contents = await this.#blobs(
      entries.map(({ oid }) => oid),
      signal,
    );
    return {
      ...about,
      files: entries.map(({ path, oid }) => ({ path, oid, content: contents.get(oid) ?? Buffer.alloc(0) })),
      failures,
    };
  }

  async #build(oid: string, start: string, signal: AbortSignal): Promise<Pick<Snapshot, 'built' | 'failures'>> {
    const listing = await this.#git.text(['ls-tree', '-r', '-z', '-l', '--full-tree', oid], signal);
    const commit = { entries: entriesOf(listing), read: (oids: readonly string[]) => this.#blobs(oids, signal) };
    const options = { program: this.#kustomize, scratch: this.#folder, maxOutput: this.#limits.totalBytes };
    return buildCommit(start, commit, this.#limits, options, signal);
  }

  /** A bare repository that is ready for a fetch, whatever was there before. */
  async #prepare(signal: AbortSignal): Promise<void> {
    const packs = await readdir(join(this.#repository, 'objects', 'pack')).catch((): string[] => []);
    const isFull = (await packBytes(this.#repository)) > this.#limits.packBytes;
    if (isFull || packs.filter((name) => name.endsWith('.pack')).length > MAX_PACKS)
      await rm(this.#repository, { recursive: true, force: true });
    await mkdir(this.#repository, { recursive: true, mode: 0o700 });
    await removeLeftovers(this.#repository);
    if (await exists(join(this.#repository, 'HEAD'))) return;
    await this.#git.text(['init', '--bare', '--quiet', '--template='], signal);
  }

  /** Whether the commit is here, and the tag that leads to it. */
  async #has({ oid, tag }: Revision, signal: AbortSignal): Promise<boolean> {
    const wanted = [`${oid} commit `, ...(tag === undefined ? [] : [`${tag} tag `])];
    const names = [oid, ...(tag === undefined ? [] : [tag])];
    const lines = (await this.#git.catFile(['--batch-check'], `${names.join('\n')}\n`, signal)).toString().split('\n');
    return wanted.every((start, index) => lines[index]?.startsWith(start));
  }

  /** Fetches a commit and nothing before it; the answer is what was there: a branch may have moved. */
  async #fetch(wanted: Revision, signal: AbortSignal): Promise<Revision> {
    await this.#transfer(wanted, 1, signal);
    const resolve = async (suffix: string): Promise<string> =>
      (await this.#git.text(['rev-parse', '--verify', '--end-of-options', `${FETCHED}${suffix}`], signal)).trim();
    const [object, oid] = [await resolve(''), await resolve('^{commit}')];
    const { ref, label } = wanted;
    if (ref === undefined && oid !== wanted.oid) {
      throw new BackstayError(
        'ContentRefused',
        `Cannot read the repository at ${this.#url.host}: it answered with commit ${oid} for ${wanted.oid}`,
      );
    }
    return object === oid ? { oid, ref, label } : { oid, ref, label, tag: object };
  }

  async #transfer({ oid, ref }: Revision, depth: number, signal: AbortSignal): Promise<void> {
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

  /** Has git judge the signatures that are asked for. */
  async #verify(revision: Revision, commit: string, signal: AbortSignal): Promise<string | undefined> {
    if (this.#verification === undefined) return undefined;
    const { mode, keys } = this.#verification;
    const found: string[] = [];
    const judge = async (command: string, what: string, oid: string, raw: string): Promise<void> => {
      const verdict = await this.#git.verdict([command, '--raw', oid], signal);
      found.push(judgeSignature(`${what} ${oid.slice(0, 12)}`, signatureFormat(raw), verdict, keys));
    };
    if (mode !== 'HEAD') {
      const { tag } = revision;
      if (tag === undefined)
        throw new BackstayError('SignatureMissing', 'spec.verify asks for a signed tag, and there is none', {
          remedy: 'follow an annotated, signed tag, or set spec.verify.mode to HEAD',
        });
      await judge('verify-tag', 'Tag', tag, (await this.#git.catFile(['tag', tag], '', signal)).toString('utf8'));
    }
    if (mode !== 'Tag') await judge('verify-commit', 'Commit', revision.oid, commit);
    return [...new Set(found)].join(', ');
  }

  /** Looks for the commit that was applied before among the ancestors of this one, and fetches these only when its parents are others. */
  async #history(revision: Revision, commit: string, signal: AbortSignal): Promise<History> {
    const { oid, ref } = revision;
    const former = formerCommit(this.#lastApplied, revision);
    if (former === undefined) return 'unknown';
    if (former === oid) return 'forward';
    if (ref?.startsWith('refs/tags/') === true) return 'moved';
    if (parentsOf(commit).includes(former)) return 'forward';
    for (const depth of HISTORY_DEPTHS) {
      await this.#transfer(revision, depth, signal);
      const list = await this.#git.text(['rev-list', `--max-count=${depth}`, '--end-of-options', oid], signal);
      const ancestors = list.split('\n').filter((line) => line !== '');
      if (ancestors.includes(former)) return 'forward';
      if (ancestors.length < depth) return 'rewritten';
    }
    return 'unknown';
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
  async #blobs(wanted: readonly string[], signal: AbortSignal): Promise<Map<string, Buffer>> {
    const contents = new Map<string, Buffer>();
    const oids = [...new Set(wanted)];
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
