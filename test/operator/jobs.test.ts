import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupStorage } from '../../src/api/generated/types.ts';
import { API_VERSION } from '../../src/api/group.ts';
import { buildJob, type JobRequest } from '../../src/operator/jobs/build.ts';
import { overlayContainer, overlaySpec } from '../../src/operator/jobs/overlay.ts';
import { claimElsewhere, collidingMounts, localVolumes } from '../../src/operator/jobs/volumes.ts';

const test = suite('jobs');

const REQUEST: JobRequest = {
  name: 'backup-x',
  namespace: 'shop',
  component: 'backup',
  owner: { apiVersion: API_VERSION, kind: 'BackupSession', name: 'x', uid: 'u', controller: true },
  serviceAccountName: 'backup-orders',
  deadlineSeconds: 59.2,
  container: { args: ['job', 'backup'] },
};

function local(name: string, local_: BackupStorage['spec']['storage']['local'] & {}): BackupStorage {
  return {
    apiVersion: API_VERSION,
    kind: 'BackupStorage',
    metadata: { namespace: 'shop', name },
    spec: { storage: { provider: 'local', local: local_ } },
  };
}

test('a Job meets the restricted Pod Security Standard without anybody asking for it', () => {
  const { spec } = buildJob(REQUEST, { image: 'i' }).spec.template;
  const [container] = spec.containers;
  assert.is(spec.securityContext?.runAsNonRoot, true);
  assert.is(spec.securityContext?.seccompProfile?.type, 'RuntimeDefault');
  assert.is(container?.securityContext?.allowPrivilegeEscalation, false);
  assert.is(container?.securityContext?.readOnlyRootFilesystem, true);
  assert.equal(container?.securityContext?.capabilities, { drop: ['ALL'] });
  assert.is(spec.enableServiceLinks, false);
});

test('a try is one Pod: the Job neither restarts it nor makes another', () => {
  const { spec } = buildJob(REQUEST, { image: 'i' });
  assert.is(spec.backoffLimit, 0);
  assert.is(spec.template.spec.restartPolicy, 'Never');
  assert.is(spec.activeDeadlineSeconds, 60);
});

test('overlays are laid on in their order, the settings of the container last', () => {
  const request: JobRequest = {
    ...REQUEST,
    overlays: [
      { spec: { priorityClassName: 'function', nodeSelector: { a: '1' } } },
      undefined,
      {
        metadata: { labels: { team: 'shop' }, annotations: { 'argocd.argoproj.io/tracking-id': 'x', note: 'y' } },
        spec: { priorityClassName: 'addon', nodeSelector: { b: '2' } },
      },
    ],
    containerSettings: { resources: { limits: { memory: '1Gi' } }, env: [{ name: 'TMPDIR', value: '/fast' }] },
  };
  const podTemplate = {
    spec: { priorityClassName: 'operator', containers: [{ name: 'backstay', imagePullPolicy: 'Never' }] },
  };
  const { template } = buildJob(request, { image: 'i', podTemplate }).spec;
  assert.is(template.spec.priorityClassName, 'addon');
  assert.equal(template.spec.nodeSelector, { a: '1', b: '2' });
  const [container] = template.spec.containers;
  assert.is(container?.imagePullPolicy, 'Never');
  assert.equal(container?.resources, { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '1Gi' } });
  assert.equal(
    container?.env?.filter(({ name }) => name === 'TMPDIR'),
    [{ name: 'TMPDIR', value: '/fast' }],
  );
  assert.is(template.metadata?.labels?.team, 'shop');
  assert.equal(template.metadata?.annotations, { note: 'y' });
});

test('an overlay cannot take over what the end and the rights of the Job depend upon', () => {
  const overlay = {
    metadata: { labels: { 'app.kubernetes.io/component': 'mine' } },
    spec: { serviceAccountName: 'admin', restartPolicy: 'Always', activeDeadlineSeconds: 1 },
  };
  const { template } = buildJob({ ...REQUEST, overlays: [overlay] }, { image: 'i' }).spec;
  assert.is(template.spec.serviceAccountName, 'backup-orders');
  assert.is(template.spec.restartPolicy, 'Never');
  assert.is(template.spec.activeDeadlineSeconds, undefined);
  assert.is(template.metadata?.labels?.['app.kubernetes.io/component'], 'backup');
});

test('named things are merged by their names, volumes replaced, tolerations added', () => {
  const base = {
    containers: [{ name: 'a', image: 'x' }],
    volumes: [{ name: 'tmp', emptyDir: {} }],
    tolerations: [{ key: 'one' }],
    hostAliases: [{ ip: '1' }],
  };
  const merged = overlaySpec<Record<string, unknown>>(base, {
    containers: [{ name: 'b' }, { name: 'a', image: 'y' }],
    volumes: [{ name: 'tmp', persistentVolumeClaim: { claimName: 'big' } }],
    tolerations: [{ key: 'two' }],
    hostAliases: [{ ip: '2' }],
  });
  assert.equal(merged, {
    containers: [{ name: 'a', image: 'y' }, { name: 'b' }],
    volumes: [{ name: 'tmp', persistentVolumeClaim: { claimName: 'big' } }],
    tolerations: [{ key: 'one' }, { key: 'two' }],
    hostAliases: [{ ip: '2' }],
  });
  assert.equal(base.containers, [{ name: 'a', image: 'x' }]);
});

test('a field called __proto__ is a field like any other', () => {
  const overlay = JSON.parse('{"nodeSelector": {"__proto__": "x"}}');
  const merged = overlaySpec<Record<string, Record<string, unknown>>>({ nodeSelector: { a: '1' } }, overlay);
  assert.is(Object.getPrototypeOf(merged.nodeSelector), Object.prototype);
  assert.equal(Object.keys(merged.nodeSelector ?? {}), ['a', '__proto__']);
});

test('settings of a container replace a variable of the same name', () => {
  const container = { env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'x' } } }] };
  assert.equal(overlayContainer<object>(container, { env: [{ name: 'A', value: '1' }] }), {
    env: [{ name: 'A', value: '1' }],
  });
});

test('a local storage is mounted where it says', () => {
  const nfs = local('nfs', { nfs: { server: 's', path: '/x' }, mountPath: '/mnt', subPath: 'a' });
  const [volume] = localVolumes([nfs]);
  assert.equal(volume?.volume, { name: 'storage', nfs: { server: 's', path: '/x' } });
  assert.equal(volume?.mount, { name: 'storage', mountPath: '/mnt', subPath: 'a' });
});

test('two storages at one path are told, one storage used twice is not', () => {
  const one = local('one', { hostPath: { path: '/a' } });
  const two = local('two', { hostPath: { path: '/b' } });
  assert.match(collidingMounts([one, two]) ?? '', /shop\/one and shop\/two .* \/backstay\/storage/);
  assert.is(collidingMounts([one, one]), undefined);
  assert.is(collidingMounts([one, local('three', { hostPath: { path: '/b' }, mountPath: '/other' })]), undefined);
});

test('a claim cannot be mounted from another namespace', () => {
  const claim = local('pvc', { persistentVolumeClaim: { claimName: 'data' } });
  assert.is(claimElsewhere(claim, 'shop'), undefined);
  assert.is(claimElsewhere(claim, 'billing'), 'data');
});

test.run();
