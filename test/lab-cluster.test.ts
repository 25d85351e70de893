// needs: cluster
// time-limit: 180s
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { buildBackstayImage } from '../scripts/image/build.ts';
import { until } from './lab/process.ts';
import { sharedLab } from './lab/shared.ts';

const test = suite('lab cluster');

const RESTRICTED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  runAsNonRoot: true,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};

/** What the image is asked to show of itself. */
const PROBE = `
const { execFileSync } = require('node:child_process');
const version = (program, ...args) => execFileSync(program, args, { encoding: 'utf8' }).split('\\n')[0];
let root = 'writable';
try { require('node:fs').writeFileSync('/app/x', ''); } catch (error) { root = error.code; }
console.log(JSON.stringify({
  user: process.getuid(), node: process.versions.node.split('.')[0], root,
  restic: version('restic', 'version'), git: version('git', '--version'), shell: version('sh', '-c', 'echo yes'),
  bson: typeof require('/app/node_modules/mongodb').BSON.serialize,
}));`;

test('a Pod of the image runs as user 65532 with a read-only root under the restricted profile', async () => {
  await using lab = await sharedLab();
  await lab.importImage(await buildBackstayImage());
  const namespace = `image-${process.pid}`;
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await lab.apply([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'probe', namespace },
      spec: {
        restartPolicy: 'Never',
        containers: [
          {
            name: 'probe',
            image: 'localhost/backstay:dev',
            imagePullPolicy: 'Never',
            command: ['/usr/local/bin/node', '-e', PROBE],
            securityContext: RESTRICTED,
          },
        ],
      },
    },
  ]);
  try {
    const phase = async (): Promise<string> =>
      (await lab.request<{ status: { phase: string } }>('GET', `/api/v1/namespaces/${namespace}/pods/probe`)).body
        .status.phase;
    await until('the probe has ended', async () => ['Succeeded', 'Failed'].includes(await phase()), {
      timeoutMs: 60_000,
    });
    const shown = JSON.parse(await lab.kubectl(['logs', 'probe', '--namespace', namespace]));
    assert.is(await phase(), 'Succeeded');
    assert.is(shown.user, 65532);
    assert.is(shown.node, '24');
    assert.is(shown.root, 'EROFS');
    assert.match(shown.restic, /^restic 0\.18/);
    assert.match(shown.git, /^git version/);
    assert.is(shown.shell, 'yes');
    assert.is(shown.bson, 'function');
  } finally {
    await lab.kubectl(['delete', 'namespace', namespace, '--wait=false']);
  }
});

test('a service account may do no more than its roles say', async () => {
  await using lab = await sharedLab();
  const token = await lab.tokenFor('default', 'default');
  const secrets = await lab.request('GET', '/api/v1/namespaces/default/secrets', { token });
  assert.is(secrets.status, 403);
  const allowed = await lab.request('GET', '/api/v1/namespaces/default/secrets');
  assert.is(allowed.status, 200);
});

test.run();
