// time-limit: 900s
// Objects mutated at random from the cases, given to the webhook over TLS. BACKSTAY_ROUNDS says how many, BACKSTAY_SEED which.
import { Registry } from 'prom-client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { silent } from '../../src/kube/log.ts';
import { ObjectSet } from '../../src/validate/object-set.ts';
import { createApp } from '../../webhook/app.ts';
import { createWebhookMetrics } from '../../webhook/metrics.ts';
import { EVERY_DEMAND, type Loose, policyRule } from '../api/objects.ts';
import { CASE_TIME, type Case, loadCases } from '../cases/load.ts';
import { startTls } from './https.ts';
import { brief, mutated, randomFrom } from './mutations.ts';

const test = suite('the webhook and objects at random');
const ROUNDS = Number(process.env.BACKSTAY_ROUNDS ?? 1000);
const SEED = Number(process.env.BACKSTAY_SEED ?? 20261123);
const JSON_TYPE = { 'content-type': 'application/json' };
const cases = loadCases();
// What else there is may be broken too, as in a cluster whose schema was once another one.
const lookup = new ObjectSet(true);
for (const { object, others } of cases) for (const one of [object, ...others]) lookup.add(one);
lookup.add(policyRule({ demands: EVERY_DEMAND }, 'everything'));
const app = createApp({
  ...{ lookup, missing: () => [], log: silent, now: () => CASE_TIME },
  metrics: createWebhookMetrics(new Registry()),
});
let server: Awaited<ReturnType<typeof startTls>>;

test.before(async () => {
  server = await startTls(app);
});
test.after(async () => {
  await server[Symbol.asyncDispose]();
});

function reviewOf({ kind, operation, object, old }: Case, random: () => number): Loose {
  const request = {
    uid: 'a',
    kind: { group: 'backstay.dev', version: 'v1alpha1', kind },
    operation: operation.toUpperCase(),
    namespace: object.metadata.namespace ?? '',
    name: object.metadata.name,
    object: operation === 'delete' ? null : mutated(object, random),
    oldObject: operation === 'create' ? null : mutated(old ?? object, random),
  };
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request };
}

test(`${ROUNDS} objects get a verdict in less than a second each, and memory stays flat`, async () => {
  const random = randomFrom(SEED);
  let verdicts = 0;
  let slowest = 0;
  let early = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const one = cases[Math.floor(random() * cases.length)] as Case;
    const review = reviewOf(one, random);
    const body = JSON.stringify(review);
    const cut = random() < 0.03 ? body.slice(0, Math.floor(random() * body.length)) : body;
    const path = random() < 0.5 ? '/validate' : '/mutate';
    const cpu = process.cpuUsage();
    const answer = await server.send('POST', path, cut, random() < 0.01 ? { 'content-type': 'text/plain' } : JSON_TYPE);
    const { user, system } = process.cpuUsage(cpu);
    slowest = Math.max(slowest, (user + system) / 1e6);
    const told = `seed ${SEED}, round ${round}, ${one.title}: ${brief(review.request.object)}`;
    assert.ok(answer.status === 200 || answer.status === 400, `${answer.status}: ${told}`);
    if (answer.status === 200) {
      const { response } = answer.json();
      assert.ok((response.status?.code ?? 200) < 500, told);
      assert.ok(response.allowed || response.status.code < 500, told);
      verdicts++;
    }
    if (round === Math.floor(ROUNDS / 5)) early = process.memoryUsage().rss;
  }
  assert.ok(verdicts > ROUNDS * 0.9);
  assert.ok(slowest < 1, `${slowest} s`);
  const grown = (process.memoryUsage().rss - early) / 2 ** 20;
  assert.ok(grown < 100, `${grown.toFixed(0)} MiB more than after the first fifth`);
  assert.is(({} as Loose).polluted, undefined);
  if (process.env.BACKSTAY_ROUNDS !== undefined) {
    console.log(`${verdicts} verdicts, slowest ${(slowest * 1000).toFixed(0)} ms, ${grown.toFixed(0)} MiB grown`);
  }
});

test('bodies of 3 MB get a verdict, and larger ones than two objects are refused unread', async () => {
  const one = cases.find(({ kind }) => kind === 'BackupConfiguration') as Case;
  const large = { ...one.object, spec: { ...one.object.spec, padding: 'x'.repeat(3 * 2 ** 20) } };
  const review = reviewOf({ ...one, object: large }, () => 0.99);
  review.request.object = large;
  const answer = await server.send('POST', '/validate', JSON.stringify(review), JSON_TYPE);
  assert.is(answer.status, 200);
  assert.is(answer.json().response.status.code, 422);
  const beyond = JSON.stringify({ padding: 'x'.repeat(8 * 2 ** 20) });
  const refused = await server.send('POST', '/validate', beyond, JSON_TYPE).catch(() => undefined);
  assert.ok(refused === undefined || refused.status === 413);
});

test.run();
