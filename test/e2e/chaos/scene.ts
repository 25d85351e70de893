import { join } from 'node:path';
import type { Document, MongoClient } from 'mongodb';
import { MARKER_FOLDER } from '../../../src/api/rules/places.ts';
import type { Cluster } from '../../lab/cluster.ts';
import { isReady } from '../../lab/demo/follow.ts';
import { type Ground, takeGround } from '../../lab/ground.ts';
import { installBackstay } from '../../lab/install.ts';
import { startKubernetes } from '../../lab/kubernetes.ts';
import type { Mongod } from '../../lab/mongod.ts';
import { until } from '../../lab/process.ts';
import type { ReplicaSet } from '../../lab/replica-set.ts';
import { letAllWrite, makeRepository } from '../../lab/restic.ts';
import { type ShardedCluster, startShardedCluster } from '../../lab/sharded-cluster.ts';
import { objectsIn } from '../cluster.ts';
import { bindingOf, configurationOf, namespaceOf, secretOf, storageOf } from '../policy.ts';
import type { Component } from './points.ts';

export const NAMESPACE = 'chaos';
export const CONFIGURATION = 'shop';
const DOCUMENTS = 300;
/** No superuser: what the documentation asks for. */
const LOGIN = { username: 'backup', password: 'p@ss:w/r%d#?&' };
const ACTIVE_WINDOW = { start: '23:00', stop: '6:00' };
const SECONDARY = { hidden: true, votes: 0 } as const;

/** A member, with a connection that was there before anything was locked. */
export interface Watched {
  mongod: Mongod;
  client: MongoClient;
  /** Of the lock that is not ours, and the number of times that it is held. */
  foreignLocks: number;
}

/** A sharded cluster that a configuration backs up, in a Kubernetes cluster with Backstay. */
export interface Scene extends AsyncDisposable {
  ground: Ground;
  cluster: Cluster;
  objects: ReturnType<typeof objectsIn>;
  members: readonly Watched[];
  /** The member that a backup locks. */
  lockedOf(component: Component): Watched;
  setOf(component: Component): ReplicaSet;
  /** Turns the balancer on or off. */
  setBalancer(state: 'on' | 'off'): Promise<void>;
  /** Everything that config.settings says. */
  settings(): Promise<Document[]>;
}

/** Raises it, on ground of its own. */
export async function openScene(): Promise<Scene> {
  const ground = await takeGround();
  try {
    const scene = await raiseScene(ground, startWithBackstay(ground));
    const stop = scene[Symbol.asyncDispose];
    scene[Symbol.asyncDispose] = async () => {
      await stop();
      await ground.stop();
    };
    return scene;
  } catch (error) {
    await ground.stop();
    throw error;
  }
}

/** Raises it for a cluster that has Backstay. One member is locked by somebody else, twice, and stays so. */
export async function raiseScene(ground: Ground, ready: Cluster | Promise<Cluster>): Promise<Scene> {
  const [cluster, lab] = await Promise.all([ready, startDatabase(ground)]);
  const objects = objectsIn(cluster, NAMESPACE);
  const members = await Promise.all(
    [lab.config, ...lab.shards]
      .flatMap((set) => set.members)
      .map(async (mongod): Promise<Watched> => {
        const client = await until('the root user is there', () => mongod.client());
        return { mongod, client, foreignLocks: 0 };
      }),
  );
  await delay(lab.shard('sh0'), 2);
  const [foreign] = members.filter(({ mongod }) => mongod === lab.shard('sh0').member(2));
  for (let count = 0; foreign !== undefined && count < 2; count += 1) {
    const { lockCount } = await foreign.client.db('admin').command({ fsync: 1, lock: true });
    foreign.foreignLocks = Number(lockCount);
  }
  await prepare(ground, cluster, lab);
  await objects.when('BackupConfiguration', CONFIGURATION, isReady);
  const config = await lab.config.client();
  const settings = config.db('config').collection<{ _id: string } & Document>('settings');
  const setOf = (component: Component): ReplicaSet =>
    component === 'configserver' ? lab.config : lab.shard(component);
  return {
    ground,
    cluster,
    objects,
    members,
    lockedOf(component) {
      const mongod = setOf(component).member(1);
      const found = members.find((member) => member.mongod === mongod);
      if (found === undefined) throw new Error(`no member of ${component} is watched`);
      return found;
    },
    setOf,
    async setBalancer(state) {
      const off = { mode: state === 'on' ? 'full' : 'off', stopped: state === 'off', activeWindow: ACTIVE_WINDOW };
      await settings.replaceOne({ _id: 'balancer' }, off, { upsert: true, writeConcern: { w: 'majority' } });
    },
    settings: () =>
      settings
        .find({}, { readConcern: { level: 'majority' } })
        .sort({ _id: 1 })
        .toArray(),
    async [Symbol.asyncDispose]() {
      await Promise.allSettled([config, ...members.map(({ client }) => client)].map((client) => client.close()));
      await lab.stop();
    },
  };
}

async function startWithBackstay(ground: Ground): Promise<Cluster> {
  const cluster = await startKubernetes({ on: ground });
  await installBackstay(cluster);
  return cluster;
}

async function startDatabase(on: Ground): Promise<ShardedCluster> {
  const lab = await startShardedCluster({
    on,
    config: [{}, SECONDARY],
    shards: [
      { name: 'sh0', members: [{}, SECONDARY, SECONDARY] },
      { name: 'sh1', members: [{}, SECONDARY] },
    ],
    auth: true,
  });
  for (const set of [lab.config, ...lab.shards]) {
    await using client = await set.client();
    const privileges = [
      { resource: { cluster: true }, actions: ['internal'] },
      { resource: { db: 'config', collection: 'settings' }, actions: ['remove'] },
    ];
    await client.db('admin').command({ createRole: 'balancer', privileges, roles: [] });
    const roles = ['backup', 'clusterMonitor', 'hostManager', ...(set === lab.config ? ['balancer'] : [])];
    await client.db('admin').command({ createUser: LOGIN.username, pwd: LOGIN.password, roles });
  }
  await lab.createDatabase('shop', 'sh0');
  await lab.createCollection('shop.orders', { shardKey: { _id: 'hashed' } });
  await lab.insert(
    'shop.orders',
    Array.from({ length: DOCUMENTS }, (_, _id) => ({ _id, text: 'x'.repeat(1000) })),
  );
  return lab;
}

/** Makes a member stay an hour behind. It has the users by then, which it would not get for an hour. */
async function delay(set: ReplicaSet, index: number): Promise<void> {
  await using client = await set.client();
  const admin = client.db('admin');
  const { config } = await admin.command({ replSetGetConfig: 1 });
  config.version += 1;
  config.members[index].secondaryDelaySecs = 3600;
  await admin.command({ replSetReconfig: config });
}

async function prepare(ground: Ground, cluster: Cluster, lab: ShardedCluster): Promise<void> {
  const folder = await ground.subfolder('chaos-volume');
  await makeRepository(join(folder, MARKER_FOLDER), 'backstay');
  await makeRepository(join(folder, NAMESPACE, CONFIGURATION), 'secret');
  await letAllWrite(folder);
  await cluster.apply([
    namespaceOf(NAMESPACE),
    secretOf(NAMESPACE, 'restic-password', { RESTIC_PASSWORD: 'secret' }),
    secretOf(NAMESPACE, 'auth', LOGIN),
    storageOf(NAMESPACE, 'disk', { provider: 'local', local: { hostPath: { path: folder } } }),
    bindingOf(NAMESPACE, CONFIGURATION, {
      clientConfig: { url: `mongodb://${lab.config.member(0).address}/` },
      secret: { name: 'auth' },
    }),
    configurationOf(NAMESPACE, CONFIGURATION, 'disk'),
  ]);
}
