import { MongoError, MongoServerError } from 'mongodb';
import { BackstayError, describeError } from '../api/errors.ts';

const UNAUTHORIZED = 13;
const SNAPSHOT_TOO_OLD = 239;
const SNAPSHOT_UNAVAILABLE = 246;

/** The server's number for an error, or undefined when it did not come from a server. */
export function serverErrorCode(error: unknown): number | undefined {
  return error instanceof MongoServerError && typeof error.code === 'number' ? error.code : undefined;
}

/** The server refused a command because the role of the user does not allow it. */
export function isUnauthorized(error: unknown): boolean {
  return serverErrorCode(error) === UNAUTHORIZED;
}

/**
 * Turns what a driver call threw into one of our errors.
 *
 * @param doing what was being done, as it fits behind "cannot": "read the indexes of shop.orders"
 * @param privilege the role or action that the command needs, for the remedy when the server denies it
 */
export function mongoFailure(error: unknown, doing: string, privilege?: string): BackstayError {
  if (error instanceof BackstayError) return error;
  const code = serverErrorCode(error);
  if (code === UNAUTHORIZED) {
    return new BackstayError('MissingPrivilege', `cannot ${doing}: ${describeError(error)}`, {
      remedy: privilege === undefined ? 'grant the user the privilege that is named' : `grant the user ${privilege}`,
      cause: error,
    });
  }
  if (code === SNAPSHOT_TOO_OLD || code === SNAPSHOT_UNAVAILABLE) {
    return new BackstayError(
      'SnapshotTooOld',
      `cannot ${doing}: the server no longer keeps data of that cluster time`,
      {
        remedy: 'use consistency "lock", or raise the server parameter minSnapshotHistoryWindowInSeconds',
        cause: error,
      },
    );
  }
  return new BackstayError('DatabaseError', `cannot ${doing}: ${describeError(error)}`, { cause: error });
}

/**
 * The error that ends a whole operation: the reason of the signal when that was aborted, ours for what the driver threw, and everything
 * else, such as an error of the input, as it is.
 */
export function endingError(error: unknown, doing: string, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true) return abortError(signal);
  return error instanceof MongoError ? mongoFailure(error, doing) : error;
}

/** Throws what the signal was aborted with; the reason of a timeout or of a signal handler is kept as it is. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortError(signal);
}

/** The error of an aborted signal: its reason when that is one of our errors, code `Aborted` otherwise. */
export function abortError(signal: AbortSignal): BackstayError {
  if (signal.reason instanceof BackstayError) return signal.reason;
  return new BackstayError('Aborted', 'the operation was stopped', { cause: signal.reason });
}
