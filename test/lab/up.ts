/**
 * `node test/lab/up.ts [--keep] [mongo] [s3] [git] [pushgateway]` starts a cluster, and what is named beside it, and stays until Ctrl-C.
 * With `--keep` it ends at once and the lab stays until `node test/lab/down.ts`; the git server, which lives in this process, cannot.
 */
import { buildBackstayImage } from '../../scripts/image/build.ts';
import { describeError } from '../../src/api/errors.ts';
import { startGitServer } from './git.ts';
import { takeGround } from './ground.ts';
import { startKubernetes } from './kubernetes.ts';
import { startPushgateway } from './pushgateway.ts';
import { startReplicaSet } from './replica-set.ts';
import { startS3 } from './s3.ts';

const PARTS = ['mongo', 's3', 'git', 'pushgateway'];
const words = process.argv.slice(2);
const keep = words.includes('--keep');
const parts = words.filter((word) => word !== '--keep');
const unknown = parts.filter((word) => !PARTS.includes(word));
if (unknown.length > 0) {
  console.error(`There is no part ${unknown.join(', ')}; there are ${PARTS.join(', ')}, and --keep`);
  process.exit(2);
}

try {
  const ground = await takeGround();
  const told = new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, resolve);
  });
  try {
    const facts = await Promise.all([
      startKubernetes({ on: ground, images: [await buildBackstayImage()] }).then(
        (cluster) => `KUBECONFIG=${cluster.kubeconfig}`,
      ),
      parts.includes('mongo')
        ? startReplicaSet({ on: ground, auth: true }).then((set) => `MONGODB_URI='${set.uri}'`)
        : '',
      parts.includes('s3')
        ? startS3({ on: ground }).then((s3) => `S3_ENDPOINT=${s3.directEndpoint} ${assignments(s3.env)}`)
        : '',
      parts.includes('git')
        ? startGitServer({ on: ground })
            .then((git) => git.makeRepository('policies'))
            .then(({ url }) => `GIT_URL=${url}`)
        : '',
      parts.includes('pushgateway') ? startPushgateway({ on: ground }).then(({ url }) => `PUSHGATEWAY_URL=${url}`) : '',
    ]);
    console.log(facts.filter((line) => line !== '').join('\n'));
    if (keep) {
      ground.keep();
      console.log('The lab stays until: node test/lab/down.ts');
    } else {
      console.log('Ctrl-C ends it');
      const busy = setInterval(() => {}, 1 << 30); // a lab keeps no process alive
      await told;
      clearInterval(busy);
    }
  } finally {
    if (!keep) await ground.stop();
  }
  process.exit(0);
} catch (error) {
  console.error(describeError(error));
  process.exit(1);
}

function assignments(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}
