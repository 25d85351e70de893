/** `npm run bench:webhook`: how long an admission request takes, see USAGE. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { readOptions } from '../../scripts/options.ts';
import { ROOT } from '../../scripts/tools/cache.ts';
import { describeError } from '../../src/api/errors.ts';
import { BackupConfigurations } from '../../src/api/kinds.ts';
import { MutatingWebhookConfigurations, Namespaces, ValidatingWebhookConfigurations } from '../../src/kube/builtin.ts';
import { installCrds } from '../../test/api/crds.ts';
import { configuration } from '../../test/api/objects.ts';
import { startControlPlane } from '../../test/kube/control-plane.ts';
import { takeGround } from '../../test/lab/ground.ts';
import { SYSTEM, startFleet } from '../../test/webhook/fleet.ts';
import { type Load, load } from './callers.ts';
import type { Percentiles } from './percentiles.ts';
import { page, type Row } from './report.ts';

const USAGE = `usage: npm run bench:webhook [-- OPTIONS]

How long an admission request takes: at the webhook's own address, over kept connections, beside a server of express alone and one of TLS
alone; and as a dry-run create of a BackupConfiguration through a real API server, with the webhook and without. Callers ask again as soon
as they have an answer.

  --seconds NUMBER  how long each is measured (default 5)
  --write           write docs/benchmarks-webhook.md
`;

const CALLERS = [10, 50, 200];
const SERVERS = [
  ['tls', 'TLS alone'],
  ['express', 'TLS and express'],
  ['whole', 'the webhook'],
] as const;
const WARM_MS = 1500;

const review = JSON.stringify({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: {
    uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
    kind: { group: 'backstay.dev', version: 'v1alpha1', kind: 'BackupConfiguration' },
    operation: 'CREATE',
    namespace: 'shop',
    name: 'orders',
    object: configuration(),
    oldObject: null,
    dryRun: false,
  },
});

async function direct(seconds: number, say: (line: string) => void): Promise<{ rows: Row[]; own: Percentiles[] }> {
  const rows: Row[] = [];
  const own: Percentiles[] = [];
  for (const [what, title] of SERVERS) {
    const child = fork(join(import.meta.dirname, 'server.ts'), [what]);
    const [{ port, ca }] = (await once(child, 'message')) as [{ port: number; ca: string }];
    for (const callers of CALLERS) {
      const agent = new Agent({ keepAlive: true, ca, servername: 'localhost', maxSockets: callers });
      const headers = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(review)) };
      const ask = (): Promise<void> =>
        new Promise((resolve, reject) => {
          const call = request(
            { agent, host: '127.0.0.1', port, method: 'POST', path: '/validate', headers },
            (answer) => {
              answer
                .resume()
                .once('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error('no answer'))));
            },
          );
          call.on('error', reject).end(review);
        });
      await load(callers, WARM_MS, ask);
      child.send('reset');
      const seen = await load(callers, seconds * 1000, ask);
      child.send('own');
      const [{ own: inside }] = (await once(child, 'message')) as [{ own?: Percentiles }];
      if (inside !== undefined) own.push(inside);
      rows.push({ title, ...seen });
      say(line(title, seen));
      agent.destroy();
    }
    child.kill();
  }
  return { rows, own };
}

async function throughApiServer(seconds: number, say: (line: string) => void): Promise<Row[]> {
  const rows: Row[] = [];
  const [plane, ground] = await Promise.all([startControlPlane(), takeGround()]);
  await using _ = {
    [Symbol.asyncDispose]: async () => void (await Promise.all([ground.stop(), plane[Symbol.asyncDispose]()])),
  };
  const client = plane.client({ qps: 1e6, burst: 1e6 });
  await installCrds(client);
  for (const name of [SYSTEM, 'shop']) {
    await client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }
  const measure = async (title: string): Promise<void> => {
    const ask = async (): Promise<void> => {
      await client.create(BackupConfigurations, configuration(), { dryRun: true });
    };
    await load(10, WARM_MS, ask);
    for (const callers of CALLERS) {
      const seen = await load(callers, seconds * 1000, ask);
      rows.push({ title, ...seen });
      say(line(title, seen));
    }
  };
  await measure('API server without the webhook');
  await using _fleet = await startFleet(plane, ground, 2);
  await measure('API server with two replicas of it');
  for (const type of [MutatingWebhookConfigurations, ValidatingWebhookConfigurations]) {
    await client.delete(type, { name: 'backstay' });
  }
  return rows;
}

const line = (title: string, { callers, perSecond, median, p95, p99, failed }: Load): string =>
  `${title}, ${callers} callers: ${perSecond.toFixed(0)}/s, median ${median.toFixed(2)} ms, p95 ${p95.toFixed(2)}, p99 ${p99.toFixed(2)}, failed ${failed}`;

async function main(): Promise<void> {
  const values = readOptions(USAGE, {
    seconds: { type: 'string', default: '5' },
    write: { type: 'boolean', default: false },
  });
  const seconds = Number(values.seconds);
  if (!(seconds > 0)) throw new Error(`${values.seconds} is no number of seconds`);
  const say = (text: string): void => console.error(text);
  const { rows, own } = await direct(seconds, say);
  const through = await throughApiServer(seconds, say);
  const machine = `${availableParallelism()} processors (${cpus()[0]?.model ?? 'unknown'}), Node.js ${process.versions.node}`;
  const text = page({ direct: rows, own, through, machine, callers: CALLERS });
  console.log(text);
  if (values.write) await writeFile(join(ROOT, 'docs', 'benchmarks-webhook.md'), text);
}

await main().catch((error: unknown) => {
  console.error(describeError(error));
  process.exitCode = 1;
});
process.exit();
