import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { applyDefaults } from '../api/defaults.ts';
import { BackstayError } from '../api/errors.ts';
import type { PolicySync } from '../api/generated/types.ts';
import { PolicySyncs } from '../api/kinds.ts';
import { judge } from '../gitops/judge.ts';
import { liveFrom } from '../gitops/live.ts';
import { markOf } from '../gitops/ownership.ts';
import { RevisionReader } from '../gitops/revision-reader.ts';
import { preview } from '../gitops/synchronise.ts';
import { describeFailure } from '../gitops/wording.ts';
import { type Client, connect } from '../kube/client.ts';
import { sleep } from '../kube/clock.ts';
import { BACKSTAY_VERSION } from '../runner/version.ts';
import { interruptible } from './signals.ts';
import { describeSteps, describeSync, table } from './sync/wording.ts';

interface SyncOptions {
  kubeconfig?: string;
  namespace?: string;
  allNamespaces?: boolean;
  wait?: boolean;
  timeout?: string;
}

const DEFAULT_NAMESPACE = 'default';
const POLL_MS = 500;
const DIFF_SECONDS = 120;
/** As diff(1) and kubectl diff: there is a difference. */
const EXIT_DIFFERENT = 1;

export function configure(command: Command): void {
  command
    .option('--kubeconfig <file>', 'how to reach the cluster (default: KUBECONFIG)')
    .option('-n, --namespace <name>', 'namespace of the PolicySync', DEFAULT_NAMESPACE);
  command
    .command('status [name]')
    .description('what is followed, what was applied, and what is wrong')
    .option('-A, --all-namespaces', 'of all namespaces')
    .action(async (name: string | undefined, _: unknown, self: Command) => status(name, self.optsWithGlobals()));
  command
    .command('diff <name>')
    .description('what the next reconciliation would do, by your rights; exit code 1 when there is something')
    .action(async (name: string, _: unknown, self: Command) => diff(name, self.optsWithGlobals()));
  command
    .command('reconcile <name>')
    .description('ask the git server now')
    .option('--wait', 'until it was done; fails when it failed')
    .option('--timeout <seconds>', 'how long to wait', '120')
    .action(async (name: string, _: unknown, self: Command) => reconcile(name, self.optsWithGlobals()));
  command
    .command('suspend <name>')
    .description('leave the cluster as it is, whatever is pushed')
    .action(async (name: string, _: unknown, self: Command) => suspend(name, true, self.optsWithGlobals()));
  command
    .command('resume <name>')
    .description('follow the repository again')
    .action(async (name: string, _: unknown, self: Command) => suspend(name, false, self.optsWithGlobals()));
  command.addHelpText(
    'after',
    '\nExamples:\n  backstay sync status -A\n  backstay sync diff policies -n shop\n  backstay sync reconcile policies -n shop --wait\n',
  );
}

async function status(name: string | undefined, options: SyncOptions): Promise<void> {
  const client = await open(options);
  if (name !== undefined) {
    say(describeSync(await find(client, name, options)));
    return;
  }
  const scope = options.allNamespaces === true ? {} : { namespace: namespaceOf(options) };
  const all = await client.listAll(PolicySyncs, scope);
  say(all.length === 0 ? 'No PolicySyncs found.' : table(all));
}

async function diff(name: string, options: SyncOptions): Promise<void> {
  const client = await open(options);
  const policySync = applyDefaults('PolicySync', await find(client, name, options));
  const folder = await mkdtemp(join(tmpdir(), 'backstay-sync-'));
  try {
    await interruptible(async (signal) => {
      const others = await client.listAll(PolicySyncs, {}, { signal });
      const marks = new Set(
        others.map(({ metadata }) => markOf({ namespace: metadata.namespace ?? '', name: metadata.name ?? '' })),
      );
      const { read, steps } = await preview(
        policySync,
        {
          client,
          reader: new RevisionReader(),
          live: liveFrom(client),
          exists: (mark) => marks.has(mark),
          validate: judge,
          folder,
        },
        AbortSignal.any([signal, AbortSignal.timeout(DIFF_SECONDS * 1000)]),
      );
      if (read.failures.length > 0)
        throw new BackstayError(
          'ValidationFailed',
          `${read.revision} would not be applied:\n${read.failures.map(describeFailure).join('\n')}`,
        );
      const lines = describeSteps(steps);
      say([`${read.revision} (“${read.commit.subject}” by ${read.commit.author})`, ...lines.text].join('\n'));
      if (lines.differs) process.exitCode = EXIT_DIFFERENT;
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function reconcile(name: string, options: SyncOptions): Promise<void> {
  const seconds = Number(options.timeout);
  if (!(seconds > 0)) throw new BackstayError('InvalidUsage', `--timeout ${options.timeout} is no number of seconds`);
  const client = await open(options);
  const request = new Date().toISOString();
  const asked = await patch(client, name, options, {
    metadata: { annotations: { 'backstay.dev/reconcile': request } },
  });
  if (asked.spec.suspend === true)
    throw new BackstayError('Suspended', `PolicySync ${nameOf(asked)} is suspended`, { remedy: 'resume it first' });
  if (options.wait !== true) return say(`PolicySync ${nameOf(asked)} is asked to reconcile.`);

  await interruptible(async (signal) => {
    const giveUp = performance.now() + seconds * 1000;
    for (;;) {
      const current = await find(client, name, options);
      const ready = current.status?.conditions?.find(({ type }) => type === 'Ready');
      if (current.status?.lastHandledReconcileAt === request && ready !== undefined && ready.status !== 'Unknown') {
        if (ready.status === 'True') return say(ready.message);
        throw new BackstayError(ready.reason, ready.message);
      }
      if (performance.now() > giveUp)
        throw new BackstayError('TimedOut', `PolicySync ${nameOf(current)} was not reconciled within ${seconds} s`, {
          remedy: 'look at it with backstay sync status, and at the log of the operator',
        });
      await sleep(POLL_MS, signal);
    }
  });
}

async function suspend(name: string, is: boolean, options: SyncOptions): Promise<void> {
  const changed = await patch(await open(options), name, options, { spec: { suspend: is } });
  say(`PolicySync ${nameOf(changed)} is ${is ? 'suspended' : 'resumed'}.`);
}

function open({ kubeconfig }: SyncOptions): Promise<Client> {
  return connect({ kubeconfig, userAgent: `backstay-cli/${BACKSTAY_VERSION}` });
}

async function find(client: Client, name: string, options: SyncOptions): Promise<PolicySync> {
  const namespace = namespaceOf(options);
  const found = await client.get(PolicySyncs, { namespace, name });
  if (found !== undefined) return found;
  throw new BackstayError('NotFound', `PolicySync ${namespace}/${name} does not exist`, {
    remedy: 'give its namespace with --namespace',
  });
}

async function patch(client: Client, name: string, options: SyncOptions, body: object): Promise<PolicySync> {
  const { metadata } = await find(client, name, options);
  const ref = { namespace: metadata.namespace, name };
  return client.patch(PolicySyncs, ref, body, { type: 'merge', fieldManager: 'backstay-cli' });
}

function namespaceOf({ namespace }: SyncOptions): string {
  return namespace ?? DEFAULT_NAMESPACE;
}

function nameOf({ metadata }: PolicySync): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
