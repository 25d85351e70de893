// time-limit: 180s
// Two replicas of the webhook behind one address and a real API server, with callers that never pause.
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { describeError } from '../../src/api/errors.ts';
import { BackupConfigurations } from '../../src/api/kinds.ts';
import { Namespaces, Secrets, ValidatingWebhookConfigurations } from '../../src/kube/builtin.ts';
import type { Client } from '../../src/kube/client.ts';
import { makeAuthority, renewalTime } from '../../webhook/certificates.ts';
import { installCrds } from '../api/crds.ts';
import { configuration, type Loose } from '../api/objects.ts';
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts';
import { type Ground, takeGround } from '../lab/ground.ts';
import { until } from '../lab/process.ts';
import { type Fleet, SYSTEM, startFleet } from './fleet.ts';

const test = suite('the webhook under load');
const CALLERS = 8;

let plane: ControlPlane;
let ground: Ground;
let fleet: Fleet;
let client: Client;
/** When the authority that is there at the start has lived for two thirds of its year. */
let renewal: number;

test.before(async () => {
  [plane, ground] = await Promise.all([startControlPlane(), takeGround()]);
  client = plane.client({ qps: 100_000, burst: 100_000 });
  await installCrds(client);
  for (const name of [SYSTEM, 'shop']) {
    await client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }
  renewal = Date.now() + 12_000;
  const life = renewalTime(await makeAuthority(new Date(0))).getTime();
  const { cert, key } = await makeAuthority(new Date(renewal - life));
  const encode = (text: string): string => Buffer.from(text).toString('base64');
  await client.create(Secrets, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: SYSTEM, name: 'backstay-webhook-ca' },
    type: 'kubernetes.io/tls',
    data: { 'tls.crt': encode(cert), 'tls.key': encode(key), 'ca.crt': encode(cert) },
  } as Loose);
  fleet = await startFleet(plane, ground, 2);
});

test.after(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await ground?.stop();
  await plane?.[Symbol.asyncDispose]();
});

/** A request that was not answered, with its times by `performance.now()`. */
interface Failure {
  began: number;
  ended: number;
  message: string;
}

/** Waits until so many more requests have been answered than at the call, however fast the machine is. */
type MoreAnswers = (count: number) => Promise<void>;

/** Callers that write, without leaving anything, for as long as `during` goes on. */
async function underLoad(during: (moreAnswers: MoreAnswers) => Promise<void>): Promise<{ failures: Failure[] }> {
  let over = false;
  let answered = 0;
  const moreAnswers: MoreAnswers = async (count) => {
    const enough = answered + count;
    await until(`${count} more requests are answered`, async () => answered >= enough, { timeoutMs: 60_000 });
  };
  const failures: Failure[] = [];
  const caller = async (): Promise<void> => {
    while (!over) {
      const began = performance.now();
      try {
        await client.create(BackupConfigurations, configuration(), { dryRun: true, retries: 0 } as Loose);
        answered += 1;
      } catch (error) {
        failures.push({ began, ended: performance.now(), message: describeError(error) });
      }
    }
  };
  const callers = Array.from({ length: CALLERS }, caller);
  try {
    await during(moreAnswers);
  } finally {
    over = true;
    await Promise.all(callers);
  }
  return { failures };
}

const bundle = async (): Promise<string> => {
  const live: Loose = await client.get(ValidatingWebhookConfigurations, { name: 'backstay' });
  return live.webhooks[0].clientConfig.caBundle;
};

test('no request fails while the authority and the certificates of all replicas change', async () => {
  const before = await bundle();
  assert.ok(Date.now() < renewal, 'the machine was too slow for this test');
  await sleep(renewal - Date.now() - 500);
  const { failures } = await underLoad(async (moreAnswers) => {
    await until('another authority is trusted', async () => (await bundle()) !== before, { timeoutMs: 30_000 });
    await sleep(2000);
    await moreAnswers(20);
  });
  assert.equal(failures, []);
});

test('no request fails while every replica is replaced by another', async () => {
  const { failures } = await underLoad(async (moreAnswers) => {
    for (const old of fleet.replicas) {
      await fleet.add();
      await moreAnswers(20);
      await fleet.remove(old, 'SIGTERM');
      await moreAnswers(20);
    }
  });
  assert.equal(failures, []);
});

// The API server sends no request a second time. What a killed replica was answering is refused to its caller, and so is what still goes to
// it: until the Service has forgotten it, and the first on a connection whose end the API server has not looked at yet.
test('a replica that is killed takes with it what it was answering, and nothing once the Service has forgotten it', async () => {
  const [victim] = fleet.replicas;
  assert.ok(victim);
  const known = fleet.replicas.length;
  let [killed, settled] = [0, 0];
  const { failures } = await underLoad(async (moreAnswers) => {
    await moreAnswers(20);
    killed = performance.now();
    await fleet.remove(victim, 'SIGKILL');
    await until('the Service has forgotten it', async () => fleet.reached === known - 1);
    await moreAnswers(CALLERS);
    settled = performance.now();
    await moreAnswers(40);
  });
  for (const { began, ended, message } of failures) {
    assert.ok(ended >= killed && began <= settled, `${message}, ${Math.round(began - killed)} ms after the kill`);
    assert.match(message, /failed calling webhook/);
  }
  const inFlight = failures.filter(({ began }) => began < killed);
  assert.ok(inFlight.length <= CALLERS, String(inFlight.length));
});

test.run();
