import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../api/durations.ts';
import type { MajorityStall } from '../mongo/consistency.ts';
import { MAX_STREAMS } from '../mongo/dump/partition.ts';
import type { Consistency } from '../mongo/dump.ts';
import type { runJob } from '../runner/job.ts';
import { isWorker } from '../runner/watchdog/guard.ts';
import { list } from './endpoint.ts';

/** `backstay job`: what runs inside Jobs. Each subcommand loads no more than it needs. */
export function configure(command: Command): void {
  command.description('run inside a Job of the cluster; the operator makes these Jobs');

  subcommand(command, 'trigger', 'create the BackupSession of a scheduled time')
    .requiredOption('--configuration <name>', 'the BackupConfiguration')
    .requiredOption('--session <name>', 'the session in it')
    .action(async (options: { namespace: string; configuration: string; session: string }) => {
      const { trigger } = await import('../runner/trigger.ts');
      process.exitCode = await run('trigger', { ...options }, (context) => trigger(context, options));
    });

  subcommand(command, 'backup', 'back up what a BackupSession says')
    .requiredOption('--session <name>', 'the BackupSession')
    .addOption(
      new Option('--consistency <mode>', 'lock a member, read one snapshot, or neither')
        .choices(['lock', 'snapshot', 'none'])
        .default('lock'),
    )
    .addOption(
      new Option('--on-majority-stall <action>', 'where a lock would hold up writes of a majority')
        .choices(['snapshot', 'proceed', 'refuse'])
        .default('snapshot'),
    )
    .option('--max-lag <duration>', 'how far a secondary may be behind', duration, 30_000)
    .option('--lock-timeout <duration>', 'how long to wait for the lock', duration, 60_000)
    .option('--max-lock-time <duration>', 'how long a member may be locked', duration, 21_600_000)
    .option('--min-oplog-window <duration>', 'what the oplog must hold for a lock', duration)
    .option('--stall-timeout <duration>', 'how long a repository may take no data', duration, 300_000)
    .option('--balancer-timeout <duration>', 'how long the balancer may take to stop', duration, 600_000)
    .option('--cut-timeout <duration>', 'how long the parts of a cluster may take to one time', duration, 60_000)
    .option('--streams <number>', 'archives that each server is written as at the same time', streams, 1)
    .option('--members <hosts>', 'the members to read, host:port, the preferred one first', list)
    .option('--tags <name=value>', 'tags that the member must have', list)
    .option('--include <patterns>', 'namespaces to back up', list)
    .option('--exclude <patterns>', 'namespaces to leave out', list)
    .option('--db-hash <boolean>', 'whether hashes of the collections are recorded', boolean, false)
    .action(async (options: BackupOptions) => {
      if (!isWorker()) {
        const { superviseJob } = await import('../runner/watchdog/job.ts');
        process.exitCode = await superviseJob('backup', { namespace: options.namespace, session: options.session });
        return;
      }
      const { backup } = await import('../runner/backup.ts');
      const { namespace, session } = options;
      process.exitCode = await run('backup', { namespace, session }, (context) =>
        backup(context, backupRequest(options)),
      );
    });

  subcommand(command, 'restore', 'restore what a RestoreSession says')
    .requiredOption('--session <name>', 'the RestoreSession')
    .option('--workers <number>', 'inserts at work at the same time', wholeNumber, 4)
    .option('--users-and-roles <boolean>', 'whether users and roles are restored', boolean, true)
    .option('--balancer-timeout <duration>', 'how long the balancer may take to stop', duration, 600_000)
    .action(async ({ balancerTimeout, ...options }: RestoreOptions) => {
      const { namespace, session } = options;
      if (!isWorker()) {
        const { superviseJob } = await import('../runner/watchdog/job.ts');
        process.exitCode = await superviseJob('restore', { namespace, session });
        return;
      }
      const { restore } = await import('../runner/restore.ts');
      const request = { ...options, balancerTimeoutMs: balancerTimeout };
      process.exitCode = await run('restore', { namespace, session }, (context) => restore(context, request));
    });

  subcommand(command, 'storage', 'reach a BackupStorage and read its marker')
    .requiredOption('--name <name>', 'the BackupStorage')
    .action(async (options: { namespace: string; name: string }) => {
      const { checkStorage } = await import('../runner/storage.ts');
      process.exitCode = await run('storage', { ...options }, (context) => checkStorage(context, options));
    });

  subcommand(command, 'repository', 'open or make the restic repository of a Repository')
    .requiredOption('--name <name>', 'the Repository')
    .action(async (options: { namespace: string; name: string }) => {
      const { prepareRepository } = await import('../runner/repository.ts');
      process.exitCode = await run('repository', { ...options }, (context) => prepareRepository(context, options));
    });

  subcommand(command, 'forget', 'remove the data of a Snapshot, or of a whole Repository')
    .option('--snapshot <name>', 'the Snapshot')
    .option('--repository <name>', 'the Repository')
    .option('--all', 'remove every snapshot of the Repository')
    .action(
      async (options: { namespace: string; snapshot?: string; repository?: string; all?: true }, self: Command) => {
        const { forget } = await import('../runner/forget.ts');
        const { namespace, snapshot, repository, all } = options;
        if ((snapshot === undefined) === (repository === undefined) || (repository !== undefined) !== (all === true)) {
          self.error('error: give either --snapshot, or --repository with --all');
        }
        const request =
          snapshot === undefined
            ? { namespace, repository: repository ?? '', all: true as const }
            : { namespace, snapshot };
        const about = snapshot === undefined ? { repository: repository ?? '' } : { snapshot };
        process.exitCode = await run('forget', { namespace, ...about }, (context) => forget(context, request));
      },
    );

  subcommand(command, 'release', 'release the locks that a runner of a BackupSession left')
    .requiredOption('--session <name>', 'the BackupSession')
    .action(async (options: { namespace: string; session: string }) => {
      const { release } = await import('../runner/release.ts');
      process.exitCode = await run('release', { ...options }, (context) => release(context, options));
    });
}

/** The layer below the Jobs is loaded where one runs: the process that only watches over another stays small. */
async function run(...args: Parameters<typeof runJob>): Promise<number> {
  return (await import('../runner/job.ts')).runJob(...args);
}

interface RestoreOptions {
  namespace: string;
  session: string;
  workers: number;
  usersAndRoles: boolean;
  balancerTimeout: number;
}

interface BackupOptions {
  namespace: string;
  session: string;
  consistency: Consistency;
  maxLag: number;
  onMajorityStall: MajorityStall;
  lockTimeout: number;
  maxLockTime: number;
  minOplogWindow?: number;
  stallTimeout: number;
  balancerTimeout: number;
  cutTimeout: number;
  streams: number;
  members?: string[];
  tags?: string[];
  include?: string[];
  exclude?: string[];
  dbHash: boolean;
}

function backupRequest(options: BackupOptions) {
  const { namespace, session, consistency, onMajorityStall, minOplogWindow, maxLag } = options;
  const { lockTimeout, maxLockTime, stallTimeout, balancerTimeout, cutTimeout, streams: perServer } = options;
  const { members = [], tags, include, exclude, dbHash } = options;
  return {
    namespace,
    session,
    consistency,
    onMajorityStall,
    ...(minOplogWindow === undefined ? {} : { minOplogWindowSeconds: minOplogWindow / 1000 }),
    lockTimeoutMs: lockTimeout,
    maxLockMs: maxLockTime,
    stallTimeoutMs: stallTimeout,
    balancerTimeoutMs: balancerTimeout,
    cutTimeoutMs: cutTimeout,
    streams: perServer,
    policy: {
      maxLagSeconds: maxLag / 1000,
      members,
      ...(tags === undefined || tags.length === 0 ? {} : { tags: tagsOf(tags) }),
    },
    namespaces: { include: include ?? [], exclude: exclude ?? [] },
    hashes: dbHash,
  };
}

function subcommand(command: Command, name: string, summary: string): Command {
  return command
    .command(name)
    .description(summary)
    .copyInheritedSettings(command)
    .requiredOption('--namespace <name>', 'namespace of the object');
}

function duration(value: string): number {
  try {
    return parseDuration(value);
  } catch {
    throw new InvalidArgumentError('It must be a duration such as 30s or 5m.');
  }
}

function wholeNumber(value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError('It must be a whole number above 0.');
  return number;
}

function streams(value: string): number {
  const number = wholeNumber(value);
  if (number > MAX_STREAMS) throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_STREAMS}.`);
  return number;
}

function boolean(value: string): boolean {
  if (value === 'true' || value === 'false') return value === 'true';
  throw new InvalidArgumentError('It must be true or false.');
}

function tagsOf(pairs: string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new InvalidArgumentError('A tag is written name=value.');
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}
