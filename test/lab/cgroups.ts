import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BackstayError } from '../../src/api/errors.ts';
import type { Ground } from './ground.ts';

const MOUNT = '/sys/fs/cgroup';

/** What containers need; hugetlb and others are used where they are there. */
const CONTROLLERS = ['cpu', 'cpuset', 'memory', 'pids', 'io'];

/**
 * Makes a control group for the lab's containers and records it. Gives the path that the kubelet knows it by.
 *
 * Version 1 has a hierarchy per controller, and the group is made in each. Version 2 has one, in which a group has only the controllers
 * that its parent hands down (Linux, admin-guide/cgroup-v2).
 */
export function makeCgroup(ground: Ground): string {
  const name = `backstay-lab-${ground.number}`;
  const unified = existsSync(join(MOUNT, 'cgroup.controllers'));
  const parents = unified
    ? [MOUNT]
    : readdirSync(MOUNT, { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() ? [join(MOUNT, entry.name)] : [],
      );
  for (const parent of parents) {
    const path = join(parent, name);
    ground.record({ kind: 'cgroup', path });
    if (unified) handDown(parent);
    try {
      mkdirSync(path, { recursive: true });
    } catch (cause) {
      if (unified) throw unavailable(path, cause);
      continue; // a hierarchy that is mounted read-only is none that containers need
    }
    if (unified) handDown(path);
  }
  return `/${name}`;
}

function handDown(path: string): void {
  const there = readFileSync(join(path, 'cgroup.controllers'), 'utf8').trim().split(' ');
  const wanted = CONTROLLERS.filter((controller) => there.includes(controller));
  const already = readFileSync(join(path, 'cgroup.subtree_control'), 'utf8').trim().split(' ');
  const missing = wanted.filter((controller) => !already.includes(controller));
  if (missing.length === 0) return;
  try {
    writeFileSync(join(path, 'cgroup.subtree_control'), missing.map((controller) => `+${controller}`).join(' '));
  } catch (cause) {
    throw unavailable(path, cause);
  }
}

function unavailable(path: string, cause: unknown): BackstayError {
  return new BackstayError('LabUnavailable', `The lab cannot make control groups in ${path}`, {
    remedy:
      'run it where root owns them (in a container: with --privileged --cgroupns=host), or use a cluster that you have with --context NAME',
    cause,
  });
}
