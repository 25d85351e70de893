import { describeError } from '../api/errors.ts';
import { BALANCER } from '../api/held.ts';
import { BackupConfigurations, BackupSessions } from '../api/kinds.ts';
import { restoreBalancer } from '../mongo/cluster/balancer.ts';
import { findRouter } from '../mongo/cluster/topology.ts';
import type { MongoEndpoint } from '../mongo/connection.ts';
import { releaseLeftover } from '../mongo/lock.ts';
import { balancerRecordOf, intentOf, LockRecords, ownPart } from './backup/locks.ts';
import type { Done, JobContext } from './job.ts';
import { requireObject } from './objects.ts';
import { StatusWriter } from './status-writer.ts';
import { readTarget } from './target.ts';
import { JobFailure } from './termination.ts';

export interface Released {
  released: string[];
  /** `member` is balancer for the balancer. */
  failed: { member: string; message: string }[];
}

/** Releases the locks that a runner of the session left, and strikes their records out. */
export async function release(
  context: JobContext,
  { namespace, session: name }: { namespace: string; session: string },
): Promise<Done> {
  const { client, signal, log, holder } = context;
  const session = await requireObject(client, BackupSessions, { namespace, name }, { signal, code: 'SessionNotFound' });
  const locks = new LockRecords(
    new StatusWriter(client, BackupSessions, session, ownPart(session.status), log),
    holder,
  );
  if (locks.records.length === 0 && locks.balancer === undefined)
    return { message: 'there is no lock to release', data: { released: [], failed: [] } };
  const configuration = await requireObject(
    client,
    BackupConfigurations,
    { namespace, name: session.spec.invoker.name },
    { signal, code: 'ConfigurationNotFound' },
  );
  const { endpoint } = await readTarget(context, configuration.spec.target, namespace);
  const { released, failed, error } = await releaseRecords(context, endpoint, locks);
  const [first] = failed;
  if (first === undefined) return { message: `released ${released.join(', ')}`, data: { released, failed } };
  throw new JobFailure(error, `${first.member} could not be released: ${first.message}`, { released, failed });
}

/**
 * Unlocks the members that the records name, side by side, and then puts the balancer back. A record goes when the lock is certainly not ours any more: because it was
 * released now, the member restarted, or somebody else unlocked it.
 */
export async function releaseRecords(
  { log, signal }: JobContext,
  endpoint: MongoEndpoint,
  locks: LockRecords,
): Promise<Released & { error?: unknown }> {
  const released: string[] = [];
  const failed: Released['failed'] = [];
  let failure: unknown;
  await Promise.all(
    locks.records.map(async (record) => {
      const { member } = record;
      try {
        const outcome = await releaseLeftover(endpoint, intentOf(record), { signal });
        log.info({ member, outcome, requestedAt: record.requestedAt }, 'leftover lock looked after');
        await locks.struck(member);
        released.push(member);
      } catch (error) {
        log.error({ member, error: describeError(error) }, 'leftover lock not released');
        failure ??= error;
        failed.push({ member, message: describeError(error) });
      }
    }),
  );
  const { balancer } = locks;
  if (balancer !== undefined) {
    try {
      const { router } = await findRouter(endpoint, { signal });
      const outcome = await restoreBalancer(router, balancerRecordOf(balancer), { signal });
      log.info({ outcome, requestedAt: balancer.requestedAt }, 'leftover balancer looked after');
      await locks.balancerStruck();
      released.push(BALANCER);
    } catch (error) {
      log.error({ error: describeError(error) }, 'leftover balancer not put back');
      failure ??= error;
      failed.push({ member: BALANCER, message: describeError(error) });
    }
  }
  return { released, failed, error: failure };
}
