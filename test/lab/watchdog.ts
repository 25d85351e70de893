/**
 * The process that outlives a lab's owner: it takes a free number and a folder, tells them on standard output, holds the number, and gives
 * everything back when the owner says so or is gone. The owner is known to be gone, even by kill -9, because the pipe to standard input
 * ends. Every lab ends through here, so cleaning up after a crash is the same code as cleaning up after a test.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exclusive, listenOn } from '../../scripts/tools/cache.ts';
import { reap } from './reap.ts';
import { startTime } from './record.ts';

/** The numbers that labs choose from; a lab's network is 127.NUMBER.0.0/24. */
const NUMBERS = { first: 1, last: 250 };

const asked = Number(process.argv[2]);
const owner = Number(process.argv[3]);
const { number, lock } = await takeNumber(asked);
const base = process.env.BACKSTAY_LAB_DIR ?? tmpdir();
mkdirSync(base, { recursive: true });
const folder = mkdtempSync(join(base, `backstay-lab-${number}-`));
const identity = {
  number,
  folder,
  owner: { pid: owner, start: startTime(owner) },
  watchdog: { pid: process.pid, start: startTime(process.pid) },
};
writeFileSync(join(folder, 'ground.json'), JSON.stringify(identity));

for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {}); // an owner that is gone reads nothing
process.stdout.write(`${JSON.stringify({ number, folder })}\n`);

await new Promise<void>((resolve) => {
  let kept: NodeJS.Timeout | undefined;
  process.stdin.setEncoding('utf8').on('data', (word: string) => {
    // A lab that is to outlive its owner is ended by a signal, which test/lab/down.ts sends.
    if (word.startsWith('keep')) kept ??= setInterval(() => {}, 1 << 30);
    else resolve();
  });
  process.stdin.once('error', () => {}).once('close', () => kept ?? resolve());
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => resolve());
});
try {
  await reap(folder);
  await lock[Symbol.asyncDispose]();
  process.exit(0);
} catch (error) {
  // The owner may not be there to read it.
  writeFileSync(join(folder, 'left-behind.log'), String(error instanceof Error ? error.stack : error));
  process.stdout.write(`${JSON.stringify({ error: String(error) })}\n`, () => process.exit(1));
}

async function takeNumber(wish: number): Promise<{ number: number; lock: AsyncDisposable }> {
  await using _turn = await exclusive('lab number');
  const candidates =
    wish > 0 ? [wish] : Array.from({ length: NUMBERS.last - NUMBERS.first + 1 }, (_, index) => NUMBERS.first + index);
  for (const candidate of candidates) {
    const held = await listenOn(`\0backstay-lab-${candidate}`);
    if (held === undefined) continue;
    if (await isFree(`127.${candidate}.0.1`)) return { number: candidate, lock: held };
    await held[Symbol.asyncDispose]();
  }
  process.stdout.write(
    `${JSON.stringify({ error: wish > 0 ? `lab number ${wish} is taken` : 'every lab number is taken' })}\n`,
  );
  process.exit(1);
}

/** Whether the API server's port is free there: something else on this machine may have taken it on every address. */
function isFree(address: string): Promise<boolean> {
  const port = process.getuid?.() === 0 ? 443 : 0;
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, address, () => server.close(() => resolve(true)));
  });
}
