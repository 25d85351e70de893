import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { archive, type Image } from '../../scripts/image/archive.ts';
import { BackstayError } from '../../src/api/errors.ts';

/** Everything that another process needs to use a cluster of the lab. */
export interface ClusterFacts {
  /** Of the lab: the cluster's network is 127.NUMBER.0.0/24. */
  number: number;
  folder: string;
  /** `https://127.N.0.1`. */
  server: string;
  /** Of a cluster administrator. */
  token: string;
  caFile: string;
  /** Path of a kubeconfig for the administrator; its context is `lab`. */
  kubeconfig: string;
  containerdSocket: string;
  programs: { kubernetes: string; ctr: string };
}

export interface Answer<Body> {
  status: number;
  body: Body;
}

export interface Cluster extends ClusterFacts, AsyncDisposable {
  /** An address of the service network: what a Service may have as `clusterIP`, and a Pod of the host's network may bind (2 to 254). */
  address(host: number): string;
  /** Runs kubectl; gives its standard output, and throws with its standard error. */
  kubectl(args: readonly string[], options?: { input?: string; kubeconfig?: string }): Promise<string>;
  /** Creates or changes objects by server-side apply; takes objects or a YAML text. */
  apply(objects: string | readonly object[]): Promise<void>;
  /** One call to the API server, as the administrator unless a token says otherwise. The body is parsed where it is JSON. */
  request<Body = unknown>(
    method: string,
    path: string,
    options?: { body?: unknown; token?: string; contentType?: string },
  ): Promise<Answer<Body>>;
  /** A token of a service account, for an hour. */
  tokenFor(namespace: string, serviceAccount: string): Promise<string>;
  /** Puts an image on the node; layers that are there already are not sent again. */
  importImage(image: Image): Promise<void>;
  /** Images on the node, by name. */
  images(): Promise<string[]>;
  stop(): Promise<void>;
}

/** A handle on a cluster that runs; `stop` is what ends it. */
export function clusterFrom(facts: ClusterFacts, stop: () => Promise<void>): Cluster {
  const ca = readFileSync(facts.caFile);
  const agent = new Agent({ ca, keepAlive: false });
  const ctr = (args: readonly string[], input?: Readable): Promise<string> =>
    capture(facts.programs.ctr, ['--address', facts.containerdSocket, '--namespace', 'k8s.io', ...args], input);

  const self: Cluster = {
    ...facts,
    address: (host) => `127.${facts.number}.0.${host}`,
    kubectl: (args, { input = '', kubeconfig = facts.kubeconfig } = {}) =>
      capture(facts.programs.kubernetes, ['kubectl', ...args], Readable.from([input]), {
        ...process.env,
        KUBECONFIG: kubeconfig,
      }),
    async apply(objects) {
      const input =
        typeof objects === 'string' ? objects : JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
      await self.kubectl(['apply', '--server-side', '--force-conflicts', '--field-manager', 'lab', '--filename', '-'], {
        input,
      });
    },
    request: <Body>(
      method: string,
      path: string,
      {
        body,
        token = facts.token,
        contentType = 'application/json',
      }: { body?: unknown; token?: string; contentType?: string } = {},
    ) =>
      new Promise<Answer<Body>>((resolve, reject) => {
        const headers = {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': contentType }),
        };
        const sent = httpsRequest(`${facts.server}${path}`, { method, agent, headers, timeout: 10_000 }, (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.once('error', reject);
          response.once('end', () => {
            const text = Buffer.concat(chunks).toString();
            resolve({ status: response.statusCode ?? 0, body: parse(text) as Body });
          });
        });
        sent.once('timeout', () => sent.destroy(new Error(`${method} ${path} took longer than 10 s`)));
        sent.once('error', reject);
        sent.end(body === undefined ? undefined : JSON.stringify(body));
      }),
    async tokenFor(namespace, serviceAccount) {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`;
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } };
      const answer = await self.request<{ status?: { token?: string }; message?: string }>('POST', path, { body });
      const token = answer.body.status?.token;
      if (token === undefined) {
        throw new BackstayError(
          'LabRequestFailed',
          `No token for ServiceAccount ${namespace}/${serviceAccount}: ${answer.body.message}`,
        );
      }
      return token;
    },
    async importImage(image) {
      const there = new Set((await ctr(['content', 'list', '--quiet'])).split('\n'));
      await ctr(['images', 'import', '-'], Readable.from(archive(image, there)));
    },
    images: async () => (await ctr(['images', 'list', '--quiet'])).split('\n').filter((name) => name.includes('/')),
    stop,
    [Symbol.asyncDispose]: stop,
  };
  return self;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Runs a program to its end with `input` as its standard input. */
function capture(
  command: string,
  args: readonly string[],
  input = Readable.from([]),
  env = process.env,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: 'pipe' });
    let output = '';
    let complaint = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      complaint += chunk;
    });
    // A program that ends before it has read everything says itself why.
    pipeline(input, child.stdin).catch(() => {});
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) return resolve(output);
      const shown = args.slice(0, 6).join(' ');
      reject(new BackstayError('LabCommandFailed', `${shown} ended with ${code}: ${complaint.trim()}`));
    });
  });
}
