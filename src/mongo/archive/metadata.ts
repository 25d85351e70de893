import { BackstayError, describeError } from '../../api/errors.ts';
import { fromExtendedJson, type OrderedDocument } from '../bson/extended-json.ts';
import { nameOf } from '../namespace.ts';
import type { CollectionEntry } from './format.ts';

/** What is needed to make a collection again. */
export interface CollectionMetadata {
  options: OrderedDocument;
  indexes: OrderedDocument[];
}

/** Options and indexes of an entry, with every type and the order of keys kept. @throws BackstayError ArchiveDamaged */
export function decodeMetadata(entry: CollectionEntry): CollectionMetadata {
  if (entry.metadata === '') return { options: new Map(), indexes: [] };
  let metadata: OrderedDocument;
  try {
    metadata = fromExtendedJson(entry.metadata);
  } catch (cause) {
    throw new BackstayError(
      'ArchiveDamaged',
      `the metadata of ${nameOf(entry)} cannot be read: ${describeError(cause)}`,
      {
        remedy: 'restore from another snapshot, or check the repository',
        cause,
      },
    );
  }
  const options = metadata.get('options');
  const indexes = metadata.get('indexes');
  return {
    options: options instanceof Map ? options : new Map(),
    indexes: Array.isArray(indexes) ? indexes.filter((index) => index instanceof Map) : [],
  };
}
