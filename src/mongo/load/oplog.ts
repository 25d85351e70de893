import type { MongoClient } from 'mongodb';
import type { OrderedDocument } from '../bson/extended-json.ts';
import { toOrdered } from '../bson/ordered.ts';
import { mongoFailure, serverErrorCode, throwIfAborted } from '../errors.ts';
import { type Namespace, parseNamespace } from '../namespace.ts';
import { documentsOf } from '../wire.ts';
import type { IndexCatalog } from './index-catalog.ts';

const NAMESPACE_NOT_FOUND = 26;

/** Kinds of entries that change no document: notes, and the server's own work on keys of indexes. */
const SKIPPED_KINDS = new Set(['n', 'km', 'xi', 'xd', 'ci', 'cu', 'cd']);
const SKIPPED_COMMANDS = new Set(['startIndexBuild', 'abortIndexBuild', 'setMultikeyMetadata', 'dropIdent', 'dbCheck']);
const DROP_INDEXES = new Set(['dropIndexes', 'dropIndex', 'deleteIndexes', 'deleteIndex']);

/** The operations of a transaction that has not committed yet, by session and number. */
type Transactions = Map<string, OrderedDocument[]>;

/**
 * Replays the oplog that an archive ends with, in order, one entry at a time. It makes a dump that was read while the database changed
 * show the end of the dump: an operation that the copied documents have seen already does no harm a second time.
 */
export class OplogReplay {
  readonly #client: MongoClient;
  readonly #indexes: IndexCatalog;
  readonly #signal: AbortSignal | undefined;
  readonly #transactions: Transactions = new Map();
  applied = 0;
  skipped = 0;

  constructor(client: MongoClient, indexes: IndexCatalog, signal?: AbortSignal) {
    this.#client = client;
    this.#indexes = indexes;
    this.#signal = signal;
  }

  async replay(pieces: Uint8Array[]): Promise<void> {
    for (const entry of documentsOf(Buffer.concat(pieces))) {
      throwIfAborted(this.#signal);
      await this.#entry(toOrdered(entry));
    }
  }

  async #entry(entry: OrderedDocument): Promise<void> {
    const kind = String(entry.get('op'));
    const namespace = parseNamespace(String(entry.get('ns')));
    if (SKIPPED_KINDS.has(kind) || isOwn(namespace)) this.skipped += 1;
    else if (kind === 'c') await this.#command(entry, namespace);
    else await this.#apply(entry);
  }

  async #command(entry: OrderedDocument, { db }: Namespace): Promise<void> {
    const command = entry.get('o') as OrderedDocument;
    const [[name, target] = ['', undefined]] = command;
    const namespace = { db, collection: String(target) };
    if (name === 'applyOps') return this.#group(entry, command);
    if (name === 'commitTransaction') return this.#commit(entry);
    if (name === 'abortTransaction') {
      this.#transactions.delete(transactionOf(entry));
      this.skipped += 1;
    } else if (SKIPPED_COMMANDS.has(name)) this.skipped += 1;
    else if (this.#changesIndexes(name, namespace, command)) this.applied += 1;
    else {
      if (name === 'renameCollection') await this.#dropTarget(command);
      await this.#apply(entry);
    }
    if (name === 'drop') this.#indexes.dropCollection(namespace);
    if (name === 'dropDatabase') this.#indexes.dropDatabase(db);
    if (name === 'renameCollection') {
      this.#indexes.rename(parseNamespace(String(target)), parseNamespace(String(command.get('to'))));
    }
  }

  /**
   * A rename over another collection names that one by its identity, which is another here. Told to drop whatever is there, the server
   * would leave it behind under a temporary name.
   */
  async #dropTarget(rename: OrderedDocument): Promise<void> {
    if ((rename.get('dropTarget') ?? false) === false) return;
    const { db, collection } = parseNamespace(String(rename.get('to')));
    await this.#apply(
      new Map<string, unknown>([
        ['op', 'c'],
        ['ns', `${db}.$cmd`],
        ['o', new Map([['drop', collection]])],
      ]),
    );
    rename.delete('dropTarget');
    this.applied -= 1; // it is one operation of the oplog
  }

  /** Indexes are built after the replay, so commands about them change what will be built. */
  #changesIndexes(name: string, namespace: Namespace, command: OrderedDocument): boolean {
    if (name === 'createIndexes') {
      this.#indexes.add(namespace, [new Map(Array.from(command).slice(1))]);
      return true;
    }
    if (name === 'commitIndexBuild') {
      this.#indexes.add(namespace, command.get('indexes') as OrderedDocument[]);
      return true;
    }
    if (DROP_INDEXES.has(name)) {
      this.#indexes.drop(namespace, command.get('index'));
      return true;
    }
    const change = name === 'collMod' ? command.get('index') : undefined;
    if (!(change instanceof Map)) return false;
    this.#indexes.modify(namespace, change);
    return true;
  }

  /**
   * An applyOps entry: a transaction that committed at once, part of a larger or prepared one, which waits for its commit, or a group of
   * inserts. Source: MongoDB server, src/mongo/db/repl/README.md, "Transactions".
   */
  async #group(entry: OrderedDocument, command: OrderedDocument): Promise<void> {
    const operations = command.get('applyOps') as OrderedDocument[];
    const id = transactionOf(entry);
    if (command.get('partialTxn') === true || command.get('prepare') === true) {
      this.#transactions.set(id, [...(this.#transactions.get(id) ?? []), ...operations]);
      return;
    }
    const earlier = this.#transactions.get(id) ?? [];
    this.#transactions.delete(id);
    for (const operation of [...earlier, ...operations]) await this.#entry(operation);
  }

  async #commit(entry: OrderedDocument): Promise<void> {
    const id = transactionOf(entry);
    const operations = this.#transactions.get(id) ?? [];
    this.#transactions.delete(id);
    for (const operation of operations) await this.#entry(operation);
  }

  async #apply(entry: OrderedDocument): Promise<void> {
    const operation = withoutIdentity(entry);
    try {
      await this.#client.db('admin').command({ applyOps: [operation], writeConcern: { w: 1 } });
      this.applied += 1;
    } catch (error) {
      // a collection that was gone again when the dump listed it
      if (serverErrorCode(error) !== NAMESPACE_NOT_FOUND) {
        throw mongoFailure(
          error,
          `replay an oplog entry of ${String(entry.get('ns'))}`,
          'anyAction on anyResource, which applyOps needs',
        );
      }
      this.skipped += 1;
    }
  }
}

/** The server's own data, which a load does not bring back. */
function isOwn({ db, collection }: Namespace): boolean {
  return db === 'config' || db === 'local' || (db === 'admin' && collection.startsWith('system.'));
}

function transactionOf(entry: OrderedDocument): string {
  const lsid = entry.get('lsid');
  const id = lsid instanceof Map ? String(lsid.get('id')) : '';
  return `${id}/${String(entry.get('txnNumber'))}`;
}

/** The operation without the identities of the collections and the session, which are others on the target. */
function withoutIdentity(entry: OrderedDocument): OrderedDocument {
  const kept = ['op', 'ns', 'o', 'o2', 'b'];
  return new Map(Array.from(entry).filter(([field]) => kept.includes(field)));
}
