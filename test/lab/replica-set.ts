import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Document, MongoClient, type MongoClientOptions } from 'mongodb';
import { BackstayError } from '../../src/api/errors.ts';
import { type Authority, type Certificate, makeAuthority } from './certs.ts';
import { commonGround, type Ground } from './ground.ts';
import {
  type Credentials,
  connectionString,
  type Mongod,
  type MongodOptions,
  type MongodTls,
  startMongod,
} from './mongod.ts';
import { until } from './process.ts';

/** A member as `replSetInitiate` takes it; what is left out is the server's default. */
export interface MemberOptions {
  priority?: number;
  votes?: 0 | 1;
  hidden?: boolean;
  tags?: Readonly<Record<string, string>>;
  /** Seconds that it stays behind; such a member also has priority 0. */
  delaySeconds?: number;
  arbiter?: boolean;
}

export interface ReplicaSetOptions {
  on?: Ground;
  /** Default `rs0`. */
  name?: string;
  /** Their number, or each one's settings. Default 1. The first one that can is the primary at the start. */
  members?: number | readonly MemberOptions[];
  /** Keyfile authentication with a root user; `true` chooses one. Default false. */
  auth?: boolean | Credentials;
  /** With `auth`: a file with the members' common key, where others outside the set know it too. Default: one of its own. */
  keyFile?: string;
  /** TLS is required, with certificates of the set's own authority. Default false. */
  tls?: boolean | { clientCertificateRequired?: boolean };
  /** For every member. */
  mongod?: Pick<MongodOptions, 'args' | 'parameters' | 'oplogSize'>;
  /** `settings` of the replica set's configuration; elections take a second by default. */
  settings?: Document;
}

/** A replica set with a primary, and every member in a steady state. */
export interface ReplicaSet extends AsyncDisposable {
  readonly name: string;
  /** In the order of the options; the index is the member's `_id`. */
  readonly members: readonly Mongod[];
  /** `name/host:port,host:port`, as a sharded cluster's configuration writes it; hidden members and arbiters are not in it. */
  readonly seeds: string;
  readonly uri: string;
  readonly credentials: Credentials | undefined;
  /** With TLS: the authority, and the certificate of a client named `root`, who has no user. */
  readonly tls: { authority: Authority; client: Certificate } | undefined;
  /** A connected client of the whole set; the caller closes it. */
  client(options?: MongoClientOptions): Promise<MongoClient>;
  member(index: number): Mongod;
  /** The member that is primary now; waits for one. */
  primary(): Promise<Mongod>;
  /** The members that are secondaries now, in order. */
  secondaries(): Promise<Mongod[]>;
  /** Waits until every member that runs is primary, secondary or arbiter. */
  settled(): Promise<void>;
  /** Creates a user for the holder of a client certificate, who logs in by MONGODB-X509. */
  createCertificateUser(certificate: Certificate, roles: readonly Document[]): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a replica set and waits until it has a primary and all members have caught up. */
export async function startReplicaSet(options: ReplicaSetOptions = {}): Promise<ReplicaSet> {
  const ground = options.on ?? (await commonGround());
  const name = options.name ?? 'rs0';
  const wanted: readonly MemberOptions[] =
    typeof options.members === 'object' ? options.members : Array.from({ length: options.members ?? 1 }, () => ({}));
  const credentials =
    options.auth === true
      ? { username: 'root', password: randomBytes(9).toString('base64url') }
      : options.auth || undefined;
  const folder = await ground.subfolder(`${name}-${await ground.port()}`);
  const keyFile =
    credentials === undefined
      ? undefined
      : (options.keyFile ?? (await writeKeyFile(join(folder, 'keyfile'), randomBytes(96).toString('base64'))));
  const authority = options.tls ? await makeAuthority(folder, name) : undefined;
  const client = await authority?.client('root');
  const tls: MongodTls | undefined = authority && {
    caFile: authority.file,
    certificateFile: (await authority.server('mongod', [ground.address()])).file,
    clientCertificateFile:
      typeof options.tls === 'object' && options.tls.clientCertificateRequired ? client?.file : undefined,
  };

  const members = await Promise.all(
    wanted.map((_, index) =>
      startMongod({
        ...options.mongod,
        on: ground,
        name: `${name}-${index}-${folder.split('-').at(-1)}`,
        replSet: name,
        ...(keyFile === undefined ? {} : { keyFile }),
        ...(tls === undefined ? {} : { tls }),
      }),
    ),
  );
  const seeds = members
    .filter((_, index) => !wanted[index]?.hidden && !wanted[index]?.arbiter)
    .map(({ address }) => address);
  const uri = connectionString(seeds.join(','), { replicaSet: name }, credentials, tls);

  const self: ReplicaSet = {
    name,
    members,
    seeds: `${name}/${seeds.join(',')}`,
    uri,
    credentials,
    tls: authority && client && { authority, client },
    client: (more) => new MongoClient(uri, { serverSelectionTimeoutMS: 20_000, ...more }).connect(),
    member(index) {
      const member = members[index];
      if (member === undefined) throw new RangeError(`${name} has ${members.length} members and none at ${index}`);
      return member;
    },
    primary: () =>
      until(`${name} has a primary`, async () => {
        for (const member of members) if ((await stateOf(member)) === 'PRIMARY') return member;
        return undefined;
      }),
    async secondaries() {
      const states = await Promise.all(members.map(stateOf));
      return members.filter((_, index) => states[index] === 'SECONDARY');
    },
    async settled() {
      await until(
        `every member of ${name} is settled`,
        async () => {
          const states = await Promise.all(members.filter((member) => !member.process.hasEnded()).map(stateOf));
          return states.every((state) => state !== 'OTHER') && states.includes('PRIMARY');
        },
        { timeoutMs: 60_000 },
      );
    },
    async createCertificateUser(certificate, roles) {
      await using client = await self.client();
      await client.db('$external').command({ createUser: certificate.subject, roles });
    },
    async stop() {
      await Promise.all(members.map((member) => member.stop()));
    },
    [Symbol.asyncDispose]: () => self.stop(),
  };
  try {
    await initiate(self, wanted, options.settings);
    if (credentials !== undefined) await createRoot(self, credentials);
    await self.settled();
  } catch (error) {
    await self.stop();
    throw error;
  }
  return self;
}

async function initiate(set: ReplicaSet, wanted: readonly MemberOptions[], settings: Document = {}): Promise<void> {
  const config = {
    _id: set.name,
    members: set.members.map(({ address }, index) => memberConfig(index, address, wanted[index] ?? {})),
    settings: { electionTimeoutMillis: 1000, heartbeatIntervalMillis: 500, ...settings },
  };
  const electable = wanted.findIndex(
    (member) => !member.arbiter && member.priority !== 0 && !member.hidden && !member.delaySeconds,
  );
  if (electable < 0) throw new BackstayError('LabInvalid', `No member of ${set.name} can become primary`);
  const first = set.member(electable);
  // Nobody exists to log in as yet: mongod lets a client on this machine in until the first user is there.
  await using client = await first.client();
  await client.db('admin').command({ replSetInitiate: config });
  await until(
    `${first.name} is primary`,
    async () => (await client.db('admin').command({ hello: 1 })).isWritablePrimary === true,
    {
      process: first.process,
    },
  );
}

function memberConfig(_id: number, host: string, member: MemberOptions): Document {
  const passive = member.hidden || member.delaySeconds !== undefined;
  return {
    _id,
    host,
    ...(member.arbiter ? { arbiterOnly: true, priority: 0 } : {}),
    ...(member.priority === undefined ? (passive ? { priority: 0 } : {}) : { priority: member.priority }),
    ...(member.votes === undefined ? {} : { votes: member.votes }),
    ...(member.hidden === undefined ? {} : { hidden: member.hidden }),
    ...(member.tags === undefined ? {} : { tags: member.tags }),
    ...(member.delaySeconds === undefined ? {} : { secondaryDelaySecs: member.delaySeconds }),
  };
}

async function createRoot(set: ReplicaSet, credentials: Credentials): Promise<void> {
  const primary = await set.primary();
  await using client = await primary.client();
  await client.db('admin').command({
    createUser: credentials.username,
    pwd: credentials.password,
    roles: ['root'],
    writeConcern: { w: 'majority' },
  });
  for (const member of set.members) member.credentials = credentials;
}

type State = 'PRIMARY' | 'SECONDARY' | 'ARBITER' | 'OTHER';

/** `hello` needs no login, so it answers for arbiters too, which have no users. */
async function stateOf(member: Mongod): Promise<State> {
  if (member.process.hasEnded()) return 'OTHER';
  try {
    await using client = await member.client({ credentials: null, serverSelectionTimeoutMS: 2000 });
    const hello = await client.db('admin').command({ hello: 1 });
    if (hello.isWritablePrimary === true) return 'PRIMARY';
    if (hello.secondary === true) return 'SECONDARY';
    return hello.arbiterOnly === true ? 'ARBITER' : 'OTHER';
  } catch {
    return 'OTHER';
  }
}

/** Writes a members' common key as mongod wants it; returns the file's path. */
export async function writeKeyFile(file: string, key: string): Promise<string> {
  await writeFile(file, key, { mode: 0o400 });
  return file;
}
