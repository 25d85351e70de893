// needs: cluster
// time-limit: 180s
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { takeGround } from './lab/ground.ts';
import { attachKubernetes } from './lab/kubernetes.ts';
import { startMongod } from './lab/mongod.ts';
import { until } from './lab/process.ts';
import { sharedLab } from './lab/shared.ts';
import { accepts } from './lab/socket.ts';

const test = suite('lab reaper');

/** What is left on the machine of the lab in a folder: processes, mounts, control groups and listeners. */
function leftOf(folder: string, number: number): string[] {
  const left = existsSync(folder) ? [folder] : [];
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const [environment, command] = ['environ', 'cmdline'].map((file) =>
        readFileSync(`/proc/${name}/${file}`, 'utf8'),
      );
      if (environment?.includes(folder) || command?.includes(folder))
        left.push(`process ${name}: ${command?.replaceAll('\0', ' ')}`);
    } catch {
      // it ended meanwhile
    }
  }
  left.push(
    ...readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(folder)),
  );
  // Another lab may have taken the number at once, and then these are its.
  const successor = readdirSync(dirname(folder)).some(
    (name) => name.startsWith(`backstay-lab-${number}-`) && name !== basename(folder),
  );
  if (successor) return left;
  for (const controller of readdirSync('/sys/fs/cgroup')) {
    const path = `/sys/fs/cgroup/${controller}/backstay-lab-${number}`;
    if (existsSync(path)) left.push(path);
  }
  const network = [1, 0, number, 127].map((byte) => byte.toString(16).padStart(2, '0').toUpperCase()).join('');
  left.push(
    ...readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .filter((line) => line.includes(` ${network}:`) && / 0A /.test(line)),
  );
  return left;
}

test('two labs stand side by side, and nothing is left of the one whose owner is killed', async () => {
  await using first = await sharedLab();
  const owner = spawn(process.execPath, ['test/lab/up.ts', 'mongo', 's3', 'pushgateway'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = new Promise((resolve) => owner.once('exit', resolve));
  try {
    let kubeconfig = '';
    for await (const line of createInterface({ input: owner.stdout })) {
      if (line.startsWith('KUBECONFIG=')) kubeconfig = line.slice('KUBECONFIG='.length);
      if (line.startsWith('Ctrl-C')) break;
    }
    const folder = dirname(kubeconfig);
    const second = await attachKubernetes(folder);
    assert.is.not(second.number, first.number);
    await second.apply([
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'busy', namespace: 'default' },
        spec: {
          containers: [
            {
              name: 'busy',
              image: 'localhost/backstay:dev',
              imagePullPolicy: 'Never',
              command: [
                '/usr/local/bin/node',
                '-e',
                `require('node:net').createServer().listen(8080, '${second.address(77)}')`,
              ],
            },
          ],
        },
      },
    ]);
    await until('the Pod listens', () => accepts(second.address(77), 8080), { timeoutMs: 60_000 });
    assert.ok(leftOf(folder, second.number).length > 10);

    owner.kill('SIGKILL');
    await gone;
    await until('the lab is gone', async () => leftOf(folder, second.number).length === 0).catch(() => {});
    assert.equal(leftOf(folder, second.number), []);
    assert.not(await accepts(second.address(77), 8080));
    const { status } = await first.request('GET', '/api/v1/nodes/localhost');
    assert.is(status, 200);
  } finally {
    owner.kill('SIGKILL');
  }
});

test('a part that its test forgot is removed with its ground', async () => {
  const ground = await takeGround();
  const mongod = await startMongod({ on: ground });
  await ground.stop();
  let how: number | string | undefined;
  void mongod.process.ended.then((ended) => {
    how = ended;
  });
  // Parts of the lab do not keep their owner alive, so waiting for the end alone would end this test early.
  await until('mongod has ended', async () => how !== undefined);
  assert.is(how, 'SIGKILL');
  assert.not(existsSync(ground.folder));
});

test.run();
