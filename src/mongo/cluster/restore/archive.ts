import { isOplog } from '../../archive/format.ts';
import { readArchive } from '../../archive/reader.ts';
import type { OrderedDocument } from '../../bson/extended-json.ts';
import { toOrdered } from '../../bson/ordered.ts';
import { documentsOf } from '../../wire.ts';

/** What a config server's dump says of the cluster, as it was there. */
export interface ClusterMetadata {
  /** config.databases */
  databases: OrderedDocument[];
  /** config.collections */
  collections: OrderedDocument[];
  /** config.chunks */
  chunks: OrderedDocument[];
  /** config.tags: ranges of keys that belong to zones */
  tags: OrderedDocument[];
}

const LIMITS = { batchBytes: 4 * 1024 * 1024, batchDocuments: 100_000 };

/**
 * Reads those from the archives of a config server. They are kept in memory: some hundred bytes for each chunk.
 *
 * @throws BackstayError ArchiveTruncated, ArchiveDamaged
 */
export async function readClusterMetadata(
  inputs: readonly AsyncIterable<Uint8Array>[],
  signal?: AbortSignal,
): Promise<ClusterMetadata> {
  const metadata: ClusterMetadata = { databases: [], collections: [], chunks: [], tags: [] };
  for (const input of inputs) {
    for await (const event of readArchive(input, { ...LIMITS, ...(signal === undefined ? {} : { signal }) })) {
      if (event.kind !== 'documents' || isOplog(event.entry) || event.entry.db !== 'config') continue;
      const { collection } = event.entry;
      if (!isPart(collection)) continue;
      for (const document of documentsOf(Buffer.concat(event.pieces))) metadata[collection].push(toOrdered(document));
    }
  }
  return metadata;
}

function isPart(collection: string): collection is keyof ClusterMetadata {
  return ['databases', 'collections', 'chunks', 'tags'].includes(collection);
}
