import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BackstayError, errorCode } from '../../api/errors.ts';
import { KUSTOMIZE, type KustomizeProgram } from '../kustomize/build.ts';
import { buildCommit } from '../kustomize/commit.ts';
import { kustomizationIn } from '../kustomize/gather.ts';
import { type Access, secretsOf } from './access.ts';
import { writeAccess } from './access-files.ts';
import { BareCopy } from './bare-copy.ts';
import { parseCommit } from './commit.ts';
import { listTree, readBlobs, requireTree } from './contents.ts';
import { Git } from './git.ts';
import { formerCommit, type History, parentsOf } from './history.ts';
import { parseAdvertised, type Reference, type Revision, refPatterns, resolveReference } from './reference.ts';
import type { IsKnown, Snapshot, Source } from './source.ts';
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
  readonly #copy: BareCopy;
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
    this.#copy = new BareCopy(repository, git, this.#url, this.#limits);
    this.#keys = keys;
    this.#git = git;
  }

  async head(signal: AbortSignal): Promise<Revision> {
    const patterns = refPatterns(this.#reference);
    if (patterns.length === 0) return resolveReference(this.#reference, new Map());
    await this.#copy.prepare(signal);
    // The first version of the protocol: one request. Its successor asks for the capabilities first.
    const output = await this.#git.text(
      ['-c', 'protocol.version=0', 'ls-remote', '--quiet', '--end-of-options', this.#url.href, ...patterns],
      signal,
    );
    return resolveReference(this.#reference, parseAdvertised(output));
  }

  async read(
    revision: Revision,
    path: string | undefined,
    signal: AbortSignal,
    isKnown: IsKnown = () => false,
  ): Promise<Snapshot> {
    const folder = folderOf(path);
    try {
      return await this.#read(revision, folder, isKnown, signal);
    } catch (error) {
      if (errorCode(error) !== 'CacheBroken') throw error;
      await rm(this.#copy.folder, { recursive: true, force: true });
      return await this.#read(revision, folder, isKnown, signal);
    }
  }

  async close(): Promise<void> {
    await rm(this.#keys, { recursive: true, force: true });
  }

  async #read(wanted: Revision, folder: string, isKnown: IsKnown, signal: AbortSignal): Promise<Snapshot> {
    await this.#copy.prepare(signal);
    const found = (await this.#copy.find(wanted, folder, signal)) ?? (await this.#copy.fetch(wanted, folder, signal));
    const { revision, commit } = found;
    const verified = await this.#verify(revision, commit, signal);
    const history = await this.#history(revision, commit, signal);
    const prefix = folder === '' ? '' : `${folder}/`;
    const tree = requireTree(found.tree, revision.oid, folder);
    const listing = await listTree(this.#git, tree, signal);
    const about = { revision, commit: parseCommit(revision.oid, commit), history, verified };
    const start = kustomizationIn('', (name) => listing.includes(`\t${name}\0`));
    if (start !== undefined)
      return { ...about, files: [], ...(await this.#build(revision.oid, prefix + start, signal)) };
    const { entries, failures } = readTree(listing, prefix, this.#limits);
    const fresh = entries.filter((entry) => !isKnown(entry));
    const contents = await readBlobs(
      this.#git,
      fresh.map(({ oid }) => oid),
      signal,
    );
    const files = entries.map(({ path, oid }) => {
      const content = contents.get(oid);
      return content === undefined ? { path, oid } : { path, oid, content };
    });
    return { ...about, files, failures };
  }

  async #build(oid: string, start: string, signal: AbortSignal): Promise<Pick<Snapshot, 'built' | 'failures'>> {
    const listing = await listTree(this.#git, oid, signal);
    const commit = {
      entries: entriesOf(listing),
      read: (oids: readonly string[]) => readBlobs(this.#git, oids, signal),
    };
    const options = { program: this.#kustomize, scratch: this.#folder, maxOutput: this.#limits.totalBytes };
    return buildCommit(start, commit, this.#limits, options, signal);
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
      await this.#copy.transfer(revision, depth, signal);
      const list = await this.#git.text(['rev-list', `--max-count=${depth}`, '--end-of-options', oid], signal);
      const ancestors = list.split('\n').filter((line) => line !== '');
      if (ancestors.includes(former)) return 'forward';
      if (ancestors.length < depth) return 'rewritten';
    }
    return 'unknown';
  }
}
