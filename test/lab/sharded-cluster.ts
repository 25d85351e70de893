import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Document, MongoClient } from 'mongodb';
import { BackstayError } from '../../src/api/errors.ts';
import { commonGround, type Ground } from './ground.ts';
import type { Credentials, MongodOptions } from './mongod.ts';
import { type MemberOptions, type ReplicaSet, startReplicaSet, writeKeyFile } from './replica-set.ts';

export interface ShardOptions {
  /** Also the name of its replica set. */
  name: string;
  /** Their number, or each one's settings. Default 1. */
  members?: number | readonly MemberOptions[];
}

export interface ShardedClusterOptions {
  on?: Ground;
  /** Members of the config server, whose replica set is `cfg`. Default 1. */
  config?: number | readonly MemberOptions[];
  shards: readonly ShardOptions[];
  /** Keyfile authentication with a root user of the same name and password everywhere, who may also run internal commands. Default false. */
  auth?: boolean | Credentials;
  /** For every member. */
  mongod?: Pick<MongodOptions, 'parameters' | 'oplogSize'>;
}

/**
 * A sharded cluster without a mongos: no package has one. What a mongos would tell the servers is told to them by their internal commands,
 * and a client that wants a document goes to the shard that has it.
 */
export interface ShardedCluster extends AsyncDisposable {
  readonly config: ReplicaSet;
  /** In the order of the options. */
  readonly shards: readonly ReplicaSet[];
  readonly credentials: Credentials | undefined;
  shard(name: string): ReplicaSet;
  /** Creates a database whose collections that are not sharded lie on the shard. */
  createDatabase(database: string, primaryShard: string): Promise<void>;
  /**
   * Creates a collection. With a shard key, such as `{_id: 'hashed'}`, it is sharded: a hashed key gives two chunks to every shard. Without
   * one it lies on the database's primary shard.
   */
  createCollection(namespace: string, options?: { shardKey?: Document } & Document): Promise<void>;
  /** Name of the shard that owns the document with this `_id`, an integer, of a collection that is sharded by `{_id: 'hashed'}`. */
  ownerOf(namespace: string, id: number): Promise<string>;
  /** Inserts documents, whose `_id` are integers, into the shards that own them. */
  insert(namespace: string, documents: readonly (Document & { _id: number })[]): Promise<void>;
  /** Runs a command on the primary of the config server. */
  configCommand(command: Document): Promise<Document>;
  stop(): Promise<void>;
}

const MAJORITY = { writeConcern: { w: 'majority' as const } };

/** Starts the parts side by side and joins them. */
export async function startShardedCluster(options: ShardedClusterOptions): Promise<ShardedCluster> {
  const on = options.on ?? (await commonGround());
  const credentials =
    options.auth === true
      ? { username: 'root', password: randomBytes(9).toString('base64url') }
      : options.auth || undefined;
  const folder = await on.subfolder(`cluster-${await on.port()}`);
  const auth =
    credentials === undefined
      ? {}
      : { auth: credentials, keyFile: await writeKeyFile(join(folder, 'keyfile'), randomBytes(96).toString('base64')) };
  const start = (name: string, role: string, members: ShardOptions['members']): Promise<ReplicaSet> =>
    startReplicaSet({ on, name, ...auth, members: members ?? 1, mongod: { ...options.mongod, args: [role] } });
  const started = await Promise.allSettled([
    start('cfg', '--configsvr', options.config),
    ...options.shards.map(({ name, members }) => start(name, '--shardsvr', members)),
  ]);
  const sets = started.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
  const stopSets = async (): Promise<void> => {
    await Promise.all(sets.map((set) => set.stop()));
  };
  const broken = started.find((one) => one.status === 'rejected');
  const [config, ...shards] = sets;
  if (broken !== undefined || config === undefined) {
    await stopSets();
    throw broken?.reason;
  }
  const self = new Cluster(config, shards, credentials, stopSets);
  try {
    await self.join();
  } catch (error) {
    await self.stop();
    throw error;
  }
  return self;
}

class Cluster implements ShardedCluster {
  readonly config: ReplicaSet;
  readonly shards: readonly ReplicaSet[];
  readonly credentials: Credentials | undefined;
  readonly #stopSets: () => Promise<void>;
  readonly #clients = new Map<ReplicaSet, Promise<MongoClient>>();
  readonly #chunks = new Map<string, Promise<Document[]>>();

  constructor(
    config: ReplicaSet,
    shards: readonly ReplicaSet[],
    credentials: Credentials | undefined,
    stopSets: () => Promise<void>,
  ) {
    this.config = config;
    this.shards = shards;
    this.credentials = credentials;
    this.#stopSets = stopSets;
  }

  /** One after the other, as the config server wants it. */
  async join(): Promise<void> {
    if (this.credentials !== undefined) {
      // internal commands are for servers, and for users with a server's role
      const command = { grantRolesToUser: this.credentials.username, roles: ['__system'], ...MAJORITY };
      for (const set of [this.config, ...this.shards]) await (await this.#client(set)).db('admin').command(command);
    }
    for (const { name, seeds } of this.shards) {
      await this.configCommand({ _configsvrAddShard: seeds, name, ...MAJORITY });
    }
  }

  shard(name: string): ReplicaSet {
    const found = this.shards.find((set) => set.name === name);
    if (found === undefined) throw new BackstayError('LabInvalid', `The lab's cluster has no shard ${name}`);
    return found;
  }

  async createDatabase(database: string, primaryShardId: string): Promise<void> {
    await this.configCommand({ _configsvrCreateDatabase: database, primaryShardId, ...MAJORITY });
  }

  async createCollection(
    namespace: string,
    { shardKey, ...options }: { shardKey?: Document } & Document = {},
  ): Promise<void> {
    const [database, collection] = splitNamespace(namespace);
    const config = await this.#client(this.config);
    const entry = await config.db('config').collection<{ _id: string }>('databases').findOne({ _id: database });
    if (entry === null) throw new BackstayError('LabInvalid', `The lab's cluster has no database ${database}`);
    const primary = await this.#client(this.shard((entry as Document).primary));
    if (shardKey === undefined) {
      await primary.db(database).command({ create: collection, ...options, ...MAJORITY });
      return;
    }
    const databaseVersion = (entry as Document).version;
    await primary
      .db(database)
      .command({ _shardsvrCreateCollection: collection, shardKey, ...options, databaseVersion, ...MAJORITY });
  }

  async ownerOf(namespace: string, id: number): Promise<string> {
    const reading = this.#chunks.get(namespace) ?? this.#readChunks(namespace);
    this.#chunks.set(namespace, reading);
    const chunks = await reading;
    const hash = hashOf(id);
    const bound = (value: unknown): bigint | undefined => (typeof value === 'bigint' ? value : undefined);
    const chunk = chunks.find(({ min, max }) => {
      const [from, to] = [bound(min._id), bound(max._id)];
      return (from === undefined || from <= hash) && (to === undefined || hash < to);
    });
    if (chunk === undefined) throw new BackstayError('LabInvalid', `No chunk of ${namespace} has document ${id}`);
    return String(chunk.shard);
  }

  async insert(namespace: string, documents: readonly (Document & { _id: number })[]): Promise<void> {
    const byShard = new Map<string, (Document & { _id: number })[]>();
    for (const document of documents) {
      const owner = await this.ownerOf(namespace, document._id);
      byShard.set(owner, [...(byShard.get(owner) ?? []), document]);
    }
    const [database, collection] = splitNamespace(namespace);
    await Promise.all(
      [...byShard].map(async ([name, some]) => {
        const client = await this.#client(this.shard(name));
        await client.db(database).collection<{ _id: number }>(collection).insertMany(some, MAJORITY);
      }),
    );
  }

  async configCommand(command: Document): Promise<Document> {
    return (await this.#client(this.config)).db('admin').command(command);
  }

  async stop(): Promise<void> {
    await Promise.allSettled([...this.#clients.values()].map(async (client) => (await client).close()));
    await this.#stopSets();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #client(set: ReplicaSet): Promise<MongoClient> {
    const client = this.#clients.get(set) ?? set.client();
    this.#clients.set(set, client);
    return client;
  }

  async #readChunks(namespace: string): Promise<Document[]> {
    const config = (await this.#client(this.config)).db('config');
    const collection = await config.collection<{ _id: string }>('collections').findOne({ _id: namespace });
    return config
      .collection('chunks')
      .find({ uuid: (collection as Document | null)?.uuid }, { useBigInt64: true })
      .toArray();
  }
}

function splitNamespace(namespace: string): [string, string] {
  const dot = namespace.indexOf('.');
  return [namespace.slice(0, dot), namespace.slice(dot + 1)];
}

/**
 * The value that a hashed index holds for an integer: the first eight bytes, as a signed number, of the MD5 of the seed (0), the number of
 * the canonical type (10 for all numbers) and the value as 64 bits, all little-endian. Source: BSONElementHasher of the server.
 */
function hashOf(id: number): bigint {
  const input = Buffer.alloc(16);
  input.writeInt32LE(10, 4);
  input.writeBigInt64LE(BigInt(id), 8);
  return createHash('md5').update(input).digest().readBigInt64LE(0);
}
