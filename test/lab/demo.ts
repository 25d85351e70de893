/**
 * The main job, end to end, on real parts: git push → policy → backup → database dropped → restore.
 *
 * Usage: npm run demo [-- --keep] [-- --context NAME --overlay FOLDER --address IP]
 */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildBackstayImage, buildPushgatewayImage } from '../../scripts/image/build.ts';
import { tools } from '../../scripts/tools/tool.ts';
import { BackstayError, describeError } from '../../src/api/errors.ts';
import type { Cluster } from './cluster.ts';
import { type AnyCluster, clusterOf, groundAt, installInContext, s3Service } from './context.ts';
import { createBackupUser, dbHash, fillShop } from './demo/database.ts';
import { follow, isReady, listOf } from './demo/follow.ts';
import { NAMESPACE, setUp } from './demo/objects.ts';
import { megabytes, Road } from './demo/road.ts';
import { startGitServer } from './git.ts';
import { type Ground, takeGround } from './ground.ts';
import { installBackstay } from './install.ts';
import { startKubernetes } from './kubernetes.ts';
import { until } from './process.ts';
import { startReplicaSet } from './replica-set.ts';
import { startS3 } from './s3.ts';

const EXAMPLE = fileURLToPath(new URL('../../policies/example', import.meta.url));
const OF_A_CLUSTER = ['kubernetes', 'containerd', 'ctr', 'runc', 'pause', 'pushgateway', 'restic'] as const;
const PROGRAMS = ['mongod', 'versitygw'] as const;
/** What policies/example/production/storage.yaml says of its S3 service. */
const S3_PORT = 9000;
const S3_REGION = 'eu-central-1';

/** A cluster of the user's, in place of the lab's. */
interface Elsewhere {
  context: string;
  /** kustomize overlay whose images that cluster can pull. */
  overlay: string;
  /** Address of this machine that the cluster's Pods reach. */
  address: string;
}

async function demo(keep: boolean, elsewhere: Elsewhere | undefined): Promise<void> {
  const road = new Road();
  road.section('The parts');
  const programs = elsewhere === undefined ? [...OF_A_CLUSTER, ...PROGRAMS] : PROGRAMS;
  await tools(programs, { onProgress: (line) => road.note(line) });
  await using taken = await takeGround();
  const ground = elsewhere === undefined ? taken : groundAt(taken, elsewhere.address);
  const started = Promise.all([
    startReplicaSet({ on: ground, members: 3, auth: true, tls: true }),
    startS3({ on: ground, port: S3_PORT, region: S3_REGION }),
    startGitServer({ on: ground }),
  ]);
  const own = elsewhere === undefined ? await ownCluster(ground) : undefined;
  const cluster: AnyCluster = own ?? clusterOf(elsewhere?.context ?? '');
  const [set, s3, git] = await started;
  road.passed('parts are up', 'Kubernetes, a replica set of three with TLS and authentication, S3, git');
  await using client = await set.client();
  const installed = own === undefined ? installElsewhere(cluster, elsewhere) : installBackstay(own);
  const [documents] = await Promise.all([fillShop(client), installed]);
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
  await reconcileNow(cluster, first);
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
  await reconcileNow(cluster, second);
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
  process.stdout.write('\nIt stays up until Ctrl-C. To explore:\n\n');
  if (own !== undefined) {
    process.stdout.write(
      `  export KUBECONFIG=${own.kubeconfig}\n  alias kubectl='${own.programs.kubernetes} kubectl'\n`,
    );
  }
  process.stdout.write('  kubectl get backstay -A\n\n');
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
    setInterval(() => {}, 60_000);
  });
}

/** What a user does who does not want to wait for the interval. */
async function reconcileNow(cluster: AnyCluster, commit: string): Promise<void> {
  const annotation = `backstay.dev/reconcile=${commit}`;
  await cluster.kubectl(['-n', NAMESPACE, 'annotate', '--overwrite', 'policysync/production', annotation]);
}

/** The lab's cluster; the images are made meanwhile. */
async function ownCluster(ground: Ground): Promise<Cluster> {
  const [cluster] = await Promise.all([startKubernetes({ on: ground }), buildBackstayImage(), buildPushgatewayImage()]);
  return cluster;
}

async function installElsewhere(cluster: AnyCluster, elsewhere: Elsewhere | undefined): Promise<void> {
  if (elsewhere === undefined) return;
  await installInContext(cluster, elsewhere.overlay);
  await cluster.apply(s3Service(elsewhere.address, S3_PORT));
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

const USAGE = `usage: npm run demo [-- OPTIONS]

  --keep            leave everything running at the end, and print how to explore it
  --context NAME    use a cluster that you have, by a context of your kubeconfig; Backstay is installed in it and stays
    --overlay DIR   the kustomize overlay to install, whose images that cluster can pull (see docs/install.md)
    --address IP    the address of this machine that the cluster's Pods reach: MongoDB, S3 and git run here
`;

/** @returns undefined without --context */
function elsewhereOf({ context, overlay, address }: Partial<Elsewhere>): Elsewhere | undefined {
  if (context === undefined) return undefined;
  if (overlay !== undefined && address !== undefined) return { context, overlay, address };
  throw new BackstayError('InvalidUsage', '--context needs --overlay and --address', { remedy: 'add --help for help' });
}

try {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values } = parseArgs({
    options: { keep: flag, help: { ...flag, short: 'h' }, context: text, overlay: text, address: text },
  });
  if (values.help) process.stdout.write(USAGE);
  else await demo(values.keep, elsewhereOf(values));
  process.exit(0);
} catch (error) {
  process.stderr.write(`\ndemo: ${describeError(error)}\n`);
  process.exit(1);
}
