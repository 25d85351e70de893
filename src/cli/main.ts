#!/usr/bin/env node
import { Command, CommanderError, Option } from 'commander';
import { BackstayError, describeError } from '../api/errors.ts';
import { BACKSTAY_VERSION } from '../runner/version.ts';

/** What a command's file exports: it adds options, arguments and the action. */
export interface CommandModule {
  configure(command: Command): void;
}

/**
 * The commands. A command's file is imported when the command line names it: help stays quick, and what runs inside a Job loads no more
 * than it needs.
 */
const COMMANDS: readonly { name: string; summary: string; load: () => Promise<CommandModule> }[] = [
  { name: 'dump', summary: 'write a database as an archive to standard output', load: () => import('./dump.ts') },
  { name: 'load', summary: 'load an archive from standard input into a database', load: () => import('./load.ts') },
  { name: 'validate', summary: 'judge policies without a cluster', load: () => import('./validate.ts') },
  { name: 'plan', summary: 'show what applying policies to a cluster would do', load: () => import('./plan.ts') },
  { name: 'job', summary: 'run inside a Job of the cluster', load: () => import('./job.ts') },
  { name: 'operator', summary: 'run the controllers', load: () => import('./operator.ts') },
  { name: 'sync', summary: 'look at and steer what follows git repositories', load: () => import('./sync.ts') },
  { name: 'webhook', summary: 'answer admission requests', load: () => import('./webhook.ts') },
];

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

/** The code for a wrong command line. With --detailed-exitcode, 2 means something else. */
function exitUsage(args: readonly string[]): number {
  return args.includes('--detailed-exitcode') ? EXIT_FAILURE : EXIT_USAGE;
}

/** Errors that another command line mends. */
const USAGE_CODES = new Set(['InvalidUsage', 'InvalidPattern', 'InvalidURI']);

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'];

async function program(args: readonly string[]): Promise<Command> {
  const root = new Command('backstay')
    .description('GitOps-native backup and restore of MongoDB on Kubernetes')
    .addOption(
      new Option('--log-level <level>', 'how much to say on standard error').choices(LOG_LEVELS).default('info'),
    )
    .version(BACKSTAY_VERSION)
    .showHelpAfterError('(add --help for help)')
    .exitOverride();
  for (const { name, summary, load } of COMMANDS) {
    const command = root.command(name).description(summary).copyInheritedSettings(root);
    if (args.includes(name)) (await load()).configure(command);
  }
  return root;
}

/** Runs a command line. @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  try {
    const root = await program(args);
    if (args.length === 0) {
      root.outputHelp({ error: true });
      return EXIT_USAGE;
    }
    await root.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitUsage(args);
    process.stderr.write(`backstay: ${describeError(error)}\n`);
    return error instanceof BackstayError && USAGE_CODES.has(error.code) ? exitUsage(args) : EXIT_FAILURE;
  }
}

process.exitCode = await main(process.argv.slice(2));
// Everything is done and said. Node's own teardown can spin for ever over a request on a connection that is gone (seen with 24.21, in
// Environment::CleanupHandles), which would keep a Job from ending: leave before it.
process.once('exit', () => process.exit());
// What a failure leaves unwritten on standard output is of no use, and whoever reads it may never do so.
if (process.exitCode !== 0) process.exit();
