import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Image } from '../../scripts/image/archive.ts';
import { buildPauseImage } from '../../scripts/image/build.ts';
import { type ToolOptions, tools } from '../../scripts/tools/tool.ts';
import { BackstayError } from '../../src/api/errors.ts';
import { type Authority, makeAuthority } from './certs.ts';
import { type Cluster, type ClusterFacts, clusterFrom } from './cluster.ts';
import { type Ground, takeGround } from './ground.ts';
import { type ClusterPaths, kubeconfig } from './kubernetes-config.ts';
import { NODE_TOOLS, type NodePrograms, startNode } from './node.ts';
import { type LabProcess, startProcess, until } from './process.ts';
import { accepts } from './socket.ts';

export interface KubernetesOptions extends ToolOptions {
  /** Where it stands; default ground of its own, which its `stop` gives back. */
  on?: Ground;
  /** Images to have on the node from the start, besides the sandbox's. */
  images?: readonly Image[];
}

/** Starts a whole cluster of one node, `localhost`, and waits until it can run Pods. */
export async function startKubernetes(options: KubernetesOptions = {}): Promise<Cluster> {
  requireRoot();
  const paths = await tools(NODE_TOOLS, options);
  const ground = options.on ?? (await takeGround());
  try {
    return await start(ground, paths, options);
  } catch (error) {
    if (options.on === undefined) await ground.stop();
    throw error;
  }
}

function requireRoot(): void {
  if (process.platform === 'linux' && process.getuid?.() === 0) return;
  throw new BackstayError('LabUnavailable', 'A cluster in the lab needs root on Linux', {
    remedy: 'run as root, or use a cluster that you have with --context NAME',
  });
}

async function start(ground: Ground, paths: NodePrograms, options: KubernetesOptions): Promise<Cluster> {
  const { folder, number } = ground;
  const address = ground.address();
  const place: ClusterPaths = { folder, number, network: `127.${number}.0` };
  const file = (name: string): string => join(folder, name);
  const program = (name: string, args: readonly string[]): LabProcess =>
    startProcess(ground, name, paths.kubernetes, [name, ...args]);

  // Made here and not by the API server, so that everything can start at once.
  const authority = await makeAuthority(folder, 'cluster');
  const server = `https://${address}`;
  const token = randomBytes(16).toString('hex');
  await writeControlPlaneFiles(folder, authority, address, token);
  await writeFile(file('kubeconfig'), kubeconfig(server, authority.file, token), { mode: 0o600 });
  const certificate = [
    '--tls-cert-file',
    file('cluster-apiserver.crt'),
    '--tls-private-key-file',
    file('cluster-apiserver.key'),
  ];

  program('etcd', [
    ...['--data-dir', file('etcd'), '--unsafe-no-fsync'],
    ...['--listen-client-urls', `http://${address}:2379`, '--advertise-client-urls', `http://${address}:2379`],
    ...['--listen-peer-urls', `http://${address}:2380`, '--initial-advertise-peer-urls', `http://${address}:2380`],
    ...['--initial-cluster', `default=http://${address}:2380`],
    ...['--heartbeat-interval', '50', '--election-timeout', '250'], // it elects itself, and the default waits a second for others
  ]);
  // The service network is loopback, and the API server listens on its first address and port 443: in-cluster configuration works in
  // Pods of the host's network, and a Service's clusterIP is an address that such a Pod can bind, so no kube-proxy is needed.
  const apiServer = program('kube-apiserver', [
    ...['--etcd-servers', `http://${address}:2379`, '--bind-address', address, '--secure-port', '443', ...certificate],
    ...['--service-cluster-ip-range', `${place.network}.0/24`, '--authorization-mode', 'RBAC', '--allow-privileged'],
    ...[
      '--service-account-key-file',
      file('service-accounts.pub'),
      '--service-account-signing-key-file',
      file('service-accounts.key'),
    ],
    ...['--service-account-issuer', 'https://kubernetes.default.svc', '--token-auth-file', file('tokens.csv')],
    ...['--client-ca-file', authority.file, '--kubelet-preferred-address-types', 'Hostname'],
  ]);
  const facts: ClusterFacts = {
    number,
    folder,
    server,
    token,
    caFile: authority.file,
    kubeconfig: file('kubeconfig'),
    containerdSocket: file('containerd.sock'),
    programs: { kubernetes: paths.kubernetes, ctr: paths.ctr },
  };
  const cluster = clusterFrom(facts, async () => {
    if (options.on === undefined) await ground.stop();
  });

  const node = startNode(ground, place, paths, [await buildPauseImage(), ...(options.images ?? [])], cluster);
  const controlPlane = (async () => {
    // The others wait ten seconds for a ready API server, and give up when there is none: they start once it listens.
    await until('the API server listens', () => accepts(address, 443), { process: apiServer, timeoutMs: 60_000 });
    const common = [
      '--kubeconfig',
      file('kubeconfig'),
      '--leader-elect=false',
      '--bind-address',
      address,
      ...certificate,
    ];
    const manager = program('kube-controller-manager', [
      ...common,
      ...['--service-account-private-key-file', file('service-accounts.key'), '--root-ca-file', authority.file],
      ...[
        '--use-service-account-credentials',
        '--secure-port',
        '10257',
        '--flex-volume-plugin-dir',
        file('volume-plugins'),
      ],
      ...['--kube-api-qps', '500', '--kube-api-burst', '1000'], // every controller makes a service account at the start
    ]);
    program('kube-scheduler', [...common, '--secure-port', '10259']);
    return manager;
  })();
  const [, manager] = await Promise.all([node, controlPlane]);
  await until('the node is ready', () => canRunPods(cluster), { process: manager, timeoutMs: 60_000 });
  await writeFile(file('cluster.json'), JSON.stringify(facts), { mode: 0o600 });
  return cluster;
}

async function writeControlPlaneFiles(
  folder: string,
  authority: Authority,
  address: string,
  token: string,
): Promise<void> {
  await authority.server('apiserver', [address, 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc']);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const secret = { mode: 0o600 };
  await writeFile(join(folder, 'service-accounts.key'), privateKey.export({ type: 'sec1', format: 'pem' }), secret);
  await writeFile(join(folder, 'service-accounts.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
  await writeFile(join(folder, 'tokens.csv'), `${token},admin,1,"system:masters"\n`, secret);
}

interface NodeAnswer {
  spec?: { taints?: unknown[] };
  status?: { conditions?: { type: string; status: string }[] };
}

/** The node is ready and free of taints, and Pods in `default` have a service account. */
async function canRunPods(cluster: Cluster): Promise<boolean> {
  const [node, account] = await Promise.all([
    cluster.request<NodeAnswer>('GET', '/api/v1/nodes/localhost'),
    cluster.request('GET', '/api/v1/namespaces/default/serviceaccounts/default'),
  ]);
  const ready =
    node.body.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
  return ready && (node.body.spec?.taints ?? []).length === 0 && account.status === 200;
}

/** The cluster that another process started in `folder`; its `stop` leaves it running. */
export async function attachKubernetes(folder: string): Promise<Cluster> {
  const facts: ClusterFacts = JSON.parse(await readFile(join(folder, 'cluster.json'), 'utf8'));
  return clusterFrom(facts, async () => {});
}
