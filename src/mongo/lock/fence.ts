import type { Document, MongoClient } from 'mongodb';

/** The command was not sent: the connection that it would have gone through is a new one. */
export class BehindFence extends Error {
  override get name(): string {
    return 'BehindFence';
  }
}

/**
 * Runs commands through the connections that are there when it is called, and no other: a server that has restarted since can only be
 * reached through a new one. So a command that is meant for one process of a server, of which nothing else in it tells, reaches no other.
 *
 * @returns runs one command at a time; it throws BehindFence when none of the connections is left
 */
export function fence(client: MongoClient): (command: Document) => Promise<Document> {
  const later = new Set<unknown>();
  client.on('connectionCreated', ({ connectionId }) => later.add(connectionId));
  return async (command) => {
    const stop = new AbortController();
    // The driver looks at the signal before it writes, and this event comes before that; later the signal stays as it is.
    const look = ({ connectionId }: { connectionId: unknown }): void => {
      if (later.has(connectionId)) stop.abort(new BehindFence('the connection is new'));
    };
    client.once('connectionCheckedOut', look);
    try {
      return await client.db('admin').command(command, { signal: stop.signal });
    } catch (error) {
      throw stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      client.off('connectionCheckedOut', look);
    }
  };
}
