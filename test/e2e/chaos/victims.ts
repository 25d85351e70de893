import { SYSTEM_NAMESPACE } from '../../lab/install.ts';
import { isOperator, processOf } from '../../lab/pods.ts';
import { until } from '../../lab/process.ts';
import { type Held, type LogLine, signal } from './motion.ts';
import { COMPONENTS, type Component, type Point } from './points.ts';
import type { Scene, Watched } from './scene.ts';

export const VICTIMS = ['runner', 'operator', 'both', 'mongod'] as const;
export type Victim = (typeof VICTIMS)[number];

/** What was killed, and how it comes back. */
export interface Death {
  /** In words, for the table. */
  what: string;
  /** Whether the backup cannot have succeeded after this, judged by what the runner had logged before. */
  fatal(log: readonly LogLine[]): boolean;
  /** Brings back what the cluster does not bring back by itself; resolves when all parts are there. */
  revive(): Promise<void>;
}

/** Kills the victim with SIGKILL while the runner stands still. `turn` varies what there is a choice of. */
export async function killAt(scene: Scene, victim: Victim, held: Held, point: Point, turn: number): Promise<Death> {
  switch (victim) {
    case 'runner':
      return { ...killRunner(held, point, turn), revive: async () => {} };
    case 'operator': {
      await killOperator(scene);
      return { what: 'operator', fatal: () => false, revive: () => operatorIsBack(scene) };
    }
    case 'both': {
      const { what, fatal } = killRunner(held, point, turn);
      await killOperator(scene);
      return { what: `${what} and operator`, fatal, revive: () => operatorIsBack(scene) };
    }
    case 'mongod': {
      const component = point.component ?? (COMPONENTS[turn % COMPONENTS.length] as Component);
      const member = scene.lockedOf(component);
      const locked = await isLocked(member);
      const now = Date.now();
      await member.mongod.kill();
      return {
        what: `${locked ? 'locked ' : ''}mongod of ${component}`,
        // It may have been read, and its lock found held, with only the unlocking still to come: lines reach the log late.
        fatal: (log) => locked && !log.some((line) => wasRead(line, component) && Date.parse(String(line.time)) <= now),
        revive: () => memberIsBack(scene, component),
      };
    }
  }
}

/** The worker alone, the watchdog (which is the first process of the container, so that all of it dies), or the worker and then the watchdog. */
function killRunner({ watchdog, worker }: Held, { message }: Point, turn: number): Pick<Death, 'what' | 'fatal'> {
  // What is whole is whole, whoever dies after it.
  const fatal = (): boolean => message !== 'Snapshot is whole';
  switch (turn % 3) {
    case 0:
      signal(worker, 'SIGKILL');
      return { what: 'worker', fatal };
    case 1:
      signal(watchdog, 'SIGKILL');
      return { what: 'watchdog', fatal };
    default:
      signal(worker, 'SIGKILL');
      signal(watchdog, 'SIGKILL');
      return { what: 'worker and watchdog', fatal };
  }
}

function wasRead(line: LogLine, component: Component): boolean {
  return line.msg === 'read to its end' && line.component === component;
}

async function killOperator({ ground, cluster }: Scene): Promise<void> {
  process.kill(await processOf(ground.number, isOperator), 'SIGKILL');
  // Its Pod goes too: how long the kubelet waits before it starts a container again is not what is measured.
  const labels = 'app.kubernetes.io/name=backstay,app.kubernetes.io/component=operator';
  await cluster.kubectl(['-n', SYSTEM_NAMESPACE, 'delete', 'pod', '-l', labels, '--grace-period=1', '--wait=false']);
}

async function operatorIsBack({ cluster }: Scene): Promise<void> {
  await cluster.kubectl(['-n', SYSTEM_NAMESPACE, 'rollout', 'status', 'deployment/backstay-operator', '--timeout=90s']);
}

async function memberIsBack(scene: Scene, component: Component): Promise<void> {
  const { mongod, client } = scene.lockedOf(component);
  await mongod.start();
  await scene.setOf(component).settled();
  await until('the member answers', async () => (await client.db('admin').command({ hello: 1 })).secondary === true);
}

export async function isLocked({ client }: Watched): Promise<boolean> {
  return (await client.db('admin').command({ currentOp: 1, $ownOps: true })).fsyncLock === true;
}
