/**
 * The main job, end to end, on real parts: git push → policy → backup → database dropped → restore.
 *
 * Usage: npm run demo [-- --keep]
 */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildBackstayImage, buildPushgatewayImage } from '../../scripts/image/build.ts';
import { tools } from '../../scripts/tools/tool.ts';
import { describeError } from '../../src/api/errors.ts';
import { createBackupUser, dbHash, fillShop } from './demo/database.ts';
import { follow, isReady, listOf } from './demo/follow.ts';
import { setUp } from './demo/objects.ts';
import { megabytes, Road } from './demo/road.ts';
import { startGitServer } from './git.ts';
import { takeGround } from './ground.ts';
import { installBackstay } from './install.ts';
import { startKubernetes } from './kubernetes.ts';
import { until } from './process.ts';
import { startReplicaSet } from './replica-set.ts';
import { startS3 } from './s3.ts';

const EXAMPLE = fileURLToPath(new URL('../../policies/example', import.meta.url));
const PROGRAMS = [
  'kubernetes',
  'containerd',
  'ctr',
  'runc',
  'pause',
  'mongod',
  'restic',
  'versitygw',
  'pushgateway',
] as const;
/** What policies/example/production/storage.yaml says of its S3 service. */
const S3_PORT = 9000;
const S3_REGION = 'eu-central-1';

async function demo(keep: boolean): Promise<void> {
  const road = new Road();
  road.section('The parts');
  await tools(PROGRAMS, { onProgress: (line) => road.note(line) });
  await using ground = await takeGround();
  const [cluster, set, s3, git] = await Promise.all([
    startKubernetes({ on: ground }),
    startReplicaSet({ on: ground, members: 3, auth: true, tls: true }),
    startS3({ on: ground, port: S3_PORT, region: S3_REGION }),
    startGitServer({ on: ground }),
    buildBackstayImage(),
    buildPushgatewayImage(),
  ]);
  road.passed('parts are up', 'Kubernetes, a replica set of three with TLS and authentication, S3, git');
  await using client = await set.client();
  const [documents] = await Promise.all([fillShop(client), installBackstay(cluster)]);
  road.passed('Backstay is installed', 'operator with Pushgateway, webhook, catalogue');
  const shop = client.db('shop');
  const { dataSize } = await shop.stats();
  const before = await dbHash(shop);
  road.passed('database is filled', `${documents} documents, ${megabytes(Number(dataSize))}, dbHash ${before}`);

  road.section('The policy');
  const password = randomBytes(12).toString('base64');
  await createBackupUser(set, password);
  const repository = await git.makeRepository('policies');
  await cluster.apply(setUp(set, s3, password, repository.url));
  road.passed('set up once', 'Secrets, AppBinding orders, PolicySync production');
  const first = await repository.commit(exampleFiles(), { message: 'Back the orders database up' });
  road.passed('commit pushed', `policies/example as it is, ${first.slice(0, 10)}`);
  const synced = await follow(cluster, 'PolicySync', 'production', ({ status }) =>
    status?.lastAppliedRevision?.endsWith(first),
  );
  road.passed(
    'policy applied',
    `${synced.status?.lastAppliedRevision?.slice(0, 20)}, ${synced.status?.objects} objects through the webhooks`,
  );
  await follow(cluster, 'BackupStorage', 's3', isReady);
  road.passed('storage is ready', 'reached, marker written');
  await follow(cluster, 'Repository', 'orders', isReady);
  road.passed('repository is ready', 'restic repository made');
  const configuration = await follow(cluster, 'BackupConfiguration', 'orders', isReady);
  const sessions = configuration.status?.sessions ?? [];
  road.passed(
    'CronJobs made',
    sessions.map(({ cronJob, nextScheduleTime }) => `${cronJob} (next ${nextScheduleTime})`).join(', '),
  );

  road.section('The backup');
  const orders = readFileSync(join(EXAMPLE, 'production/orders.yaml'), 'utf8');
  const soon = orders.replace('schedule: 0 * * * *', "schedule: '@every 15s'");
  const second = await repository.commit(
    { 'production/orders.yaml': soon },
    { message: 'Do not wait for the full hour' },
  );
  await follow(cluster, 'PolicySync', 'production', ({ status }) => status?.lastAppliedRevision?.endsWith(second));
  road.passed('schedule changed by a push', `hourly is now @every 15s, ${second.slice(0, 10)}`);
  const session = await until(
    'the CronJob triggers a session',
    async () => (await listOf(cluster, 'BackupSession')).find(({ spec }) => spec.session === 'hourly'),
    { timeoutMs: 90_000 },
  );
  road.passed('session triggered', `${session.metadata.name}, by the CronJob's own schedule`);
  const ended = await follow(cluster, 'BackupSession', session.metadata.name ?? '', ({ status }) =>
    ['Succeeded', 'Failed', 'Skipped'].includes(status?.phase ?? ''),
  );
  const made = (await listOf(cluster, 'Snapshot')).find(({ spec }) => spec.backupSession === session.metadata.name);
  const component = made?.status?.components?.[0];
  if (ended.status?.phase !== 'Succeeded' || component === undefined) {
    throw new Error(
      `The session ended as ${ended.status?.phase}: ${ended.status?.conditions?.map(({ message }) => message).join('; ')}`,
    );
  }
  const { member, memberReason, lockedSeconds = 0, bytes = 0, bytesPerSecond = 0, addedBytes = 0 } = component;
  road.passed('secondary locked', `${member} for ${lockedSeconds.toFixed(2)} s (${memberReason})`);
  road.passed(
    'dump streamed into restic',
    `${megabytes(bytes)} at ${megabytes(bytesPerSecond)}/s, ${megabytes(addedBytes)} new in the repository`,
  );
  road.passed('Snapshot', `${made?.metadata.name}: ${made?.status?.phase}, ${component.documents} documents`);

  road.section('The restore');
  await shop.dropDatabase({ writeConcern: { w: 'majority' } });
  road.passed('database dropped', `${(await shop.listCollections().toArray()).length} collections left in shop`);
  await cluster.apply(readFileSync(join(EXAMPLE, 'restore/orders.yaml'), 'utf8'));
  const restored = await follow(cluster, 'RestoreSession', 'orders-latest', ({ status }) =>
    ['Succeeded', 'Failed', 'Invalid'].includes(status?.phase ?? ''),
  );
  if (restored.status?.phase !== 'Succeeded') {
    throw new Error(
      `The restore ended as ${restored.status?.phase}: ${restored.status?.conditions?.map(({ message }) => message).join('; ')}`,
    );
  }
  const part = restored.status.components?.[0];
  road.passed(
    'restored',
    `${restored.status.snapshot}: ${part?.documents} documents, ${megabytes(part?.bytes ?? 0)} into ${part?.member}`,
  );
  const after = await dbHash(shop);
  road.note(`dbHash before ${before}`);
  road.note(`dbHash after  ${after}`);
  if (after !== before) throw new Error('The restored database is not the one that was backed up');
  road.passed('dbHash is equal', `the whole road took ${road.elapsed()}`);

  if (!keep) return;
  process.stdout.write(`\nIt stays up until Ctrl-C. To explore:\n\n  export KUBECONFIG=${cluster.kubeconfig}\n`);
  process.stdout.write(`  alias kubectl='${cluster.programs.kubernetes} kubectl'\n  kubectl get backstay -A\n\n`);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
    setInterval(() => {}, 60_000);
  });
}

function exampleFiles(): Record<string, string> {
  const files = readdirSync(EXAMPLE, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [relative(EXAMPLE, path), readFileSync(path, 'utf8')];
    }),
  );
}

const { values } = parseArgs({
  options: { keep: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } },
});
if (values.help) {
  process.stdout.write(
    'usage: npm run demo [-- --keep]\n\n  --keep   leave everything running at the end, and print the KUBECONFIG\n',
  );
} else {
  try {
    await demo(values.keep);
    process.exit(0);
  } catch (error) {
    process.stderr.write(`\ndemo: ${describeError(error)}\n`);
    process.exit(1);
  }
}
