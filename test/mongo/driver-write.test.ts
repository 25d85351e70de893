import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient, MongoNetworkError } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/mongo/driver-write.ts';
import { takeGround } from '../lab/ground.ts';
import { startMongod } from '../lab/mongod.ts';

const test = suite('driver write');

const ground = await takeGround();
const mongod = await startMongod({ on: ground });
const sockets = new Set<Socket>();
const remember = (message: unknown): void => {
  sockets.add((message as { socket: Socket }).socket);
};
subscribe('net.client.socket', remember);

test.after(async () => {
  unsubscribe('net.client.socket', remember);
  await mongod.stop();
  await ground[Symbol.asyncDispose]();
});

test('a command that is written to a connection in the moment in which it ends fails, and the next one is answered', async () => {
  await using client = new MongoClient(mongod.uri(), { monitorCommands: true, socketTimeoutMS: 1000 });
  const admin = client.db('admin');
  await admin.command({ ping: 1 });
  // the socket is destroyed, and its event "close" comes only after the command was written
  client.once('commandStarted', () => {
    for (const socket of sockets) socket.destroy();
  });
  const given = admin.command({ ping: 1 }).catch((error: unknown) => error);
  assert.instance(await Promise.race([given, sleep(5000, 'no answer')]), MongoNetworkError);
  assert.is((await admin.command({ ping: 1 })).ok, 1);
});

test.run();
