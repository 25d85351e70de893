import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import { silent } from '../../src/kube/log.ts';
import type { BackupStream } from '../../src/restic/stream.ts';
import { Fan } from '../../src/runner/backup/fan.ts';

const test = suite('the fan of a dump');

interface Fake extends BackupStream {
  received: string;
  aborted: boolean;
}

/** A stream that fails at the write of `failAt`, or never takes it. */
function fake(
  options: {
    failAt?: string;
    stallAt?: string;
    failCompletion?: boolean;
    stallCompletion?: boolean;
    completionEndsByAbort?: boolean;
    trouble?: BackstayError;
  } = {},
): Fake {
  const abortion = Promise.withResolvers<void>();
  const self: Fake = {
    received: '',
    aborted: false,
    bytes: 0,
    processed: 0,
    ended: Promise.resolve(),
    trouble: () => options.trouble,
    async write(chunk) {
      const text = Buffer.from(chunk).toString();
      if (text === options.stallAt) await new Promise(() => {});
      if (text === options.failAt) throw new BackstayError('DiskFull', 'no space left');
      // Another turn of the event loop, as a pipe takes.
      await sleep(0);
      self.received += text;
    },
    async complete() {
      if (options.stallCompletion === true) await new Promise(() => {});
      if (options.completionEndsByAbort === true) {
        await abortion.promise;
        throw new BackstayError('UploadFailed', 'ended without a snapshot');
      }
      if (options.failCompletion === true) throw new BackstayError('BackendUnreachable', 'gone');
      return { snapshotID: 'id', bytesProcessed: self.received.length, bytesAdded: 1 };
    },
    async abort() {
      self.aborted = true;
      abortion.resolve();
    },
  };
  return self;
}

function fanOf(streams: Record<string, Fake>, stallMs = 60_000): Fan {
  const branches = Object.entries(streams).map(([repository, stream]) => ({ repository, stream }));
  return new Fan(branches, { stallMs, log: silent });
}

test('every repository gets every byte in order', async () => {
  const [a, b] = [fake(), fake()];
  const fan = fanOf({ a, b });
  for (const text of ['1', '2', '3']) await fan.write(Buffer.from(text));
  assert.equal([a.received, b.received], ['123', '123']);
  const results = await fan.complete();
  assert.ok(results.every((result) => 'summary' in result && result.summary.bytesProcessed === 3));
});

test('one that fails is cut off without a snapshot, and the others go on', async () => {
  const [a, b] = [fake({ failAt: '2' }), fake()];
  const fan = fanOf({ a, b });
  for (const text of ['1', '2', '3']) await fan.write(Buffer.from(text));
  assert.is(a.aborted, true);
  assert.is(a.received, '1');
  assert.is(b.received, '123');
  const results = await fan.complete();
  const failed = results.find(({ repository }) => repository === 'a');
  assert.ok(failed && 'error' in failed && failed.error instanceof BackstayError && failed.error.code === 'DiskFull');
  assert.ok(results.some((result) => result.repository === 'b' && 'summary' in result));
});

test('one that failed elsewhere while the rest is uploaded failed for that, and not for being ended', async () => {
  const fan = fanOf({ a: fake({ completionEndsByAbort: true }) });
  await fan.write(Buffer.from('1'));
  const completion = fan.complete();
  fan.drop('a', new BackstayError('ResticKilled', 'restic was ended by SIGKILL'));
  const [result] = await completion;
  assert.ok(result && 'error' in result && result.error instanceof BackstayError);
  assert.is(result.error.code, 'ResticKilled');
});

test('one that takes nothing for too long is cut off', async () => {
  const [a, b] = [fake({ stallAt: '2' }), fake()];
  const fan = fanOf({ a, b }, 20);
  for (const text of ['1', '2', '3']) await fan.write(Buffer.from(text));
  assert.is(a.aborted, true);
  assert.is(b.received, '123');
  assert.match(String(fan.failures.get('a')), /took no byte for 0.02 s/);
});

test('what restic struggles with is the reason of a stall, also when only the end of the upload is left', async () => {
  const trouble = new BackstayError('BackendUnreachable', 'connection refused', { remedy: 'check the endpoint' });
  const fan = fanOf({ a: fake({ stallAt: '1', trouble }), b: fake({ stallCompletion: true, trouble }) }, 20);
  await fan.write(Buffer.from('1'));
  const results = await fan.complete();
  for (const result of results) {
    assert.ok('error' in result && result.error instanceof BackstayError);
    assert.is(result.error.code, 'BackendUnreachable');
    assert.match(result.error.message, /took no byte for 0.02 s: connection refused/);
    assert.is(result.error.remedy, 'check the endpoint');
  }
  assert.is(results.length, 2);
});

test('when the last one fails, writing fails with the reason of the first', async () => {
  const fan = fanOf({ a: fake({ failAt: '1' }), b: fake({ stallAt: '2' }) }, 20);
  await fan.write(Buffer.from('1'));
  const error = await fan.write(Buffer.from('2')).catch((reason: unknown) => reason);
  assert.instance(error, BackstayError);
  assert.is((error as BackstayError).code, 'DiskFull');
});

test('one that fails at the very end does not take the others with it', async () => {
  const fan = fanOf({ a: fake({ failCompletion: true }), b: fake() });
  await fan.write(Buffer.from('1'));
  const results = await fan.complete();
  assert.equal(results.map((result) => 'summary' in result).sort(), [false, true]);
});

test('giving up ends every stream that is left', async () => {
  const [a, b] = [fake(), fake()];
  await fanOf({ a, b }).abort();
  assert.equal([a.aborted, b.aborted], [true, true]);
});

test.run();
