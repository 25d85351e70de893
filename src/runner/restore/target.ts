import { BackstayError } from '../../api/errors.ts';
import { type ClusterTopology, CONFIG_SERVER, readCluster } from '../../mongo/cluster/topology.ts';
import { type MongoEndpoint, openClient } from '../../mongo/connection.ts';
import { requireRelease } from '../../mongo/load.ts';
import { readTopology } from '../../mongo/topology.ts';
import type { Manifest } from '../backup/manifest.ts';

export type RestoreTarget =
  /** `member` takes writes, as host:port; undefined for a standalone, which is what the endpoint names. */
  | { kind: 'server'; version: string; member: string | undefined }
  | { kind: 'cluster'; version: string; cluster: ClusterTopology };

/** Looks at what stands behind the endpoint. @throws BackstayError UnsupportedTopology, NoPrimary, ClusterIncomplete */
export async function readRestoreTarget(endpoint: MongoEndpoint, signal: AbortSignal): Promise<RestoreTarget> {
  const client = await openClient(endpoint, { signal });
  try {
    const topology = await readTopology(client);
    const { version } = topology;
    if (topology.kind === 'standalone') return { kind: 'server', version, member: undefined };
    if (topology.kind === 'mongos' || topology.role?.kind === 'configServer') {
      const cluster = await readCluster(endpoint, { signal });
      return { kind: 'cluster', version: cluster.version, cluster };
    }
    const { name, primary, role } = topology;
    if (role !== undefined) {
      throw new BackstayError('UnsupportedTopology', `replica set ${name} is shard ${role.name} of a cluster`, {
        remedy: `restore into the whole cluster: use the address of a mongos, or of the config server`,
      });
    }
    if (primary !== undefined) return { kind: 'server', version, member: primary };
    throw new BackstayError('NoPrimary', `replica set ${name} has no primary`, {
      remedy: 'bring a majority of its members up',
    });
  } finally {
    await client.close();
  }
}

/**
 * Refuses what cannot become the target, before anything is read from the repository.
 *
 * @param names of the chosen components
 * @throws BackstayError UnsupportedTopology, ServerTooOld
 */
export function requireFit(
  target: RestoreTarget,
  { database }: Pick<Manifest, 'database'>,
  names: readonly string[],
): void {
  const refuse = (what: string, remedy: string): BackstayError =>
    new BackstayError('UnsupportedTopology', what, { remedy });
  if (target.kind === 'cluster' && !names.includes(CONFIG_SERVER)) {
    throw refuse(
      `the target is a sharded cluster, and ${names.join(', ')} is not a whole one`,
      'restore all components of the backup of a sharded cluster, or restore into a replica set',
    );
  }
  if (target.kind === 'server' && (names.length !== 1 || names[0] === CONFIG_SERVER)) {
    throw refuse(
      `the target is a single ${target.member === undefined ? 'server' : 'replica set'}, and there are the components ${names.join(', ')}`,
      'restore into a sharded cluster, or name one shard in spec.dataSource.components',
    );
  }
  requireRelease(database.version ?? '', target.version);
}
