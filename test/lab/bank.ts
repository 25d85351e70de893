import { connect, type Socket } from 'node:net';
import { BSON, type Document, Long, UUID } from 'mongodb';
import { BackstayError } from '../../src/api/errors.ts';
import type { ShardedCluster } from './sharded-cluster.ts';

/**
 * Accounts on all shards of a cluster, and clients that move money between accounts on different shards.
 *
 * The transactions are the server's own distributed ones. Only what a mongos would do is done here: each statement goes to the shard that
 * owns its account, the first one tells its shard that it coordinates, the newest cluster time is handed on from shard to shard, and the
 * end is `coordinateCommitTransaction` with all participants. Prepare, decision and commit, in two phases with one timestamp, are the
 * shards'. The driver has no way to send such commands, so the messages (OP_MSG) are made here.
 */
export interface Bank extends AsyncDisposable {
  /** What all balances add up to, for ever. */
  readonly total: number;
  /** Transfers that were committed so far. */
  readonly transfers: number;
  /** Lets this many clients move money until `stop`. */
  start(clients: number): void;
  /** Waits until the last transfer has ended. */
  stop(): Promise<void>;
  /** Prepares a transaction on one shard that nobody decides, until it is aborted. */
  prepare(): Promise<{ abort(): Promise<void> }>;
}

export const ACCOUNTS = 'bank.accounts';
const BALANCE = 1000;

/** Opens accounts, which are sharded by their hashed `_id`. */
export async function openBank(cluster: ShardedCluster, accounts = 300): Promise<Bank> {
  await cluster.createDatabase('bank', cluster.shards[0]?.name ?? '');
  await cluster.createCollection(ACCOUNTS, { shardKey: { _id: 'hashed' } });
  const ids = Array.from({ length: accounts }, (_, id) => id);
  await cluster.insert(
    ACCOUNTS,
    ids.map((_id) => ({ _id, balance: BALANCE, note: 'x'.repeat(200) })),
  );
  const owners = await Promise.all(ids.map((id) => cluster.ownerOf(ACCOUNTS, id)));
  const working: Promise<void>[] = [];
  let stopped = new AbortController();
  let transfers = 0;
  const self: Bank = {
    total: accounts * BALANCE,
    get transfers() {
      return transfers;
    },
    start(clients) {
      stopped = new AbortController();
      for (let index = 0; index < clients; index += 1) working.push(work(stopped.signal));
    },
    async stop() {
      stopped.abort();
      await Promise.all(working.splice(0));
    },
    async prepare() {
      const router = await connectRouter();
      const transaction = router.begin();
      const shard = owners[0] ?? '';
      await router.send(shard, 'bank', { ...movement(0, 1), ...transaction, startTransaction: true });
      await router.send(shard, 'admin', { prepareTransaction: 1, ...transaction, writeConcern: { w: 'majority' } });
      return {
        async abort() {
          await router.send(shard, 'admin', { abortTransaction: 1, ...transaction });
          router.close();
        },
      };
    },
    [Symbol.asyncDispose]: () => self.stop(),
  };

  async function connectRouter(): Promise<Router> {
    const router = new Router();
    for (const { name, primary } of cluster.shards) router.add(name, (await primary()).address);
    return router;
  }

  async function work(signal: AbortSignal): Promise<void> {
    const router = await connectRouter();
    try {
      while (!signal.aborted) {
        const [from, to] = [random(accounts), random(accounts)];
        const [here, there] = [owners[from], owners[to]];
        if (here === undefined || there === undefined || here === there) continue;
        const amount = 1 + random(10);
        const steps = [
          { shard: here, id: from, amount: -amount },
          { shard: there, id: to, amount },
        ];
        if (await transfer(router, steps)) transfers += 1;
      }
    } finally {
      router.close();
    }
  }
  return self;
}

/** @returns false when the servers aborted it, because of another transfer of the same account for instance */
async function transfer(router: Router, steps: { shard: string; id: number; amount: number }[]): Promise<boolean> {
  const transaction = router.begin();
  const [first] = steps;
  for (const step of steps) {
    const { ok } = await router.send(step.shard, 'bank', {
      ...movement(step.id, step.amount),
      ...transaction,
      startTransaction: true,
      ...(step === first ? { coordinator: true } : {}),
    });
    if (ok === 1) continue;
    for (const { shard } of steps) await router.send(shard, 'admin', { abortTransaction: 1, ...transaction });
    return false;
  }
  const { ok } = await router.send(first?.shard ?? '', 'admin', {
    coordinateCommitTransaction: 1,
    participants: steps.map(({ shard }) => ({ shardId: shard })),
    ...transaction,
    writeConcern: { w: 'majority' },
  });
  return ok === 1;
}

function movement(_id: number, amount: number): Document {
  return { update: 'accounts', updates: [{ q: { _id }, u: { $inc: { balance: amount } } }] };
}

function random(below: number): number {
  return Math.floor(Math.random() * below);
}

/** Stands in for one connection to a mongos. */
class Router {
  readonly #shards = new Map<string, Wire>();
  readonly #session = { id: new UUID() };
  #transactions = 0;
  #clusterTime: Document | undefined;

  add(shard: string, address: string): void {
    this.#shards.set(shard, new Wire(address));
  }

  /** The fields that every command of a new transaction has. */
  begin(): Document {
    this.#transactions += 1;
    return { lsid: this.#session, txnNumber: Long.fromNumber(this.#transactions), autocommit: false };
  }

  async send(shard: string, $db: string, command: Document): Promise<Document> {
    const wire = this.#shards.get(shard);
    if (wire === undefined) throw new BackstayError('LabInvalid', `The bank knows no shard ${shard}`);
    const time = this.#clusterTime === undefined ? {} : { $clusterTime: this.#clusterTime };
    const reply = await wire.ask({ ...command, ...time, $db });
    const { $clusterTime } = reply;
    const newer = this.#clusterTime?.clusterTime.lessThan($clusterTime?.clusterTime) ?? true;
    if ($clusterTime !== undefined && newer) this.#clusterTime = $clusterTime;
    return reply;
  }

  close(): void {
    for (const wire of this.#shards.values()) wire.close();
  }
}

const OP_MSG = 2013;
/** Header, flags, and the kind of the only section. */
const BEFORE_BODY = 16 + 4 + 1;

/** A connection on which one command is asked after the other. */
class Wire {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #waiting: PromiseWithResolvers<Document> | undefined;

  constructor(address: string) {
    const [host = '', port] = address.split(':');
    this.#socket = connect({ host, port: Number(port), noDelay: true });
    this.#socket.on('data', (chunk) => this.#receive(chunk));
    const lost = (error?: Error): void => this.#waiting?.reject(error ?? new Error(`${address} closed the connection`));
    this.#socket.on('error', lost);
    this.#socket.on('close', () => lost());
  }

  ask(command: Document): Promise<Document> {
    this.#waiting = Promise.withResolvers();
    const body = BSON.serialize(command);
    const head = Buffer.alloc(BEFORE_BODY);
    head.writeInt32LE(BEFORE_BODY + body.length, 0);
    head.writeInt32LE(OP_MSG, 12);
    this.#socket.write(Buffer.concat([head, body]));
    return this.#waiting.promise;
  }

  #receive(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (this.#received.length < 4 || this.#received.length < this.#received.readInt32LE(0)) return;
    const length = this.#received.readInt32LE(0);
    this.#waiting?.resolve(BSON.deserialize(this.#received.subarray(BEFORE_BODY, length)));
    this.#received = this.#received.subarray(length);
  }

  close(): void {
    this.#socket.destroy();
  }
}
