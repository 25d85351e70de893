import { BackstayError } from '../../api/errors.ts';
import type { ArchiveHeader, CollectionEntry } from '../archive/format.ts';
import { nameOf } from '../namespace.ts';

/** What an archive begins with. */
export interface Prelude {
  header: ArchiveHeader;
  entries: CollectionEntry[];
}

/**
 * Refuses archives that are not one whole dump: one of several is missing, is there twice or of another dump, or two of them have the
 * same collection.
 *
 * @throws BackstayError ArchiveMissing, ArchivesOverlap
 */
export function requireWhole(preludes: readonly Prelude[]): void {
  const parts = preludes.map(({ header }) => header.part);
  const of = parts.find((part) => part !== undefined)?.of;
  if (of !== undefined) {
    const given = parts.map((part) => (part?.of === of ? part.number : undefined));
    const missing = Array.from({ length: of }, (_, index) => index + 1).filter((number) => !given.includes(number));
    if (missing.length > 0) {
      const which = missing.length === 1 ? `number ${missing[0]} is` : `numbers ${missing.join(' and ')} are`;
      throw new BackstayError('ArchiveMissing', `the dump is ${of} archives, and ${which} missing`, {
        remedy: 'give all archives of the dump at once',
      });
    }
  }
  const seen = new Set<string>();
  for (const entry of preludes.flatMap(({ entries }) => entries)) {
    const name = nameOf(entry);
    if (seen.has(name)) {
      throw new BackstayError('ArchivesOverlap', `${name} is in two of the archives`, {
        remedy: 'give each archive once, and the archives of one dump only',
      });
    }
    seen.add(name);
  }
}
