import { Binary, Int32, ObjectId, type Timestamp, UUID } from 'mongodb';
import { BackstayError } from '../../../api/errors.ts';
import type { OrderedDocument } from '../../bson/extended-json.ts';
import { type Namespace, nameOf, parseNamespace } from '../../namespace.ts';
import type { ClusterMetadata } from './archive.ts';

/** What the config server of the target is told, in the order in which it is written. */
export interface Routing {
  databases: OrderedDocument[];
  chunks: OrderedDocument[];
  tags: OrderedDocument[];
  collections: OrderedDocument[];
  /** The identity of each sharded collection, by its name on the target. */
  uuids: ReadonlyMap<string, Binary>;
}

export interface RoutingWishes {
  /** Which namespaces come back, by their name in the dump. */
  selected: (namespace: Namespace) => boolean;
  rename: (namespace: Namespace) => Namespace;
  /** Nothing is left out or renamed: databases without a collection come too. */
  whole: boolean;
  /** Every namespace that the shards bring, by its name in the dump; without those of the config server itself. */
  namespaces: readonly Namespace[];
  shards: ReadonlyMap<string, string>;
  /** A time later than everything in the target. */
  now: Timestamp;
  /** The primary shard of databases that the target has already. */
  present: ReadonlyMap<string, string>;
}

/**
 * Rewrites a cluster's metadata for another one, or for the same one at a later time. Collections get a new identity (UUID), epoch and
 * timestamp there, and databases a new version: an identity may exist once in a cluster, and who knows an older generation of a collection
 * must see that this one is newer, by the target's own clock. A chunk's history is of another time and begins anew.
 *
 * @throws BackstayError UnsupportedCluster, ShardMissing, DatabasePrimaryDiffers
 */
export function planRouting(metadata: ClusterMetadata, wishes: RoutingWishes): Routing {
  const identities = new Map<string, { uuid: Binary; epoch: ObjectId }>();
  const uuids = new Map<string, Binary>();
  const collections: OrderedDocument[] = [];
  const names = new Map<string, string>();
  for (const document of metadata.collections) {
    const name = text(document, '_id');
    const namespace = parseNamespace(name);
    // the cluster's own, such as config.system.sessions, stay as the target has them
    if (namespace.db === 'config' || !wishes.selected(namespace)) continue;
    requireSupported(document, name);
    const identity = { uuid: new UUID().toBinary(), epoch: new ObjectId() };
    const target = nameOf(wishes.rename(namespace));
    identities.set(hex(document.get('uuid')), identity);
    uuids.set(target, identity.uuid);
    names.set(name, target);
    collections.push(
      changed(document, {
        _id: target,
        lastmodEpoch: identity.epoch,
        timestamp: wishes.now,
        uuid: identity.uuid,
        // where chunks may not move because of a command that was under way in the dump
        allowMigrations: undefined,
      }),
    );
  }
  const chunks = metadata.chunks.flatMap((chunk) => {
    const identity = identities.get(hex(chunk.get('uuid')));
    return identity === undefined ? [] : [chunkOf(chunk, identity.uuid, wishes)];
  });
  const tags = metadata.tags.flatMap((tag) => {
    const target = names.get(text(tag, 'ns'));
    if (target === undefined) return [];
    const id = tag.get('_id');
    // before 4.4 the name was part of it
    const _id = id instanceof Map ? changed(id, { ns: target }) : new ObjectId();
    return [changed(tag, { _id, ns: target })];
  });
  return { databases: databasesOf(metadata, wishes), chunks, tags, collections, uuids };
}

function requireSupported(document: OrderedDocument, name: string): void {
  const refuse = (what: string, remedy: string): BackstayError =>
    new BackstayError('UnsupportedCluster', `${name} ${what}`, { remedy });
  if (!(document.get('uuid') instanceof Binary) || !document.has('timestamp')) {
    throw refuse('is described as before MongoDB 5.0', 'restore its shards one by one into replica sets');
  }
  if (document.has('timeseriesFields')) {
    throw refuse('is a sharded time series, which is not restored', 'leave it out, or restore each shard by itself');
  }
  if (document.has('reshardingFields')) {
    throw refuse('was being resharded in the dump', 'restore a backup that was made before or after');
  }
}

function chunkOf(chunk: OrderedDocument, uuid: Binary, { shards, now }: RoutingWishes): OrderedDocument {
  const shard = mapped(shards, text(chunk, 'shard'), 'a chunk');
  const history = [
    new Map<string, unknown>([
      ['validAfter', now],
      ['shard', shard],
    ]),
  ];
  const since = chunk.has('onCurrentShardSince') ? { onCurrentShardSince: now } : {};
  return changed(chunk, { _id: new ObjectId(), uuid, shard, history, ...since });
}

/** Entries for the databases that the target does not have; those that it has must have the right primary shard. */
function databasesOf(metadata: ClusterMetadata, wishes: RoutingWishes): OrderedDocument[] {
  const { selected, rename, whole, namespaces, shards, now, present } = wishes;
  const sources = new Map(metadata.databases.map((document) => [text(document, '_id'), document]));
  const wanted = new Map<string, { document: OrderedDocument; primary: string }>();
  const want = (from: string, to: string): void => {
    const document = sources.get(from);
    if (document === undefined) return;
    const primary = mapped(shards, text(document, 'primary'), `database ${from}`);
    const other = wanted.get(to)?.primary ?? present.get(to);
    if (other !== undefined && other !== primary) {
      throw new BackstayError(
        'DatabasePrimaryDiffers',
        `the primary shard of database ${to} is ${other}, and what comes from ${from} lies on ${primary}`,
        { remedy: 'drop the database through a mongos, or restore under the name of another one' },
      );
    }
    if (!wanted.has(to)) wanted.set(to, { document, primary });
  };
  if (whole) for (const name of sources.keys()) want(name, name);
  const all = [...namespaces, ...metadata.collections.map((document) => parseNamespace(text(document, '_id')))];
  for (const namespace of all) {
    if (namespace.db !== 'config' && selected(namespace)) want(namespace.db, rename(namespace).db);
  }
  return [...wanted]
    .filter(([name]) => !present.has(name))
    .map(([_id, { document, primary }]) => {
      const version = new Map<string, unknown>([
        ['uuid', new UUID().toBinary()],
        ['timestamp', now],
        ['lastMod', new Int32(1)],
      ]);
      return changed(document, { _id, primary, version });
    });
}

/** A shard without a component has data that nobody restores. */
function mapped(shards: ReadonlyMap<string, string>, name: string, what: string): string {
  const shard = shards.get(name);
  if (shard !== undefined) return shard;
  throw new BackstayError('ShardMissing', `${what} lies on shard ${name}, which is not among the components`, {
    remedy: 'restore all components, or leave out what lies there',
  });
}

/** The document with other values in the same places; undefined takes a field away. */
function changed(document: OrderedDocument, changes: Record<string, unknown>): OrderedDocument {
  const copy: OrderedDocument = new Map(document);
  for (const [field, value] of Object.entries(changes)) {
    if (value === undefined) copy.delete(field);
    else copy.set(field, value);
  }
  return copy;
}

function text(document: OrderedDocument, field: string): string {
  const value = document.get(field);
  if (typeof value === 'string') return value;
  throw new BackstayError('ArchiveDamaged', `a document of the config server's dump has no ${field}`, {
    remedy: 'restore another Snapshot',
  });
}

/** An identity as text. */
export function hex(value: unknown): string {
  return value instanceof Binary ? Buffer.from(value.buffer).toString('hex') : '';
}
