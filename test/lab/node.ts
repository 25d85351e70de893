import { execFile } from 'node:child_process';
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';
import type { Image } from '../../scripts/image/archive.ts';
import type { ToolName } from '../../scripts/tools/registry.ts';
import { makeCgroup } from './cgroups.ts';
import type { Cluster } from './cluster.ts';
import type { Ground } from './ground.ts';
import {
  type ClusterPaths,
  cniConfig,
  containerdConfig,
  kubeletConfig,
  podNetworkPlugin,
} from './kubernetes-config.ts';
import { type LabProcess, startProcess, until } from './process.ts';

/** The programs of a node. */
export const NODE_TOOLS = [
  'kubernetes',
  'containerd',
  'containerd-shim-runc-v2',
  'ctr',
  'runc',
  'pause',
] as const satisfies ToolName[];

export type NodePrograms = Readonly<Record<(typeof NODE_TOOLS)[number], string>>;

/** Starts containerd and the kubelet, and puts the images on the node; gives the kubelet. */
export async function startNode(
  ground: Ground,
  place: ClusterPaths,
  paths: NodePrograms,
  images: readonly Image[],
  cluster: Cluster,
): Promise<LabProcess> {
  const { folder } = ground;
  const cgroupRoot = makeCgroup(ground);
  recordNodeTraces(ground);
  await mkdir(join(folder, 'cni'));
  await writeFile(join(folder, 'cni', '10-lab.conflist'), cniConfig(place));
  for (const name of ['same-as-host', 'loopback']) {
    await writeFile(join(folder, 'cni', name), podNetworkPlugin(machineAddress()), { mode: 0o755 });
  }
  const snapshotter = statfsSync(folder).type === OVERLAYFS ? 'native' : 'overlayfs';
  const settings = { runc: paths.runc, cniPlugins: join(folder, 'cni'), snapshotter } as const;
  await writeFile(join(folder, 'containerd.toml'), containerdConfig(place, settings));
  await writeFile(join(folder, 'kubelet.json'), kubeletConfig(place, cgroupRoot));
  const containerd = startProcess(
    ground,
    'containerd',
    paths.containerd,
    ['--config', join(folder, 'containerd.toml')],
    {
      env: { PATH: `${dirname(paths['containerd-shim-runc-v2'])}:${process.env.PATH ?? ''}` },
    },
  );
  const asked = ['--address', join(folder, 'containerd.sock'), '--connect-timeout', '1s', 'version'];
  await until(
    'containerd answers',
    () =>
      new Promise<true | undefined>((resolve) =>
        execFile(paths.ctr, asked, (error) => resolve(error === null ? true : undefined)),
      ),
    {
      process: containerd,
    },
  );
  // The kubelet does not need the images before the first Pod does.
  const kubelet = startProcess(ground, 'kubelet', paths.kubernetes, [
    ...['kubelet', '--kubeconfig', join(folder, 'kubeconfig'), '--config', join(folder, 'kubelet.json')],
    ...['--root-dir', join(folder, 'kubelet'), '--hostname-override', 'localhost'],
  ]);
  for (const image of images) await cluster.importImage(image);
  return kubelet;
}

/** f_type of statfs(2): overlayfs cannot lie on itself, which is where a temporary folder in a container is. */
const OVERLAYFS = 0x794c7630;

/** An address of this machine that is not loopback; without one, one that is reserved for examples (RFC 5737). */
function machineAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '192.0.2.1';
}

/** What containerd and the kubelet change outside their folders, whatever they are told. */
function recordNodeTraces(ground: Ground): void {
  ground.record({ kind: 'containerd', state: join(ground.folder, 'containerd-state') });
  // For device plugins, of which the lab has none: it does not matter whose kubelet made it last.
  const socket = '/var/lib/kubelet/device-plugins/kubelet.sock';
  if (!existsSync(socket)) ground.record({ kind: 'path', path: socket });
  // The kernel settings that the kubelet makes (pkg/kubelet/cm, setupKernelTunables); another lab's values are not the machine's own.
  const made = {
    'vm/overcommit_memory': '1',
    'vm/panic_on_oom': '0',
    'kernel/panic': '10',
    'kernel/panic_on_oops': '1',
  };
  for (const [name, value] of Object.entries(made)) {
    const path = `/proc/sys/${name}`;
    const before = existsSync(path) ? readFileSync(path, 'utf8').trim() : value;
    if (before !== value) ground.record({ kind: 'sysctl', path, value: before });
  }
}
