/**
 * From a kubeconfig to an endpoint: what kubectl reads (KUBECONFIG, ~/.kube/config, exec plugins, client certificates, proxies), or the
 * service account of the Pod.
 *
 * `KubeConfig` of `@kubernetes/client-node` reads the file and runs the plugins. Its own request path is not used: it builds a connection
 * pool per request and cannot say what failed.
 */
import { existsSync } from 'node:fs';
import type { Agent, RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BackstayError } from '../api/errors.ts';
import { type Credentials, type Endpoint, keepAliveAgent, podEndpoint, remembered } from './endpoint.ts';

/** The endpoint for these options; see `connect`. */
export async function kubeconfigEndpoint(options: {
  kubeconfig?: string | undefined;
  context?: string | undefined;
}): Promise<Endpoint> {
  const file = options.kubeconfig ?? process.env.KUBECONFIG ?? '';
  if (file === '' && options.context === undefined && !existsSync(join(homedir(), '.kube', 'config'))) {
    const endpoint = await podEndpoint();
    if (endpoint !== undefined) return endpoint;
    throw new BackstayError('KubeconfigInvalid', 'No cluster is configured', {
      remedy: 'set KUBECONFIG or name a file with --kubeconfig',
    });
  }
  try {
    return await fileEndpoint(options);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new BackstayError('KubeconfigInvalid', `The kubeconfig ${file || '~/.kube/config'} cannot be used: ${why}`, {
      cause: error,
    });
  }
}

async function fileEndpoint(options: {
  kubeconfig?: string | undefined;
  context?: string | undefined;
}): Promise<Endpoint> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const load = () => {
    const config = new KubeConfig();
    if (options.kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(options.kubeconfig);
    if (options.context !== undefined) config.setCurrentContext(options.context);
    const cluster = config.getCurrentCluster();
    if (cluster === null)
      throw new Error(`there is no context ${JSON.stringify(config.getCurrentContext() ?? '')} with a cluster in it`);
    const exec = config.getCurrentUser()?.exec;
    if (exec) tellPlugin(exec);
    return { config, cluster };
  };
  let { config, cluster } = load();
  const read = async (refused: boolean): Promise<Credentials & { agent: Agent }> => {
    // The config remembers the token that a plugin issued, and when it expires; a refused one is dropped by loading it all anew.
    if (refused) ({ config, cluster } = load());
    const request: RequestOptions = {};
    await config.applyToHTTPSOptions(request);
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(request.headers ?? {}))
      headers[name.toLowerCase()] = String(value).trim();
    if (request.auth) headers.authorization = `Basic ${Buffer.from(request.auth).toString('base64')}`;
    const { ca, cert, key, passphrase, rejectUnauthorized, servername, agent } = request;
    const tls = Object.fromEntries(
      Object.entries({ ca, cert, key, passphrase, rejectUnauthorized, servername }).filter(
        ([, value]) => value !== undefined,
      ),
    );
    return { headers, tls, agent: agent as Agent };
  };

  const first = await read(false);
  const server = new URL(cluster.server);
  // Only KubeConfig's own agent knows how to go through a proxy; without one, ours keeps connections alive.
  const agent = cluster.proxyUrl ? first.agent : keepAliveAgent(server.protocol);
  return { server, agent, credentials: remembered(read, first) };
}

/** Credential plugins read which version of ExecCredential to answer with from this variable, and KubeConfig does not set it. */
function tellPlugin(exec: { apiVersion?: string; env?: { name: string; value: string }[] | null }): void {
  const info = { apiVersion: exec.apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
  exec.env = [...(exec.env ?? []), { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }];
}
