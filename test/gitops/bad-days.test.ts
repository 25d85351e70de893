// A git server and an API server on a bad day: what is said meanwhile, and that the next time works without help.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ServiceAccountClients } from '../../src/gitops/service-account.ts';
import type { IssuedToken } from '../../src/kube/client.ts';
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
