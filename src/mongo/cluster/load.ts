import type { Binary, MongoClient } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { openClient } from '../connection.ts';
import { throwIfAborted } from '../errors.ts';
import type { DatabaseHashes } from '../hashes.ts';
import { Gate } from '../load/gate.ts';
import {
  type CheckedLoad,
  type LoadOptions,
  type LoadProgress,
  type LoadResult,
  loadArchives,
  loaderName,
} from '../load.ts';
import { type Namespace, nameOf } from '../namespace.ts';
import { renamer, selects, selectsAll } from '../selection.ts';
import type { Primary } from './quiet.ts';
import { type ClusterMetadata, readClusterMetadata } from './restore/archive.ts';
import { mapShards, type ShardRename } from './restore/mapping.ts';
import { planRouting, type Routing } from './restore/routing.ts';
import {
  dropStrays,
  findStrays,
  flushRouter,
  nextClusterTime,
  readPresent,
  refreshShards,
  removeRouting,
  verifyRouting,
  writeRouting,
} from './restore/target.ts';
import { type ClusterTopology, CONFIG_SERVER } from './topology.ts';

export type { ShardRename } from './restore/mapping.ts';

/** One component of the backup of a cluster. */
export interface ClusterSource {
  /** `configserver`, or the name of the shard. */
  name: string;
  /** Its archives from the beginning; those of the config server are read twice. */
  open(): readonly AsyncIterable<Uint8Array>[];
  hashes?: DatabaseHashes;
}

export interface ClusterLoadOptions
  extends Pick<LoadOptions, 'existing' | 'namespaces' | 'usersAndRoles' | 'workers' | 'signal'> {
  /** Shards that have another name on the target. */
  shards?: readonly ShardRename[];
  /** Awaited when all parts were checked and nothing is written yet: the place to stop the balancer. */
  onChecked?: () => Promise<void>;
  onProgress?: (component: string, progress: LoadProgress) => void;
}

export interface ClusterLoadResult {
  /** In the order of the sources. */
  components: { name: string; result: LoadResult }[];
  /** Entries that the config server was given. */
  routing: Record<'databases' | 'collections' | 'chunks' | 'tags', number>;
  notices: string[];
}

export type LoadTarget = Pick<ClusterTopology, 'configServer' | 'shards' | 'router'>;

/**
 * Loads the archives of a sharded cluster into another one, each shard's into the shard of that name: documents and indexes of all shards
 * side by side, then the routing on the config server, then users and roles. The cluster's own identity is never touched: its shards, its
 * version, its settings, its sessions. The balancer must be off from `onChecked` on, and no mongos may be used meanwhile.
 *
 * Sharded collections are made with one identity on all shards, which is also what the routing says: neither can be seen with the other's.
 *
 * @throws BackstayError before anything is written what `load` throws then, for every part, and MergeUnsupported, UnsupportedTopology,
 *   UnsupportedCluster, ShardMappingInvalid, ShardMissing, TooFewShards, DatabasePrimaryDiffers; afterwards what `load` throws, and
 *   RoutingMismatch
 */
export async function loadCluster(
  target: LoadTarget,
  sources: readonly ClusterSource[],
  options: ClusterLoadOptions,
): Promise<ClusterLoadResult> {
  const shardNames = target.shards.map(({ name }) => name);
  const mapping = mapShards(
    sources.map(({ name }) => name),
    shardNames,
    options.shards ?? [],
  );
  if (options.existing === 'merge') {
    throw new BackstayError('MergeUnsupported', 'a sharded cluster takes no documents beside those that it has', {
      remedy: 'drop what is there, or restore under other names',
    });
  }
  const run = new ClusterLoad(target, sources, mapping, options);
  try {
    return await run.run();
  } finally {
    await run.close();
  }
}

class ClusterLoad {
  readonly #target: LoadTarget;
  readonly #sources: readonly ClusterSource[];
  readonly #mapping: ReadonlyMap<string, string>;
  readonly #options: ClusterLoadOptions;
  readonly #stop = new AbortController();
  readonly #appName = loaderName();
  readonly #clients = new Map<string, MongoClient>();
  readonly #checked = new Map<string, CheckedLoad>();
  readonly #notices = new Set<string>();
  readonly #beforeWrites: Gate;
  readonly #beforeUsers: Gate;
  #metadata: ClusterMetadata | undefined;
  #routing: Routing | undefined;
  #ofAll: unknown;

  constructor(
    target: LoadTarget,
    sources: readonly ClusterSource[],
    mapping: ReadonlyMap<string, string>,
    options: ClusterLoadOptions,
  ) {
    this.#target = target;
    this.#sources = sources;
    this.#mapping = mapping;
    this.#options = options;
    this.#beforeWrites = new Gate(sources.length, () => this.#together(() => this.#prepare()));
    this.#beforeUsers = new Gate(sources.length, () => this.#together(() => this.#route()));
  }

  async run(): Promise<ClusterLoadResult> {
    for (const { name, endpoint } of [this.#target.configServer, ...this.#target.shards]) {
      this.#clients.set(name, await openClient(endpoint, { appName: this.#appName, signal: this.#signal }));
    }
    const config = this.#sources.find(({ name }) => name === CONFIG_SERVER);
    if (config === undefined) throw new Error('mapShards asked for it');
    this.#metadata = await readClusterMetadata(config.open(), this.#signal);
    const failures: unknown[] = [];
    const results = await Promise.all(
      this.#sources.map(async (source) => {
        try {
          return { name: source.name, result: await this.#load(source) };
        } catch (error) {
          failures.push(error);
          this.#fail(error);
          return undefined;
        }
      }),
    );
    throwIfAborted(this.#options.signal);
    if (failures.length > 0) throw failures[0];
    const { databases = [], collections = [], chunks = [], tags = [] } = this.#routing ?? {};
    return {
      components: results.filter((result) => result !== undefined),
      routing: {
        databases: databases.length,
        collections: collections.length,
        chunks: chunks.length,
        tags: tags.length,
      },
      notices: Array.from(this.#notices),
    };
  }

  async close(): Promise<void> {
    for (const client of this.#clients.values()) await client.close();
  }

  get #signal(): AbortSignal {
    const { signal } = this.#options;
    return signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
  }

  /** What one part fails of, all fail of. */
  #fail(error: unknown): void {
    this.#beforeWrites.fail(error);
    this.#beforeUsers.fail(error);
    this.#stop.abort(error);
  }

  /** What fails for all is not the failure of one part. */
  async #together(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#ofAll = error;
      throw error;
    }
  }

  async #load({ name, open, hashes }: ClusterSource): Promise<LoadResult> {
    const { existing, namespaces, usersAndRoles, workers, onProgress } = this.#options;
    try {
      return await loadArchives(this.#clientOf(this.#mapping.get(name) ?? name), open(), {
        existing,
        usersAndRoles,
        ...(namespaces === undefined ? {} : { namespaces }),
        ...(workers === undefined ? {} : { workers }),
        ...(hashes === undefined ? {} : { hashes }),
        uuidOf: (namespace) => this.#uuidOf(name, namespace),
        onChecked: async (checked) => {
          this.#checked.set(name, checked);
          await this.#beforeWrites.arrive();
        },
        onData: () => this.#beforeUsers.arrive(),
        onProgress: (progress) => onProgress?.(name, progress),
        signal: this.#signal,
      });
    } catch (error) {
      if (!(error instanceof BackstayError) || error === this.#ofAll || this.#signal.aborted) throw error;
      const { code, message, remedy } = error;
      const told = remedy === undefined ? {} : { remedy };
      throw new BackstayError(code, `component ${name}: ${message}`, { ...told, cause: error });
    }
  }

  #uuidOf(component: string, namespace: Namespace): Binary | undefined {
    return component === CONFIG_SERVER ? undefined : this.#routing?.uuids.get(nameOf(namespace));
  }

  #clientOf(name: string): MongoClient {
    const client = this.#clients.get(name);
    if (client === undefined) throw new Error(`no connection to ${name}`);
    return client;
  }

  #primaries(): Primary[] {
    return this.#target.shards.map(({ name }) => ({ name, client: this.#clientOf(name) }));
  }

  /** Every part was checked for itself: the cluster as a whole is, and then cleared of what is dropped. */
  async #prepare(): Promise<void> {
    const { existing, namespaces, onChecked } = this.#options;
    const config = this.#clientOf(CONFIG_SERVER);
    const present = await readPresent(config);
    const own = this.#ownNames();
    this.#routing = planRouting(this.#metadata ?? { databases: [], collections: [], chunks: [], tags: [] }, {
      selected: selects(namespaces),
      rename: renamer(namespaces?.rename),
      whole: selectsAll(namespaces) && (namespaces?.rename ?? []).length === 0,
      namespaces: [...this.#checked].flatMap(([component, checked]) =>
        component === CONFIG_SERVER ? [] : checked.namespaces.map(({ from }) => from),
      ),
      shards: this.#mapping,
      now: await nextClusterTime(config),
      present: present.databases,
    });
    // decoded once, and not needed any more
    this.#metadata = undefined;
    const names = new Set([...this.#routing.uuids.keys(), ...[...own.values()].flatMap((some) => [...some])]);
    const former = [...names].flatMap((name) => present.collections.get(name) ?? []);
    const strays = await findStrays(this.#primaries(), names, own);
    if (existing === 'refuse' && former.length + strays.length > 0) {
      const where = [
        ...former.map(({ _id }) => `${_id} (sharded)`),
        ...strays.map(({ shard, namespace }) => `${nameOf(namespace)} (on shard ${shard.name})`),
      ];
      throw new BackstayError('TargetNotEmpty', `the target already has ${where.slice(0, 5).join(', ')}`, {
        remedy: 'drop them, choose other namespaces, or allow the restore to drop',
      });
    }
    const zones = new Set(this.#routing.tags.map((tag) => String(tag.get('tag'))));
    for (const zone of zones) {
      if (!present.zones.has(zone)) this.#notices.add(`zone ${zone} has no shard: run sh.addShardToZone()`);
    }
    await onChecked?.();
    await removeRouting(config, former);
    await dropStrays(strays);
  }

  /** Names on the target that each of its shards gets from the dump. Databases of the config server do not mix with those of shards. */
  #ownNames(): Map<string, Set<string>> {
    const own = new Map<string, Set<string>>();
    for (const [component, { namespaces }] of this.#checked) {
      const wrong = namespaces.find(({ from, to }) => (from.db === 'admin') !== (to.db === 'admin'));
      if (wrong !== undefined) {
        throw new BackstayError(
          'InvalidPattern',
          `${nameOf(wrong.from)} would become ${nameOf(wrong.to)}, and no mongos looks for it there`,
          { remedy: 'rename within databases of the same kind' },
        );
      }
      const shard = this.#mapping.get(component);
      if (shard !== undefined) own.set(shard, new Set(namespaces.map(({ to }) => nameOf(to))));
    }
    return own;
  }

  /** The data of all shards is there: from now on the cluster finds it. */
  async #route(): Promise<void> {
    if (this.#routing === undefined) return;
    const config = this.#clientOf(CONFIG_SERVER);
    await writeRouting(config, this.#routing, this.#signal);
    await verifyRouting(config, this.#primaries(), this.#routing);
    const databases = this.#routing.databases.map((document) => String(document.get('_id')));
    const told = await refreshShards(this.#primaries(), this.#routing.uuids.keys(), databases);
    if (told !== undefined) this.#notices.add(told);
    const { router } = this.#target;
    if (router.kind !== 'mongos') return;
    const client = await openClient(router.endpoint, { signal: this.#signal });
    try {
      const flushed = await flushRouter(client);
      if (flushed !== undefined) this.#notices.add(flushed);
    } finally {
      await client.close();
    }
  }
}
