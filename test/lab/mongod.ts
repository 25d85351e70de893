import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { MongoClient, type MongoClientOptions } from 'mongodb';
import { tool } from '../../scripts/tools/tool.ts';
import { commonGround, type Ground } from './ground.ts';
import { type LabProcess, startProcess, until } from './process.ts';
import { accepts } from './socket.ts';

/** TLS as a server of the lab speaks it. */
export interface MongodTls {
  /** File with the authority's certificate. */
  caFile: string;
  /** File with the server's certificate and key. */
  certificateFile: string;
  /** File with the certificate and key that clients show; when it is there, a client without one is refused. */
  clientCertificateFile?: string | undefined;
}

export interface Credentials {
  username: string;
  password: string;
}

export interface MongodOptions {
  /** Where it stands; default the ground that this process's parts share. */
  on?: Ground;
  /** Names its data folder and log; default `mongod-PORT`. */
  name?: string;
  /** Default 1 (host part of the lab's network). */
  host?: number;
  port?: number;
  /** Name of the replica set that it will be a member of. */
  replSet?: string;
  /** File with the members' common key; turns on authentication. */
  keyFile?: string;
  tls?: MongodTls;
  /** Server parameters, as `--setParameter` takes them. */
  parameters?: Readonly<Record<string, string | number | boolean>>;
  /** Further flags, such as `['--shardsvr']`. */
  args?: readonly string[];
  /** Megabytes of oplog; default 64. */
  oplogSize?: number;
}

/** One server. It is listening when it is handed out. */
export interface Mongod extends AsyncDisposable {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** `host:port`. */
  readonly address: string;
  /** Its data folder. */
  readonly dbPath: string;
  readonly process: LabProcess;
  /** A connection string to this server alone, with credentials and TLS where it has them. */
  uri(options?: { credentials?: Credentials | null; clientCertificateFile?: string }): string;
  /** A connected client to this server alone; the caller closes it (`await using` does). */
  client(options?: MongoClientOptions & { credentials?: Credentials | null }): Promise<MongoClient>;
  /** The credentials that `uri` and `client` use; set by what creates the first user. */
  credentials: Credentials | undefined;
  /** Sends a signal; after one that ends it (anything but SIGSTOP and SIGCONT) waits for the end. Default SIGKILL. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same data and port. */
  start(): Promise<void>;
  /** Shuts it down in order and starts it again, with other flags when given. */
  restart(changes?: Pick<MongodOptions, 'keyFile' | 'args' | 'parameters' | 'replSet'>): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/** Starts a mongod with small buffers; without `replSet` it is a standalone. */
export async function startMongod(options: MongodOptions = {}): Promise<Mongod> {
  const [program, ground] = await Promise.all([tool('mongod'), options.on ?? commonGround()]);
  const host = ground.address(options.host ?? 1);
  const port = options.port ?? (await ground.port());
  const name = options.name ?? `mongod-${port}`;
  const dbPath = join(ground.folder, name);
  await mkdir(dbPath, { recursive: true });
  let settings = options;

  async function launch(): Promise<LabProcess> {
    const process = startProcess(ground, name, program, mongodArguments(settings, host, port, dbPath));
    // The server's own word that it listens; older words are in the same log after a restart, so it is asked by connecting.
    await until(`${name} listens on ${host}:${port}`, () => accepts(host, port), { process });
    return process;
  }

  const self: Mongod = {
    name,
    host,
    port,
    address: `${host}:${port}`,
    dbPath,
    process: await launch(),
    credentials: undefined,
    uri: ({ credentials = self.credentials, clientCertificateFile } = {}) =>
      connectionString(self.address, { directConnection: 'true' }, credentials, settings.tls, clientCertificateFile),
    client: ({ credentials = self.credentials, ...more } = {}) =>
      new MongoClient(self.uri(credentials === undefined ? {} : { credentials }), {
        serverSelectionTimeoutMS: 15_000,
        ...more,
      }).connect(),
    async kill(signal = 'SIGKILL') {
      self.process.signal(signal);
      if (signal === 'SIGSTOP' || signal === 'SIGCONT') return;
      await self.process.end(signal);
    },
    async start() {
      Object.assign(self, { process: await launch() });
    },
    async restart(changes = {}) {
      settings = { ...settings, ...changes };
      await self.kill('SIGTERM');
      await self.start();
    },
    async stop() {
      await self.kill('SIGKILL');
      await rm(dbPath, { recursive: true, force: true });
    },
    [Symbol.asyncDispose]: () => self.stop(),
  };
  return self;
}

function mongodArguments(options: MongodOptions, host: string, port: number, dbPath: string): string[] {
  const args = ['--dbpath', dbPath, '--bind_ip', host, '--port', String(port), '--nounixsocket'];
  args.push('--wiredTigerCacheSizeGB', '0.25');
  if (options.replSet !== undefined)
    args.push('--replSet', options.replSet, '--oplogSize', String(options.oplogSize ?? 64));
  if (options.keyFile !== undefined) args.push('--keyFile', options.keyFile, '--auth');
  if (options.tls !== undefined) {
    args.push('--tlsMode', 'requireTLS', '--tlsCAFile', options.tls.caFile);
    args.push('--tlsCertificateKeyFile', options.tls.certificateFile);
    if (options.tls.clientCertificateFile === undefined) args.push('--tlsAllowConnectionsWithoutCertificates');
  }
  // The lab's databases live for seconds: no diagnostics file, and a primary that is told to end hands over at once (15 s otherwise).
  const quick = { diagnosticDataCollectionEnabled: false, shutdownTimeoutMillisForSignaledShutdown: 100 };
  const parameters = { ...quick, ...options.parameters };
  for (const [key, value] of Object.entries(parameters)) args.push('--setParameter', `${key}=${value}`);
  return [...args, ...(options.args ?? [])];
}

/** Builds a connection string; `credentials: null` means that nobody logs in. */
export function connectionString(
  hosts: string,
  query: Readonly<Record<string, string>>,
  credentials: Credentials | null | undefined,
  tls: MongodTls | undefined,
  clientCertificateFile = tls?.clientCertificateFile,
): string {
  const parameters = new URLSearchParams(query);
  if (tls !== undefined) {
    parameters.set('tls', 'true');
    parameters.set('tlsCAFile', tls.caFile);
    if (clientCertificateFile !== undefined) parameters.set('tlsCertificateKeyFile', clientCertificateFile);
  }
  if (credentials) parameters.set('authSource', 'admin');
  const login = credentials
    ? `${encodeURIComponent(credentials.username)}:${encodeURIComponent(credentials.password)}@`
    : '';
  return `mongodb://${login}${hosts}/?${parameters}`;
}
