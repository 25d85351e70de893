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
  /** Inserts at work at the same time (default 4). */
  workers?: number;
  signal?: AbortSignal;
  onProgress?: (progress: LoadProgress) => void;
}

export interface LoadProgress {
  namespace: string;
  /** Documents and their bytes read so far, of selected namespaces. */
  documents: number;
  bytes: number;
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
  oplog?: { applied: number; skipped: number };
  /** Version of the server that was dumped. */
  serverVersion: string;
}
