import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Entry, readEntries, startTime } from './record.ts';

/** Every process of a lab has this variable with the lab's folder, and so have the processes that it starts. */
export const MARKER = 'BACKSTAY_LAB_FOLDER';

/**
 * Gives back everything that the lab in `folder` has taken, and the folder last. It can be repeated, it asks nobody for help, and it
 * throws when something resists.
 */
export async function reap(folder: string): Promise<void> {
  const entries = readEntries(folder);
  const cgroups = entries.filter((entry) => entry.kind === 'cgroup').map((entry) => entry.path);
  await killAll(folder, entries, cgroups);
  for (const entry of entries) if (entry.kind === 'containerd') removeNodeTraces(entry.state);
  await unmountBelow(folder);
  for (const path of cgroups) await removeCgroup(path);
  for (const entry of entries.toReversed()) {
    if (entry.kind === 'sysctl') writeFileSync(entry.path, entry.value);
    else if (entry.kind === 'path') rmSync(entry.path, { recursive: true, force: true });
  }
  removeLinksInto(folder, '/var/log/containers');
  if (entries.some(({ kind }) => kind === 'containerd')) removeWhereEmpty(LEFT_BY_A_NODE);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
}

/** Kills until nothing is left: a process that was just starting another one may have had time to do so. */
async function killAll(folder: string, entries: readonly Entry[], cgroups: readonly string[]): Promise<void> {
  const deadline = performance.now() + 15_000;
  for (let quiet = 0; quiet < 2; ) {
    const living = new Set([...recorded(entries), ...marked(folder), ...cgroups.flatMap(members)]);
    living.delete(process.pid);
    for (const pid of living) kill(pid);
    quiet = living.size === 0 ? quiet + 1 : 0;
    if (quiet === 0 && performance.now() > deadline) {
      throw new Error(`Processes ${[...living].join(', ')} of ${folder} cannot be killed`);
    }
    if (quiet < 2) await sleep(20);
  }
}

function recorded(entries: readonly Entry[]): number[] {
  return entries.flatMap((entry) =>
    entry.kind === 'process' && startTime(entry.pid) === entry.start ? [entry.pid] : [],
  );
}

/** Processes that were started with the lab's marker in their environment. */
function marked(folder: string): number[] {
  const needle = `${MARKER}=${folder}`;
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      const environment = readFileSync(`/proc/${name}/environ`, 'utf8').split('\0');
      return environment.includes(needle) && startTime(pid) !== undefined ? [pid] : [];
    } catch {
      return []; // it ended, or is not ours to look into
    }
  });
}

/** Processes in a control group and below it. */
function members(path: string): number[] {
  try {
    const here = readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
    return [...here, ...subfolders(path).flatMap((name) => members(join(path, name)))].filter(
      (pid) => startTime(pid) !== undefined,
    );
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** What containerd keeps outside its folders: a shim's socket, whose address is in its task's folder, and a Pod's network result. */
function removeNodeTraces(state: string): void {
  const tasks = join(state, 'io.containerd.runtime.v2.task', 'k8s.io');
  for (const task of names(tasks)) {
    const address = join(tasks, task, 'address');
    const socket = existsSync(address) ? readFileSync(address, 'utf8').trim() : '';
    if (socket.startsWith('unix://')) rmSync(socket.slice('unix://'.length), { force: true });
  }
  const pods = new Set(names(join(state, 'io.containerd.grpc.v1.cri', 'sandboxes')));
  for (const result of names(NETWORK_RESULTS)) {
    if (result.split('-').some((part) => pods.has(part))) rmSync(join(NETWORK_RESULTS, result), { force: true });
  }
}

const NETWORK_RESULTS = '/var/lib/cni/results';

function names(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

async function unmountBelow(folder: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const mounts = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .map((line) => unescapeMount(line.split(' ')[1] ?? ''))
      .filter((path) => path.startsWith(`${folder}/`));
    if (mounts.length === 0) return;
    if (attempt === 10) throw new Error(`Mounts below ${folder} resist: ${mounts.join(', ')}`);
    if (attempt > 0) await sleep(100);
    // The deepest first; a lazy unmount does not wait for a process that is just ending.
    spawnSync('umount', ['--lazy', ...mounts.toReversed()]);
  }
}

/** Mount tables write space, tab and backslash as octal escapes. */
function unescapeMount(path: string): string {
  return path.replaceAll(/\\(\d{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
}

async function removeCgroup(path: string): Promise<void> {
  if (!existsSync(path)) return;
  for (const name of subfolders(path)) await removeCgroup(join(path, name));
  // The kernel takes a moment to forget the processes that were killed in it.
  for (let attempt = 0; existsSync(path); attempt++) {
    try {
      rmdirSync(path);
    } catch (error) {
      if (attempt === 100) throw error;
      await sleep(20);
    }
  }
}

function subfolders(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

/** Folders that containerd and the kubelet make whatever they are told; another lab, or a real node, may be using them. */
const LEFT_BY_A_NODE = [
  NETWORK_RESULTS,
  '/var/lib/cni',
  '/run/containerd/s',
  '/run/containerd',
  '/var/lib/kubelet/device-plugins',
  '/var/lib/kubelet',
  '/var/log/containers',
  '/usr/libexec/kubernetes/kubelet-plugins/volume/exec',
  '/usr/libexec/kubernetes/kubelet-plugins/volume',
  '/usr/libexec/kubernetes/kubelet-plugins',
  '/usr/libexec/kubernetes',
];

function removeWhereEmpty(folders: readonly string[]): void {
  for (const folder of folders) {
    try {
      rmdirSync(folder);
    } catch {
      // it is not there, or in use
    }
  }
}

/** The kubelet links every container's log from /var/log/containers, whatever its own folders are. */
function removeLinksInto(folder: string, from: string): void {
  for (const name of names(from)) {
    const link = join(from, name);
    if (lstatSync(link).isSymbolicLink() && readlinkSync(link).startsWith(`${folder}/`)) rmSync(link, { force: true });
  }
}
