// What a commit means for the cluster, decided without either of them.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { API_VERSION } from '../../src/api/group.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { review } from '../../src/api/review.ts';
import { type DesiredOptions, desiredObjects } from '../../src/gitops/desired.ts';
import { FIELD_MANAGER, markOf } from '../../src/gitops/ownership.ts';
import { type InventoryEntry, type PlanInput, plan, type Step } from '../../src/gitops/plan.ts';
import type { DesiredObject } from '../../src/gitops/prepare.ts';
import { type Failure, readObjects } from '../../src/gitops/read/objects.ts';

const test = suite('plan');
const mark = 'shop.policies';
const options: DesiredOptions = {
  mark,
  namespace: 'shop',
  validate: (kind, object, lookup) => review(kind, object, { lookup }).causes,
};

function read(
  text: string,
  path = 'p.yaml',
  given: Partial<DesiredOptions> = {},
): { objects: DesiredObject[]; failures: Failure[] } {
  const { objects, failures } = readObjects({ path, content: Buffer.from(text) });
  const desired = desiredObjects(objects, { ...options, ...given });
  return { objects: desired.objects, failures: [...failures, ...desired.failures] };
}

const text = (kind: string, name: string, more = ''): string =>
  `apiVersion: ${API_VERSION}\nkind: ${kind}\nmetadata:\n  name: ${name}\n${more}`;
const lax = { validate: () => [] };
const one = (kind: string, name: string, more = ''): DesiredObject => {
  const [object] = read(text(kind, name, more), 'p.yaml', lax).objects;
  if (object === undefined) throw new Error('nothing was read');
  return object;
};

/** The object as the API server shows it after it was applied. */
function live({ object }: DesiredObject, change: (object: KubeObject) => void = () => {}): KubeObject {
  const labels = Object.fromEntries(Object.keys(object.metadata.labels ?? {}).map((key) => [`f:${key}`, {}]));
  const spec = 'spec' in object ? { 'f:spec': {} } : {};
  const copy = structuredClone(object);
  copy.metadata.managedFields = [
    {
      manager: FIELD_MANAGER,
      operation: 'Apply',
      apiVersion: API_VERSION,
      fieldsV1: { 'f:metadata': { 'f:labels': labels }, ...spec },
    },
  ];
  copy.metadata.uid = object.metadata.name ?? '';
  change(copy);
  return copy;
}

const entry = ({ id, digest }: DesiredObject): InventoryEntry => ({ id, v: 'v1alpha1', digest });

function decide(desired: DesiredObject[], cluster: KubeObject[], more: Partial<PlanInput> = {}): Step[] {
  const objects = new Map(
    cluster.map((object) => [
      [object.metadata.namespace ?? '', object.metadata.name, 'backstay.dev', object.kind].join('_'),
      object,
    ]),
  );
  return plan({
    mark,
    desired,
    inventory: [],
    live: (id) => objects.get(id),
    exists: () => true,
    prune: true,
    force: false,
    ...more,
  });
}

const told = (steps: Step[]): string[] =>
  steps.map((step) => {
    const id = 'desired' in step && step.desired !== undefined ? step.desired.id : 'id' in step ? step.id : '';
    return `${step.action} ${id.split('_')[3]} ${id.split('_')[1]}`;
  });

test('what is referred to is applied first, restores last, and pruned the other way round', () => {
  const kinds = [
    'RestoreSession',
    'PolicySync',
    'BackupConfiguration',
    'Repository',
    'AppBinding',
    'RetentionPolicy',
    'BackupStorage',
    'Addon',
    'Function',
  ];
  const objects = kinds.map((kind) => one(kind, 'x'));
  assert.equal(
    told(decide(objects, [])),
    [...kinds].reverse().map((kind) => `create ${kind} x`),
  );
  const pruned = decide(
    [],
    objects.map((object) => live(object)),
    { inventory: objects.map(entry) },
  );
  assert.equal(
    told(pruned),
    kinds.map((kind) => `prune ${kind} x`),
  );
});

test('prunes come after everything that is applied, so a rename creates first', () => {
  const [before, after] = [one('BackupStorage', 'a'), one('BackupStorage', 'z')];
  assert.equal(told(decide([after], [live(before)], { inventory: [entry(before)] })), [
    'create BackupStorage z',
    'prune BackupStorage a',
  ]);
});

test('a plan that was carried out plans nothing', () => {
  const desired = [
    one('BackupStorage', 'a', 'spec: {storage: {provider: s3}}\n'),
    one('RetentionPolicy', 'b'),
    one('Addon', 'c'),
  ];
  const cluster = desired.map((object) => live(object));
  assert.equal(told(decide(desired, cluster, { inventory: desired.map(entry) })), [
    'keep Addon c',
    'keep BackupStorage a',
    'keep RetentionPolicy b',
  ]);
});

test('a changed value, a lost mark and lost ownership are all put right', () => {
  const desired = one('BackupStorage', 'a', 'spec: {storage: {provider: s3}}\n');
  const changes: ((object: KubeObject) => void)[] = [
    (object) => Object.assign(object, { spec: { storage: { provider: 'gcs' } } }),
    (object) => Object.assign(object.metadata, { labels: {} }),
    (object) => Object.assign(object.metadata, { managedFields: [] }),
  ];
  const steps = changes.map((change) => decide([desired], [live(desired, change)])[0]);
  assert.equal(
    steps.map((step) => step?.action),
    ['change', 'change', 'change'],
  );
  // Fields are taken back by force only on an object that still says it is ours.
  assert.equal(
    steps.map((step) => step?.action === 'change' && step.force),
    [true, false, true],
  );
});

test('what others manage is a conflict unless force is set, or git itself says the same', () => {
  const desired = one('BackupStorage', 'a');
  const marks: [Record<string, Record<string, string>>, RegExp][] = [
    [{ labels: { 'kustomize.toolkit.fluxcd.io/name': 'apps' } }, /Flux/],
    [{ labels: { 'helm.toolkit.fluxcd.io/name': 'apps' } }, /Flux \(HelmRelease/],
    [
      { annotations: { 'argocd.argoproj.io/tracking-id': 'apps:backstay.dev/BackupStorage:shop/a' } },
      /Argo CD \(application apps\)/,
    ],
    [{ annotations: { 'meta.helm.sh/release-name': 'r' } }, /Helm/],
    [{ labels: { 'backstay.dev/policysync': 'other.sync' } }, /PolicySync other\/sync/],
  ];
  for (const [metadata, pattern] of marks) {
    const object = live(desired, ({ metadata: own }) => Object.assign(own, metadata));
    const [step] = decide([desired], [object]);
    assert.match(step?.action === 'conflict' ? step.manager : 'no conflict', pattern);
    assert.is.not(decide([desired], [object], { force: true })[0]?.action, 'conflict');
  }
  const left = live(desired, ({ metadata }) =>
    Object.assign(metadata, { labels: { 'backstay.dev/policysync': 'gone.sync' } }),
  );
  assert.is(decide([desired], [left], { exists: (other) => other !== 'gone.sync' })[0]?.action, 'change');
  const said = one('BackupStorage', 'a');
  Object.assign(said.object.metadata.labels ?? {}, { 'kustomize.toolkit.fluxcd.io/name': 'apps' });
  assert.is(decide([said], [live(said)])[0]?.action, 'keep');
});

test('only what carries our mark is pruned, and never what says it stays', () => {
  const desired = one('BackupStorage', 'a');
  const inventory = [entry(desired)];
  const action = (change: (object: KubeObject) => void, more: Partial<PlanInput> = {}): string | undefined =>
    decide([], [live(desired, change)], { inventory, ...more })[0]?.action;
  assert.is(
    action(() => {}),
    'prune',
  );
  assert.is(
    action(({ metadata }) => Object.assign(metadata, { labels: { 'backstay.dev/policysync': 'other.sync' } })),
    undefined,
  );
  assert.is(
    action(({ metadata }) => Object.assign(metadata, { annotations: { 'backstay.dev/prune': 'disabled' } })),
    'skip',
  );
  assert.is(
    action(({ metadata }) => Object.assign(metadata, { deletionTimestamp: '2026-01-01T00:00:00Z' })),
    'skip',
  );
  assert.is(
    action(() => {}, { prune: false }),
    'skip',
  );
  assert.equal(decide([], [], { inventory }), []);
});

test('a restore that has run is not made again, and one that never was is', () => {
  const desired = one('RestoreSession', 'r');
  assert.is(decide([desired], [], { inventory: [entry(desired)] })[0]?.action, 'skip');
  assert.is(decide([desired], [], { inventory: [{ id: desired.id }] })[0]?.action, 'create');
  assert.is(decide([desired], [])[0]?.action, 'create');
});

test('an object that is being deleted is waited for', () => {
  const desired = one('BackupStorage', 'a');
  assert.is(
    decide(
      [desired],
      [live(desired, ({ metadata }) => Object.assign(metadata, { deletionTimestamp: '2026-01-01T00:00:00Z' }))],
    )[0]?.action,
    'skip',
  );
});

test('two PolicySyncs never have the same mark, however long their names', () => {
  assert.is(markOf({ namespace: 'shop', name: 'a.b' }), 'shop.a.b');
  const long = (end: string): string => markOf({ namespace: 'n'.repeat(63), name: `${'x'.repeat(200)}${end}` });
  assert.is.not(long('a'), long('b'));
  assert.ok(long('a').length <= 63);
});

test('an object gets the namespace of the PolicySync, or its target namespace, where it names none', () => {
  assert.is(one('BackupStorage', 'a').object.metadata.namespace, 'shop');
  assert.is(
    read(text('BackupStorage', 'a'), 'p.yaml', { ...lax, namespace: 'team' }).objects[0]?.object.metadata.namespace,
    'team',
  );
  assert.is(
    read(text('BackupStorage', 'a', '  namespace: own\n'), 'p.yaml', lax).objects[0]?.object.metadata.namespace,
    'own',
  );
  assert.is(one('Addon', 'a').object.metadata.namespace, undefined);
});

test('the digest does not depend on the order of fields, and on everything else', () => {
  const digest = (more: string): string => one('BackupStorage', 'a', more).digest;
  assert.is(digest('spec: {a: 1, b: 2}\n'), digest('spec: {b: 2, a: 1}\n'));
  assert.is.not(digest('spec: {a: 1}\n'), digest('spec: {a: 2}\n'));
  assert.is.not(digest('spec: {a: [1, 2]}\n'), digest('spec: {a: [2, 1]}\n'));
});

test('what has no place in git is refused with its line', () => {
  const cases: [string, string, number, RegExp][] = [
    ['apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n', 'apiVersion', 1, /backstay\.dev only/],
    [
      'apiVersion: evil.backstay.dev/v1\nkind: BackupStorage\nmetadata: {name: x}\n',
      'apiVersion',
      1,
      /backstay\.dev only/,
    ],
    ['apiVersion: backstay.dev\nkind: BackupStorage\nmetadata: {name: x}\n', 'apiVersion', 1, /backstay\.dev only/],
    ['apiVersion: backstay.dev/v1\nkind: BackupStorage\nmetadata: {name: x}\n', 'apiVersion', 1, /v1alpha1/],
    [text('BackupStorrage', 'x'), 'kind', 2, /BackupStorage/],
    [text('BackupSession', 'x'), 'kind', 2, /one run/],
    [text('Snapshot', 'x'), 'kind', 2, /result/],
    [text('BackupStorage', 'x', '  finalizers: [a]\n'), 'metadata.finalizers', 5, /remove it/],
    [text('BackupStorage', 'x', '  ownerReferences: []\n'), 'metadata.ownerReferences', 5, /remove it/],
    [text('BackupStorage', 'x', '  resourceVersion: "5"\n'), 'metadata.resourceVersion', 5, /remove it/],
    [text('BackupStorage', 'x', 'status: {phase: Ready}\n'), 'status', 5, /remove it/],
  ];
  for (const [yaml, field, line, message] of cases) {
    const { failures } = read(yaml, 'p.yaml', lax);
    assert.equal(
      failures.map((failure) => [failure.file, failure.field, failure.line]),
      [['p.yaml', field, line]],
      yaml,
    );
    assert.match(failures[0]?.message ?? '', message);
  }
  assert.equal(read(text('BackupStorage', 'x', '  creationTimestamp: null\nstatus: {}\n'), 'p.yaml', lax).failures, []);
});

test('one object in two places is told with both', () => {
  const { failures } = read(
    `${text('BackupStorage', 'x')}---\n${text('BackupStorage', 'x', '  namespace: shop\n')}`,
    'p.yaml',
    lax,
  );
  assert.equal(
    failures.map(({ line, message }) => [line, /p\.yaml:1 too/.test(message)]),
    [[9, true]],
  );
});

test('the items of a List are objects with places of their own', () => {
  const item = (name: string): string =>
    `  - apiVersion: ${API_VERSION}\n    kind: RetentionPolicy\n    metadata:\n      name: ${name}\n    spec:\n      maxRetentionPeriod: 5x\n`;
  const { objects, failures } = read(`apiVersion: v1\nkind: List\nitems:\n${item('a')}${item('b')}`);
  assert.equal(
    objects.map(({ source }) => source.line),
    [4, 10],
  );
  assert.equal(
    failures.map(({ line, field }) => [line, field]),
    [
      [9, 'spec.maxRetentionPeriod'],
      [15, 'spec.maxRetentionPeriod'],
    ],
  );
});

test('what is no object is told: scalars, lists, missing kinds and names, LFS pointers, other encodings', () => {
  const message = (content: string | Uint8Array): string =>
    readObjects({ path: 'p.yaml', content: typeof content === 'string' ? Buffer.from(content) : content }).failures[0]
      ?.message ?? 'no failure';
  assert.match(message('just text'), 'not an object');
  assert.match(message('- a\n- b\n'), 'not an object');
  assert.match(message('kind: X\n'), 'apiVersion');
  assert.match(message('apiVersion: v1\nkind: X\nmetadata: {}\n'), 'metadata.name is missing');
  assert.match(message('apiVersion: v1\nkind: X\nmetadata: {name: 012}\n'), 'put it in quotes');
  assert.match(message('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'), 'LFS');
  assert.match(message(Buffer.from([0x61, 0xff, 0xfe])), 'UTF-8');
  assert.match(message(Buffer.from('\ufeffa: b', 'utf16le')), 'UTF-8');
  assert.equal(readObjects({ path: 'p.yaml', content: Buffer.from('---\n# nothing\n') }), {
    objects: [],
    failures: [],
  });
});

test('the reader answers anything at all with failures, and never throws', () => {
  let seed = 42;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed % below;
  };
  const pieces = [
    'apiVersion: ',
    API_VERSION,
    '\n',
    'kind: ',
    'List',
    'RetentionPolicy',
    'metadata:',
    '\n  name: ',
    'x',
    '---\n',
    '[',
    ']',
    '{',
    '}',
    '&a ',
    '*a',
    '<<: ',
    '"',
    "'",
    '|',
    '>',
    '#',
    '\t',
    '- ',
    ': ',
    '!!int ',
    '%YAML 1.2\n',
    '\u0000',
    '\ufeff',
    'items:\n',
    '? ',
    '012',
    '~',
    'spec:\n  successfulSnapshots: ',
  ];
  for (let round = 0; round < 3000; round += 1) {
    const yaml = Array.from({ length: random(24) }, () => pieces[random(pieces.length)]).join('');
    try {
      read(yaml);
    } catch (error) {
      assert.unreachable(`${JSON.stringify(yaml)}: ${String(error)}`);
    }
  }
});

test.run();
