import { BackstayError } from '../api/errors.ts';

/**
 * Runs something that the user, or whoever ends the process, can stop: SIGINT and SIGTERM abort the signal, and what runs cleans up
 * after itself before the process ends.
 */
export async function interruptible<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (name: NodeJS.Signals): void => controller.abort(new BackstayError('Interrupted', `stopped by ${name}`));
  process.on('SIGINT', stop).on('SIGTERM', stop);
  try {
    return await run(controller.signal);
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}
