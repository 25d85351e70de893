// Commit statuses: what each git server is sent, what its answers mean, and that nobody is told twice or waits for it.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { describeError } from '../../src/api/errors.ts';
import type { PolicySync, PolicySyncCommitStatus } from '../../src/api/generated/types.ts';
import { validateSchema } from '../../src/api/validation.ts';
import { type Provider, statusAPI } from '../../src/gitops/commit-status/api.ts';
import { deliver } from '../../src/gitops/commit-status/deliver.ts';
import { type Delivery, withDelivery } from '../../src/gitops/commit-status/delivery.ts';
import { StatusError } from '../../src/gitops/commit-status/refusal.ts';
import { contextOf, isNews, type Report, reportOf, reportStart } from '../../src/gitops/commit-status/report.ts';
import { CommitStatusReporter } from '../../src/gitops/commit-status/reporter.ts';
import { statusRequest } from '../../src/gitops/commit-status/request.ts';
import { type SendLimits, sendStatus } from '../../src/gitops/commit-status/send.ts';
import { parseRepositoryURL } from '../../src/gitops/source/url.ts';
import type { Outcome } from '../../src/gitops/status.ts';
import type { Client } from '../../src/kube/client.ts';
import { makeAuthority } from '../lab/certs.ts';
import { until } from '../lab/process.ts';

/** What the server is asked, and how it is to answer: with a status, with silence, or by breaking off. */
interface Context {
  server: Server;
  origin: string;
  asked: { path: string; headers: IncomingMessage['headers']; body: Record<string, unknown> }[];
  /** Answers one after the other; what each API says to a status that it takes after the last of them. */
  answers: (Answer | 'silence' | 'break')[];
  stop: AbortController;
}
interface Answer {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

const test = suite<Context>('commit-status');
const OID = 'a'.repeat(40);
const REVISION = `main@sha1:${OID}`;
const TOKEN = 's3cret-token';
const PROVIDERS: readonly Provider[] = ['GitHub', 'GitLab', 'Gitea'];
const LIMITS: SendLimits = { tryMs: 300, tries: 3, waitMs: 5, longestWaitMs: 50 };

test.before.each(async (context) => {
  context.asked = [];
  context.answers = [];
  context.stop = new AbortController();
  context.server = createServer((request, response) => void answer(context, request, response));
  await new Promise<void>((resolve) => context.server.listen(0, '127.0.0.1', resolve));
  context.origin = `http://127.0.0.1:${(context.server.address() as AddressInfo).port}`;
});
test.after.each(async ({ server, stop }) => {
  stop.abort();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function answer(context: Context, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = '';
  for await (const part of request) body += part;
  context.asked.push({ path: request.url ?? '', headers: request.headers, body: JSON.parse(body) });
  const next = context.answers.shift() ?? { status: 201, body: '{"id":1}' };
  if (next === 'silence') return;
  if (next === 'break') return void request.socket.destroy();
  response.writeHead(next.status, { 'content-type': 'application/json', ...next.headers }).end(next.body ?? '{}');
}

const policySync = (context: Pick<Context, 'origin'>, change: Partial<PolicySyncCommitStatus> = {}): PolicySync => ({
  apiVersion: 'backstay.dev/v1alpha1',
  kind: 'PolicySync',
  metadata: { name: 'policies', namespace: 'shop', uid: '0a1b2c3d-0000-0000-0000-000000000000', generation: 1 },
  spec: {
    url: `${context.origin}/platform/policies.git`,
    commitStatus: { provider: 'Gitea', secretRef: { name: 'status' }, ...change },
  },
});
const applied: Outcome = {
  kind: 'applied',
  revision: REVISION,
  inventory: [],
  objects: 1,
  changes: [{ id: 'x', action: 'created', object: 'RetentionPolicy/shop/daily' }],
  notes: [],
};
const failed = (
  code: string,
  message: string,
  change: Partial<Extract<Outcome, { kind: 'failed' }>> = {},
): Outcome => ({
  kind: 'failed',
  code,
  message,
  revision: REVISION,
  inventory: undefined,
  failures: [],
  changes: [],
  ...change,
});
const report = (change: Partial<Report> = {}): Report => ({
  commit: OID,
  ref: 'main',
  state: 'Success',
  reason: undefined,
  description: 'Applied: nothing to change',
  context: 'backups',
  ...change,
});
const secrets = (data: Record<string, string> | undefined): Pick<Client, 'get'> => ({
  get: async () => {
    const encoded = Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
    return (data === undefined ? undefined : { data: Object.fromEntries(encoded) }) as never;
  },
});

async function refused(promise: Promise<unknown>): Promise<StatusError> {
  try {
    await promise;
  } catch (error) {
    assert.instance(error, StatusError);
    return error as StatusError;
  }
  throw new Error('nothing was refused');
}

function send(context: Context, provider: Provider): Promise<void> {
  const api = { provider, base: context.origin, repository: 'platform/policies' };
  const request = statusRequest(api, report(), TOKEN);
  return sendStatus(request, { provider, token: TOKEN, limits: LIMITS }, context.stop.signal);
}

const addresses: readonly [provider: Provider, url: string, apiURL: string | undefined, address: string][] = [
  ['GitHub', 'https://github.com/o/r.git', undefined, 'https://api.github.com o/r'],
  ['GitHub', 'ssh://git@github.com/o/r.git', undefined, 'https://api.github.com o/r'],
  ['GitHub', 'ssh://git@ssh.github.com:443/o/r', undefined, 'https://api.github.com o/r'],
  ['GitHub', 'https://acme.ghe.com/o/r', undefined, 'https://api.acme.ghe.com o/r'],
  ['GitHub', 'https://git.example.com/o/r/', undefined, 'https://git.example.com/api/v3 o/r'],
  ['GitLab', 'https://gitlab.com/g/s/r.git', undefined, 'https://gitlab.com/api/v4 g/s/r'],
  ['GitLab', 'ssh://git@git.example.com:2222/g/r.git', undefined, 'https://git.example.com/api/v4 g/r'],
  ['GitLab', 'https://host/git/g/r.git', 'https://host/git/api/v4/', 'https://host/git/api/v4 g/r'],
  ['Gitea', 'http://git.local:3000/o/r.git', undefined, 'http://git.local:3000/api/v1 o/r'],
  ['Gitea', 'http://git.local:3000/o/r', 'http://git.local:3000/api/v1', 'http://git.local:3000/api/v1 o/r'],
  ['Gitea', 'https://git.local/o/r', 'http://git.local/api/v1', 'InvalidURL'],
  ['Gitea', 'http://git.local:3000/o/r', 'http://git.local:3001/api/v1', 'InvalidURL'],
  ['Gitea', 'https://git.local/o/r', 'file:///etc/passwd', 'InvalidURL'],
  ['Gitea', 'https://git.local/o/r', 'https://me:hunter2@git.local', 'InvalidURL'],
  ['Gitea', 'https://git.local/o/r', 'https://git.local/?a', 'InvalidURL'],
  ['GitHub', 'https://github.com/r', undefined, 'InvalidURL'],
  ['GitHub', 'https://github.com/o/%2e%2e%2fx', undefined, 'InvalidURL'],
  ['GitLab', 'https://gitlab.com/r', undefined, 'InvalidURL'],
];
for (const [provider, url, apiURL, expected] of addresses)
  test(`the API of ${provider} for ${url}${apiURL === undefined ? '' : ` at ${apiURL}`}`, () => {
    const found = (): string => {
      try {
        const { base, repository } = statusAPI(provider, parseRepositoryURL(url), apiURL);
        return `${base} ${repository}`;
      } catch (error) {
        assert.not.match(describeError(error), 'hunter2');
        return (error as StatusError).code;
      }
    };
    assert.is(found(), expected);
  });

test('each server is sent what its API takes, with the token in a header alone', () => {
  const of = (provider: Provider, change: Partial<Report> = {}): [string, Record<string, string>, unknown] => {
    const api = { provider, base: 'https://host/api', repository: 'group/a b' };
    const { url, headers, body } = statusRequest(api, report(change), TOKEN);
    assert.not.match(url + body, TOKEN);
    return [url, { ...headers }, JSON.parse(body)];
  };
  const description = 'Applied: nothing to change';
  const [github, githubHeaders, githubBody] = of('GitHub');
  assert.is(github, `https://host/api/repos/group/a%20b/statuses/${OID}`);
  assert.is(githubHeaders.authorization, `Bearer ${TOKEN}`);
  assert.ok(githubHeaders['user-agent'], 'GitHub answers nobody without a name');
  assert.equal(githubBody, { state: 'success', description, context: 'backups' });
  const [gitlab, gitlabHeaders, gitlabBody] = of('GitLab', { state: 'Failure' });
  assert.is(gitlab, `https://host/api/projects/group%2Fa%20b/statuses/${OID}`);
  assert.is(gitlabHeaders['private-token'], TOKEN);
  assert.equal(gitlabBody, { state: 'failed', description, name: 'backups', ref: 'main' });
  const [gitea, giteaHeaders, giteaBody] = of('Gitea', { state: 'Pending' });
  assert.is(gitea, `https://host/api/repos/group/a%20b/statuses/${OID}`);
  assert.is(giteaHeaders.authorization, `token ${TOKEN}`);
  assert.equal(giteaBody, { state: 'pending', description, context: 'backups' });
});

test('a description is cut to what each server takes, by whole characters', () => {
  for (const [provider, length] of [
    ['GitHub', 140],
    ['GitLab', 255],
    ['Gitea', 255],
  ] as const) {
    const api = { provider, base: 'https://host', repository: 'o/r' };
    const { body } = statusRequest(api, report({ description: '🐘'.repeat(300) }), TOKEN);
    const { description } = JSON.parse(body);
    assert.is([...description].length, length);
    assert.ok(description.isWellFormed());
  }
});

test('a report says what a person who pushed wants to know first', () => {
  const one = policySync({ origin: 'https://host' });
  assert.is(reportOf(one, applied)?.description, 'Applied: Created 1: RetentionPolicy/shop/daily');
  const failures = [
    { file: 'a.yaml', line: 7, object: 'RetentionPolicy/shop/x', field: 'spec.last', message: 'no number' },
    { file: 'b.yaml', message: 'x' },
  ];
  const invalid = reportOf(one, failed('ValidationFailed', `Nothing of it was applied: ${REVISION}: …`, { failures }));
  assert.equal(
    [invalid?.state, invalid?.reason, invalid?.description, invalid?.commit, invalid?.ref],
    ['Failure', 'ValidationFailed', '(and 1 more) a.yaml:7: RetentionPolicy/shop/x: spec.last: no number', OID, 'main'],
  );
  const unsigned = reportOf(one, failed('SignatureMissing', `Commit ${OID} is not signed`));
  assert.equal([unsigned?.state, unsigned?.description], ['Failure', 'Commit aaaaaaaa is not signed']);
  const away = reportOf(one, failed('TimedOut', 'It took too long'));
  assert.equal([away?.state, away?.description], ['Pending', 'Waiting: It took too long']);
  assert.is(reportOf(one, failed('Unreachable', 'x', { revision: undefined })), undefined);
  const bare = reportStart(one, `sha256:${'b'.repeat(64)}`);
  assert.equal([bare?.commit, bare?.ref, bare?.state], ['b'.repeat(64), undefined, 'Pending']);
  assert.is(reportStart(one, `refs/tags/v1@sha1:${OID}`)?.ref, 'v1');
  assert.is(reportStart(one, `refs/pull/1/head@sha1:${OID}`)?.ref, undefined);
});

test('the name of a status is that of one PolicySync in one cluster, and fits', () => {
  const one = policySync({ origin: 'https://host' });
  assert.is(contextOf(one), 'backstay/shop/policies/0a1b2c3d');
  const long = contextOf({ ...one, metadata: { ...one.metadata, name: 'n'.repeat(253) } });
  assert.is(long.length, 255);
  assert.match(long, /\/0a1b2c3d$/);
  assert.is(contextOf(policySync({ origin: 'https://host' }, { context: 'backups' })), 'backups');
});

test('each state of a commit is told once', () => {
  const told = { commit: OID, state: 'Success' as const, context: 'backups' };
  const refusal = { ...told, state: 'Failure' as const, reason: 'ValidationFailed' };
  assert.ok(isNews(report(), undefined));
  assert.not.ok(isNews(report(), told));
  assert.ok(isNews(report({ commit: 'b'.repeat(40) }), told));
  assert.ok(isNews(report({ context: 'other' }), told));
  assert.not.ok(isNews(report({ state: 'Pending' }), told), 'what may pass does not take it back');
  assert.ok(isNews(report({ state: 'Failure', reason: 'ApplyRefused' }), told));
  assert.ok(isNews(report(), refusal));
  assert.not.ok(isNews(report({ state: 'Failure', reason: 'ValidationFailed' }), refusal));
  assert.ok(isNews(report({ state: 'Failure', reason: 'ApplyRefused' }), refusal), 'another cause');
});

const rateReset = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(Math.ceil(Date.now() / 1000) + 3600) };
const refusals: readonly [what: string, provider: Provider, answer: Answer, code: string, remedy: RegExp][] = [
  ['a wrong token', 'GitHub', { status: 401, body: '{"message":"Bad credentials"}' }, 'AuthenticationFailed', /Secret/],
  [
    'a wrong token',
    'GitLab',
    { status: 401, body: '{"message":"401 Unauthorized"}' },
    'AuthenticationFailed',
    /Secret/,
  ],
  [
    'a weak token',
    'GitHub',
    { status: 403, body: '{"message":"Resource not accessible"}' },
    'Forbidden',
    /statuses: write/,
  ],
  ['a weak token', 'GitLab', { status: 403, body: '{"message":"403 Forbidden"}' }, 'Forbidden', /Developer/],
  [
    'a hidden repository',
    'GitHub',
    { status: 404, body: '{"message":"Not Found"}' },
    'RepositoryNotFound',
    /spec\.url/,
  ],
  ['a hidden repository', 'Gitea', { status: 404 }, 'RepositoryNotFound', /write:repository/],
  ['too many', 'GitHub', { status: 403, headers: rateReset, body: '{"message":"limit"}' }, 'RateLimited', /by itself/],
  ['too many', 'GitLab', { status: 429, headers: { 'retry-after': '60' } }, 'RateLimited', /by itself/],
  [
    'a commit it has not',
    'GitHub',
    { status: 422, body: '{"message":"No commit found"}' },
    'StatusRefused',
    /commitStatus/,
  ],
  ['another address', 'Gitea', { status: 307, headers: { location: 'http://[::1]:1/x' } }, 'RedirectRefused', /apiURL/],
];
for (const [what, provider, refusal, code, remedy] of refusals)
  test(`${provider} says ${refusal.status} for ${what}: ${code}, at once and without the token`, async (context) => {
    context.answers = [refusal];
    const error = await refused(send(context, provider));
    assert.is(error.code, code);
    assert.match(error.remedy ?? '', remedy);
    assert.is(context.asked.length, 1);
    assert.not.match(describeError(error), TOKEN);
  });

test('the text of whatever else answers there is not shown, nor a token that the server repeats', async (context) => {
  context.answers = [{ status: 404, body: '<html>admin password: hunter2</html>' }];
  assert.not.match(describeError(await refused(send(context, 'GitHub'))), 'hunter2');
  context.answers = [{ status: 401, body: JSON.stringify({ message: `no such token ${TOKEN}\u001b[2J` }) }];
  const said = describeError(await refused(send(context, 'GitHub')));
  assert.match(said, 'no such token ***');
  assert.not.match(said, '\u001b');
  context.answers = [{ status: 400, body: `{"message":"${'x'.repeat(1 << 20)}"}` }];
  assert.ok(describeError(await refused(send(context, 'GitHub'))).length < 500);
});

test('a server that fails, hangs or asks for a moment is asked again, a few times at most', async (context) => {
  context.answers = [{ status: 502 }, 'break'];
  await send(context, 'Gitea');
  assert.is(context.asked.length, 3);
  context.answers = ['silence', { status: 429, headers: { 'retry-after': '0' } }];
  await send(context, 'GitHub');
  assert.is(context.asked.length, 6);
  context.answers = ['silence', 'silence', 'silence'];
  const hung = await refused(send(context, 'GitHub'));
  assert.equal([hung.code, context.asked.length], ['TimedOut', 9]);
  context.answers = ['break', 'break', 'break'];
  assert.is((await refused(send(context, 'GitHub'))).code, 'Unreachable');
});

test('a state that GitLab has already, because its answer was lost, counts as told', async (context) => {
  const body = '{"message":"Cannot transition status via :enqueue from :pending (Reason(s): …)"}';
  context.answers = ['break', { status: 400, body }];
  await send(context, 'GitLab');
  context.answers = [{ status: 400, body }];
  assert.is((await refused(send(context, 'Gitea'))).code, 'StatusRefused');
});

test('https trusts the authority of the Secret, and nobody else', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'backstay-status-'));
  const authority = await makeAuthority(folder);
  const { certificate: cert, key } = await authority.server('git', ['127.0.0.1']);
  const server = createSecureServer({ cert, key }, (request, response) => void answer(context, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const request = statusRequest({ provider: 'Gitea', base: origin, repository: 'o/r' }, report(), TOKEN);
    const options = { provider: 'Gitea' as const, token: TOKEN, limits: LIMITS };
    const error = await refused(sendStatus(request, options, context.stop.signal));
    assert.equal([error.code, context.asked.length], ['TLSFailed', 0]);
    const certificateAuthority = authority.certificate;
    await sendStatus(request, { ...options, certificateAuthority }, context.stop.signal);
    assert.is(context.asked.length, 1);

    // The one that the repository is read with does for its API on the same host.
    const one = policySync({ origin });
    const client: Pick<Client, 'get'> = {
      get: (type, ref, during) =>
        secrets(ref.name === 'git' ? { 'ca.crt': certificateAuthority } : { token: TOKEN }).get(type, ref, during),
    };
    const withSecret = { ...one, spec: { ...one.spec, secretRef: { name: 'git' } } };
    await deliver(withSecret, report(), { client, limits: LIMITS }, context.stop.signal);
    assert.is(context.asked.length, 2);
    const elsewhere = { ...withSecret, spec: { ...withSecret.spec, url: 'https://localhost/platform/policies.git' } };
    elsewhere.spec.commitStatus = { provider: 'Gitea', apiURL: `${origin}/api/v1`, secretRef: { name: 'status' } };
    await refused(deliver(elsewhere, report(), { client, limits: LIMITS }, context.stop.signal));
    assert.is(context.asked.length, 2);
  } finally {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

function reporterOf(
  context: Context,
  data: Record<string, string> | undefined = { token: `${TOKEN}\n` },
  wake: () => void = () => {},
): { reporter: CommitStatusReporter; woken: string[] } {
  const woken: string[] = [];
  const reporter = new CommitStatusReporter({
    client: secrets(data),
    wake: (key) => {
      woken.push(key);
      wake();
    },
    signal: context.stop.signal,
    limits: LIMITS,
    backoff: { baseMs: 20, maxMs: 20 },
  });
  return { reporter, woken };
}
const states = ({ asked }: Context): unknown[] => asked.map(({ body }) => body.state);

for (const provider of PROVIDERS)
  test(`${provider} is told once that a commit is applied, however often it is reconciled`, async (context) => {
    const { reporter, woken } = reporterOf(context);
    const one = policySync(context, { provider, apiURL: context.origin });
    const uid = one.metadata.uid ?? '';
    reporter.report('shop/policies', one, reportStart(one, REVISION));
    await until('it knows that it began', async () => reporter.delivery(uid).told?.state === 'Pending');
    for (let times = 0; times < 5; times += 1) reporter.report('shop/policies', one, reportOf(one, applied));
    await until('it knows how it ended', async () => reporter.delivery(uid).told?.state === 'Success');
    reporter.report('shop/policies', one, reportOf(one, { ...applied, changes: [] }));
    assert.equal(states(context), ['pending', 'success']);
    assert.equal(woken, ['shop/policies']);
    // Another process, which knows only what the status says.
    const after = { ...one, status: withDelivery(one, {}, reporter.delivery(uid), new Date()) };
    const { reporter: next } = reporterOf(context);
    next.report('shop/policies', after, reportOf(after, applied));
    assert.is(next.delivery(uid).told, undefined);
    assert.is(context.asked.length, 2);
  });

test('the beginning is not told any more when the end is known, and a report never waits for the server', async (context) => {
  const { reporter } = reporterOf(context);
  const one = policySync(context);
  reporter.report('k', one, reportStart(one, REVISION));
  reporter.report('k', one, reportOf(one, applied));
  assert.is(context.asked.length, 0, 'it returned before anything was sent');
  await until('it is told', async () => reporter.delivery(one.metadata.uid ?? '').told?.state === 'Success');
  assert.is(states(context).at(-1), 'success');
});

test('what cannot be told is on record, is tried again, and then all is well', async (context) => {
  const seen: (string | undefined)[] = [];
  const { reporter } = reporterOf(context, undefined, () => {
    seen.push(reporter.delivery(uid).failure?.code);
  });
  const one = policySync(context);
  const uid = one.metadata.uid ?? '';
  context.answers = [{ status: 401, body: '{"message":"no"}' }];
  reporter.report('shop/policies', one, reportOf(one, applied));
  await until('it succeeds', async () => reporter.delivery(uid).told?.state === 'Success');
  assert.equal(seen, ['AuthenticationFailed', undefined]);
});

test('a server that asked for an hour is left alone by new commits too, until a person asks', async (context) => {
  const { reporter, woken } = reporterOf(context);
  const one = policySync(context);
  context.answers = [{ status: 429, headers: { 'retry-after': '3600' } }];
  reporter.report('k', one, reportOf(one, applied));
  await until('it failed', async () => woken.length === 1);
  const other = reportOf(one, { ...applied, revision: `main@sha1:${'b'.repeat(40)}` });
  reporter.report('k', one, other);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.is(context.asked.length, 1);
  reporter.report('k', one, other, true);
  await until('it is told', async () => reporter.delivery(one.metadata.uid ?? '').told?.commit === 'b'.repeat(40));
  assert.is(context.asked.length, 2, 'and the commit between is not');
});

test('a Secret that is missing, or has no token, or a broken one, is named', async (context) => {
  for (const [data, code] of [
    [undefined, 'SecretNotFound'],
    [{}, 'SecretKeyMissing'],
    [{ token: 'a\nb: c' }, 'SecretInvalid'],
  ] as const) {
    const reporter = new CommitStatusReporter({ client: secrets(data), wake: () => {}, signal: context.stop.signal });
    const one = policySync(context);
    reporter.report('k', one, reportOf(one, applied));
    await until('it failed', async () => reporter.delivery(one.metadata.uid ?? '').failure?.code === code);
    reporter.forget(one.metadata.uid ?? '');
  }
  assert.is(context.asked.length, 0);
});

test('the condition says how it went, keeps quiet while nothing changes, and goes with the option', () => {
  const one = policySync({ origin: 'https://host' });
  const now = new Date('2026-01-01T00:00:00Z');
  const told = { commit: OID, state: 'Success' as const, context: 'backups' };
  const nothing: Delivery = { told: undefined, failure: undefined };
  const empty = {};
  assert.is(withDelivery(one, empty, nothing, now), empty);
  const good = withDelivery(one, {}, { ...nothing, told }, now);
  assert.equal([good.commitStatus, good.conditions?.[0]?.status], [told, 'True']);
  assert.is(withDelivery(one, good, { ...nothing, told }, new Date()), good);
  const bad = withDelivery(one, good, { told, failure: { code: 'Forbidden', message: 'x; y' } }, now);
  const [condition] = bad.conditions ?? [];
  assert.equal([condition?.status, condition?.reason, condition?.message], ['False', 'Forbidden', 'x; y']);
  assert.equal(bad.commitStatus, told);
  assert.equal(validateSchema('PolicySync', { ...one, status: bad }).causes, []);
  const { commitStatus: _off, ...spec } = one.spec;
  assert.equal(withDelivery({ ...one, spec }, bad, nothing, now), { conditions: [] });
});

test.run();
