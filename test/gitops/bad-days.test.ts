// A git server on a bad day, and a token that does not come: what is said meanwhile, and that the next time works without help.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PolicySync } from '../../src/api/generated/types.ts';
import { ServiceAccountClients } from '../../src/gitops/service-account.ts';
import { intervalsOf, timedOut } from '../../src/gitops/settings.ts';
import type { IssuedToken } from '../../src/kube/client.ts';
import { systemClock } from '../../src/kube/clock.ts';
import { Deadline } from '../../src/kube/deadline.ts';
import { GitServer, type TestRepository } from './git-server.ts';
import { failureOf, readCommit, texts } from './reading.ts';

interface Context {
  server: GitServer;
  repository: TestRepository;
  folder: string;
}

const test = suite<Context>('bad days');

test.before(async (context) => {
  context.server = await GitServer.start();
  context.repository = context.server.repository('policies');
  context.repository.commit({ 'a.yaml': 'a: 1' });
  context.folder = mkdtempSync(join(tmpdir(), 'backstay-bad-days-'));
});
test.after(async ({ server, folder }) => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

for (const [status, code, says] of [
  [429, 'RateLimited', /too many requests from here.*tried again by itself/s],
  [503, 'Unreachable', /cannot be reached or broke off/],
] as const)
  test(`a git server that answers ${status} is named as ${code}, and is read once it answers again`, async (context) => {
    const { server, repository, folder } = context;
    const options = { url: server.urlOf(repository), folder: join(folder, String(status)) };
    server.intercept = (_request, response) => {
      response.writeHead(status, { 'retry-after': '1' }).end();
      return true;
    };
    const failure = await failureOf(readCommit(options));
    assert.is(failure.code, code, failure.text);
    assert.match(failure.text, says);
    server.intercept = undefined;
    assert.equal(texts(await readCommit(options)), { 'a.yaml': 'a: 1' });
  });

for (const [when, isAsked] of [
  ['before the first byte', (url: string) => url.includes('/info/refs')],
  // The first such request of a fetch lists the branches, the second asks for the pack.
  ['in the middle of a pack', (url: string, posts: number) => url.endsWith('/git-upload-pack') && posts > 1],
] as const)
  test(`a git server that hangs ${when} is given up at the deadline, and is read once it goes on`, async (context) => {
    const { server, repository, folder } = context;
    const options = { url: server.urlOf(repository), folder: join(folder, when) };
    let [hung, posts] = [0, 0];
    server.intercept = ({ url = '' }, response) => {
      if (url.endsWith('/git-upload-pack')) posts += 1;
      if (!isAsked(url, posts)) return false;
      hung += 1;
      // A pack of 2 objects begins, and nothing follows its header; the lines are those of the wire protocol.
      if (url.endsWith('/git-upload-pack')) {
        response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-result' });
        response.write('000dpackfile\n0011\x01PACK\0\0\0\x02\0\0\0\x02');
      }
      return true;
    };
    const intervals = intervalsOf({ spec: { url: options.url, timeout: '1s' } } as PolicySync);
    using deadline = new Deadline(1000, () => timedOut(intervals), new AbortController().signal, systemClock);
    const failure = await failureOf(readCommit({ ...options, signal: deadline.signal }));
    assert.is(failure.code, 'TimedOut', failure.text);
    assert.match(failure.text, /spec\.timeout/);
    assert.ok(hung > 0, 'the server hung at the place that is meant');
    server.intercept = undefined;
    assert.equal(texts(await readCommit(options)), { 'a.yaml': 'a: 1' });
  });

test('a token that does not come is not waited for beyond the deadline, and serves the next who asks', async () => {
  const issued = Promise.withResolvers<IssuedToken>();
  let requests = 0;
  const accounts = new ServiceAccountClients({
    createToken: () => {
      requests += 1;
      return issued.promise;
    },
    withToken: () => {
      throw new Error('no client is asked for here');
    },
  });
  const deadline = new AbortController();
  const first = accounts.check('shop', 'policies', deadline.signal);
  deadline.abort(new Error('spec.timeout is over'));
  assert.match((await failureOf(first)).text, /spec\.timeout is over/);
  const second = accounts.check('shop', 'policies', new AbortController().signal);
  issued.resolve({ token: 't', expirationTimestamp: new Date(Date.now() + 3_600_000).toISOString() });
  await second;
  assert.is(requests, 1);
});

test.run();
