import type { MongoClient, Timestamp } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { openClusterReading, type PartPlan } from '../../mongo/cluster/session.ts';
import type { ClusterPart, ClusterTopology } from '../../mongo/cluster/topology.ts';
import { openClient } from '../../mongo/connection.ts';
import { type LockedMember, type LockOptions, type LockResult, lockComponent } from './component.ts';
import type { BackupPlan, ComponentPlan } from './plan.ts';

/** A component whose server is ready to be dumped. */
export interface OpenComponent {
  plan: ComponentPlan;
  client: MongoClient;
  atClusterTime?: Timestamp | undefined;
  /** For dump(): verifies the lock and gives it back. */
  onLastRead?: () => Promise<void>;
}

/** A database that is ready to be dumped. */
export interface OpenReading {
  /** In the order of the plan. */
  components: readonly OpenComponent[];
  /**
   * Gives back what is held still. It can be called again.
   *
   * @throws BackstayError BalancerNotRestored
   */
  close(): Promise<void>;
  /** How long the member of a component was locked; known after `close`. */
  lockOf(component: string): LockResult;
}

export interface ReadingOptions extends LockOptions {
  balancerTimeoutMs: number;
  cutTimeoutMs: number;
}

/** Locks what is to be locked, in the order that the topology asks for. */
export async function openReading(plan: BackupPlan, options: ReadingOptions): Promise<OpenReading> {
  return plan.cluster === undefined
    ? openSingle(plan.components[0], options)
    : openCluster(plan, plan.cluster, options);
}

async function openSingle(plan: ComponentPlan, options: ReadingOptions): Promise<OpenReading> {
  if (plan.consistency === 'lock') {
    const locked = await lockComponent(plan, options);
    const onLastRead = async (): Promise<void> => {
      await locked.verify();
      options.log.info({ component: plan.name, member: plan.member }, 'read to its end');
      await locked.unlock();
    };
    return {
      components: [{ plan, client: locked.client, onLastRead }],
      close: () => locked.unlock(),
      lockOf: () => locked.result(),
    };
  }
  const { endpoint, member } = plan;
  const { signal } = options;
  const client = await openClient(endpoint, { signal, ...(member === undefined ? {} : { member }) });
  return { components: [{ plan, client }], close: () => client.close(), lockOf: () => ({}) };
}

async function openCluster(plan: BackupPlan, cluster: ClusterTopology, options: ReadingOptions): Promise<OpenReading> {
  const { locks, log, signal } = options;
  const locked = new Map<string, LockedMember>();
  const componentOf = ({ name }: { name: string }): ComponentPlan => {
    const found = plan.components.find((one) => one.name === name);
    if (found === undefined) throw new BackstayError('InternalError', `the plan has no component ${name}`);
    return found;
  };
  const partOf = (part: ClusterPart): PartPlan => {
    const { member = '', consistency } = componentOf(part);
    return { part, member, mode: consistency };
  };
  const reading = await openClusterReading(cluster, {
    configServer: partOf(cluster.configServer),
    shards: cluster.shards.map(partOf),
    async lock({ part }) {
      const member = await lockComponent(componentOf(part), options);
      locked.set(part.name, member);
      return { client: member.client, verify: () => member.verify(), release: () => member.unlock() };
    },
    balancer: {
      timeoutMS: options.balancerTimeoutMs,
      async onIntent(record) {
        await locks.balancerRequested(cluster.router, record);
        log.info({}, 'balancer written down');
      },
      onStopped: () => locks.balancerStopped(),
      async onRestored() {
        await locks.balancerStruck();
        log.info({}, 'balancer struck out');
      },
    },
    cutTimeoutMS: options.cutTimeoutMs,
    signal,
    onEvent: (message, details) => log.info(details, message),
  });
  return {
    components: reading.parts.map(({ plan: { part }, client, atClusterTime, onLastRead }) => ({
      plan: componentOf(part),
      client,
      atClusterTime,
      onLastRead,
    })),
    close: () => reading.close(),
    lockOf: (component) => locked.get(component)?.result() ?? {},
  };
}
