// Calls of git servers after a push: which are taken, and what anybody else can do with the port.
import { createHmac } from 'node:crypto';
import { connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PolicySync } from '../../src/api/generated/types.ts';
import { judgeCall, type Sender } from '../../src/gitops/push/hook.ts';
import { type Receiver, startReceiver } from '../../src/gitops/push/receiver.ts';
import type { Client } from '../../src/kube/client.ts';

interface Context {
  receiver: Receiver;
  hints: string[];
  /** Secrets that were read. */
  reads: number;
}

const TOKEN = 's3cret';
const BODY = Buffer.from('{"ref":"refs/heads/main"}');
const hmac = (body: Uint8Array, token = TOKEN): string => createHmac('sha256', token).update(body).digest('hex');

const SIGNED: Readonly<Record<Sender, Record<string, string>>> = {
  GitHub: { 'x-hub-signature-256': `sha256=${hmac(BODY)}`, 'x-github-event': 'push' },
  GitLab: { 'x-gitlab-token': TOKEN, 'x-gitlab-event': 'Push Hook' },
  Gitea: { 'x-gitea-signature': hmac(BODY), 'x-gitea-event': 'push' },
  Generic: { 'x-signature': `sha256=${hmac(BODY)}` },
};
const SENDERS = Object.keys(SIGNED) as Sender[];

const test = suite<Context>('receiver');

test.before.each(async (context) => {
  context.hints = [];
  context.reads = 0;
  const secrets: Pick<Client, 'get'> = {
    get: async () => {
      context.reads += 1;
      return { data: { token: Buffer.from(`${TOKEN}\n`).toString('base64') } } as never;
    },
  };
  const known: PolicySync = {
    apiVersion: 'backstay.dev/v1alpha1',
    kind: 'PolicySync',
    metadata: { namespace: 'shop', name: 'policies' },
    spec: { url: 'https://git.example.com/x', receiver: { type: 'GitHub', secretRef: { name: 'hook' } } },
  };
  context.receiver = await startReceiver(
    { host: '127.0.0.1', port: 0 },
    {
      client: secrets,
      policySync: (key) => (key === 'shop/policies' ? known : undefined),
      hint: (key) => context.hints.push(key),
    },
  );
});
test.after.each(async ({ receiver }) => {
  await receiver[Symbol.asyncDispose]();
});

async function call(
  { receiver }: Context,
  { path = '/hook/shop/policies', body = BODY, headers = SIGNED.GitHub, method = 'POST' } = {},
): Promise<number> {
  const url = `http://127.0.0.1:${receiver.port}${path}`;
  const init = method === 'POST' ? { method, headers, body } : { method };
  const answer = await fetch(url, init);
  await answer.text();
  return answer.status;
}

test('each sender is known by its own signature, and by no other', () => {
  for (const sender of SENDERS) {
    for (const signer of SENDERS) {
      const { kind } = judgeCall(sender, TOKEN, { headers: SIGNED[signer], body: BODY });
      assert.is(kind, sender === signer ? 'push' : 'refused', `${signer} at ${sender}`);
    }
    const call = { headers: SIGNED[sender], body: BODY };
    assert.is(judgeCall(sender, 'other', call).kind, 'refused');
    assert.is(judgeCall(sender, '', call).kind, 'refused', 'a Secret without a token');
    assert.is(judgeCall(sender, TOKEN, { headers: {}, body: BODY }).kind, 'refused');
    if (sender !== 'GitLab')
      assert.is(judgeCall(sender, TOKEN, { ...call, body: Buffer.from('{}') }).kind, 'refused', 'another body');
  }
});

test('an empty token is no token, even where the sender signs with it', () => {
  const headers = { 'x-hub-signature-256': `sha256=${hmac(BODY, '')}`, 'x-github-event': 'push' };
  assert.is(judgeCall('GitHub', '', { headers, body: BODY }).kind, 'refused');
  assert.is(judgeCall('GitLab', '', { headers: { 'x-gitlab-token': '' }, body: BODY }).kind, 'refused');
});

test('pings and other events are answered, and nothing more', () => {
  const of = (sender: Sender, event: Record<string, string>): string =>
    judgeCall(sender, TOKEN, { headers: { ...SIGNED[sender], ...event }, body: BODY }).kind;
  assert.is(of('GitHub', { 'x-github-event': 'ping' }), 'other');
  assert.is(of('GitHub', { 'x-github-event': 'create' }), 'push');
  assert.is(of('GitLab', { 'x-gitlab-event': 'Issue Hook' }), 'other');
  assert.is(of('GitLab', { 'x-gitlab-event': 'Tag Push Hook' }), 'push');
  assert.is(of('Gitea', { 'x-gitea-event': 'issues' }), 'other');
});

test('a push is a hint for its PolicySync, once', async (context) => {
  assert.is(await call(context), 200);
  assert.equal(context.hints, ['shop/policies']);
  assert.is(await call(context), 200, 'sent again');
  assert.equal(context.hints, ['shop/policies'], 'and not acted upon again');
  const body = Buffer.from('{"ref":"refs/heads/other"}');
  await call(context, { body, headers: { ...SIGNED.GitHub, 'x-hub-signature-256': `sha256=${hmac(body)}` } });
  assert.is(context.hints.length, 2);
});

test('a wrong signature and a PolicySync that is not there get the same answer, and no hint', async (context) => {
  const headers = { 'x-hub-signature-256': 'sha256=00', 'x-github-event': 'push' };
  assert.is(await call(context, { headers }), 401);
  assert.is(await call(context, { path: '/hook/shop/other' }), 401);
  assert.is(await call(context, { path: '/hook/shop' }), 404);
  assert.is(await call(context, { path: '/hook/shop/../../policies' }), 404);
  assert.is(await call(context, { method: 'GET' }), 405);
  assert.equal(context.hints, []);
});

test('a flood is turned away before it costs a Secret or a hint', async (context) => {
  const answers: number[] = [];
  for (let times = 0; times < 40; times += 1)
    answers.push(await call(context, { headers: { 'x-hub-signature-256': 'no', 'x-github-event': 'push' } }));
  assert.ok(answers.filter((status) => status === 429).length >= 15);
  assert.is(context.reads, 1);
});

test('a body that is too large is not taken in, said or not', async (context) => {
  const huge = Buffer.alloc((5 << 20) + 1);
  assert.is(await call(context, { body: huge }).catch(() => 413), 413);
  const socket = connect(context.receiver.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write('POST /hook/shop/policies HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
  const chunk = Buffer.alloc(1 << 20);
  let sent = 0;
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const pump = (error?: Error | null): void => {
    if (error || socket.destroyed || sent > 64) return;
    sent += 1;
    socket.write(Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')]), pump);
  };
  pump();
  socket.resume();
  await closed;
  assert.ok(sent < 64, `${sent} MiB were taken`);
  assert.equal(context.hints, []);
});

test.run();
