import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { Agent } from 'node:https';
import { connect } from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import type { Client } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import { silent } from '../../src/kube/log.ts';
import { ensureAuthority } from '../../webhook/authority.ts';
import { makeAuthority, makeLeaf, renewalTime, validCertificates } from '../../webhook/certificates.ts';
import { stopGracefully } from '../../webhook/server.ts';
import { ServingCertificate } from '../../webhook/serving-certificate.ts';
import type { Loose } from '../api/objects.ts';
import { SERVICE, send, startTls } from './https.ts';

const test = suite('certificates and the server');
const DAY = 86_400_000;
const start = new Date('2026-11-23T12:00:00Z');
const after = (days: number) => new Date(start.getTime() + days * DAY);
const ref = { namespace: 'backstay-system', name: 'backstay-webhook-ca' };

/** A server of Secrets and webhook configurations, with the conflicts of the real one. */
function fakeServer(configurations: string[] = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration']) {
  const objects = new Map<string, Loose>();
  for (const kind of configurations) {
    const webhooks = [{ name: 'a.webhook.backstay.dev', clientConfig: {} }];
    objects.set(kind, { kind, metadata: { name: 'backstay', uid: kind, resourceVersion: '1' }, webhooks });
  }
  const conflict = () => new KubeError('conflict', { status: 409, reason: 'Conflict' });
  const writes: string[] = [];
  const client = {
    get: async (type: Loose) => structuredClone(objects.get(type.kind)),
    create: async (type: Loose, object: Loose) => {
      if (objects.has(type.kind)) throw conflict();
      writes.push(`create ${type.kind}`);
      objects.set(type.kind, { ...object, metadata: { ...object.metadata, resourceVersion: '1' } });
      return object;
    },
    replace: async (type: Loose, object: Loose) => {
      const { resourceVersion } = objects.get(type.kind).metadata;
      if (object.metadata.resourceVersion !== resourceVersion) throw conflict();
      writes.push(`replace ${type.kind}`);
      objects.set(type.kind, {
        ...object,
        metadata: { ...object.metadata, resourceVersion: `${Number(resourceVersion) + 1}` },
      });
      return object;
    },
    apply: async (type: Loose, object: Loose, { fieldManager, force }: Loose) => {
      assert.equal({ fieldManager, force }, { fieldManager: 'backstay-webhook-ca', force: true });
      assert.equal(Object.keys(object).sort(), ['metadata', 'webhooks']);
      writes.push(`apply ${type.kind}`);
      objects.set(type.kind, { ...objects.get(type.kind), webhooks: object.webhooks });
      return object;
    },
  };
  const bundleOf = (kind: string) =>
    Buffer.from(objects.get(kind)?.webhooks[0].clientConfig.caBundle ?? '', 'base64').toString();
  return { objects, writes, client: client as unknown as Client, bundleOf };
}

function serving(client: Client, now: () => Date): ServingCertificate {
  const names = {
    namespace: 'backstay-system',
    service: 'backstay-webhook',
    secret: ref.name,
    configurations: 'backstay',
  };
  return new ServingCertificate({ client, ...names, log: silent, now, settleMs: 0 });
}

test('the authority is one for a year, the certificate of a server one for a week, signed by it, for the name of the Service', async () => {
  const authority = await makeAuthority(start);
  const leaf = await makeLeaf(authority, [SERVICE], start);
  const [ca, cert] = [new X509Certificate(authority.cert), new X509Certificate(leaf.cert)];
  assert.ok(ca.ca);
  assert.not.ok(cert.ca);
  assert.ok(cert.verify(ca.publicKey));
  assert.ok(cert.checkIssued(ca));
  assert.is(cert.checkHost(SERVICE), SERVICE);
  assert.is(cert.validTo, 'Nov 30 12:00:00 2026 GMT');
  assert.is(ca.validTo, 'Nov 23 12:00:00 2027 GMT');
  assert.ok(new Date(cert.validFrom) < start, 'clocks that are a little behind take it too');
});

test('the certificate of a server does not outlive its authority', async () => {
  const authority = await makeAuthority(start);
  const leaf = await makeLeaf(authority, [SERVICE], after(362));
  assert.is(leaf.notAfter.getTime(), after(365).getTime());
});

test('it is time for the next one when two thirds of a life are over', () => {
  assert.equal(renewalTime({ notBefore: start, notAfter: after(3) }), after(2));
});

test('whoever comes first makes the authority, and the others read it', async () => {
  const { client, writes } = fakeServer();
  const found = await Promise.all([1, 2, 3].map(() => ensureAuthority(client, ref, { now: start })));
  assert.equal(writes, ['create Secret']);
  assert.is(new Set(found.map(({ pair }) => pair.cert.trim())).size, 1);
});

test('a new authority takes its turn in time, and the old one is trusted until it expires', async () => {
  const { client, writes } = fakeServer();
  const first = await ensureAuthority(client, ref, { now: start });
  const same = await ensureAuthority(client, ref, { now: after(200) });
  assert.is(same.pair.cert.trim(), first.pair.cert.trim());
  const [second] = await Promise.all([1, 2].map(() => ensureAuthority(client, ref, { now: after(300) })));
  assert.ok(second);
  assert.is.not(second.pair.cert.trim(), first.pair.cert.trim());
  assert.equal(writes, ['create Secret', 'replace Secret']);
  assert.equal(validCertificates(second.bundle, after(300)), [second.pair.cert.trim(), first.pair.cert.trim()]);
  const later = await ensureAuthority(client, ref, { now: after(400) });
  assert.equal(validCertificates(later.bundle, after(400)), [second.pair.cert.trim()]);
});

test('a Secret that holds something else is named, and what to do about it', async () => {
  const { client, objects } = fakeServer();
  objects.set('Secret', { kind: 'Secret', metadata: { ...ref, resourceVersion: '1' }, data: { 'tls.crt': 'eHg=' } });
  await ensureAuthority(client, ref, { now: start }).then(
    () => assert.unreachable(),
    (error: unknown) => {
      assert.instance(error, BackstayError);
      assert.match((error as Error).message, 'Secret backstay-system/backstay-webhook-ca');
    },
  );
});

test('both configurations trust an authority before a certificate of it is served', async () => {
  const { client, writes, bundleOf } = fakeServer();
  const leaf = await serving(client, () => start).refresh();
  assert.ok(leaf);
  assert.equal(writes, ['create Secret', 'apply MutatingWebhookConfiguration', 'apply ValidatingWebhookConfiguration']);
  for (const kind of ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration']) {
    const ca = new X509Certificate(bundleOf(kind));
    assert.ok(new X509Certificate(leaf.cert).checkIssued(ca));
  }
});

test('a look at what is in order writes nothing, and what somebody changed is put right', async () => {
  const { client, writes, objects, bundleOf } = fakeServer();
  const certificate = serving(client, () => start);
  await certificate.refresh();
  const bundle = bundleOf('ValidatingWebhookConfiguration');
  writes.length = 0;
  assert.is(await certificate.refresh(), undefined);
  assert.equal(writes, []);
  objects.get('ValidatingWebhookConfiguration').webhooks[0].clientConfig = {};
  assert.is(await certificate.refresh(), undefined);
  assert.equal(writes, ['apply ValidatingWebhookConfiguration']);
  assert.is(bundleOf('ValidatingWebhookConfiguration'), bundle);
});

test('a configuration that does not exist yet is no reason to wait, and is not made', async () => {
  const { client, writes } = fakeServer([]);
  assert.ok(await serving(client, () => start).refresh());
  assert.equal(writes, ['create Secret']);
});

test('a replica makes its next certificate after two thirds of a week, and at once for a new authority', async () => {
  const { client } = fakeServer();
  let now = start;
  const certificate = serving(client, () => now);
  const first = await certificate.refresh();
  now = after(4);
  assert.is(await certificate.refresh(), undefined);
  now = after(5);
  const second = await certificate.refresh();
  assert.is.not(second?.cert, first?.cert);
  await ensureAuthority(client, ref, { now: after(300) });
  now = after(5.1);
  assert.ok(await certificate.refresh(), 'the authority has changed');
});

test('the first certificate is tried for until the API server answers', async () => {
  const { client } = fakeServer();
  let calls = 0;
  const flaky: Client = Object.assign(Object.create(client), {
    get: async (type: Loose, at: Loose) => {
      calls += 1;
      if (calls === 1) throw new KubeError('no answer', { status: 0, reason: 'Unreachable' });
      return await client.get(type, at);
    },
  });
  assert.ok(await serving(flaky, () => start).first(new AbortController().signal));
});

test('a new certificate is served to new connections while those that are open go on', async () => {
  await using tls = await startTls((_, response) => response.end('ok'));
  assert.is((await tls.send('GET', '/')).text, 'ok');
  const authority = await makeAuthority(new Date());
  tls.server.setSecureContext(await makeLeaf(authority, [SERVICE], new Date()));
  assert.is((await tls.send('GET', '/')).text, 'ok');
  const fresh = new Agent({ ca: authority.cert, servername: SERVICE });
  assert.is((await send(fresh, tls.port, 'GET', '/')).text, 'ok');
  fresh.destroy();
});

test('a certificate that does not fit its key is refused and the old one stays', async () => {
  await using tls = await startTls((_, response) => response.end('ok'));
  const [one, other] = [
    await makeLeaf(tls.authority, [SERVICE], new Date()),
    await makeLeaf(tls.authority, [SERVICE], new Date()),
  ];
  assert.throws(() => tls.server.setSecureContext({ cert: one.cert, key: other.key }));
  assert.is((await tls.send('GET', '/')).text, 'ok');
});

test('the server keeps idle connections longer than the API server does', async () => {
  await using tls = await startTls((_, response) => response.end('ok'));
  assert.ok(tls.server.keepAliveTimeout > 90_000);
  assert.ok(tls.server.headersTimeout > tls.server.keepAliveTimeout);
});

test('a stop answers what is under way, takes no new connection, and closes idle ones', async () => {
  const entered = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  await using tls = await startTls(async (request, response) => {
    if (request.url === '/slow') {
      entered.resolve();
      await release.promise;
    }
    response.end('done');
  });
  await tls.send('GET', '/');
  const slow = tls.send('GET', '/slow');
  await entered.promise;
  const stopped = stopGracefully(tls.server, { drainMs: 0, graceMs: 10_000 });
  while (tls.server.listening) await new Promise((resolve) => setImmediate(resolve));
  release.resolve();
  assert.is((await slow).text, 'done');
  await stopped;
  const fresh = new Agent({ ca: tls.authority.cert, servername: SERVICE });
  await send(fresh, tls.port, 'GET', '/').then(
    () => assert.unreachable(),
    (error: NodeJS.ErrnoException) => assert.is(error.code, 'ECONNREFUSED'),
  );
});

test('a connection that nobody has sent a request on does not hold a stop', async () => {
  await using tls = await startTls((_, response) => response.end('ok'));
  const known = once(tls.server, 'secureConnection');
  const socket = connect({ host: '127.0.0.1', port: tls.port, ca: tls.authority.cert, servername: SERVICE });
  const closed = once(socket, 'close');
  await known;
  const late = setTimeout(() => socket.destroy(new Error('the stop waits for it')), 5000);
  await stopGracefully(tls.server, { drainMs: 0, graceMs: 10_000 });
  await closed;
  clearTimeout(late);
});

test('a request that never ends does not hold a stop for longer than its grace', async () => {
  const entered = Promise.withResolvers<void>();
  await using tls = await startTls(() => entered.resolve());
  const hanging = tls.send('GET', '/').then(
    () => 'answered',
    () => 'cut',
  );
  await entered.promise;
  await stopGracefully(tls.server, { drainMs: 0, graceMs: 20 });
  assert.is(await hanging, 'cut');
});

test.run();
