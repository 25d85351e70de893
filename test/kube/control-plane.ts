/**
 * A real API server on a real etcd, and nothing else: starts in seconds, needs no root, and can be killed and started again.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tool } from '../../scripts/tools/tool.ts';
import type { Client, ConnectOptions } from '../../src/kube/client.ts';
import { fixedEndpoint } from '../../src/kube/endpoint.ts';
import { HttpClient } from '../../src/kube/http-client.ts';
import { Rest } from '../../src/kube/rest.ts';
import { type Authority, makeAuthority } from '../lab/certs.ts';
import { type FaultProxy, startFaultProxy } from '../lab/fault-proxy.ts';
import { takeGround } from '../lab/ground.ts';
import { type LabProcess, startProcess, until } from '../lab/process.ts';

export interface ControlPlane extends AsyncDisposable {
  readonly folder: string;
  /** `https://127.N.0.1:port`. */
  readonly server: string;
  /** Of a cluster administrator. */
  readonly token: string;
  readonly caFile: string;
  /** Issues client certificates that the server trusts. */
  readonly authority: Authority;
  /** For the administrator. */
  readonly kubeconfig: string;
  /** @param url where to reach the server, when something stands in between */
  client(options?: ConnectOptions, url?: string): Client;
  /** A client whose connections go through a proxy that can fail. */
  proxied(): Promise<{ client: Client; proxy: FaultProxy }>;
  startApiServer(): Promise<void>;
  killApiServer(): Promise<void>;
  /** Makes etcd forget every version but the present one. */
  compact(): Promise<void>;
}

export async function startControlPlane(): Promise<ControlPlane> {
  const program = await tool('kubernetes');
  const ground = await takeGround();
  const file = (name: string) => join(ground.folder, name);
  const host = ground.address();
  const [port, etcdPort, peerPort] = [await ground.port(), await ground.port(), await ground.port()];
  const [server, etcd, peer] = [`https://${host}:${port}`, `http://${host}:${etcdPort}`, `http://${host}:${peerPort}`];
  const authority = await makeAuthority(ground.folder, 'api');
  await authority.server('apiserver', [host]);
  const token = randomBytes(16).toString('hex');
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const context = {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'lab' },
    clusters: [{ name: 'lab', cluster: { server, 'certificate-authority': authority.file } }],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'admin' } }],
  };
  await Promise.all([
    writeFile(file('sa.key'), privateKey.export({ type: 'sec1', format: 'pem' }), { mode: 0o600 }),
    writeFile(file('sa.pub'), publicKey.export({ type: 'spki', format: 'pem' })),
    writeFile(file('tokens.csv'), `${token},admin,1,"system:masters"\n`, { mode: 0o600 }),
    writeFile(file('kubeconfig'), JSON.stringify(context), { mode: 0o600 }),
  ]);

  startProcess(ground, 'etcd', program, [
    ...[
      'etcd',
      '--data-dir',
      file('etcd'),
      '--unsafe-no-fsync',
      '--heartbeat-interval',
      '50',
      '--election-timeout',
      '250',
    ],
    ...['--listen-client-urls', etcd, '--advertise-client-urls', etcd],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`],
  ]);
  let apiServer: LabProcess | undefined;
  const tls = { ca: readFileSync(authority.file) };
  const client = (options: ConnectOptions = {}, url = server) =>
    new HttpClient(new Rest(fixedEndpoint({ server: url, token, tls }), options));
  const startApiServer = async () => {
    apiServer = startProcess(ground, 'kube-apiserver', program, [
      ...['kube-apiserver', '--etcd-servers', etcd, '--bind-address', host, '--secure-port', String(port)],
      ...['--tls-cert-file', file('api-apiserver.crt'), '--tls-private-key-file', file('api-apiserver.key')],
      ...[
        '--service-cluster-ip-range',
        '10.96.0.0/16',
        '--authorization-mode',
        'RBAC',
        '--token-auth-file',
        file('tokens.csv'),
      ],
      ...['--service-account-key-file', file('sa.pub'), '--service-account-signing-key-file', file('sa.key')],
      ...['--service-account-issuer', 'https://kubernetes.default.svc', '--client-ca-file', authority.file],
    ]);
    const ready = async () => (await client().getText('/readyz', { retries: 0, timeoutMs: 2000 })) === 'ok';
    await until('the API server is ready', ready, { process: apiServer, timeoutMs: 90_000 });
    const settled = async () =>
      (await client().get(
        { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false },
        { name: 'default' },
      )) !== undefined;
    await until('its first objects exist', settled, { process: apiServer });
  };
  const start = startApiServer();
  await start.catch(async (error: unknown) => {
    await ground.stop();
    throw error;
  });

  const proxies: FaultProxy[] = [];
  return {
    ...{ folder: ground.folder, server, token, caFile: authority.file, authority, kubeconfig: file('kubeconfig') },
    client,
    async proxied() {
      const at = await ground.port();
      const proxy = await startFaultProxy(host, at, { host, port });
      proxies.push(proxy);
      return { client: client({}, `https://${host}:${at}`), proxy };
    },
    startApiServer,
    async killApiServer() {
      await apiServer?.end('SIGKILL');
    },
    async compact() {
      const call = async (path: string, body: object) => {
        const answer = await fetch(`${etcd}/v3/${path}`, { method: 'POST', body: JSON.stringify(body) });
        return (await answer.json()) as { header?: { revision?: string } };
      };
      const { header } = await call('kv/range', { key: Buffer.from('x').toString('base64') });
      await call('kv/compaction', { revision: header?.revision, physical: true });
    },
    async [Symbol.asyncDispose]() {
      for (const proxy of proxies) await proxy.stop();
      await ground.stop();
    },
  };
}
