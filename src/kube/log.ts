/**
 * What this library logs through: the part of pino's logger that it calls, so that a test or the command can pass something smaller.
 */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Says nothing. */
export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
