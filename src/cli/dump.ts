import { type Command, InvalidArgumentError, Option } from 'commander';
import { BackstayError } from '../api/errors.ts';
import type { MongoEndpoint } from '../mongo/connection.ts';
import type { MajorityStall } from '../mongo/consistency.ts';
import { MAX_STREAMS } from '../mongo/dump/partition.ts';
import { type Consistency, type DumpOptions, dumpStreams } from '../mongo/dump.ts';
import { LockNotGranted } from '../mongo/lock.ts';
import { MAX_LOCK_SECONDS, openReading, type Reading } from '../mongo/reading.ts';
import { guardOf, isWorker } from '../runner/watchdog/guard.ts';
import { supervise } from '../runner/watchdog/supervise.ts';
import { addEndpointOptions, type EndpointOptions, endpointOf, list } from './endpoint.ts';
import { Output } from './output.ts';
import { interruptible } from './signals.ts';
import { count, counted, size, Terminal } from './terminal.ts';

interface DumpCommandOptions extends EndpointOptions {
  db?: string[];
  include?: string[];
  exclude?: string[];
  consistency: Consistency;
  onMajorityStall: MajorityStall;
  members?: string[];
  maxLag: number;
  lockTimeout: number;
  maxLockTime: number;
  minOplogWindow?: number;
  logLevel: string;
}

export function configure(command: Command): void {
  addEndpointOptions(command)
    .argument('[archives...]', 'files for as many archives, written at the same time (default: one on standard output)')
    .option('--db <names>', 'databases to dump (default all)', list)
    .option('--include <patterns>', 'namespaces to dump: shop.orders, shop.*, shop', list)
    .option('--exclude <patterns>', 'namespaces to leave out', list)
    .addOption(
      new Option('--consistency <mode>', 'lock the member, read one snapshot, or neither')
        .choices(['lock', 'snapshot', 'none'])
        .default('lock'),
    )
    .addOption(
      new Option(
        '--on-majority-stall <action>',
        'where a lock would hold up writes of a majority: read one snapshot, lock all the same, or fail',
      )
        .choices(['snapshot', 'proceed', 'refuse'])
        .default('snapshot'),
    )
    .option(
      '--members <hosts>',
      'the members to read, host:port, the first that is fit (default: a healthy secondary)',
      list,
    )
    .option('--max-lag <seconds>', 'most seconds that a secondary may be behind', seconds, 30)
    .option('--lock-timeout <seconds>', 'how long to wait for the lock', seconds, 60)
    .option('--max-lock-time <seconds>', 'how long the member may be locked', seconds, MAX_LOCK_SECONDS)
    .option('--min-oplog-window <seconds>', 'what the oplog must hold for a lock (default: an estimate)', seconds)
    .addHelpText(
      'after',
      `
An archive is in mongodump's format: \`mongorestore --archive\` reads it as well. Of several each has whole collections, and
\`backstay load\` wants all of them. A file is there when the whole dump is.

Examples:
  backstay dump --uri mongodb://db.example.com --username backup --password-file pw > all.archive
  backstay dump --uri "$URI" one.archive two.archive three.archive
  backstay dump --uri "$URI" --include shop --exclude 'shop.tmp*' | restic backup --stdin --stdin-filename dump.archive`,
    )
    .action(async (archives: string[], _options: unknown, self: Command) => run(archives, self.optsWithGlobals()));
}

function seconds(value: string): number {
  const number = Number(value.replace(/s$/, ''));
  if (!Number.isFinite(number) || number < 0) throw new InvalidArgumentError('It must be a number of seconds.');
  return number;
}

/** @throws BackstayError InvalidUsage */
function checkPaths(paths: readonly string[]): void {
  if (paths.length === 0 && process.stdout.isTTY === true) {
    throw new BackstayError('InvalidUsage', 'an archive is not for a terminal', {
      remedy: 'name a file, or send standard output to a file or a command: backstay dump … > dump.archive',
    });
  }
  if (paths.length > MAX_STREAMS) {
    throw new BackstayError('InvalidUsage', `a dump is ${MAX_STREAMS} archives at most, not ${paths.length}`);
  }
  const twice = paths.find((path, index) => paths.indexOf(path) < index);
  if (twice !== undefined) throw new BackstayError('InvalidUsage', `${twice} is given twice`);
}

async function run(paths: readonly string[], options: DumpCommandOptions): Promise<void> {
  checkPaths(paths);
  const terminal = new Terminal(options.logLevel);
  if (!isWorker()) {
    process.exitCode = await watched(terminal);
    return;
  }
  const endpoint = await endpointOf(options);
  const output = await Output.open(paths);
  try {
    await interruptible((signal) => dumpTo(output, endpoint, options, terminal, signal));
    await output.keep();
  } catch (error) {
    await output.discard();
    throw error;
  }
}

async function dumpTo(
  output: Output,
  endpoint: MongoEndpoint,
  options: DumpCommandOptions,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const guard = guardOf();
  const reading = await openReading(endpoint, {
    onIntent: (intent) => guard.taken(intent.member, { kind: 'lock', endpoint, intent }),
    policy: { maxLagSeconds: options.maxLag, members: options.members ?? [] },
    consistency: options.consistency,
    onMajorityStall: options.onMajorityStall,
    ...(options.minOplogWindow === undefined ? {} : { minOplogWindowSeconds: options.minOplogWindow }),
    lockTimeoutMS: options.lockTimeout * 1000,
    maxLockSeconds: options.maxLockTime,
    archives: output.archives,
    signal,
  }).catch(async (error: unknown) => {
    if (error instanceof LockNotGranted) await error.settled;
    throw error;
  });
  const { lock } = reading;
  try {
    if (lock !== undefined) await guard.taken(lock.member, { kind: 'lock', endpoint, intent: lock.intent });
    await write(reading, output, options, terminal);
  } finally {
    terminal.clear();
    await reading.close();
    guard.given(reading.member);
  }
}

/** The dump in a child of this process, so that its lock is released also when it is killed. */
async function watched(terminal: Terminal): Promise<number> {
  const { exitCode, killedBy, released, left } = await supervise({
    say: (level, { held, error, outcome }, message) => {
      const details = [held, outcome ?? error].filter((detail) => detail !== undefined).join(': ');
      terminal.say(level, `${message}${details === '' ? '' : ` (${details})`}`);
    },
  });
  if (killedBy !== undefined) {
    const locks = released.length === 0 ? '' : `, and ${released.join(', ')} is not locked by it any more`;
    terminal.say('error', `the dump was killed by ${killedBy}${locks}`);
  }
  for (const { key } of left) terminal.say('error', `${key} may still be locked: run db.fsyncUnlock() on it`);
  return exitCode;
}

async function write(reading: Reading, output: Output, options: DumpCommandOptions, terminal: Terminal): Promise<void> {
  const { client, mode, member, choice, notice, lock, signal } = reading;
  if (choice !== undefined) terminal.say('debug', `reads ${member}: ${choice.reason}`);
  for (const rejection of choice?.rejected ?? []) terminal.say('debug', `not ${rejection.member}: ${rejection.reason}`);
  if (notice !== undefined) terminal.say('warn', notice);
  const include = [...(options.db ?? []).map((db) => `${db}.*`), ...(options.include ?? [])];
  const dumpOptions: DumpOptions = {
    mode,
    namespaces: { include, exclude: options.exclude ?? [] },
    onLastRead: async () => {
      await lock?.verify();
      await lock?.release();
    },
    onProgress: (progress) => {
      const { bytes, bytesInAll } = progress;
      terminal.progress({
        ...progress,
        share: bytesInAll === undefined ? undefined : { done: bytes, inAll: bytesInAll },
      });
    },
    signal,
  };
  const { archives, result } = dumpStreams(client, dumpOptions, output.archives);
  await output.write(archives, signal);
  const { bytes, documents, namespaces, cutTime, outsideSnapshot } = await result;
  for (const name of outsideSnapshot) terminal.say('warn', `${name} is capped and was read outside the snapshot`);
  const cut = cutTime === undefined ? '' : `, as of ${new Date(cutTime.t * 1000).toISOString()}`;
  const held = lock === undefined ? '' : `, locked for ${lock.heldSeconds.toFixed(1)} s`;
  terminal.say(
    'info',
    `dumped ${counted(namespaces.length, 'namespace')} with ${count(documents)} documents from ${member} ` +
      `(${mode}${cut}${held}): ${size(bytes)} in ${terminal.seconds.toFixed(1)} s, ${terminal.rate(bytes)}`,
  );
}
