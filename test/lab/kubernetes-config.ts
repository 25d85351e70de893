/** The configuration files of the cluster's programs: every setting here was needed on some machine. */

export interface ClusterPaths {
  /** The lab's folder. */
  folder: string;
  number: number;
  /** `127.N.0`. */
  network: string;
}

/** A kubeconfig with one context, `lab`. */
export function kubeconfig(server: string, caFile: string, token: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'lab', cluster: { server, 'certificate-authority': caFile } }],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'admin' } }],
    'current-context': 'lab',
  });
}

export interface ContainerdSettings {
  runc: string;
  /** Folder with the `loopback` network plugin. */
  cniPlugins: string;
  snapshotter: 'overlayfs' | 'native';
}

/** containerd 1.6's configuration, version 2. */
export function containerdConfig({ folder }: ClusterPaths, settings: ContainerdSettings): string {
  return `version = 2
root = "${folder}/containerd"
state = "${folder}/containerd-state"
# "opt" would make /opt/containerd
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "${folder}/containerd.sock"
[ttrpc]
  address = "${folder}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  # without CAP_SYS_RESOURCE a process cannot lower its oom_score_adj below what it inherited
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${settings.cniPlugins}"
    conf_dir = "${folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "${settings.snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "${settings.runc}"
        Root = "${folder}/runc"
`;
}

/** The network of Pods; there is one plugin, which `podNetworkPlugin` is. */
export function cniConfig({ number }: ClusterPaths): string {
  return JSON.stringify({ cniVersion: '0.4.0', name: `backstay-lab-${number}`, plugins: [{ type: 'same-as-host' }] });
}

/**
 * A network plugin that gives every Pod the machine's own network, whether or not it asks for it: the lab's databases and services are on
 * loopback addresses, and Pods that must not ask (the baseline Pod Security Standard forbids `hostNetwork`) reach them all the same. It puts
 * the host's network namespace where the Pod's new one is mounted, before anything runs in it. containerd also calls a plugin named
 * `loopback`, for which this one stands in: the usual one would take the host's loopback down when a Pod ends.
 *
 * @param address What Pods report as theirs, as Pods with `hostNetwork` do; Kubernetes accepts no loopback address in an EndpointSlice.
 */
export function podNetworkPlugin(address: string): string {
  const versions = JSON.stringify({ cniVersion: '0.4.0', supportedVersions: ['0.3.0', '0.3.1', '0.4.0'] });
  const result = JSON.stringify({
    cniVersion: '0.4.0',
    interfaces: [{ name: 'eth0', sandbox: '/' }],
    ips: [{ version: '4', interface: 0, address: `${address}/32` }],
  });
  return `#!/bin/sh
case $CNI_COMMAND in
  VERSION) echo '${versions}' ;;
  ADD)
    if [ "$(basename "$0")" = same-as-host ]; then
      umount "$CNI_NETNS" && mount --bind /proc/self/ns/net "$CNI_NETNS" || exit 1
    fi
    echo '${result}' ;;
esac
`;
}

/** The kubelet's configuration, which is YAML and thus may be JSON. */
export function kubeletConfig({ folder, number }: ClusterPaths, cgroupRoot: string): string {
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: `unix://${folder}/containerd.sock`,
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot,
    failSwapOn: false,
    makeIPTablesUtilChains: false, // there is no kube-proxy, and the machine's rules are not the lab's
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    address: '127.0.0.1', // the node's name is localhost, and the API server calls it by its name
    port: 10_000 + number,
    readOnlyPort: 0,
    healthzPort: 0,
    evictionHard: {}, // a full disk of the machine is not the lab's business
    imageGCHighThresholdPercent: 100,
    enforceNodeAllocatable: [],
    tlsCertFile: `${folder}/cluster-apiserver.crt`, // it names localhost too
    tlsPrivateKeyFile: `${folder}/cluster-apiserver.key`,
    podLogsDir: `${folder}/pod-logs`,
    volumePluginDir: `${folder}/volume-plugins`,
    shutdownGracePeriod: '0s',
  });
}
