/**
 * A mend of the driver (mongodb 7.9, lib/cmap/connection.js, writeCommand): a command that is written to a socket which is destroyed and has
 * not said so yet waits for its event "drain", and no time limit ends that: neither socketTimeoutMS nor serverSelectionTimeoutMS. So
 * whoever asks a server in the moment in which it dies could wait for ever, with the lock of another one in its hands. Here the write ends when
 * the connection does.
 */

import type { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';

/** What is used of the driver's class Connection. */
interface DriverConnection extends EventEmitter {
  closed: boolean;
  /** Why it was closed. */
  error: Error | null;
  writeCommand(...parameters: unknown[]): Promise<void>;
}

const { Connection } = createRequire(import.meta.url)('mongodb/lib/cmap/connection.js') as {
  Connection: { prototype: DriverConnection };
};
const { writeCommand } = Connection.prototype;

Connection.prototype.writeCommand = async function (...parameters) {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const onClose = (): void => reject(this.error ?? new Error('the connection is closed'));
  this.once('close', onClose);
  try {
    await Promise.race([writeCommand.apply(this, parameters), ended]);
  } finally {
    this.off('close', onClose);
  }
};
