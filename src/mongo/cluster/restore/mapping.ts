import { BackstayError } from '../../../api/errors.ts';
import { CONFIG_SERVER } from '../topology.ts';

/** A shard of the dump that goes to a shard of another name. */
export interface ShardRename {
  from: string;
  to: string;
}

/**
 * Says which shard of the target each shard of the dump goes to: the one of the same name, unless a rename says otherwise. Never by order:
 * documents on the wrong shard are lost to the cluster.
 *
 * @param components names of the dump's components
 * @param shards names of the target's shards
 * @throws BackstayError UnsupportedTopology, ShardMappingInvalid, TooFewShards, ShardMissing
 */
export function mapShards(
  components: readonly string[],
  shards: readonly string[],
  renames: readonly ShardRename[],
): ReadonlyMap<string, string> {
  if (!components.includes(CONFIG_SERVER)) {
    throw new BackstayError('UnsupportedTopology', `a sharded cluster is not restored without the ${CONFIG_SERVER}`, {
      remedy: 'restore all components of the backup of a sharded cluster',
    });
  }
  const dumped = components.filter((name) => name !== CONFIG_SERVER);
  const invalid = (what: string): BackstayError =>
    new BackstayError('ShardMappingInvalid', what, {
      remedy: `the dump has the shards ${dumped.join(', ')}, the target has ${shards.join(', ')}`,
    });
  for (const { from, to } of renames) {
    if (!dumped.includes(from)) throw invalid(`the dump has no shard ${from} to restore as ${to}`);
    if (!shards.includes(to)) throw invalid(`the target has no shard ${to} for ${from}`);
  }
  if (dumped.length > shards.length) {
    throw new BackstayError('TooFewShards', `the dump has ${dumped.length} shards, the target has ${shards.length}`, {
      remedy: 'add shards to the target',
    });
  }
  const mapping = new Map<string, string>();
  const taken = new Map<string, string>();
  for (const from of dumped) {
    const to = renames.find((rename) => rename.from === from)?.to ?? from;
    if (!shards.includes(to)) {
      throw new BackstayError('ShardMissing', `the target has no shard ${to}; it has ${shards.join(', ')}`, {
        remedy: `say which one takes the data of ${from}, in spec.dataSource.shards`,
      });
    }
    const other = taken.get(to);
    if (other !== undefined) throw invalid(`the shards ${other} and ${from} would both become ${to}`);
    taken.set(to, from);
    mapping.set(from, to);
  }
  return mapping;
}
