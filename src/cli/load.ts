import { fstatSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { BackstayError, errorCode } from '../api/errors.ts';
import { openClient } from '../mongo/connection.ts';
import {
  type Existing,
  type LoadOptions,
  type LoadProgress,
  type LoadResult,
  loadArchives,
  loaderName,
} from '../mongo/load.ts';
import type { Rename } from '../mongo/selection.ts';
import { addEndpointOptions, type EndpointOptions, endpointOf, list } from './endpoint.ts';
import { interruptible } from './signals.ts';
import { counted, size, Terminal } from './terminal.ts';

/** Bytes of one read of a file. */
const CHUNK_BYTES = 256 * 1024;

interface LoadCommandOptions extends EndpointOptions {
  db?: string[];
  include?: string[];
  exclude?: string[];
  rename?: Rename[];
  drop?: boolean;
  merge?: boolean;
  users?: boolean;
  oplog: boolean;
  workers: number;
  anyOrder?: boolean;
  logLevel: string;
}

export function configure(command: Command): void {
  addEndpointOptions(command)
    .argument('[archives...]', 'files with the archives of one dump (default: one archive on standard input)')
    .option('--db <names>', 'databases to load (default all)', list)
    .option('--include <patterns>', 'namespaces to load: shop.orders, shop.*, shop', list)
    .option('--exclude <patterns>', 'namespaces to leave out', list)
    .option('--rename <from=to>', 'load a namespace under another name: shop.*=shop2.*', rename)
    .addOption(
      new Option('--drop', 'drop collections that are in the archive before they are loaded').conflicts('merge'),
    )
    .addOption(
      new Option('--merge', 'add to collections that are there; documents that are there already count as failed'),
    )
    .option('--users', 'load users and roles (the default, unless namespaces are chosen)')
    .option('--no-users', 'leave users and roles out')
    .option('--no-oplog', 'do not replay the oplog of the archive')
    .option('--workers <number>', 'inserts at work at the same time', whole, 4)
    .option(
      '--any-order',
      'fill a collection with all workers at once: the next backup of the target takes its full size in the repository',
    )
    .addHelpText(
      'after',
      `
Without --drop or --merge nothing is written to a server that holds data in one of the namespaces.
Archives of mongodump are read as well, packed with gzip or not. A dump that was written as several archives is loaded from all of them
at once.

Examples:
  backstay load --uri mongodb://db.example.com --username restore --password-file pw < all.archive
  restic dump latest dump.archive | backstay load --uri "$URI" --include shop --rename 'shop.*=shop_copy.*'
  backstay load --uri "$URI" <(restic dump 1a2b3c4d dump.archive) <(restic dump 5e6f7a8b dump-2.archive)`,
    )
    .action(async (archives: string[], _options: unknown, self: Command) => run(archives, self.optsWithGlobals()));
}

function rename(value: string, earlier: Rename[] = []): Rename[] {
  const [from, to, ...more] = value.split('=');
  if (from === undefined || to === undefined || from === '' || to === '' || more.length > 0) {
    throw new InvalidArgumentError('It must be two namespaces with = between them.');
  }
  return [...earlier, { from, to }];
}

function whole(value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1 || number > 64)
    throw new InvalidArgumentError('It must be a number from 1 to 64.');
  return number;
}

/** What is loaded, and its size in bytes where that is known. */
interface Input {
  archives: readonly Readable[];
  bytes: number | undefined;
}

async function openInput(paths: readonly string[]): Promise<Input> {
  if (paths.length === 0) {
    if (process.stdin.isTTY === true) {
      throw new BackstayError('InvalidUsage', 'there is no archive on standard input', {
        remedy: 'name its file, or give it one: backstay load … < dump.archive',
      });
    }
    const status = fstatSync(process.stdin.fd);
    return { archives: [process.stdin], bytes: status.isFile() ? status.size : undefined };
  }
  const archives: Readable[] = [];
  let bytes: number | undefined = 0;
  for (const path of paths) {
    try {
      const file = await open(path);
      const status = await file.stat();
      bytes = bytes === undefined || !status.isFile() ? undefined : bytes + status.size;
      archives.push(file.createReadStream({ highWaterMark: CHUNK_BYTES }));
    } catch (cause) {
      for (const archive of archives) archive.destroy();
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
      throw new BackstayError('InvalidUsage', `${path} cannot be read (${code})`, { cause });
    }
  }
  return { archives, bytes };
}

async function run(paths: readonly string[], options: LoadCommandOptions): Promise<void> {
  const endpoint = await endpointOf(options);
  const { archives, bytes: inAll } = await openInput(paths);
  const terminal = new Terminal(options.logLevel);
  await interruptible(async (signal) => {
    const client = await openClient(endpoint, { signal, appName: loaderName() });
    let last: LoadProgress | undefined;
    try {
      const result = await loadArchives(client, archives, {
        ...loadOptions(options),
        signal,
        onProgress: (state) => {
          last = state;
          terminal.progress({
            ...state,
            share: inAll === undefined ? undefined : { done: state.read, inAll },
          });
        },
      });
      report(result, terminal);
    } catch (error) {
      if (last !== undefined && last.restored + last.failed > 0 && errorCode(error) !== 'RestoreIncomplete') {
        terminal.say('warn', `restored ${last.restored}, failed ${last.failed} until then`);
      }
      throw error;
    } finally {
      terminal.clear();
      await client.close();
      // a pipe that is still being written to would keep the process
      for (const archive of archives) archive.destroy();
    }
  });
}

function loadOptions(options: LoadCommandOptions): LoadOptions {
  const include = [...(options.db ?? []).map((db) => `${db}.*`), ...(options.include ?? [])];
  const { exclude = [], rename: renames = [] } = options;
  const existing: Existing = options.drop === true ? 'drop' : options.merge === true ? 'merge' : 'refuse';
  const whole = include.length === 0 && exclude.length === 0;
  return {
    existing,
    namespaces: { include, exclude, rename: renames },
    usersAndRoles: options.users ?? whole,
    oplogReplay: options.oplog,
    workers: options.workers,
    keepOrder: options.anyOrder !== true,
  };
}

function report(result: LoadResult, terminal: Terminal): void {
  const { namespaces, documents, bytes, failed, indexes, users, roles, kept, notices, oplog } = result;
  for (const notice of notices) terminal.say('warn', notice);
  for (const name of kept)
    terminal.say('warn', `${name} is there already, or used by this load, and was left as it is`);
  const authorization = users + roles === 0 ? '' : `, ${counted(users, 'user')}, ${counted(roles, 'role')}`;
  const replayed = oplog === undefined ? '' : `, ${counted(oplog.applied, 'operation')} of the oplog`;
  terminal.say(
    'info',
    `loaded ${counted(namespaces.length, 'namespace')} with ${counted(documents - failed, 'document')}, ` +
      `${counted(indexes, 'index')}${authorization}${replayed}: ${size(bytes)} in ${terminal.seconds.toFixed(1)} s, ${terminal.rate(bytes)}`,
  );
  if (failed === 0) return;
  const worst = namespaces
    .filter((namespace) => namespace.failed > 0)
    .map(({ name, failed: number }) => `${name} (${number})`);
  throw new BackstayError(
    'RestoreIncomplete',
    `restored ${documents - failed}, failed ${failed}: they were there already, ${worst.slice(0, 5).join(', ')}`,
    {
      remedy: 'load with --drop, or into other namespaces',
    },
  );
}
