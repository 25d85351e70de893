import type { Document, MongoClient } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import type { DocumentBatch } from '../archive/reader.ts';
import type { ServerFacts } from '../catalog.ts';
import { mongoFailure, throwIfAborted } from '../errors.ts';
import { usedUp } from '../garbage.ts';
import { type Namespace, nameOf } from '../namespace.ts';
import { atLeast } from '../version.ts';
import { insertRaw } from '../wire.ts';

const DUPLICATE_KEY = 11000;

/** Where a collection's documents go and how they fare. */
export interface InsertTarget {
  namespace: Namespace;
  /** The order is part of the data, as in a capped collection: it is kept whatever the options say, and the first error ends an insert. */
  ordered: boolean;
  /** Raw buckets of a time series on a server that keeps them in the collection itself. */
  rawData: boolean;
  restored: number;
  failed: number;
}

export interface InserterOptions {
  /** Inserts at work at the same time; in order, each of another collection. */
  workers: number;
  /** One insert of a collection after the other, so that its natural order is that of the archive. */
  inOrder: boolean;
  tolerateDuplicates: boolean;
  signal?: AbortSignal;
}

/** In order, every so many inserts of a collection one waits for a majority, so that secondaries are not left far behind. */
const MAJORITY_EVERY = 16;

/** Inserts of a collection that come one after the other. */
interface Lane {
  /**
   * Not sent yet: the last insert of a collection waits for a majority, and who has waited for that has waited for all before it. If each
   * did, the server would have nothing to do while its secondaries catch up.
   */
  held: DocumentBatch | undefined;
  sent: number;
}

/**
 * Inserts batches with several workers. `submit` waits while all are busy, so that about one batch per worker is in memory; the first
 * failure ends everything that follows.
 */
export class Inserter {
  readonly #client: MongoClient;
  readonly #fields: Document;
  readonly #tolerateDuplicates: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #workers: number;
  readonly #inOrder: boolean;
  readonly #busy = new Map<Promise<void>, InsertTarget>();
  readonly #lanes = new Map<InsertTarget, Lane>();
  #failure: unknown;

  constructor(client: MongoClient, facts: ServerFacts, options: InserterOptions) {
    this.#client = client;
    this.#workers = options.workers;
    this.#inOrder = options.inOrder;
    this.#tolerateDuplicates = options.tolerateDuplicates;
    this.#signal = options.signal;
    this.#fields = {
      // documents that were there when a validator came are restored like the others
      bypassDocumentValidation: true,
      // without it a server replaces Timestamp(0, 0) by the present time
      ...(atLeast(facts.version, 8, 1) ? { bypassEmptyTsReplacement: true } : {}),
    };
  }

  /** Takes a batch over. Returns when there is room for the next one. */
  async submit(target: InsertTarget, batch: DocumentBatch): Promise<void> {
    if (!this.#inOrder && !target.ordered) {
      await this.#start(target, batch, 'majority');
      return;
    }
    const lane = this.#lanes.get(target) ?? { held: undefined, sent: 0 };
    this.#lanes.set(target, lane);
    const { held } = lane;
    lane.held = batch;
    if (held === undefined) return;
    await this.#finished(target);
    lane.sent += 1;
    await this.#start(target, held, lane.sent % MAJORITY_EVERY === 0 ? 'majority' : 1);
  }

  /** Waits until a majority has every document of a target, or of all. */
  async drain(target?: InsertTarget): Promise<void> {
    for (const [waiting, { held }] of this.#lanes) {
      if (target !== undefined && waiting !== target) continue;
      await this.#finished(waiting);
      this.#lanes.delete(waiting);
      if (held !== undefined) await this.#start(waiting, held, 'majority');
    }
    await this.#finished(target);
  }

  /** Waits until no insert is at work, whether they succeed or not. */
  async settle(): Promise<void> {
    await Promise.all(this.#busy.keys());
  }

  async #start(target: InsertTarget, batch: DocumentBatch, w: 'majority' | 1): Promise<void> {
    while (this.#busy.size >= this.#workers) await Promise.race(this.#busy.keys());
    this.#check();
    const work = this.#insert(target, batch, w).catch((error: unknown) => {
      this.#failure ??= error;
    });
    this.#busy.set(work, target);
    work.finally(() => this.#busy.delete(work));
  }

  /** Waits for the inserts of a target, or of all, that are at work. */
  async #finished(target: InsertTarget | undefined): Promise<void> {
    const waiting = Array.from(this.#busy).filter(([, other]) => target === undefined || other === target);
    await Promise.all(waiting.map(([work]) => work));
    this.#check();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
    throwIfAborted(this.#signal);
  }

  async #insert(target: InsertTarget, batch: DocumentBatch, w: 'majority' | 1): Promise<void> {
    const { db, collection } = target.namespace;
    // an ordered insert stops at the first duplicate; one that is not keeps the order within a batch all the same
    const fields = {
      ...this.#fields,
      writeConcern: { w },
      ordered: target.ordered && !this.#tolerateDuplicates,
      ...(target.rawData ? { rawData: true } : {}),
    };
    const options = this.#signal === undefined ? {} : { signal: this.#signal };
    const reply = await insertRaw(this.#client.db(db), collection, batch.pieces, fields, options).catch(
      (error: unknown) => {
        throw mongoFailure(error, `insert into ${nameOf(target.namespace)}`, 'the role "restore"');
      },
    );
    usedUp(batch.bytes);
    this.#account(target, batch, reply);
  }

  #account(target: InsertTarget, batch: DocumentBatch, reply: Document): void {
    const inserted = Number(reply.n ?? 0);
    const errors = (reply.writeErrors ?? []) as { code: number; errmsg?: string }[];
    // counted before anything is thrown: what was restored until then is told as well
    target.restored += inserted;
    target.failed += errors.length;
    const unexpected = errors.find(({ code }) => !(this.#tolerateDuplicates && code === DUPLICATE_KEY));
    if (unexpected !== undefined) {
      const what = unexpected.errmsg ?? `error ${unexpected.code}`;
      throw new BackstayError('LoadFailed', `a document of ${nameOf(target.namespace)} cannot be inserted: ${what}`);
    }
    if (reply.writeConcernError !== undefined) {
      const what = String(reply.writeConcernError.errmsg ?? 'write concern error');
      throw new BackstayError(
        'LoadFailed',
        `inserts into ${nameOf(target.namespace)} did not reach a majority: ${what}`,
        {
          remedy: 'see that a majority of the replica set is up',
        },
      );
    }
    if (inserted + errors.length !== batch.documents) {
      throw new BackstayError(
        'RestoreIncomplete',
        `${nameOf(target.namespace)}: ${batch.documents} documents were sent, ${inserted} were inserted`,
      );
    }
  }
}
