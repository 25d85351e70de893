import { spawn } from 'node:child_process';
import { BackstayError } from '../../src/api/errors.ts';
import type { Cluster } from './cluster.ts';
import type { Ground } from './ground.ts';
import { installFrom } from './install.ts';

/** What the demo needs of a cluster: the lab's own, or one that the user has. */
export type AnyCluster = Pick<Cluster, 'kubectl' | 'apply' | 'request'>;

/** A cluster that the user has, by the context of a kubeconfig, through the kubectl on the PATH. */
export function clusterOf(context: string): AnyCluster {
  const kubectl: AnyCluster['kubectl'] = (args, { input = '' } = {}) => run(['--context', context, ...args], input);
  return {
    kubectl,
    async apply(objects) {
      const input =
        typeof objects === 'string' ? objects : JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
      await kubectl(['apply', '--server-side', '--force-conflicts', '--filename', '-'], { input });
    },
    async request<Body>(method: string, path: string, { body }: { body?: unknown } = {}) {
      const args = method === 'GET' ? ['get', '--raw', path] : ['create', '--raw', path, '--filename', '-'];
      try {
        const text = await kubectl(args, { input: body === undefined ? '' : JSON.stringify(body) });
        return { status: method === 'GET' ? 200 : 201, body: JSON.parse(text) as Body };
      } catch (error) {
        if (error instanceof BackstayError && error.code === 'KubectlFailed') return { status: 404, body: {} as Body };
        throw error;
      }
    },
  };
}

/** Installs Backstay as an overlay has it, whose images the cluster can pull. */
export async function installInContext(cluster: AnyCluster, overlay: string): Promise<void> {
  await installFrom(cluster, await cluster.kubectl(['kustomize', overlay]), Promise.resolve());
}

/** The same ground, whose parts listen where another machine's Pods can reach them. */
export function groundAt(ground: Ground, address: string): Ground {
  return Object.assign(Object.create(ground) as Ground, { address: () => address });
}

/** The Service that policies/example names as its S3, leading to an address outside the cluster. */
export function s3Service(address: string, port: number): object[] {
  const metadata = { name: 's3', namespace: 'storage', labels: { 'kubernetes.io/service-name': 's3' } };
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'storage' } },
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ name: 's3', port, targetPort: port }] } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata,
      addressType: 'IPv4',
      ports: [{ name: 's3', port }],
      endpoints: [{ addresses: [address] }],
    },
  ];
}

function run(args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('kubectl', args, { stdio: 'pipe' });
    const output: Buffer[] = [];
    const complaint: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => complaint.push(chunk));
    child.stdin.on('error', () => {}); // one that ends before it has read everything says itself why
    child.stdin.end(input);
    child.once('error', (cause) =>
      reject(
        new BackstayError('KubectlMissing', 'kubectl cannot be started', {
          remedy: 'install kubectl, which --context needs',
          cause,
        }),
      ),
    );
    child.once('close', (code) => {
      if (code === 0) return resolve(Buffer.concat(output).toString());
      const shown = args.slice(2, 7).join(' ');
      reject(new BackstayError('KubectlFailed', `kubectl ${shown}: ${Buffer.concat(complaint).toString().trim()}`));
    });
  });
}
