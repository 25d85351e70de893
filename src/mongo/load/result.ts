import type { Binary } from 'mongodb';
import type { DatabaseHashes } from '../hashes.ts';
import type { Namespace } from '../namespace.ts';
import type { NamespaceSelection, Rename } from '../selection.ts';

/** What happens to namespaces that the target has already. */
export type Existing = 'refuse' | 'drop' | 'merge';

export interface LoadOptions {
  /**
   * refuse: nothing is written unless every namespace of the archive is empty or absent on the target. drop: those that are in the
   * archive are dropped when their data arrives. merge: documents are added, and those whose _id is there already count as failed.
   */
  existing: Existing;
  namespaces?: NamespaceSelection & { rename?: Rename[] };
  /** Restore users and roles, whatever the selection of namespaces. Those of the target that the archive does not have are never removed. */
  usersAndRoles: boolean;
  /** Replay the archive's oplog, when it has one (default true). It cannot be combined with a selection or a rename. */
  oplogReplay?: boolean;
  /** Inserts at work at the same time (default 4); while the order is kept, each is of another collection. */
  workers?: number;
  /**
   * Keep the natural order of every collection (default true), so that the next dump of the target is the same bytes and takes no new
   * space in a repository. Otherwise a collection is filled by all workers at once.
   */
  keepOrder?: boolean;
  /**
   * The digests that the dump recorded. They are compared for every collection that was restored as a whole; not after the replay of an
   * oplog, which leaves other documents.
   */
  hashes?: DatabaseHashes;
  /** The identity (UUID) that a collection must have on the target, by its name there; one of the server's choice otherwise. */
  uuidOf?: (namespace: Namespace) => Binary | undefined;
  /** Awaited when everything that can be found wrong before the first write has been looked at. When it throws, nothing is written. */
  onChecked?: (checked: CheckedLoad) => Promise<void>;
  /** Awaited when documents, indexes and views are there and were verified, before users and roles come. */
  onData?: () => Promise<void>;
  signal?: AbortSignal;
  onProgress?: (progress: LoadProgress) => void;
}

/** What will be written. */
export interface CheckedLoad {
  /** Every collection and view, by its name in the archive and on the target. */
  namespaces: readonly { from: Namespace; to: Namespace }[];
}

export interface LoadProgress {
  namespace: string;
  /** Bytes of the input read so far, packed or not. */
  read: number;
  /** Documents and their bytes read so far, of selected namespaces. */
  documents: number;
  bytes: number;
  /** Documents of which the server said that they are there, and that they are not. */
  restored: number;
  failed: number;
  collections: number;
  collectionsInAll: number;
}

export interface LoadedNamespace {
  /** Name on the target. */
  name: string;
  /** Documents in the archive. */
  documents: number;
  restored: number;
  failed: number;
  /** By the server's count when everything was there; undefined for a view, after the replay of an oplog, and where the user may not. */
  counted?: number;
}

export interface LoadResult {
  namespaces: LoadedNamespace[];
  documents: number;
  bytes: number;
  /** Documents that were not restored, in all. More than 0 in mode merge only. */
  failed: number;
  indexes: number;
  users: number;
  roles: number;
  /**
   * Users and roles of the archive that stay as they are on the target: those that the load itself is logged in with and, unless in mode
   * drop, those that were there already.
   */
  kept: string[];
  /** Collections whose digest was the one that the dump recorded. */
  hashed: number;
  /** What could not be verified, and why. */
  notices: string[];
  oplog?: { applied: number; skipped: number };
  /** Version of the server that was dumped. */
  serverVersion: string;
}
