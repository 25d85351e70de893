import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { planAccess } from '../../src/operator/access/plan.ts';
import { TargetClaims } from '../../src/operator/claims.ts';
import { findTarget, targetKey } from '../../src/operator/target.ts';
import { resolveTask } from '../../src/operator/task.ts';
import { ADDON, FUNCTION } from './plans.ts';
import { samples } from './samples.ts';

const test = suite('claims, targets, tasks, access');

test('a target is taken by one at a time, and a restore that waits is next', () => {
  const claims = new TargetClaims();
  const backup = { kind: 'BackupSession', name: 'a/1' } as const;
  const next = { kind: 'BackupSession', name: 'a/2' } as const;
  const waiting = { kind: 'RestoreSession', name: 'a/r' } as const;
  assert.is(claims.claim('t', backup), undefined);
  assert.is(claims.claim('t', backup), undefined, 'who has it has it');
  assert.equal(claims.claim('t', next), backup);
  claims.reserve('t', waiting);
  claims.release(backup);
  assert.equal(claims.claim('t', next), waiting);
  assert.is(claims.claim('t', waiting), undefined);
  claims.release(waiting);
  assert.is(claims.claim('t', next), undefined);
});

test('a MongoDB of kubedb.com and the AppBinding of its name are one target', () => {
  const key = (apiGroup: 'kubedb.com' | 'appcatalog.appscode.com' | 'backstay.dev') =>
    targetKey({ apiGroup, kind: apiGroup === 'kubedb.com' ? 'MongoDB' : 'AppBinding', namespace: 'a', name: 'b' });
  assert.is(key('kubedb.com'), key('appcatalog.appscode.com'));
  assert.is.not(key('backstay.dev'), key('appcatalog.appscode.com'));
});

test('what is missing of a target is named', () => {
  const nothing = { appBinding: () => undefined, catalogAppBinding: () => undefined, kubedbMongoDB: () => undefined };
  assert.match(findTarget({ name: 'x' }, 'shop', nothing).missing, /AppBinding shop\/x of backstay.dev/);
  const mongo = { apiGroup: 'kubedb.com', kind: 'MongoDB', name: 'x' } as const;
  assert.match(findTarget(mongo, 'shop', nothing).missing, /MongoDB shop\/x of kubedb.com/);
  assert.match(
    findTarget(mongo, 'shop', { ...nothing, kubedbMongoDB: () => ({}) }).missing,
    /AppBinding shop\/x of appcatalog/,
  );
});

test('parameters fill the arguments of a Function, and cannot hide what the session gives', () => {
  const use = { name: 'mongodb', tasks: [{ name: 'logical-backup', params: { members: 'db-1:27017' } }] };
  const task = resolveTask({
    purpose: 'backup',
    use,
    addon: ADDON,
    findFunction: () => FUNCTION,
    variables: { backupSession: 'run', consistency: 'none' },
  });
  assert.equal(task.container.args, ['job', 'backup', '--session=run', '--consistency=none', '--members=db-1:27017']);
});

test('equal rights make equal Roles, whatever the order in which they are asked for', () => {
  const grant = (name: string) => ({ namespace: 'n', group: '', resource: 'secrets', verbs: ['get'], names: [name] });
  const request = {
    name: 'x',
    namespace: 'n',
    component: 'backup',
    owner: { apiVersion: 'v', kind: 'K', name: 'o', uid: 'u' },
  } as const;
  assert.equal(
    planAccess({ ...request, grants: [grant('a'), grant('b'), grant('a')] }),
    planAccess({ ...request, grants: [grant('b'), grant('a')] }),
  );
  const away = planAccess({ ...request, namespace: 'm', grants: [grant('a')] });
  assert.equal(
    [away.roles[0]?.metadata.ownerReferences, away.roles[0]?.metadata.labels?.['backstay.dev/owner-uid']],
    [undefined, 'u'],
    'an owner cannot be in another namespace',
  );
});

test('an AppBinding of another namespace is used only with its consent', () => {
  const { binding } = samples('vault');
  const nothing = { catalogAppBinding: () => undefined, kubedbMongoDB: () => undefined };
  const find = (allowed?: string) => {
    const metadata = {
      ...binding.metadata,
      annotations: allowed === undefined ? {} : { 'backstay.dev/allowed-namespaces': allowed },
    };
    const lookup = { ...nothing, appBinding: () => ({ ...binding, metadata }) };
    return findTarget({ namespace: 'vault', name: 'orders' }, 'shop', lookup);
  };
  assert.equal([find().found, find().reason, find().secrets], [false, 'NotAllowed', []]);
  assert.match(find().missing, /annotate it with backstay.dev\/allowed-namespaces: shop/);
  assert.is(find('billing').found, false);
  assert.is(find('billing, shop').found, true);
  assert.is(find('*').found, true);
});

test.run();
