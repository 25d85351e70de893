import type { Timestamp } from 'mongodb';
import type { DatabaseHashes } from '../hashes.ts';
import type { NamespaceSelection } from '../selection.ts';

/**
 * What makes the collections fit together. lock: the caller holds the member's lock. snapshot: every read sees one cluster time.
 * none: nothing does.
 */
export type Consistency = 'lock' | 'snapshot' | 'none';

export interface DumpOptions {
  mode: Consistency;
  namespaces?: NamespaceSelection;
  /**
   * The time to read at, which a majority must have. Without it: in mode snapshot the newest such time, under a lock all that was applied
   * before.
   */
  atClusterTime?: Timestamp;
  /**
   * Called and awaited when everything has been read from the server and before the last of it is handed out: the place to verify and
   * release a lock. When it throws, the dump fails, and of its archives at least one is not complete.
   */
  onLastRead?: () => Promise<void>;
  /**
   * Record the server's digest of every collection, which reads all documents once more. Only under a lock, and when what is there is what
   * is read: elsewhere the digests would be those of another moment.
   */
  hashes?: boolean;
  signal?: AbortSignal;
  onProgress?: (progress: DumpProgress) => void;
}

export interface DumpProgress {
  namespace: string;
  /** Totals so far. */
  documents: number;
  bytes: number;
  collections: number;
  collectionsInAll: number;
  /** What the server's statistics say that it will be. Unknown at first, and bytes where the user may not ask. */
  bytesInAll?: number;
  documentsInAll?: number;
}

export interface DumpedNamespace {
  name: string;
  documents: number;
  bytes: number;
  /** CRC-64/XZ of the documents, 16 hexadecimal digits. */
  crc: string;
}

export interface DumpResult {
  /** Length of all archives. */
  bytes: number;
  documents: number;
  namespaces: DumpedNamespace[];
  /** The point in time that the dump shows; unknown for a standalone and in mode none. */
  cutTime?: Timestamp;
  /** Capped collections, which a server before 8.0 does not read at a given time: they were read as they were. */
  outsideSnapshot: readonly string[];
  /** When they were asked for and could be had. */
  hashes?: DatabaseHashes;
  /** Why there are none although they were asked for. */
  hashesMissing?: string;
  serverVersion: string;
}

/** The bytes of an archive. They can be read once; `result` settles when they have been, or when reading failed. */
export interface DumpStream extends AsyncIterable<Uint8Array> {
  readonly result: Promise<DumpResult>;
}

/** The bytes of several archives, which together are one dump. All of them have to be read at the same time. */
export interface DumpStreams {
  readonly archives: readonly AsyncIterable<Uint8Array>[];
  /** What all of them came to. */
  readonly result: Promise<DumpResult>;
}
