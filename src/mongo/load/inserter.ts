import type { Document, MongoClient } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import type { DocumentBatch } from '../archive/reader.ts';
import type { ServerFacts } from '../catalog.ts';
import { mongoFailure, throwIfAborted } from '../errors.ts';
import { type Namespace, nameOf } from '../namespace.ts';
import { atLeast } from '../version.ts';
import { insertRaw } from '../wire.ts';

const DUPLICATE_KEY = 11000;

/** Where a collection's documents go and how they fare. */
export interface InsertTarget {
  namespace: Namespace;
  /** One insert after the other, in order: a capped collection keeps the order of its documents. */
  ordered: boolean;
  /** Raw buckets of a time series on a server that keeps them in the collection itself. */
  rawData: boolean;
  restored: number;
  failed: number;
}

/**
 * Inserts batches with several workers. `submit` waits while all are busy, so no more than one batch per worker is in memory; the first
 * failure ends everything that follows.
 */
export class Inserter {
  readonly #client: MongoClient;
  readonly #fields: Document;
  readonly #tolerateDuplicates: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #workers: number;
  readonly #busy = new Map<Promise<void>, InsertTarget>();
  #failure: unknown;

  constructor(
    client: MongoClient,
    facts: ServerFacts,
    options: { workers: number; tolerateDuplicates: boolean; signal?: AbortSignal },
  ) {
    this.#client = client;
    this.#workers = options.workers;
    this.#tolerateDuplicates = options.tolerateDuplicates;
    this.#signal = options.signal;
    this.#fields = {
      // documents that were there when a validator came are restored like the others
      bypassDocumentValidation: true,
      writeConcern: { w: 'majority' },
      // without it a server replaces Timestamp(0, 0) by the present time
      ...(atLeast(facts.version, 8, 1) ? { bypassEmptyTsReplacement: true } : {}),
    };
  }

  /** Takes a batch over. Returns when a worker has it. */
  async submit(target: InsertTarget, batch: DocumentBatch): Promise<void> {
    if (target.ordered) await this.drain(target);
    while (this.#busy.size >= this.#workers) await Promise.race(this.#busy.keys());
    this.#check();
    const work = this.#insert(target, batch).catch((error: unknown) => {
      this.#failure ??= error;
    });
    this.#busy.set(work, target);
    work.finally(() => this.#busy.delete(work));
  }

  /** Waits until every document of a target, or of all, is on the server. */
  async drain(target?: InsertTarget): Promise<void> {
    const waiting = Array.from(this.#busy).filter(([, other]) => target === undefined || other === target);
    await Promise.all(waiting.map(([work]) => work));
    this.#check();
  }

  /** Waits until no insert is at work, whether they succeed or not. */
  async settle(): Promise<void> {
    await Promise.all(this.#busy.keys());
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
    throwIfAborted(this.#signal);
  }

  async #insert(target: InsertTarget, batch: DocumentBatch): Promise<void> {
    const { db, collection } = target.namespace;
    // an ordered insert stops at the first duplicate; one that is not keeps the order within a batch all the same
    const fields = {
      ...this.#fields,
      ordered: target.ordered && !this.#tolerateDuplicates,
      ...(target.rawData ? { rawData: true } : {}),
    };
    const options = this.#signal === undefined ? {} : { signal: this.#signal };
    const reply = await insertRaw(this.#client.db(db), collection, batch.pieces, fields, options).catch(
      (error: unknown) => {
        throw mongoFailure(error, `insert into ${nameOf(target.namespace)}`, 'the role "restore"');
      },
    );
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
