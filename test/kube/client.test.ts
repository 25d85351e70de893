// What the client does when the network or the server misbehaves, against a server that does so on command.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Client } from '../../src/kube/client.ts';
import { fixedEndpoint, podEndpoint, remembered, tokenEndpoint } from '../../src/kube/endpoint.ts';
import { HttpClient } from '../../src/kube/http-client.ts';
import {
  answerError,
  isConflict,
  isForbidden,
  isImmutable,
  isNamespaceTerminating,
  KubeError,
  parseRetryAfter,
} from '../../src/kube/kube-error.ts';
import { collectionPath, objectPath, withQuery } from '../../src/kube/paths.ts';
import { compareVersions, keyFor, parseKey } from '../../src/kube/resource.ts';
import { Rest } from '../../src/kube/rest.ts';
import { isTracking, withoutTracking } from '../../src/kube/tracking.ts';
import { readLines } from '../../src/kube/transport.ts';
import { waitUntil } from '../../src/kube/wait.ts';
import { fakeClock } from './fake-clock.ts';
import { FakeServer, refusing, resetting, type Thing, Things } from './fake-server.ts';

let server: FakeServer;
let client: Client;
const first = { namespace: 'shop', name: 'first' };
const thing = (name: string): Thing => ({
  apiVersion: Things.apiVersion,
  kind: Things.kind,
  metadata: { namespace: 'shop', name },
});

async function failure(promise: Promise<unknown>): Promise<KubeError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, KubeError, String(error));
  return error as KubeError;
}

const test = suite('the client');

test.before.each(async () => {
  server = await FakeServer.start();
  server.put('first', 1);
  client = server.client();
});

test.after.each(async () => {
  await server[Symbol.asyncDispose]();
});

test('reads again after a reset, a 503 and a 429', async () => {
  server.next(
    'get',
    resetting,
    refusing(503, 'ServiceUnavailable'),
    refusing(429, 'TooManyRequests', { 'retry-after': '0' }),
  );
  assert.is((await client.get(Things, first))?.spec?.size, 1);
  assert.is(server.count('get'), 4);
});

test('gives up after as many retries as it is told', async () => {
  server.next('get', ...Array.from({ length: 9 }, () => refusing(503, 'ServiceUnavailable')));
  const error = await failure(client.get(Things, first, { retries: 2 }));
  assert.equal([error.status, server.count('get')], [503, 3]);
});

test('does not repeat a refusal that repeating cannot mend', async () => {
  server.next('get', refusing(500, 'InternalError'));
  assert.is((await failure(client.get(Things, first))).status, 500);
  server.next('get', refusing(403, 'Forbidden'));
  assert.ok(isForbidden(await failure(client.get(Things, first))));
  assert.is(server.count('get'), 2);
});

test('repeats a write only if the server did not take it, or if twice is the same as once', async () => {
  server.next('write', resetting);
  const lost = await failure(client.create(Things, thing('new')));
  assert.equal([lost.reason, server.count('write')], ['Unreachable', 1]);
  server.next('write', refusing(429, 'TooManyRequests', { 'retry-after': '0' }));
  await client.create(Things, thing('new'));
  server.next('write', resetting);
  await client.patch(Things, first, { spec: { size: 5 } }, { type: 'merge' });
  assert.is((await client.get(Things, first))?.spec?.size, 5);
  server.next('write', resetting);
  await failure(client.patch(Things, first, [], { type: 'json' }));
});

test('a wait between two tries ends with the signal', async () => {
  server.next('get', refusing(429, 'TooManyRequests', { 'retry-after': '3600' }));
  const stop = new AbortController();
  const reading = client.get(Things, first, { signal: stop.signal });
  while (server.count('get') === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  stop.abort(new Error('stopped'));
  await reading.then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'stopped'),
  );
});

test('an answer that does not come in time is an error that says so', async () => {
  server.next('get', () => {});
  const error = await failure(client.get(Things, first, { timeoutMs: 30, retries: 0 }));
  assert.is(error.reason, 'RequestTimeout');
  assert.match(error.message, /^Cannot get Thing shop\/first: no answer from 127\.0\.0\.1:\d+ within 0\.03 s$/);
});

test('an answer that stops on the way is asked for again', async () => {
  server.next('get', (response) => void response.writeHead(200).write('{"metadata":'));
  assert.is((await client.get(Things, first, { timeoutMs: 50 }))?.spec?.size, 1);
});

test('a server that is not there is named', async () => {
  const nobody = new HttpClient(new Rest(fixedEndpoint({ server: 'http://127.0.0.1:1' }), {}));
  const error = await failure(nobody.get(Things, first, { retries: 0 }));
  assert.match(error.message, /no answer from 127\.0\.0\.1:1 \(connect ECONNREFUSED/);
});

test('reads credentials anew when the server refuses them, and then once more', async () => {
  let issued = 1;
  const endpoint = tokenEndpoint(
    fixedEndpoint({ server: server.url }),
    (refused) => `token-${refused ? ++issued : issued}`,
  );
  server.next('get', refusing(401, 'Unauthorized'));
  const rotating = new HttpClient(new Rest(endpoint, {}));
  await rotating.get(Things, first);
  assert.equal(
    server.requests.map((request) => request.headers.authorization),
    ['Bearer token-1', 'Bearer token-2'],
  );
  server.next('get', refusing(401, 'Unauthorized'), refusing(401, 'Unauthorized'));
  assert.is((await failure(rotating.get(Things, first))).reason, 'Unauthorized');
});

test('another identity shares the server and nothing else', async () => {
  await client.withToken('second').get(Things, first);
  await client.get(Things, first);
  assert.equal(
    server.requests.map((request) => request.headers.authorization),
    ['Bearer second', 'Bearer first'],
  );
});

test('a guard is asked before each attempt of a write, and its refusal is final', async () => {
  let asked = 0;
  const guarded = client.withGuard(() => {
    asked += 1;
    if (asked === 2) throw new Error('not the leader any more');
  });
  server.next('write', refusing(429, 'TooManyRequests', { 'retry-after': '0' }));
  await guarded.delete(Things, first).then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'not the leader any more'),
  );
  assert.is(server.count('write'), 1);
  await guarded.withToken('second').get(Things, first);
  assert.is(asked, 2);
});

test('hands on the warnings of the server', async () => {
  const warnings: string[] = [];
  server.next('write', (response, _request, pass) => {
    response.setHeader('warning', [
      '299 - "the next run is in 3 years"',
      '299 - "a \\"quoted\\" word", 299 - "two in one"',
    ]);
    pass();
  });
  await client.create(Things, thing('warned'), { onWarning: (warning) => warnings.push(warning) });
  assert.equal(warnings, ['the next run is in 3 years', 'a "quoted" word', 'two in one']);
});

test('keeps to its rate', async () => {
  const slow = server.client({ qps: 100, burst: 1 });
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: 6 }, () => slow.get(Things, first)));
  // Timers never fire early: five of six had to wait for a token, the last one for 50 ms.
  assert.ok(performance.now() - startedAt >= 45);
});

test('counts every attempt', async () => {
  const seen: string[] = [];
  const counting = server.client({ onResponse: ({ method, status }) => seen.push(`${method} ${status}`) });
  server.next('get', resetting, refusing(503, 'ServiceUnavailable'));
  await counting.get(Things, first);
  assert.equal(seen, ['GET 0', 'GET 503', 'GET 200']);
});

test('an answer that is not JSON is an error, not a crash', async () => {
  server.next('get', (response) => void response.writeHead(200).end('<html>a proxy</html>'));
  assert.is((await failure(client.get(Things, first))).reason, 'BrokenAnswer');
  server.next('get', (response) => void response.writeHead(502).end('<html>bad gateway</html>'));
  assert.match((await failure(client.get(Things, first))).message, /bad gateway/);
});

test('leaving a watch closes its connection', async () => {
  for await (const event of client.watch(Things, { resourceVersion: '0' })) {
    assert.is(event.type, 'ADDED');
    break;
  }
  while (server.watchers > 0) await new Promise((resolve) => setTimeout(resolve, 2));
});

test('the second page asks for nothing that the server refuses beside a token', async () => {
  for (let i = 0; i < 3; i++) server.put(`more-${i}`);
  await client.listAll(Things, { limit: 2, resourceVersion: '0', labelSelector: 'a=b' });
  const query = server.requests.at(-1)?.url.searchParams;
  assert.equal(
    [query?.get('continue'), query?.get('resourceVersion'), query?.get('labelSelector')],
    ['2', null, 'a=b'],
  );
});

test.run();

const parts = suite('parts of the client');

parts('paths name core and grouped kinds, and escape what names may hold', () => {
  const core = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true };
  const wide = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    plural: 'clusterroles',
    namespaced: false,
  };
  assert.is(objectPath(core, { namespace: 'a', name: 'b' }), '/api/v1/namespaces/a/secrets/b');
  assert.is(
    objectPath(wide, { name: 'system:x/y?z' }),
    '/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Ax%2Fy%3Fz',
  );
  assert.is(objectPath(Things, first, 'status'), '/apis/test.example/v1/namespaces/shop/things/first/status');
  assert.is(collectionPath(Things, undefined), '/apis/test.example/v1/things');
  assert.is(withQuery('/x', { a: 1, b: undefined, c: 'd e' }), '/x?a=1&c=d+e');
});

parts('a name that is missing, or that climbs, is refused', () => {
  for (const ref of [
    { namespace: 'a', name: '' },
    { name: 'x' },
    { namespace: 'a', name: '..' },
    { namespace: '..', name: 'x' },
  ]) {
    assert.throws(
      () => objectPath(Things, ref),
      (error: { code?: string }) => error.code === 'InvalidReference',
    );
  }
});

parts(
  'lines are put together from pieces, in the middle of a character too, and one without an end is refused',
  async () => {
    const bytes = Buffer.from('{"a":"größer"}\n\n{"b":2}\n{"c"');
    const lines: string[] = [];
    const reading = async () => {
      for await (const line of readLines(
        Readable.from(
          [...bytes].map((byte) => Buffer.from([byte])),
          { objectMode: false },
        ),
      ))
        lines.push(line);
    };
    assert.match(String(await reading().catch((error: unknown) => error)), /in the middle of a line/);
    assert.equal(lines, ['{"a":"größer"}', '{"b":2}']);
  },
);

parts('keys go both ways', () => {
  assert.equal(parseKey(keyFor('shop', 'x')), { namespace: 'shop', name: 'x' });
  assert.equal(parseKey(keyFor(undefined, 'x')), { name: 'x' });
});

parts('resource versions compare as numbers, however long, or not at all', () => {
  assert.ok((compareVersions('99', '100') ?? 0) < 0);
  assert.ok((compareVersions('90071992547409931', '90071992547409930') ?? 0) > 0);
  assert.is(compareVersions('5', '5'), 0);
  assert.is(compareVersions('abc', '5'), undefined);
  assert.is(compareVersions(undefined, '5'), undefined);
});

parts('Retry-After comes in seconds or as a date', () => {
  assert.is(parseRetryAfter('7'), 7);
  assert.is(parseRetryAfter('Thu, 01 Jan 2026 00:00:09 GMT', Date.UTC(2026, 0, 1)), 9);
  assert.is(parseRetryAfter('soon'), undefined);
  assert.is(parseRetryAfter(undefined), undefined);
});

parts('a refusal is told field by field, without the dump of a Pod template', () => {
  const dump = `Invalid value: {"env":[{"name":"PASSWORD","value":"hunter2"}]}: field is immutable`;
  const status = {
    ...{ kind: 'Status', code: 422, reason: 'Invalid', message: `Job.batch "x" is invalid: spec.template: ${dump}` },
    details: { causes: [{ field: 'spec.template', message: dump, reason: 'FieldValueInvalid' }] },
  };
  const error = answerError({ verb: 'apply', type: Things, ref: first }, 422, JSON.stringify(status));
  assert.is(error.message, 'Cannot apply Thing shop/first: spec.template: Invalid value: field is immutable');
  assert.ok(isImmutable(error));
});

parts('an apply to another incarnation is a conflict, whichever way the server puts it', () => {
  const causes = [
    { field: 'metadata.uid', message: 'Invalid value: "x": field is immutable', reason: 'FieldValueInvalid' },
  ];
  const error = answerError(
    { verb: 'apply' },
    422,
    JSON.stringify({ kind: 'Status', reason: 'Invalid', details: { causes } }),
  );
  assert.equal([isConflict(error), isImmutable(error)], [true, false]);
});

parts('a namespace that is being deleted is recognised', () => {
  const causes = [
    { reason: 'NamespaceTerminating', field: 'metadata.namespace', message: 'namespace shop is being terminated' },
  ];
  const error = answerError(
    { verb: 'create' },
    403,
    JSON.stringify({ kind: 'Status', reason: 'Forbidden', details: { causes } }),
  );
  assert.ok(isNamespaceTerminating(error));
});

parts('in a Pod the service account is used, and its token read again when it is refused', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'service-account-'));
  try {
    const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
    assert.is(await podEndpoint(env, folder), undefined);
    await writeFile(join(folder, 'token'), 'first\n');
    await writeFile(join(folder, 'ca.crt'), 'PEM');
    assert.is(await podEndpoint({}, folder), undefined);
    const endpoint = await podEndpoint(env, folder);
    assert.is(endpoint?.server.href, 'https://[fd00::1]:6443/');
    assert.is((await endpoint?.credentials())?.headers.authorization, 'Bearer first');
  } finally {
    await rm(folder, { recursive: true });
  }
});

parts('credentials that cannot be read again are used on', async () => {
  const before = { headers: { authorization: 'Bearer first' }, tls: {} };
  const credentials = remembered(() => Promise.reject(new Error('the file is being replaced')), before);
  assert.is(await credentials(true), before);
});

parts('labels of Argo CD, Flux, Helm and kubectl stay where they are', () => {
  const labels = {
    team: 'a',
    'app.kubernetes.io/name': 'shop',
    'app.kubernetes.io/instance': 'argo-app',
    'kustomize.toolkit.fluxcd.io/name': 'x',
    'argocd.argoproj.io/tracking-id': 'x',
    'helm.sh/chart': 'x',
    'meta.helm.sh/release-name': 'x',
    'kubectl.kubernetes.io/last-applied-configuration': '{}',
  };
  assert.equal(withoutTracking(labels), { team: 'a', 'app.kubernetes.io/name': 'shop' });
  assert.is(isTracking('nothelm.sh/x'), false);
  assert.equal(withoutTracking(undefined), {});
});

parts('waiting says what it waited for', async () => {
  const clock = fakeClock();
  let looks = 0;
  const waiting = waitUntil('Thing shop/first', () => void looks++, { clock, timeoutSeconds: 5, intervalSeconds: 2 });
  const outcome = waiting.catch((error: Error) => error.message);
  await clock.advance(6000);
  assert.is(await outcome, 'Waited 5 s for Thing shop/first');
  assert.is(looks, 4);
});

parts.run();
