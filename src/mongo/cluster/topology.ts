import type { Document, MongoClient } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { readServerFacts } from '../catalog.ts';
import {
  type ClusterAddresses,
  type MongoEndpoint,
  type OpenOptions,
  openClient,
  replicaSetUri,
} from '../connection.ts';
import { isUnauthorized, mongoFailure, throwIfAborted } from '../errors.ts';
import { withOplog } from '../oplog-window.ts';
import { type ReplicaSetTopology, readTopology } from '../topology.ts';

/** The component that a config server's dump is. */
export const CONFIG_SERVER = 'configserver';

/** The config server or a shard. */
export interface ClusterPart {
  /** Of the component: `configserver`, or the name of the shard. */
  name: string;
  /** Leads to the replica set, whichever member is its primary. */
  endpoint: MongoEndpoint;
  topology: ReplicaSetTopology;
}

export interface ClusterTopology {
  kind: 'sharded';
  /** Hexadecimal. */
  clusterId: string;
  /** Of the config server. */
  version: string;
  /** Where the cluster as a whole is told something: its mongos, or the config server. */
  router: Router;
  configServer: ClusterPart;
  /** In the order of their names. */
  shards: ClusterPart[];
}

export interface Router {
  kind: 'mongos' | 'configServer';
  endpoint: MongoEndpoint;
}

/** See openClient. */
type Connect = Pick<OpenOptions, 'signal' | 'timeoutMS'>;

/** Where a replica set is. */
export interface SetAddress {
  set: string;
  /** host:port,host:port. */
  hosts: string;
}

/**
 * Reads what a sharded cluster consists of.
 *
 * @param endpoint a mongos, or any member of the config server; what its `cluster` says counts more than what the cluster says
 * @throws BackstayError UnsupportedTopology for anything else; ClusterIncomplete when an address is missing, wrong or not reached
 */
export async function readCluster(endpoint: MongoEndpoint, options: Connect = {}): Promise<ClusterTopology> {
  const { router, configServer } = await findRouter(endpoint, options);
  const client = await openClient(router.endpoint, options);
  let version: Document | null;
  let shards: Document[];
  let addresses: { configServer: SetAddress; shards: ReadonlyMap<string, SetAddress> };
  try {
    const config = client.db('config');
    version = await config.collection('version').findOne({}, { readPreference: 'primary' });
    shards = await config.collection('shards').find({}, { readPreference: 'primary' }).toArray();
    const own = configServer ?? (await configServerOf(client));
    addresses = addressesOf(own, shards, endpoint.cluster);
  } catch (error) {
    throw mongoFailure(error, 'read the shards of the cluster', 'the roles "clusterMonitor" and "backup"');
  } finally {
    await client.close();
  }
  const clusterId = String(version?.clusterId ?? '');
  const read = async (name: string, address: SetAddress): Promise<ClusterPart> =>
    readPart(name, { ...router.endpoint, uri: replicaSetUri(endpoint.uri, address.set, address.hosts) }, options);
  const [own, ...others] = await Promise.all([
    read(CONFIG_SERVER, addresses.configServer),
    ...[...addresses.shards].map(([name, address]) => read(name, address)),
  ]);
  for (const part of others) requireShard(part, clusterId);
  if (own?.topology.role?.kind !== 'configServer') {
    throw incomplete(`${addresses.configServer.set} is no config server`, 'correct spec.parameters.configServer');
  }
  return { kind: 'sharded', clusterId, version: own.topology.version, router, configServer: own, shards: others };
}

/**
 * Finds out how a cluster as a whole is told something. A config server is talked to at its primary, whichever member is named.
 *
 * @returns also the address of the config server, when that is what the endpoint leads to
 * @throws BackstayError UnsupportedTopology
 */
export async function findRouter(
  endpoint: MongoEndpoint,
  options: Connect = {},
): Promise<{ router: Router; configServer: string | undefined }> {
  const client = await openClient(endpoint, options);
  try {
    const { mongos, configServer, setName } = await readServerFacts(client);
    if (mongos) return { router: { kind: 'mongos', endpoint }, configServer: undefined };
    if (configServer && setName !== undefined) {
      const hello: Document = await client.db('admin').command({ hello: 1 });
      const hosts = (hello.hosts as string[]).join(',');
      const own = `${setName}/${hosts}`;
      const primary = { ...endpoint, uri: replicaSetUri(endpoint.uri, setName, hosts) };
      return { router: { kind: 'configServer', endpoint: primary }, configServer: own };
    }
  } finally {
    await client.close();
  }
  throw new BackstayError('UnsupportedTopology', 'this is neither a mongos nor a config server', {
    remedy: 'use the address of the cluster',
  });
}

/** What a mongos knows of its config server. */
async function configServerOf(client: MongoClient): Promise<string | undefined> {
  try {
    const { map } = await client.db('admin').command({ getShardMap: 1 });
    return typeof map?.config === 'string' ? map.config : undefined;
  } catch (error) {
    if (isUnauthorized(error)) return undefined;
    throw error;
  }
}

/**
 * Puts what the cluster says and what was written down together.
 *
 * @param shards documents of config.shards
 * @throws BackstayError ClusterIncomplete
 */
export function addressesOf(
  configServer: string | undefined,
  shards: readonly Document[],
  given: ClusterAddresses = {},
): { configServer: SetAddress; shards: Map<string, SetAddress> } {
  const own = parseAddress(given.configServer ?? configServer ?? '');
  if (own === undefined) {
    throw incomplete(
      'the address of the config server is not known',
      'set spec.parameters.configServer to SET/HOST:PORT',
    );
  }
  const unused = new Map(Object.entries(given.replicaSets ?? {}));
  const found = new Map<string, SetAddress>();
  for (const { _id, host } of [...shards].sort((a, b) => (String(a._id) < String(b._id) ? -1 : 1))) {
    const name = String(_id);
    const said = parseAddress(String(host));
    const key = [...unused.keys()].find((one) => one === name) ?? keyOfSet(unused, said?.set);
    const address = key === undefined ? said : parseAddress(unused.get(key) ?? '');
    if (key !== undefined) unused.delete(key);
    if (address === undefined) {
      throw incomplete(`the address of shard ${name} is not SET/HOST:PORT`, 'correct spec.parameters.replicaSets');
    }
    if (address.set === own.set || name === CONFIG_SERVER) {
      throw new BackstayError('UnsupportedTopology', `the config server is also shard ${name}`, {
        remedy: 'move its data off with transitionToDedicatedConfigServer',
      });
    }
    found.set(name, address);
  }
  if (found.size === 0) throw incomplete('the cluster has no shard', 'add one with sh.addShard()');
  const [extra] = unused.keys();
  if (extra !== undefined) {
    throw incomplete(
      `spec.parameters.replicaSets has ${extra}, and the cluster has no such shard`,
      `name its entries after the shards: ${[...found.keys()].join(', ')}`,
    );
  }
  return { configServer: own, shards: found };
}

function keyOfSet(written: ReadonlyMap<string, string>, set: string | undefined): string | undefined {
  for (const [key, address] of written) if (set !== undefined && parseAddress(address)?.set === set) return key;
  return undefined;
}

/** Reads "rs0/a:27017,b:27017". */
export function parseAddress(address: string): SetAddress | undefined {
  const [, set, hosts] = /^([^/,]+)\/([^/]+)$/.exec(address) ?? [];
  return set === undefined || hosts === undefined ? undefined : { set, hosts };
}

async function readPart(name: string, endpoint: MongoEndpoint, options: Connect): Promise<ClusterPart> {
  const what = name === CONFIG_SERVER ? 'the config server' : `shard ${name}`;
  try {
    const client = await openClient(endpoint, options);
    try {
      const topology = await readTopology(client);
      if (topology.kind === 'replicaSet') return { name, endpoint, topology: await withOplog(topology, client) };
    } finally {
      await client.close();
    }
  } catch (error) {
    throwIfAborted(options.signal);
    const { code, remedy } = error instanceof BackstayError ? error : { code: 'ClusterIncomplete', remedy: undefined };
    throw new BackstayError(code, `${what}: ${error instanceof Error ? error.message : String(error)}`, {
      remedy: remedy ?? 'see whether its members run',
      cause: error,
    });
  }
  throw incomplete(`${what} is no replica set`, 'correct spec.parameters');
}

/** What is written down may lead to another shard, or to another cluster. */
function requireShard({ name, topology: { role, name: set } }: ClusterPart, clusterId: string): void {
  if (role === undefined) return;
  if (role.kind === 'shard' && role.name === name && role.clusterId === clusterId) return;
  const is = role.kind === 'shard' ? `shard ${role.name} of cluster ${role.clusterId}` : 'a config server';
  throw incomplete(`replica set ${set} is ${is}, and not shard ${name}`, 'correct spec.parameters.replicaSets');
}

function incomplete(message: string, remedy: string): BackstayError {
  return new BackstayError('ClusterIncomplete', message, { remedy });
}
