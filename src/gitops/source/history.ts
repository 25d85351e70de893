import type { Revision } from './reference.ts';

/**
 * How a revision relates to the one that was applied before it under the same name: a descendant (or the same), one whose history was
 * rewritten, a tag that was moved, or one that nothing is known about.
 */
export type History = 'forward' | 'rewritten' | 'moved' | 'unknown';

/** The commit of `status.lastAppliedRevision`, if it was found under the same name as this revision: only then they can be compared. */
export function formerCommit(lastApplied: string | undefined, { label }: Revision): string | undefined {
  const match = /^(?:(.*)@)?sha(?:1|256):([0-9a-f]{40}(?:[0-9a-f]{24})?)$/.exec(lastApplied ?? '');
  return match !== null && match[1] === label ? match[2] : undefined;
}

/** The parents that a commit, as git stores it, names. */
export function parentsOf(raw: string): string[] {
  const end = raw.indexOf('\n\n');
  return [...raw.slice(0, end < 0 ? undefined : end).matchAll(/^parent ([0-9a-f]{40,64})$/gm)].map(
    ([, oid = '']) => oid,
  );
}
