/** A process that locks the server whose endpoint comes on standard input, says so, and waits to be killed. */
import { text } from 'node:stream/consumers';
import { lockMember } from '../../src/mongo/lock.ts';

const { endpoint, member } = JSON.parse(await text(process.stdin));
let intent: unknown;
const lock = await lockMember(endpoint, {
  member,
  onIntent: async (written) => {
    intent = written;
  },
});
process.stdout.write(`${JSON.stringify({ written: intent, held: lock.intent })}\n`);
setInterval(() => {}, 60_000);
