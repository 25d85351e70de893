import { type Command, Option } from 'commander';
import { applyDefaults } from '../api/defaults.ts';
import { BackstayError } from '../api/errors.ts';
import { PolicySyncs } from '../api/kinds.ts';
import { type Client, connect } from '../kube/client.ts';
import { FORMATS } from '../plan/formats.ts';
import { type Applier, planFiles } from '../plan/plan.ts';
import { hasChanges, hasFailures } from '../plan/report.ts';
import { BACKSTAY_VERSION } from '../runner/version.ts';
import { readFiles } from '../validate/files.ts';
import { interruptible } from './signals.ts';

interface PlanCommandOptions {
  kubeconfig?: string;
  context?: string;
  namespace: string;
  fieldManager?: string;
  forceConflicts?: boolean;
  policysync?: string;
  selector?: string;
  prune?: boolean;
  output: keyof typeof FORMATS;
  detailedExitcode?: boolean;
}

const EXIT_REFUSED = 1;
const EXIT_CHANGES = 2;
const DEFAULT_MANAGER = 'kubectl';
/** Two requests for each object, and somebody waits for them. */
const RATE = { qps: 200, burst: 400 };

export function configure(command: Command): void {
  command
    .argument('<path...>', 'files, folders, glob patterns, or - for standard input')
    .option('--kubeconfig <file>', 'how to reach the cluster (default: KUBECONFIG)')
    .option('--context <name>', 'a context of the kubeconfig instead of the current one')
    .option('-n, --namespace <name>', 'namespace of objects that name none, and of the PolicySync', 'default')
    .option(
      '--field-manager <name>',
      `who would apply, as for kubectl apply --server-side (default: ${DEFAULT_MANAGER})`,
    )
    .option('--force-conflicts', 'take over fields that others manage')
    .option('--policysync <name>', 'plan what this PolicySync would do if its repository held these files')
    .option('-l, --selector <label>', 'with --prune: policies with this label belong to the set')
    .option('--prune', 'also plan the removal of what the PolicySync or the label has and the files have not')
    .option('--detailed-exitcode', 'exit with 2 when something would change')
    .addOption(new Option('-o, --output <format>', 'how to report').choices(Object.keys(FORMATS)).default('text'))
    .addHelpText(
      'after',
      `
Asks the cluster what applying the files would do, by your rights and with its defaults, webhooks and schedules. Nothing is changed.
The exit code is 0, or 2 with --detailed-exitcode when something would change, and 1 when something would be refused or goes wrong.

Examples:
  backstay plan policies/
  kustomize build production | backstay plan --field-manager kustomize-controller -
  backstay plan --policysync policies -n shop --prune policies/
  backstay plan --prune -l team=shop --detailed-exitcode policies/`,
    )
    .action(async (paths: string[], _options: unknown, self: Command) => run(paths, self.optsWithGlobals()));
}

async function run(paths: readonly string[], options: PlanCommandOptions): Promise<void> {
  const { kubeconfig, context, namespace, output, detailedExitcode } = options;
  refuseContradictions(options);
  const files = await readFiles(paths, process.stdin);
  const client = await connect({ kubeconfig, context, userAgent: `backstay-cli/${BACKSTAY_VERSION}`, ...RATE });
  const report = await interruptible(async (signal) =>
    planFiles(files, { client, applier: await applierOf(client, options, signal), namespace, now: new Date(), signal }),
  );
  const color = output === 'text' && process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
  process.stdout.write(FORMATS[output](report, { color }));
  if (hasFailures(report)) process.exitCode = EXIT_REFUSED;
  else if (detailedExitcode === true && hasChanges(report)) process.exitCode = EXIT_CHANGES;
}

function refuseContradictions({ policysync, selector, prune, fieldManager, forceConflicts }: PlanCommandOptions): void {
  const refuse = (message: string, remedy: string): never => {
    throw new BackstayError('InvalidUsage', message, { remedy });
  };
  if (policysync !== undefined && (selector ?? fieldManager ?? forceConflicts) !== undefined)
    refuse(
      '--policysync says all by itself who applies what',
      'leave out --selector, --field-manager and --force-conflicts',
    );
  if (prune === true && policysync === undefined && selector === undefined)
    refuse('--prune needs to know what belongs to the set', 'add --policysync <name>, or --selector <label>');
  if (selector !== undefined && prune !== true) refuse('--selector is of no use without --prune', 'add --prune');
}

async function applierOf(client: Client, options: PlanCommandOptions, signal: AbortSignal): Promise<Applier> {
  const { policysync: name, namespace, fieldManager = DEFAULT_MANAGER, forceConflicts, selector, prune } = options;
  if (name === undefined) return { kind: 'person', fieldManager, force: forceConflicts === true, selector };
  const policySync = await client.get(PolicySyncs, { namespace, name }, { signal });
  if (policySync === undefined)
    throw new BackstayError('NotFound', `PolicySync ${namespace}/${name} does not exist`, {
      remedy: 'give its namespace with --namespace',
    });
  return { kind: 'PolicySync', policySync: applyDefaults('PolicySync', policySync), prune: prune === true };
}
