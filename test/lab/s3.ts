import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { tool } from '../../scripts/tools/tool.ts';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';
import { commonGround, type Ground } from './ground.ts';
import { startProcess, until } from './process.ts';
import { accepts } from './socket.ts';

export interface S3Options {
  on?: Ground;
  /** Buckets to make; default `['backups']`. */
  buckets?: readonly string[];
  /** Of the endpoint; default a free one. */
  port?: number;
  /** What requests must be signed for; default `us-east-1`. */
  region?: string;
}

/** An S3 service whose buckets are folders. */
export interface S3 extends AsyncDisposable {
  /** `http://host:port`, through the fault proxy. */
  readonly endpoint: string;
  /** The service itself, past the fault proxy. */
  readonly directEndpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** The variables from which restic and other clients take the credentials. */
  readonly env: Readonly<Record<'AWS_ACCESS_KEY_ID' | 'AWS_SECRET_ACCESS_KEY' | 'AWS_DEFAULT_REGION', string>>;
  /** Whoever uses `endpoint` goes through here. */
  readonly faults: FaultProxy;
  /** restic's name for a repository: `s3:http://host:port/bucket/path`. */
  repository(path: string, bucket?: string): string;
  /** The folder that is a bucket: its files are the objects. */
  bucketFolder(name: string): string;
  makeBucket(name: string): Promise<void>;
  /** Ends it and removes all buckets. */
  stop(): Promise<void>;
}

/** Starts versitygw on a folder of the ground. */
export async function startS3(options: S3Options = {}): Promise<S3> {
  const [program, ground] = await Promise.all([tool('versitygw'), options.on ?? commonGround()]);
  const buckets = options.buckets ?? ['backups'];
  const host = ground.address();
  const [port, proxyPort] = [await ground.port(), options.port ?? (await ground.port())];
  const region = options.region ?? 'us-east-1';
  const name = `s3-${port}`;
  const folder = await ground.subfolder(name);
  const [objects, metadata] = [join(folder, 'buckets'), join(folder, 'metadata')];
  const bucketFolder = (bucket: string): string => join(objects, bucket);
  for (const path of [metadata, ...buckets.map(bucketFolder)]) await mkdir(path, { recursive: true });
  const accessKeyId = `lab${randomBytes(6).toString('hex')}`;
  const secretAccessKey = randomBytes(18).toString('base64url');
  // Metadata in files of their own: not every temporary folder has extended attributes.
  const args = ['--quiet', '--port', `${host}:${port}`, '--region', region, 'posix', '--sidecar', metadata, objects];
  const env = { ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey };
  const process = startProcess(ground, name, program, args, { env });
  await until(`S3 listens on ${host}:${port}`, () => accepts(host, port), { process });
  const faults = await startFaultProxy(host, proxyPort, { host, port });
  const endpoint = `http://${host}:${proxyPort}`;

  const self: S3 = {
    endpoint,
    directEndpoint: `http://${host}:${port}`,
    region,
    accessKeyId,
    secretAccessKey,
    env: { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_DEFAULT_REGION: region },
    faults,
    repository: (path, bucket = buckets[0] ?? 'backups') => `s3:${endpoint}/${bucket}/${path}`,
    bucketFolder,
    makeBucket: async (bucket) => void (await mkdir(bucketFolder(bucket), { recursive: true })),
    async stop() {
      await faults.stop();
      await process.end('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
    [Symbol.asyncDispose]: () => self.stop(),
  };
  return self;
}
