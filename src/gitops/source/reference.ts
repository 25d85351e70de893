import { BackstayError } from '../../api/errors.ts';
import type { PolicySyncRef } from '../../api/generated/types.ts';
import { compareVersions, parseRange, parseVersion, type Version } from './semver.ts';

/** What of a repository is followed, its precedence decided and its form checked. */
export type Reference =
  | { kind: 'commit'; oid: string; branch: string | undefined }
  | { kind: 'name'; name: string }
  | { kind: 'semver'; range: string }
  | { kind: 'tag'; tag: string }
  | { kind: 'branch'; branch: string };

/** A commit, and the name under which it was found. */
export interface Revision {
  /** Object id of the commit: 40 hexadecimal digits, 64 in a repository of SHA-256. */
  oid: string;
  /** The full reference it was found under; undefined for a commit that was asked for by its id alone. */
  ref: string | undefined;
  /** What a person calls it: `main`, `v1.2.0`. */
  label: string | undefined;
  /** Object id of the annotated tag that leads to the commit. */
  tag?: string;
}

/** References as `ls-remote` tells them: full name to object id; an annotated tag's commit is under its name and `^{}`. */
export type Advertised = ReadonlyMap<string, string>;

export const DEFAULT_BRANCH = 'main';

/** Decides what `spec.ref` asks for: commit before name before semver before tag before branch. Fails with `InvalidReference`. */
export function referenceOf(ref: PolicySyncRef | undefined): Reference {
  const { commit, name, semver, tag, branch } = ref ?? {};
  if (branch !== undefined) requireRefName(`refs/heads/${branch}`, 'spec.ref.branch', branch);
  if (commit !== undefined) {
    if (!/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(commit))
      throw invalid('spec.ref.commit', commit, 'write the commit as 40 hexadecimal digits');
    return { kind: 'commit', oid: commit, branch };
  }
  if (name !== undefined) {
    requireRefName(name, 'spec.ref.name', name);
    return { kind: 'name', name };
  }
  if (semver !== undefined) {
    if (parseRange(semver) === undefined) throw invalid('spec.ref.semver', semver, 'write a range such as >=1.2 <2');
    return { kind: 'semver', range: semver };
  }
  if (tag !== undefined) {
    requireRefName(`refs/tags/${tag}`, 'spec.ref.tag', tag);
    return { kind: 'tag', tag };
  }
  return { kind: 'branch', branch: branch ?? DEFAULT_BRANCH };
}

/** The patterns that `ls-remote` is asked with; none for a commit without a branch, which needs no asking. */
export function refPatterns(reference: Reference): string[] {
  switch (reference.kind) {
    case 'commit':
      return [];
    case 'name':
      return [reference.name, `${reference.name}^{}`];
    case 'semver':
      return ['refs/tags/*'];
    case 'tag':
      return [`refs/tags/${reference.tag}`, `refs/tags/${reference.tag}^{}`];
    case 'branch':
      return [`refs/heads/${reference.branch}`];
  }
}

/** Which commit the reference stands for at the moment. Fails with `RefNotFound`. */
export function resolveReference(reference: Reference, advertised: Advertised): Revision {
  switch (reference.kind) {
    case 'commit':
      return { oid: reference.oid, ref: undefined, label: reference.branch };
    case 'name':
      return found(advertised, reference.name, reference.name, 'spec.ref.name');
    case 'branch':
      return found(advertised, `refs/heads/${reference.branch}`, reference.branch, 'spec.ref.branch');
    case 'tag':
      return found(advertised, `refs/tags/${reference.tag}`, reference.tag, 'spec.ref.tag');
    case 'semver':
      return newest(advertised, reference.range);
  }
}

/** `main@sha1:0a1b…`, as Flux writes revisions. */
export function formatRevision({ oid, label }: Revision): string {
  const digest = `${oid.length === 64 ? 'sha256' : 'sha1'}:${oid}`;
  return label === undefined ? digest : `${label}@${digest}`;
}

/**
 * The lines of `ls-remote`. Names that git itself would refuse are left out: nothing of what a server says becomes an argument
 * unchecked.
 */
export function parseAdvertised(output: string): Map<string, string> {
  const refs = new Map<string, string>();
  for (const line of output.split('\n')) {
    const match = /^([0-9a-f]{40}(?:[0-9a-f]{24})?)\t(.+)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) continue;
    const name = match[2];
    if (name === 'HEAD' || isRefName(name.replace(/\^\{\}$/, ''))) refs.set(name, match[1]);
  }
  return refs;
}

/** Whether a full reference is well-formed: the rules of `git check-ref-format`, and no part begins with a hyphen. */
export function isRefName(name: string): boolean {
  if (name.length > 255 || !name.includes('/')) return false;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: git forbids them too
  if (/[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|\/\/|\/$|\.$/.test(name)) return false;
  return name
    .split('/')
    .every((part) => part !== '' && !part.startsWith('.') && !part.startsWith('-') && !part.endsWith('.lock'));
}

function newest(advertised: Advertised, range: string): Revision {
  const matches = parseRange(range);
  let best: { version: Version; tag: string } | undefined;
  for (const name of advertised.keys()) {
    const tag = name.startsWith('refs/tags/') && !name.endsWith('^{}') ? name.slice('refs/tags/'.length) : undefined;
    const version = tag === undefined ? undefined : parseVersion(tag);
    if (tag === undefined || version === undefined || matches?.(version) !== true) continue;
    if (best === undefined || compareVersions(version, best.version) > 0) best = { version, tag };
  }
  if (best === undefined) throw notFound(`no tag of the repository is in the range ${range}`, 'spec.ref.semver');
  return found(advertised, `refs/tags/${best.tag}`, best.tag, 'spec.ref.semver');
}

function found(advertised: Advertised, ref: string, label: string, field: string): Revision {
  const object = advertised.get(ref);
  const commit = advertised.get(`${ref}^{}`);
  if (object === undefined) throw notFound(`the repository has no ${ref}`, field);
  return commit === undefined ? { oid: object, ref, label } : { oid: commit, ref, label, tag: object };
}

function requireRefName(ref: string, field: string, written: string): void {
  if (!isRefName(ref)) throw invalid(field, written, 'write the name as git branch or git tag lists it');
}

function invalid(field: string, written: string, remedy: string): BackstayError {
  return new BackstayError('InvalidReference', `${field} is ${JSON.stringify(written)}, which git cannot follow`, {
    remedy,
  });
}

function notFound(what: string, field: string): BackstayError {
  return new BackstayError('RefNotFound', `Cannot follow the repository: ${what}`, {
    remedy: `push it or correct ${field}`,
  });
}
