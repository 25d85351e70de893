import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient, type MongoClientOptions, MongoServerError, MongoServerSelectionError } from 'mongodb';
import { BackstayError } from '../api/errors.ts';
import './driver-write.ts';
import { abortError, throwIfAborted } from './errors.ts';

/** How to reach a MongoDB. Secrets are here and nowhere else: not in messages, not on command lines. */
export interface MongoEndpoint {
  /** mongodb:// or mongodb+srv://. User name and password in it count when there is no `credential`. */
  uri: string;
  tls?: {
    /** PEM of the authority that signed the server's certificate. */
    ca?: string;
    /** PEM with the client's certificate and its key. */
    certificate?: string;
    /** Takes any certificate for any name. */
    insecureSkipVerify?: boolean;
    /** The name to expect in the server's certificate, when it is not the host's. */
    serverName?: string;
  };
  credential?:
    | {
        kind: 'scram';
        username: string;
        password: string;
        source?: string;
        mechanism?: 'SCRAM-SHA-1' | 'SCRAM-SHA-256';
      }
    | { kind: 'x509' };
  /** Of a sharded cluster: where its parts are, when that is not what the cluster itself says. */
  cluster?: ClusterAddresses;
}

/** Addresses of replica sets, each as name/host:port,host:port. */
export interface ClusterAddresses {
  configServer?: string;
  /** By the name of the shard, or by any name when the replica set's own is that of a shard's. */
  replicaSets?: Readonly<Record<string, string>>;
}

export interface OpenOptions {
  /** Connects to this member alone (host:port) and not to whatever the URI names. */
  member?: string;
  signal?: AbortSignal;
  /** How the connection shows in the server's log and currentOp (default backstay). */
  appName?: string;
  /** How long to look for a server, in milliseconds (default 10 000). */
  timeoutMS?: number;
  /** Connections that are made and logged in at once and stay (default 0). */
  minConnections?: number;
  /** How long an answer, also to the login, is waited for before the connection is given up, in milliseconds (default: for ever). */
  answerMS?: number;
}

/**
 * Connects and logs in.
 *
 * @throws BackstayError InvalidURI, AuthenticationFailed, TLSFailed, DatabaseUnreachable, or the reason of the signal
 */
export async function openClient(endpoint: MongoEndpoint, options: OpenOptions = {}): Promise<MongoClient> {
  const { signal } = options;
  throwIfAborted(signal);
  const where = hostsOf(endpoint.uri, options.member);
  const client = makeClient(endpoint, options);
  const failure = Promise.withResolvers<never>();
  const abort = (): void => failure.reject(signal === undefined ? undefined : abortError(signal));
  signal?.addEventListener('abort', abort, { once: true });
  // the driver tries again until its time is over, which mends no certificate
  const broken = new Set<string>();
  client.on('serverHeartbeatFailed', ({ failure: error, connectionId }) => {
    if (isTlsError(error)) broken.add(connectionId);
    if (broken.size >= Math.max(1, client.options.hosts.length)) failure.reject(error);
  });
  failure.promise.catch(() => {}); // it may fail when the race is over
  const { timeoutMS = 10_000, minConnections = 0 } = options;
  const pool = whenReady(client, minConnections);
  try {
    await Promise.race([client.connect().then(() => client.db('admin').command({ ping: 1 })), failure.promise]);
    const enough = sleep(timeoutMS, undefined, { ref: false });
    await Promise.race([pool, enough, failure.promise]);
    return client;
  } catch (error) {
    await client.close().catch(() => {});
    throw connectionFailure(error, where);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** Resolves when so many connections are made and logged in, which the driver does by itself and one after the other. */
function whenReady(client: MongoClient, connections: number): Promise<void> {
  if (connections === 0) return Promise.resolve();
  let ready = 0;
  return new Promise((resolve) => {
    const onReady = (): void => {
      ready += 1;
      if (ready < connections) return;
      client.off('connectionReady', onReady);
      resolve();
    };
    client.on('connectionReady', onReady);
  });
}

function makeClient(endpoint: MongoEndpoint, options: OpenOptions): MongoClient {
  const { timeoutMS = 10_000, appName = 'backstay', minConnections = 0, answerMS } = options;
  const uri = options.member === undefined ? endpoint.uri : memberUri(endpoint.uri, options.member);
  const settings: MongoClientOptions = {
    appName,
    minPoolSize: minConnections,
    // what the connection string says of it counts
    ...(/[?&]serverSelectionTimeoutMS=/i.test(uri) ? {} : { serverSelectionTimeoutMS: timeoutMS }),
    ...(/[?&]connectTimeoutMS=/i.test(uri) ? {} : { connectTimeoutMS: timeoutMS }),
    // whoever does not wait for an answer tries again by himself
    ...(answerMS === undefined ? {} : { socketTimeoutMS: answerMS, retryReads: false }),
    ...tlsSettings(endpoint),
    ...credentialSettings(endpoint),
  };
  try {
    return new MongoClient(uri, settings);
  } catch (error) {
    // the driver's message may repeat the URI and with it the password
    throw new BackstayError(
      'InvalidURI',
      `the connection string for ${hostsOf(endpoint.uri, options.member)} is not valid${reasonOf(error, uri)}`,
      {
        remedy: 'write mongodb://host:port/?options, with special characters of a password percent-encoded',
      },
    );
  }
}

/** The driver's words, unless they repeat anything of the URI. */
function reasonOf(error: unknown, uri: string): string {
  if (!(error instanceof Error)) return '';
  const [, login = ''] = /^[^/]*\/\/(.*)@/s.exec(uri) ?? [];
  const secrets = [uri, login, ...login.split(':')].filter((part) => part !== '');
  return secrets.some((secret) => error.message.includes(secret)) ? '' : `: ${error.message}`;
}

function tlsSettings({ tls }: MongoEndpoint): MongoClientOptions {
  if (tls === undefined) return {};
  return {
    tls: true,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.certificate === undefined ? {} : { cert: tls.certificate, key: tls.certificate }),
    ...(tls.insecureSkipVerify === true ? { tlsInsecure: true } : {}),
    ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
  } as MongoClientOptions;
}

function credentialSettings({ credential }: MongoEndpoint): MongoClientOptions {
  if (credential === undefined) return {};
  if (credential.kind === 'x509') return { authMechanism: 'MONGODB-X509', authSource: '$external' };
  const { username, password, source, mechanism } = credential;
  return {
    auth: { username, password },
    ...(source === undefined ? {} : { authSource: source }),
    ...(mechanism === undefined ? {} : { authMechanism: mechanism }),
  };
}

/** Options of a URI that are about a set of servers, and have no place when one is meant. */
const SET_OPTIONS = new Set([
  'replicaset',
  'directconnection',
  'loadbalanced',
  'srvmaxhosts',
  'srvservicename',
  'readpreference',
  'readpreferencetags',
]);

/**
 * The connection string of one member: the login, database and options of the original, and the member's address. A +srv string
 * implies TLS.
 */
export function memberUri(uri: string, member: string): string {
  return uriTo(uri, member, 'directConnection=true');
}

/** The connection string of a replica set, `hosts` as host:port,host:port: the login, database and options of the original. */
export function replicaSetUri(uri: string, name: string, hosts: string): string {
  return uriTo(uri, hosts, `replicaSet=${encodeURIComponent(name)}`);
}

function uriTo(uri: string, hosts: string, option: string): string {
  const [, scheme = '', login = '', database = '', query = ''] =
    /^(mongodb(?:\+srv)?):\/\/(.*@)?[^/?@]*(\/[^?]*)?(?:\?(.*))?$/s.exec(uri) ?? [];
  if (scheme === '') throw invalidUri();
  const options = query
    .split('&')
    .filter((one) => one !== '' && !SET_OPTIONS.has((one.split('=')[0] ?? '').toLowerCase()));
  if (scheme === 'mongodb+srv' && !options.some((one) => /^(?:tls|ssl)=/i.test(one))) options.push('tls=true');
  options.push(option);
  return `mongodb://${login}${hosts}${database === '' ? '/' : database}?${options.join('&')}`;
}

/** The host names of a connection string, which is all of it that a message may show. */
export function hostsOf(uri: string, member?: string): string {
  if (member !== undefined) return member;
  const [, hosts] = /^mongodb(?:\+srv)?:\/\/(?:.*@)?([^/?@]+)/s.exec(uri) ?? [];
  if (hosts === undefined) throw invalidUri();
  return hosts;
}

function invalidUri(): BackstayError {
  return new BackstayError(
    'InvalidURI',
    'the connection string does not begin with mongodb:// or mongodb+srv:// and a host',
  );
}

const AUTHENTICATION_FAILED = 18;
const OTHER_LOGIN_ERRORS = new Set([11 /* UserNotFound */, 334 /* MechanismUnavailable */]);

function connectionFailure(error: unknown, where: string): BackstayError {
  if (error instanceof BackstayError) return error;
  const causes = [...causesOf(error)];
  const server = causes.find((cause) => cause instanceof MongoServerError);
  if (server !== undefined && (server.code === AUTHENTICATION_FAILED || OTHER_LOGIN_ERRORS.has(Number(server.code)))) {
    return new BackstayError('AuthenticationFailed', `${where} refused the login: ${server.message}`, {
      remedy: 'check user name, password, authSource and mechanism',
      cause: error,
    });
  }
  const tls = causes.find(isTlsError);
  if (tls !== undefined) {
    return new BackstayError('TLSFailed', `no TLS connection to ${where}: ${tls.message}`, {
      remedy: 'check the CA certificate, the host names in the server certificate and the client certificate',
      cause: error,
    });
  }
  const last = causes.at(-1);
  return new BackstayError('DatabaseUnreachable', `${where} cannot be reached: ${last?.message ?? String(error)}`, {
    remedy: 'check host and port, network policies, whether the server demands TLS, and the name of the replica set',
    cause: error,
  });
}

/** The error and everything behind it: of a failed search, what each server said. */
function* causesOf(error: unknown): Generator<Error> {
  const seen = new Set<unknown>();
  const waiting: unknown[] = [error];
  while (waiting.length > 0) {
    const next = waiting.shift();
    if (!(next instanceof Error) || seen.has(next)) continue;
    seen.add(next);
    yield next;
    waiting.push(next.cause);
    if (next instanceof MongoServerSelectionError) {
      for (const description of next.reason?.servers.values() ?? []) waiting.push(description.error);
    }
  }
}

/** Errors of Node's TLS: those of OpenSSL, and those about certificates, which have no prefix in common. */
function isTlsError(error: Error): boolean {
  const certificate =
    /certificate|ERR_TLS|ERR_SSL|SSL routines|CERT_|SELF_SIGNED|UNABLE_TO_(?:GET|VERIFY)|altnames|tlsv1|sslv3|EPROTO|wrong version number/i;
  for (const cause of causesOf(error)) {
    const code = 'code' in cause ? String(cause.code) : '';
    if (certificate.test(code) || certificate.test(cause.message)) return true;
  }
  return false;
}
