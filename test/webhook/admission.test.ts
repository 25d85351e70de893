import { Registry } from 'prom-client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { applyDefaults } from '../../src/api/defaults.ts';
import type { Lookup } from '../../src/api/rules/rule.ts';
import { silent } from '../../src/kube/log.ts';
import { createApp } from '../../webhook/app.ts';
import { createWebhookMetrics } from '../../webhook/metrics.ts';
import {
  addon,
  configuration,
  type Loose,
  lookupOf,
  namespace,
  repository,
  retention,
  SAMPLES,
  session,
  storage,
} from '../api/objects.ts';
import { type Answer, startTls } from './https.ts';

const test = suite('admission');
const NOW = new Date('2026-11-23T12:00:00Z');
const JSON_TYPE = { 'content-type': 'application/json' };

let lookup: Lookup = lookupOf();
let missing: string[] = [];
let failing = false;
const registry = new Registry();
const logged: string[] = [];
const app = createApp({
  lookup: {
    knows: () => {
      if (failing) throw new Error('a fault of the webhook');
      return true;
    },
    get: (type, namespace, name) => lookup.get(type, namespace, name),
    list: (type, namespace) => lookup.list(type, namespace),
  },
  missing: () => missing,
  metrics: createWebhookMetrics(registry),
  log: { ...silent, error: (_, message) => logged.push(message) },
  now: () => NOW,
});
let server: Awaited<ReturnType<typeof startTls>>;

test.before(async () => {
  server = await startTls(app);
});
test.after(async () => {
  await server[Symbol.asyncDispose]();
});
test.before.each(() => {
  lookup = lookupOf();
  missing = [];
  failing = false;
});

function review(object: Loose, change: object = {}): Loose {
  const kind = object?.kind ?? 'BackupConfiguration';
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      kind: { group: 'backstay.dev', version: 'v1alpha1', kind },
      operation: 'CREATE',
      namespace: 'shop',
      name: object?.metadata?.name,
      object,
      oldObject: null,
      dryRun: false,
      ...change,
    },
  };
}

async function ask(path: string, body: unknown): Promise<Loose> {
  const answer: Answer = await server.send('POST', path, JSON.stringify(body), JSON_TYPE);
  assert.is(answer.status, 200, answer.text);
  return answer.json().response;
}

function patchOf(response: Loose): Loose[] {
  return response.patch === undefined ? [] : JSON.parse(Buffer.from(response.patch, 'base64').toString());
}

/** The object after a patch that only adds (RFC 6902). */
function patched(object: Loose, patch: Loose[]): Loose {
  const copy = structuredClone(object);
  for (const { path, value } of patch) {
    const keys = path
      .split('/')
      .slice(1)
      .map((key: string) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const parent = keys.slice(0, -1).reduce((at: Loose, key: string) => at[key], copy);
    parent[keys.at(-1)] = value;
  }
  return copy;
}

const wrong = () => configuration({ sessions: [session({ scheduler: { schedule: '0 3 * * 7' } }), session()] });

test('a good object is allowed, under the uid of its request', async () => {
  const answer = await server.send('POST', '/validate', JSON.stringify(review(retention())), JSON_TYPE);
  assert.equal(answer.json(), {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { uid: '705ab4f5-6393-11e8-b7cc-42010a800002', allowed: true },
  });
});

test('a wrong object is refused with 422 and every cause by its path', async () => {
  const { allowed, status, uid } = await ask('/validate', review(wrong()));
  assert.is(uid, '705ab4f5-6393-11e8-b7cc-42010a800002');
  assert.is(allowed, false);
  assert.is(status.code, 422);
  assert.is(status.reason, 'Invalid');
  const { name, group, kind, causes } = status.details;
  assert.equal({ name, group, kind }, { name: 'orders', group: 'backstay.dev', kind: 'BackupConfiguration' });
  assert.equal(
    causes.map((cause: Loose) => `${cause.field} ${cause.reason}`),
    ['spec.sessions[1] FieldValueDuplicate', 'spec.sessions[0].scheduler.schedule FieldValueInvalid'],
  );
  for (const cause of causes) assert.ok(status.message.includes(`${cause.field}: ${cause.message}`));
});

test('what is forbidden rather than wrong is refused with 403', async () => {
  lookup = lookupOf(storage({}, 's3', 'vault'), addon());
  const object = configuration({ backends: [{ name: 's3', storageRef: { name: 's3', namespace: 'vault' } }] });
  const { status } = await ask('/validate', review(object));
  assert.is(status.code, 403);
  assert.is(status.reason, 'Forbidden');
  assert.match(status.message, 'BackupStorage vault/s3 does not allow namespace shop');
});

test('at most 20 causes are listed, and how many more there are', async () => {
  const sessions = Array.from({ length: 16 }, (_, index) =>
    session({ name: `s${index}`, scheduler: { schedule: 'never' }, backupTimeout: '0s' }),
  );
  const { status } = await ask('/validate', review(configuration({ sessions })));
  assert.is(status.details.causes.length, 21);
  assert.is(status.details.causes[20].field, '(12 more)');
  assert.match(status.message, /and 12 more$/);
});

test('what does not exist yet is a warning', async () => {
  const { allowed, warnings } = await ask('/validate', review(configuration()));
  assert.ok(allowed);
  assert.ok(warnings.includes('spec.backends[0].storageRef: BackupStorage shop/s3 does not exist yet'));
  for (const warning of warnings) assert.ok(warning.length < 120);
});

test('the namespace is that of the request where the object names none', async () => {
  const object = configuration();
  delete object.metadata.namespace;
  const { warnings } = await ask('/validate', review(object));
  assert.ok(warnings.includes('spec.target: AppBinding shop/orders does not exist yet'));
});

test('an update that leaves a fault as it was is allowed', async () => {
  const object = wrong();
  object.metadata.labels = { a: 'b' };
  for (const path of ['/validate', '/mutate']) {
    const { allowed } = await ask(path, review(object, { operation: 'UPDATE', oldObject: wrong() }));
    assert.ok(allowed, path);
  }
});

test('anything on an object that is being deleted is allowed, without a patch', async () => {
  const object = wrong();
  object.metadata.deletionTimestamp = '2026-11-23T12:00:00Z';
  for (const path of ['/validate', '/mutate']) {
    const response = await ask(path, review(object, { operation: 'UPDATE', oldObject: configuration() }));
    assert.ok(response.allowed, path);
    assert.is(response.patch, undefined);
  }
});

test('a status subresource passes whatever it holds', async () => {
  const { allowed } = await ask(
    '/validate',
    review(wrong(), { operation: 'UPDATE', oldObject: configuration(), subResource: 'status' }),
  );
  assert.ok(allowed);
});

test('a deletion that takes data with it is asked for twice', async () => {
  const doomed = repository({ deletionPolicy: 'WipeOut' });
  const deletion = (object: Loose, change: object = {}) =>
    ask('/validate', review(object, { operation: 'DELETE', object: null, oldObject: object, ...change }));
  const first = await deletion(doomed);
  assert.is(first.allowed, false);
  assert.is(first.status.code, 403);
  assert.match(first.status.message, 'set the annotation backstay.dev/confirm-deletion: orders');
  const annotations = { 'backstay.dev/confirm-deletion': 'orders' };
  const second = await deletion({ ...doomed, metadata: { ...doomed.metadata, annotations } });
  assert.ok(second.allowed);
  assert.match(second.warnings[0], 'the data of Repository shop/orders would be removed');
});

test('what the garbage collector and a namespace that goes delete is never held up', async () => {
  const doomed = repository({ deletionPolicy: 'WipeOut' });
  for (const name of ['generic-garbage-collector', 'namespace-controller']) {
    const userInfo = { username: `system:serviceaccount:kube-system:${name}` };
    const change = { operation: 'DELETE', object: null, oldObject: doomed, userInfo };
    assert.ok((await ask('/validate', review(doomed, change))).allowed, name);
  }
  const going = namespace('shop');
  going.metadata.deletionTimestamp = '2026-11-23T12:00:00Z';
  lookup = lookupOf(going, repository());
  assert.ok(
    (await ask('/validate', review(storage(), { operation: 'DELETE', object: null, oldObject: storage() }))).allowed,
  );
});

test('a dry run is answered like the real thing', async () => {
  for (const object of [wrong(), configuration()]) {
    for (const path of ['/validate', '/mutate']) {
      assert.equal(await ask(path, review(object, { dryRun: true })), await ask(path, review(object)));
    }
  }
});

for (const [kind, make] of Object.entries(SAMPLES)) {
  test(`the patch of a ${kind} only adds, comes to its defaults, and is empty the second time`, async () => {
    const object = make();
    const patch = patchOf(await ask('/mutate', review(object)));
    assert.ok(patch.every(({ op }) => op === 'add'));
    const result = patched(object, patch);
    assert.equal(result, applyDefaults(kind as 'Addon', object));
    const second = await ask('/mutate', review(result));
    assert.is(second.patch, undefined);
    assert.is(second.patchType, undefined);
    assert.ok((await ask('/validate', review(result))).allowed);
  });
}

test('the patch leaves fields alone that this version does not know', async () => {
  const object = storage();
  object.spec.newer = { a: [1] };
  object.status = { newer: true };
  const response = await ask('/mutate', review(object, { operation: 'UPDATE', oldObject: object }));
  assert.ok(patchOf(response).length > 0);
  const result = patched(object, patchOf(response));
  assert.equal(result.spec.newer, { a: [1] });
  assert.equal(result.status, { newer: true });
});

test('absent backends become the default storage of the namespace, and only absent ones', async () => {
  lookup = lookupOf(storage({ default: true }), addon());
  const object = configuration();
  delete object.spec.backends;
  const result = patched(object, patchOf(await ask('/mutate', review(object))));
  assert.equal(result.spec.backends, [{ name: 's3', storageRef: { namespace: 'shop', name: 's3' } }]);
  assert.is((await ask('/mutate', review(result))).patch, undefined);
  const written = patchOf(await ask('/mutate', review(configuration())));
  assert.not.ok(written.some(({ path }) => path === '/spec/backends'));
});

test('an object that fails its schema is refused before the API server sees it, with everything that is wrong', async () => {
  const { allowed, status, patch } = await ask('/mutate', review(wrong()));
  assert.is(allowed, false);
  assert.is(patch, undefined);
  assert.equal(
    status.details.causes.map(({ field }: Loose) => field),
    ['spec.sessions[1]', 'spec.sessions[0].scheduler.schedule'],
  );
});

test('an object that only breaks a rule is left to the validating webhook: others may still mend it', async () => {
  const object = configuration({ sessions: [session({ scheduler: { schedule: '0 3 * * 7' } })] });
  assert.ok((await ask('/mutate', review(object))).allowed);
  assert.not.ok((await ask('/validate', review(object))).allowed);
});

for (const [what, body, headers, status] of [
  ['no body', '', JSON_TYPE, 400],
  ['a body that is no JSON', '{"a":', JSON_TYPE, 400],
  ['JSON that nests without end', '['.repeat(200_000), JSON_TYPE, 400],
  ['another content type', '{}', { 'content-type': 'text/plain' }, 400],
  ['no content type', '{}', {}, 400],
  ['something else than a review', '{"kind":"Pod"}', JSON_TYPE, 400],
  [
    'a review of v1beta1',
    JSON.stringify({ ...review(storage()), apiVersion: 'admission.k8s.io/v1beta1' }),
    JSON_TYPE,
    400,
  ],
  ['a review without a request', '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', JSON_TYPE, 400],
  ['a request without a uid', JSON.stringify(review(storage(), { uid: '' })), JSON_TYPE, 400],
  ['a body of more than 7 MiB', Buffer.alloc(7 * 1024 * 1024 + 1, ' '), JSON_TYPE, 413],
] as [string, string | Buffer, Record<string, string>, number][]) {
  test(`${what} is answered with ${status}`, async () => {
    const answer = await server.send('POST', '/validate', body, headers);
    assert.is(answer.status, status, answer.text);
    assert.not.match(answer.text, /node_modules|at .*\.ts/);
  });
}

test('a request of just under 7 MiB is judged', async () => {
  const object = retention();
  object.metadata.annotations = { note: 'x'.repeat(3_400_000) };
  const response = await ask('/validate', review(object, { operation: 'UPDATE', oldObject: object }));
  assert.ok(response.allowed);
});

test('a content type with a character set is JSON too', async () => {
  const headers = { 'content-type': 'application/json; charset=utf-8' };
  assert.is((await server.send('POST', '/validate', JSON.stringify(review(storage())), headers)).status, 200);
});

for (const [what, change] of [
  ['a kind that is not ours', { kind: { group: '', version: 'v1', kind: 'Pod' } }],
  [
    'a kind named like a property of every object',
    { kind: { group: 'backstay.dev', version: 'v1alpha1', kind: 'constructor' } },
  ],
  ['a creation without an object', { object: null }],
] as const) {
  test(`${what} is refused inside the answer`, async () => {
    const { allowed, status } = await ask('/validate', review(storage(), change));
    assert.is(allowed, false);
    assert.is(status.code, 400);
  });
}

for (const [what, object] of [
  ['an object that is a number', 5],
  ['an object that is a list', []],
  ['an object without metadata', { spec: {} }],
  ['metadata that is text', { ...storage(), metadata: 'x' }],
  ['a spec that is null', { ...storage(), spec: null }],
  ['a name of 10,000 characters', storage({}, 'x'.repeat(10_000))],
  [
    'labels named like prototypes',
    { ...storage(), metadata: JSON.parse('{"name":"a","labels":{"__proto__":"x","constructor":1}}') },
  ],
  [
    'a param that nests 3,000 deep',
    configuration({ sessions: [session({ addon: { name: 'm', tasks: [{ name: 'a', params: nest(3000) }] } })] }),
  ],
  ['a hundred thousand wrong items', configuration({ sessions: Array.from({ length: 100_000 }, () => 1) })],
] as [string, Loose][]) {
  test(`${what} gets a verdict, not a failure`, async () => {
    for (const path of ['/validate', '/mutate']) {
      const { status } = await ask(
        path,
        review(object, {
          operation: 'UPDATE',
          oldObject: object,
          kind: { group: 'backstay.dev', version: 'v1alpha1', kind: object?.kind ?? 'BackupStorage' },
        }),
      );
      assert.not.ok((status?.code ?? 200) >= 500, JSON.stringify(status)?.slice(0, 300));
    }
  });
}

test('a fault of the webhook itself is an answer with 500 inside and a line in the log', async () => {
  failing = true;
  const { allowed, status } = await ask('/validate', review(configuration()));
  assert.is(allowed, false);
  assert.is(status.code, 500);
  assert.not.match(status.message, /a fault of the webhook$/);
  assert.equal(logged.splice(0), ['A request could not be judged']);
});

test('it is alive from the start and ready once everything is there', async () => {
  missing = ['BackupStorage', 'Addon'];
  assert.is((await server.send('GET', '/healthz')).status, 200);
  const waiting = await server.send('GET', '/readyz');
  assert.is(waiting.status, 503);
  assert.is(waiting.text, 'waiting for BackupStorage, Addon\n');
  missing = [];
  assert.is((await server.send('GET', '/readyz')).status, 200);
});

test('anything else is not found, and says nothing of what runs here', async () => {
  const answer = await server.send('GET', '/');
  assert.is(answer.status, 404);
  assert.is(answer.headers['x-powered-by'], undefined);
});

test('requests are counted by webhook, kind, operation and verdict', async () => {
  await ask('/validate', review(storage()));
  const text = await registry.metrics();
  assert.match(
    text,
    /backstay_webhook_requests_total\{webhook="validate",kind="BackupStorage",operation="CREATE",allowed="true"\} \d+/,
  );
  assert.match(
    text,
    /backstay_webhook_request_duration_seconds_bucket\{le="0.005",webhook="validate",kind="BackupStorage",operation="CREATE",allowed="true"\} \d+/,
  );
  assert.not.match(text, /kind="constructor"/);
});

function nest(levels: number): Loose {
  let value: Loose = 1;
  for (let level = 0; level < levels; level++) value = { a: value };
  return { value };
}

test.run();
