// needs: cluster
// time-limit: 190s
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openScene, type Scene } from './scene.ts';

const test = suite('the trigger of a session');
let scene: Scene;

test.before(async () => {
  scene = await openScene();
  await scene.configuration('orders', 'orders', ['bucket']);
});

test.after(async () => {
  await scene[Symbol.asyncDispose]();
});

const args = ['trigger', '--configuration', 'orders', '--session', 'daily'];

async function job(name: string, annotations: Record<string, string>): Promise<void> {
  await scene.apply([
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { namespace: scene.namespace, name, annotations },
      spec: {
        suspend: true,
        template: { spec: { restartPolicy: 'Never', containers: [{ name: 'backstay', image: 'none' }] } },
      },
    },
  ]);
}

test('one scheduled time makes one session, whatever the number of tries', async () => {
  await job('trigger-orders-daily-29400480', {
    'batch.kubernetes.io/cronjob-scheduled-timestamp': '2025-11-25T03:00:00Z',
  });
  const pods = ['trigger-orders-daily-29400480-abcde', 'trigger-orders-daily-29400480-fghij'];
  const first = await scene.run(args, { POD_NAME: pods[0] ?? '' });
  assert.is(first.exitCode, 0, first.output);
  const name = `orders-daily-${Date.parse('2025-11-25T03:00:00Z') / 1000}`;
  assert.equal(first.result?.data, { backupSession: name, created: true });
  const second = await scene.run(args, { POD_NAME: pods[1] ?? '' });
  assert.is(second.exitCode, 0);
  assert.equal(second.result?.data, { backupSession: name, created: false });
  const session = await scene.backupSession(name);
  assert.is(session.spec.scheduledTime, '2025-11-25T03:00:00Z');
  assert.equal(session.spec.invoker.name, 'orders');
  assert.is(session.metadata.ownerReferences?.[0]?.kind, 'BackupConfiguration');
  assert.is(session.metadata.labels?.['backstay.dev/configuration'], 'orders');
});

test('a Job that a person made counts from its creation', async () => {
  await job('by-hand', {});
  const { result, output } = await scene.run(args, { JOB_NAME: 'by-hand' });
  assert.is(result?.data.created, true, output);
  const { spec } = await scene.backupSession(String(result?.data.backupSession));
  assert.ok(Math.abs(Date.now() - Date.parse(spec.scheduledTime ?? '')) < 60_000);
});

test('retries and the timeout come from the configuration', async () => {
  await scene.configuration('patient', 'orders', ['bucket']);
  await scene.lab.kubectl([
    ...['patch', 'backupconfigurations.backstay.dev', 'patient', '-n', scene.namespace, '--type=json', '-p'],
    JSON.stringify([
      { op: 'add', path: '/spec/sessions/0/retryConfig', value: { maxRetry: 3 } },
      { op: 'add', path: '/spec/sessions/0/backupTimeout', value: '2h' },
    ]),
  ]);
  const { result } = await scene.run(['trigger', '--configuration', 'patient', '--session', 'daily']);
  const { spec } = await scene.backupSession(String(result?.data.backupSession));
  assert.is(spec.retryLeft, 3);
  assert.is(spec.backupTimeout, '2h');
});

test('a configuration that is paused, gone or without the session is refused', async () => {
  await scene.configuration('resting', 'orders', ['bucket'], { paused: true });
  const paused = await scene.run(['trigger', '--configuration', 'resting', '--session', 'daily']);
  assert.is(paused.exitCode, 4);
  assert.is(paused.result?.code, 'Paused');
  assert.match(paused.result?.message ?? '', /BackupConfiguration .*\/resting is paused/);
  const gone = await scene.run(['trigger', '--configuration', 'absent', '--session', 'daily']);
  assert.is(gone.exitCode, 3);
  assert.is(gone.result?.code, 'ConfigurationNotFound');
  const other = await scene.run(['trigger', '--configuration', 'orders', '--session', 'hourly']);
  assert.match(other.result?.remedy ?? '', /daily/);
});

test.run();
