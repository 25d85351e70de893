// What a PolicySync says about itself.
import { Registry } from 'prom-client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Condition, PolicySync, PolicySyncStatus } from '../../src/api/generated/types.ts';
import { validateSchema } from '../../src/api/validation.ts';
import { describeSync } from '../../src/cli/sync/wording.ts';
import { createPolicySyncMetrics } from '../../src/gitops/metrics.ts';
import { timesAfter, UNKNOWN_TIMES } from '../../src/gitops/revision-age.ts';
import { ServiceAccountClients } from '../../src/gitops/service-account.ts';
import { intervalsOf, jittered } from '../../src/gitops/settings.ts';
import { describeChanges, type Outcome, statusAfter, statusDuring, statusSuspended } from '../../src/gitops/status.ts';
import type { Client, TokenSource } from '../../src/kube/client.ts';

const test = suite('status');
const start = Date.parse('2026-01-01T00:00:00Z');
const revision = `main@sha1:${'a'.repeat(40)}`;

const policySync = (status?: PolicySyncStatus, annotations: Record<string, string> = {}): PolicySync => ({
  apiVersion: 'backstay.dev/v1alpha1',
  kind: 'PolicySync',
  metadata: { name: 'p', namespace: 'n', generation: 3, annotations },
  spec: { url: 'https://host/x' },
  ...(status === undefined ? {} : { status }),
});
const at = (minutes: number): { now: Date; tookMs: number; nextInMs: number } => ({
  now: new Date(start + minutes * 60_000),
  tookMs: 1234,
  nextInMs: 60_000,
});
const applied: Outcome = {
  kind: 'applied',
  revision,
  inventory: [{ id: 'n_a_backstay.dev_Addon', v: 'v1alpha1', digest: 'd' }],
  objects: 1,
  changes: [{ id: 'x', action: 'created', object: 'Addon/a' }],
  notes: [],
};
const settled: Outcome = { ...applied, changes: [] };
const failed: Outcome = {
  kind: 'failed',
  code: 'Unreachable',
  message: 'Cannot read',
  revision: undefined,
  inventory: undefined,
  failures: [],
  changes: [],
};
const ready = (status: PolicySyncStatus): string[] =>
  ['Ready', 'Reconciling', 'Stalled'].map(
    (type) => status.conditions?.find((one) => one.type === type)?.status ?? 'none',
  );

test('the first sign of a PolicySync is that it is not ready yet, for this generation', () => {
  const status = statusDuring(policySync(), { reason: 'Progressing', message: 'x' }, new Date(start));
  assert.equal(ready(status), ['Unknown', 'True', 'False']);
  assert.is(status.observedGeneration, 3);
});

test('a settled PolicySync keeps its very status, until the times have grown old', () => {
  const first = statusAfter(policySync(), applied, at(0));
  assert.equal(ready(first), ['True', 'False', 'False']);
  const second = statusAfter(policySync(first), settled, at(1));
  assert.is(second, first);
  const later = statusAfter(policySync(first), settled, at(16));
  assert.is(later.lastReconcileTime, '2026-01-01T00:16:00Z');
  assert.is(later.nextReconcileTime, '2026-01-01T00:17:00Z');
});

test('a failure that repeats itself is written once', () => {
  const good = statusAfter(policySync(), applied, at(0));
  const bad = statusAfter(policySync(good), failed, at(1));
  assert.equal(ready(bad), ['False', 'True', 'False']);
  assert.is(bad.lastAppliedRevision, revision);
  assert.equal(bad.inventory, good.inventory);
  assert.is(statusAfter(policySync(bad), failed, at(2)), bad);
  assert.equal(
    bad.history?.map(({ outcome }) => outcome),
    ['Failed', 'Applied'],
  );
});

test('what only a person can mend is stalled, what may pass is not', () => {
  const state = (code: string): string | undefined => ready(statusAfter(policySync(), { ...failed, code }, at(0)))[2];
  assert.equal(['ValidationFailed', 'InvalidURL', 'PathNotFound', 'ApplyRefused'].map(state), [
    'True',
    'True',
    'True',
    'True',
  ]);
  assert.equal(['Unreachable', 'TimedOut', 'AuthenticationFailed', 'SecretNotFound', 'InternalError'].map(state), [
    'False',
    'False',
    'False',
    'False',
    'False',
  ]);
});

test('success clears the failures of before', () => {
  const bad = statusAfter(policySync(), { ...failed, failures: [{ file: 'a.yaml', line: 1, message: 'x' }] }, at(0));
  assert.is(bad.failures?.length, 1);
  assert.is(statusAfter(policySync(bad), applied, at(1)).failures, undefined);
});

test('the history holds the last five, and everything fits the schema', () => {
  let status: PolicySyncStatus | undefined;
  for (let index = 0; index < 9; index += 1) {
    const failures = Array.from({ length: 80 }, () => ({
      file: 'f'.repeat(3000),
      line: 3,
      object: 'o'.repeat(900),
      field: 'x'.repeat(2000),
      message: 'm'.repeat(9000),
    }));
    status = statusAfter(
      policySync(status),
      { ...failed, message: `${index} ${'m'.repeat(9000)}`, failures },
      at(index),
    );
  }
  assert.is(status?.history?.length, 5);
  assert.match(status?.history?.[0]?.message ?? '', /^8 /);
  assert.equal(validateSchema('PolicySync', policySync(status)).causes, []);
  assert.equal(validateSchema('PolicySync', policySync(statusAfter(policySync(), applied, at(0)))).causes, []);
});

test('the annotation is echoed by whatever outcome it led to', () => {
  const asked = { 'backstay.dev/reconcile': 'now' };
  assert.is(statusAfter(policySync(undefined, asked), failed, at(0)).lastHandledReconcileAt, 'now');
  assert.is(statusAfter(policySync(undefined, asked), applied, at(0)).lastHandledReconcileAt, 'now');
});

test('a suspended PolicySync keeps what it knew, for the new generation', () => {
  const good = statusAfter(policySync(), applied, at(0));
  const asleep = statusSuspended(
    { ...policySync(good), metadata: { name: 'p', namespace: 'n', generation: 4 } },
    new Date(start),
  );
  assert.equal(ready(asleep), ['True', 'False', 'False']);
  assert.is(asleep.observedGeneration, 4);
  assert.is(asleep.conditions?.[0]?.observedGeneration, 4);
  assert.is(ready(statusSuspended(policySync(), new Date(start)))[0], 'False');
});

test('changes are told by number, and by name up to five', () => {
  const changes = Array.from({ length: 7 }, (_, index) => ({
    id: String(index),
    action: index < 5 ? ('created' as const) : ('pruned' as const),
    object: `Addon/${index}`,
  }));
  assert.is(describeChanges(changes), 'Created 5, pruned 2: Addon/0, Addon/1, Addon/2, Addon/3, Addon/4 and 2 more');
  assert.is(describeChanges([]), 'Nothing to change');
});

test('the command line says what the git server was told, and who contests what', () => {
  const condition = (type: string, status: 'True' | 'False', message: string): Condition => ({
    ...{ type, status, message, reason: 'X', lastTransitionTime: '2026-01-01T00:00:00Z' },
  });
  const shown = (...conditions: Condition[]): string => describeSync(policySync({ conditions }));
  assert.match(
    shown(condition('CommitStatus', 'True', 'Success of aaaa as x')),
    '\n  told        Success of aaaa as x',
  );
  assert.match(shown(condition('CommitStatus', 'False', 'no; do y')), '\n  told        nobody: no; do y');
  assert.match(shown(condition('DriftContested', 'True', 'Addon/a: rogue')), '\n  contested   Addon/a: rogue');
});

test('intervals have defaults and a floor, and are spread by five per cent', () => {
  const spec = { url: 'https://host/x', interval: '1ms', timeout: '90s' };
  assert.equal(intervalsOf({ ...policySync(), spec }), { interval: 5000, retryInterval: 5000, timeout: 90_000 });
  assert.equal(intervalsOf(policySync()), { interval: 60_000, retryInterval: 60_000, timeout: 60_000 });
  assert.equal(
    [0, 0.5, 1].map((random) => jittered(60_000, random)),
    [57_000, 60_000, 63_000],
  );
});

test('a revision is as old as its commit, and a new one waits until it is applied', async () => {
  let now = start + 100_000;
  const clock = { now: () => now, date: () => new Date(now), after: () => ({ cancel() {} }) };
  const registry = new Registry();
  const metrics = createPolicySyncMetrics(registry, clock);
  const ages = async (): Promise<(number | undefined)[]> => {
    const text = await registry.metrics();
    return ['age', 'waiting'].map((which) => {
      const found = new RegExp(`revision_${which}_seconds\\{namespace="n",name="p"\\} (.+)`).exec(text)?.[1];
      return found === undefined ? undefined : Number(found);
    });
  };
  let times = UNKNOWN_TIMES;
  const after = (outcome: Outcome, committedAt?: number): void => {
    times = timesAfter(times, outcome, revision, committedAt, now);
    metrics.revisions({ namespace: 'n', name: 'p' }, times);
  };
  after(failed);
  assert.equal(await ages(), [undefined, undefined], 'nothing is known of a server that is away');
  after(applied, start);
  assert.equal(await ages(), [100, undefined]);
  now += 10_000;
  assert.equal(await ages(), [110, undefined]);
  const bad: Outcome = { ...failed, revision: `main@sha1:${'b'.repeat(40)}` };
  after(bad, now - 5000);
  assert.equal(await ages(), [110, 5]);
  now += 10_000;
  after(failed);
  assert.equal(await ages(), [120, 15], 'it waits while the server is away');
  const unread: Outcome = { ...failed, revision: `main@sha1:${'c'.repeat(40)}` };
  after(unread);
  now += 1000;
  after(unread);
  assert.equal(await ages(), [121, 1], 'what cannot be read waits since it was seen');
  after({ ...failed, revision }, start);
  assert.equal(await ages(), [121, undefined], 'back to the one that is applied');
  after(applied, now + 3_600_000);
  assert.equal(await ages(), [0, undefined], 'a commit of the future is one of now');
  metrics.forgotten({ namespace: 'n', name: 'p' });
  assert.equal(await ages(), [undefined, undefined]);
});

test('a token is asked for once, by however many requests, and again after four fifths of its life', async () => {
  let now = 0;
  let issued = 0;
  const sources: TokenSource[] = [];
  const client: Pick<Client, 'createToken' | 'withToken'> = {
    createToken: async () => {
      issued += 1;
      return { token: `token-${issued}`, expirationTimestamp: new Date(start + now + 3_600_000).toISOString() };
    },
    withToken: (source) => {
      sources.push(source);
      return {} as Client;
    },
  };
  const clock = { now: () => now, date: () => new Date(start + now), after: () => ({ cancel() {} }) };
  const accounts = new ServiceAccountClients(client, clock);
  accounts.as('n', 'a');
  const [source] = sources;
  const ask = async (refused = false): Promise<string> => (typeof source === 'function' ? await source(refused) : '');
  assert.equal(await Promise.all([ask(), ask(), ask()]), ['token-1', 'token-1', 'token-1']);
  now = 2_800_000;
  assert.is(await ask(), 'token-1');
  now = 2_900_000;
  assert.is(await ask(), 'token-2');
  assert.is(await ask(true), 'token-3', 'the account was deleted and made again');
  assert.is(await ask(), 'token-3');
});

test.run();
