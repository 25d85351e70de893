import { type ParseArgsConfig, parseArgs } from 'node:util';
import { BackstayError } from '../src/api/errors.ts';

type Options = NonNullable<ParseArgsConfig['options']>;
type Values<T extends Options> = ReturnType<typeof parseArgs<{ options: T }>>['values'];

/**
 * Reads the options of one of the project's programs. With --help it prints the usage and ends the process.
 *
 * @throws BackstayError InvalidUsage
 */
export function readOptions<const T extends Options>(usage: string, options: T): Values<T> {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(usage);
    process.exit(0);
  }
  try {
    return parseArgs({ args, options }).values as Values<T>;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new BackstayError('InvalidUsage', message, { remedy: 'add --help for help', cause });
  }
}
