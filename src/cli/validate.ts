import { type Command, Option } from 'commander';
import { readFiles } from '../validate/files.ts';
import { FORMATS } from '../validate/formats.ts';
import { countOf } from '../validate/report.ts';
import { validateFiles } from '../validate/validate.ts';

interface ValidateCommandOptions {
  namespace: string;
  complete?: boolean;
  before?: string;
  rules?: string[];
  output: keyof typeof FORMATS;
  strict?: boolean;
}

export function configure(command: Command): void {
  command
    .argument('<path...>', 'files, folders, glob patterns, or - for standard input')
    .option('-n, --namespace <name>', 'namespace of objects that name none', 'default')
    .option('--complete', 'the files are all that there is: warn of references to what they do not hold')
    .option('--before <path>', 'the same files before the change: judge updates and deletions too')
    .option('--rules <path...>', 'BackupPolicyRules that hold besides those among the files')
    .option('--strict', 'fail on warnings as well')
    .addOption(new Option('-o, --output <format>', 'how to report').choices(Object.keys(FORMATS)).default('text'))
    .addHelpText(
      'after',
      `
Judges the objects of Backstay as the admission webhook would, without a cluster. Objects of other kinds are left alone.
The exit code is 0 when all is well, 1 when something is wrong, and 2 when the command line is.

Examples:
  backstay validate policies/
  backstay validate policies/ --rules house-rules/
  kustomize build production | backstay validate --complete -
  backstay validate --output github 'clusters/**/*.yaml'`,
    )
    .action(async (paths: string[], _options: unknown, self: Command) => run(paths, self.optsWithGlobals()));
}

async function run(paths: readonly string[], options: ValidateCommandOptions): Promise<void> {
  const { namespace, complete = false, before, rules, output, strict = false } = options;
  const files = await readFiles(paths, process.stdin);
  const report = validateFiles(files, {
    namespace,
    complete,
    before: before === undefined ? undefined : await readFiles([before], process.stdin),
    rules: rules === undefined ? undefined : await readFiles(rules, process.stdin),
    now: new Date(),
  });
  const color = output === 'text' && process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
  process.stdout.write(FORMATS[output](report, { color }));
  const failed = countOf(report, 'error') > 0 || (strict && countOf(report, 'warning') > 0);
  if (failed) process.exitCode = 1;
}
