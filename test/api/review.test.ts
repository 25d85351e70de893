import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { applyDefaults } from '../../src/api/defaults.ts';
import { isKind, type Kind } from '../../src/api/kinds.ts';
import { type ReviewOptions, review } from '../../src/api/review.ts';
import {
  addon,
  aFunction,
  backupSession,
  binding,
  configuration,
  type Loose,
  lookupOf,
  namespace,
  policySync,
  repository,
  restore,
  retention,
  SAMPLES,
  session,
  snapshot,
  storage,
  variable,
} from './objects.ts';

const test = suite('review');
const NOW = new Date('2026-11-23T12:00:00Z');

function judge(object: Loose, options: ReviewOptions = {}) {
  assert.ok(isKind(object.kind));
  return review(object.kind as Kind, object, { now: NOW, ...options });
}

/** `field reason` of every cause. */
function complaints(object: Loose, options: ReviewOptions = {}): string[] {
  return judge(object, options).causes.map(({ field, reason }) => `${field} ${reason.replace('FieldValue', '')}`);
}

const everything = lookupOf(
  storage(),
  retention(),
  repository(),
  addon(),
  aFunction(),
  { ...aFunction(), metadata: { name: 'restore' } },
  binding(),
  configuration(),
  snapshot(),
  namespace('shop'),
);

for (const [kind, make] of Object.entries(SAMPLES)) {
  test(`a good ${kind} passes without a word, with and without other objects`, () => {
    assert.equal(complaints(make()), []);
    assert.equal(judge(make(), { lookup: everything }), { causes: [], warnings: [], schemaFails: false });
  });
}

const local = (hostPath: string) => ({ storage: { provider: 'local', local: { hostPath: { path: hostPath } } } });
const withRepositories = (...repositories: Loose[]) => configuration({ sessions: [session({ repositories })] });
const repo = (change: object) => ({
  name: 'orders',
  backend: 's3',
  directory: 'orders',
  encryptionSecret: { name: 'restic' },
  ...change,
});
const schedule = (scheduler: object) => configuration({ sessions: [session({ scheduler })] });
const use = (task: object, change: object = {}) =>
  configuration({ sessions: [session({ addon: { name: 'mongodb', tasks: [task], ...change } })] });
const client = (clientConfig: object) => binding({ clientConfig });
const first = 'spec.sessions[0]';

/** What is wrong, the object, and the complaint about it, from the object alone. */
const alone: [string, Loose, string][] = [
  ['Sunday as 7', schedule({ schedule: '0 3 * * 7' }), `${first}.scheduler.schedule Invalid`],
  ['a schedule that never fires', schedule({ schedule: '0 3 31 2 *' }), `${first}.scheduler.schedule Invalid`],
  ['a time zone in the schedule', schedule({ schedule: 'TZ=UTC 0 3 * * *' }), `${first}.scheduler.schedule Invalid`],
  [
    'a time zone in lower case',
    schedule({ schedule: '@daily', timeZone: 'europe/berlin' }),
    `${first}.scheduler.timeZone Invalid`,
  ],
  [
    'a timeout of nothing',
    configuration({ sessions: [session({ backupTimeout: '0s' })] }),
    `${first}.backupTimeout Invalid`,
  ],
  ['two sessions of one name', configuration({ sessions: [session(), session()] }), 'spec.sessions[1] Duplicate'],
  [
    'a backend that is not there',
    withRepositories(repo({ backend: 's4' })),
    `${first}.repositories[0].backend NotFound`,
  ],
  [
    'a directory that climbs',
    withRepositories(repo({ directory: 'a/../b' })),
    `${first}.repositories[0].directory Invalid`,
  ],
  [
    'the folder of the marker',
    withRepositories(repo({ directory: '/backstay-storage/' })),
    `${first}.repositories[0].directory Forbidden`,
  ],
  [
    'two repositories in one directory',
    withRepositories(repo({}), repo({ name: 'other', directory: '/orders/' })),
    `${first}.repositories[1].directory Duplicate`,
  ],
  [
    'one repository in two directories',
    configuration({
      sessions: [session(), session({ name: 'hourly', repositories: [repo({ directory: 'elsewhere' })] })],
    }),
    'spec.sessions[1].repositories[0].name Duplicate',
  ],
  [
    'a service account of the user',
    use({ name: 'logical-backup' }, { jobTemplate: { spec: { serviceAccountName: 'admin' } } }),
    `${first}.addon.jobTemplate.spec.serviceAccountName Forbidden`,
  ],
  [
    'a kubedb.com group with an AppBinding',
    configuration({ target: { name: 'a', apiGroup: 'kubedb.com' } }),
    'spec.target Invalid',
  ],
  ['a provider without its block', storage({ storage: { provider: 'gcs' } }), 'spec.storage Invalid'],
  [
    'two volumes in one storage',
    storage({ storage: { provider: 'local', local: { hostPath: { path: '/a' }, nfs: { server: 's', path: '/a' } } } }),
    'spec.storage.local Invalid',
  ],
  ['a folder of the node that climbs', storage(local('/a/../b')), 'spec.storage.local.hostPath.path Invalid'],
  [
    'a selector without Selector',
    storage({ usagePolicy: { allowedNamespaces: { from: 'All', selector: {} } } }),
    'spec.usagePolicy.allowedNamespaces Invalid',
  ],
  [
    'an endpoint with credentials',
    storage({ storage: { provider: 's3', s3: { bucket: 'b', endpoint: 'https://me:secret@minio' } } }),
    'spec.storage.s3.endpoint Invalid',
  ],
  ['a policy that says nothing', retention({ maxRetentionPeriod: undefined }), 'spec Invalid'],
  ['a retention period of nothing', retention({ maxRetentionPeriod: '0d' }), 'spec.maxRetentionPeriod Invalid'],
  [
    'a good snapshots rule without a number',
    retention({ successfulSnapshots: {} }),
    'spec.successfulSnapshots Invalid',
  ],
  ['credentials in the URL of a database', client({ url: 'mongodb://me:secret@db' }), 'spec.clientConfig.url Invalid'],
  [
    'a password among the options',
    client({ url: 'mongodb://db/?tlsCertificateKeyFilePassword=secret' }),
    'spec.clientConfig.url Forbidden',
  ],
  ['a URL without a host', client({ url: 'mongodb:///shop' }), 'spec.clientConfig.url Invalid'],
  ['a port with +srv', client({ url: 'mongodb+srv://db:27017' }), 'spec.clientConfig.url Invalid'],
  ['both url and service', client({ url: 'mongodb://db', service: { name: 'db' } }), 'spec.clientConfig Invalid'],
  [
    'a caBundle that is no base64',
    client({ url: 'mongodb://db', caBundle: '!!' }),
    'spec.clientConfig.caBundle Invalid',
  ],
  [
    'a caBundle that is no PEM',
    client({ url: 'mongodb://db', caBundle: 'aGVsbG8=' }),
    'spec.clientConfig.caBundle Invalid',
  ],
  [
    'a replica set without a name',
    binding({ parameters: { replicaSets: { shard0: 'a:27017' } } }),
    'spec.parameters.replicaSets.shard0 Invalid',
  ],
  [
    'a snapshot that is no name',
    restore({ dataSource: { repository: 'orders', snapshot: 'Newest!' } }),
    'spec.dataSource.snapshot Invalid',
  ],
  [
    'a namespace without a collection',
    restore({ dataSource: { repository: 'orders', namespaces: { include: ['shop'] } } }),
    'spec.dataSource.namespaces.include[0] Invalid',
  ],
  [
    'two collections that become one',
    restore({
      dataSource: {
        repository: 'orders',
        namespaces: {
          rename: [
            { from: 'a.b', to: 'c.d' },
            { from: 'a.c', to: 'c.d' },
          ],
        },
      },
    }),
    'spec.dataSource.namespaces.rename[1].to Duplicate',
  ],
  [
    'a parameter that Backstay gives itself',
    addon({ backupTasks: [{ name: 'a', function: 'f', parameters: [{ name: 'namespace' }] }] }),
    'spec.backupTasks[0].parameters[0].name Forbidden',
  ],
  [
    'a default that is no value of its type',
    addon({
      backupTasks: [{ name: 'a', function: 'f', parameters: [{ name: 'n', type: 'integer', default: 'many' }] }],
    }),
    'spec.backupTasks[0].parameters[0].default Invalid',
  ],
  ['a variable that is not closed', aFunction({ args: [variable('namespace').slice(0, -1)] }), 'spec.args[0] Invalid'],
  ['a variable with a space', aFunction({ args: [variable('a b')] }), 'spec.args[0] Invalid'],
  [
    'credentials in the URL of a git repository',
    policySync({ url: 'https://me:secret@git.example.com/a.git' }),
    'spec.url Forbidden',
  ],
  [
    'a token in the URL of a git repository',
    policySync({ url: 'https://token@git.example.com/a.git' }),
    'spec.url Forbidden',
  ],
  ['a branch that git does not allow', policySync({ ref: { branch: 'a..b' } }), 'spec.ref.branch Invalid'],
  ['an interval of nothing', policySync({ interval: '0s' }), 'spec.interval Invalid'],
  ['a path that climbs', policySync({ path: './../other' }), 'spec.path Invalid'],
  ['an unknown field', configuration({ sesions: [] }), 'spec.sesions Invalid'],
  ['a kind of another version', { ...storage(), apiVersion: 'backstay.dev/v1' }, 'apiVersion NotSupported'],
  [
    'a namespace on a cluster-scoped kind',
    { ...addon(), metadata: { name: 'mongodb', namespace: 'shop' } },
    'metadata.namespace Forbidden',
  ],
  [
    'a label that is no text',
    { ...storage(), metadata: { name: 's3', labels: { a: 1 } } },
    'metadata.labels[a] TypeInvalid',
  ],
];

for (const [what, object, expected] of alone) {
  test(`${object.kind}: ${what} is refused`, () => assert.equal(complaints(object), [expected]));
}

test('ssh://git@ is a user name and no credentials', () => {
  assert.equal(complaints(policySync({ url: 'ssh://git@git.example.com/a.git', secretRef: { name: 'key' } })), []);
});

test('no message repeats a password that stands in a URL', () => {
  for (const object of [
    client({ url: 'mongodb://me:hunter2@db' }),
    client({ url: 'mongodb://me:hunter2/with/slashes@db' }),
    storage({ storage: { provider: 's3', s3: { bucket: 'b', endpoint: 'https://me:hunter2@minio' } } }),
    policySync({ url: 'https://me:hunter2@git.example.com/a.git' }),
    policySync({ url: 'ftp://me:hunter2@git.example.com/a.git' }),
  ]) {
    const { causes } = judge(object);
    assert.ok(causes.length > 0);
    assert.not.match(JSON.stringify(causes), /hunter2/);
  }
});

/** What is wrong, the object, what else there is, and the complaint. */
const among: [string, Loose, Loose[], string][] = [
  [
    'a task that the Addon does not have',
    use({ name: 'logical-backpu' }),
    [addon()],
    `${first}.addon.tasks[0].name NotSupported`,
  ],
  ['a task that restores', use({ name: 'logical-restore' }), [addon()], `${first}.addon.tasks[0].name NotSupported`],
  [
    'an unknown parameter',
    use({ name: 'logical-backup', params: { maxlag: '1s' } }),
    [addon()],
    `${first}.addon.tasks[0].params.maxlag Forbidden`,
  ],
  [
    'a parameter of another type',
    use({ name: 'logical-backup', params: { workers: 'four' } }),
    [addon()],
    `${first}.addon.tasks[0].params.workers Invalid`,
  ],
  [
    'a parameter outside of its enum',
    use({ name: 'logical-backup', params: { consistency: 'Lock' } }),
    [addon()],
    `${first}.addon.tasks[0].params.consistency NotSupported`,
  ],
  [
    'a required parameter that is missing',
    use({ name: 'a' }),
    [addon({ backupTasks: [{ name: 'a', function: 'f', parameters: [{ name: 'n', required: true }] }] })],
    `${first}.addon.tasks[0].params.n Required`,
  ],
  [
    'a storage of a namespace that does not share it',
    configuration({ backends: [{ name: 's3', storageRef: { name: 's3', namespace: 'vault' } }] }),
    [storage({}, 's3', 'vault')],
    'spec.backends[0].storageRef Forbidden',
  ],
  [
    'a storage whose selector leaves the namespace out',
    configuration({ backends: [{ name: 's3', storageRef: { name: 's3', namespace: 'vault' } }] }),
    [
      storage(
        { usagePolicy: { allowedNamespaces: { from: 'Selector', selector: { matchLabels: { team: 'a' } } } } },
        's3',
        'vault',
      ),
      namespace('shop', { team: 'b' }),
    ],
    'spec.backends[0].storageRef Forbidden',
  ],
  [
    'a second default of the namespace',
    storage({ default: true }, 'other'),
    [storage({ default: true, storage: { provider: 's3', s3: { bucket: 'x' } } })],
    'spec.default Duplicate',
  ],
  [
    'a second default policy',
    retention({ default: true }, 'other'),
    [retention({ default: true })],
    'spec.default Duplicate',
  ],
  [
    'the same place in other words',
    storage(
      {
        storage: {
          provider: 's3',
          s3: { bucket: 'backups', endpoint: 'https://MINIO.example.com:443/', prefix: 'production/' },
        },
      },
      'other',
      'elsewhere',
    ),
    [storage()],
    'spec.storage.s3 Duplicate',
  ],
  [
    'a repository that is there already',
    withRepositories(repo({ name: 'mine' })),
    [
      repository({}, 'theirs', 'other'),
      repository({ storageRef: { name: 's3', namespace: 'shop' } }, 'theirs2', 'other'),
    ],
    `${first}.repositories[0].directory Duplicate`,
  ],
  [
    'another place for a repository that exists',
    withRepositories(repo({ directory: 'moved' })),
    [repository()],
    `${first}.repositories[0].name Invalid`,
  ],
  [
    'a repository of another database',
    configuration(),
    [repository({ appRef: { kind: 'AppBinding', name: 'billing' } })],
    `${first}.repositories[0].name Invalid`,
  ],
  [
    'a CronJob that another configuration has',
    configuration({ sessions: [session({ name: 'b-c' })] }, 'a'),
    [configuration({ sessions: [session({ name: 'c' })] }, 'a-b')],
    `${first}.name Duplicate`,
  ],
  [
    'a path that another Repository has',
    repository({ path: '/orders/' }, 'mine'),
    [repository()],
    'spec.path Duplicate',
  ],
  [
    'a session that the configuration does not have',
    backupSession({ session: 'nigthly' }),
    [configuration()],
    'spec.session NotFound',
  ],
  [
    'a Snapshot of another Repository',
    restore({ dataSource: { repository: 'orders', snapshot: 'orders-1' } }),
    [repository(), snapshot({ repository: 'billing' })],
    'spec.dataSource.snapshot Invalid',
  ],
  [
    'a Snapshot that failed',
    restore({ dataSource: { repository: 'orders', snapshot: 'orders-1' } }),
    [repository(), { ...snapshot(), status: { phase: 'Failed' } }],
    'spec.dataSource.snapshot Invalid',
  ],
  [
    'a component that the Snapshot does not have',
    restore({ dataSource: { repository: 'orders', snapshot: 'orders-1', components: ['shard9'] } }),
    [repository(), { ...snapshot(), status: { components: [{ name: 'shard0' }] } }],
    'spec.dataSource.components[0] NotFound',
  ],
  [
    'a Repository of a namespace that does not share it',
    restore({ dataSource: { repository: 'orders', namespace: 'vault' } }),
    [repository({}, 'orders', 'vault')],
    'spec.dataSource.repository Forbidden',
  ],
  [
    'two volumes at one mount path',
    configuration({
      backends: [
        { name: 'a', storageRef: { name: 'a' } },
        { name: 'b', storageRef: { name: 'b' } },
      ],
      sessions: [session({ repositories: [repo({ backend: 'a' }), repo({ name: 'other', backend: 'b' })] })],
    }),
    [
      applyDefaults('BackupStorage', storage(local('/a'), 'a')),
      applyDefaults('BackupStorage', storage(local('/b'), 'b')),
    ],
    `${first}.repositories[1].backend Invalid`,
  ],
];

for (const [what, object, others, expected] of among) {
  test(`${object.kind}: ${what} is refused when it is known`, () => {
    assert.equal(complaints(object, { lookup: lookupOf(...others) }), [expected]);
    assert.equal(complaints(object), []);
  });
}

test('the same bucket at two endpoints is two places', () => {
  const other = storage(
    {
      storage: {
        provider: 's3',
        s3: { bucket: 'backups', endpoint: 'https://other.example.com', prefix: 'production' },
      },
    },
    'other',
  );
  assert.equal(complaints(other, { lookup: lookupOf(storage()) }), []);
});

test('the buckets of Amazon are one place whatever the region says', () => {
  const at = (s3: object) => ({ storage: { provider: 's3', s3: { bucket: 'backups', ...s3 } } });
  const lookup = lookupOf(storage(at({ region: 'eu-central-1' })));
  const other = storage(at({ endpoint: 's3.eu-central-1.amazonaws.com' }), 'other');
  assert.equal(complaints(other, { lookup }), ['spec.storage.s3 Duplicate']);
});

test('a selector that chooses the namespace lets it in', () => {
  const policy = { allowedNamespaces: { from: 'Selector', selector: { matchLabels: { team: 'a' } } } };
  const object = configuration({ backends: [{ name: 's3', storageRef: { name: 's3', namespace: 'vault' } }] });
  const lookup = lookupOf(storage({ usagePolicy: policy }, 's3', 'vault'), namespace('shop', { team: 'a' }));
  assert.equal(complaints(object, { lookup }), []);
});

test('what does not exist yet is a warning of less than 120 characters, never a refusal', () => {
  const long = 'x'.repeat(200);
  const object = configuration({
    target: { name: long },
    backends: [{ name: 's3', storageRef: { name: long }, retentionPolicy: { name: long } }],
  });
  const { causes, warnings } = judge(object, { lookup: lookupOf() });
  assert.equal(causes, []);
  assert.is(warnings.length, 4);
  for (const warning of warnings) assert.ok(warning.length < 120, warning);
});

test('an unchanged fault does not stop another change', () => {
  const old = schedule({ schedule: '0 3 * * 7' });
  const changed = { ...structuredClone(old), metadata: { ...old.metadata, labels: { a: 'b' } } };
  assert.equal(complaints(changed, { old }), []);
});

test('an unchanged fault is still the same one when the items change places', () => {
  const bad = session({ name: 'bad', scheduler: { schedule: 'never' } });
  const old = configuration({ sessions: [bad, session()] });
  assert.equal(complaints(configuration({ sessions: [session(), bad] }), { old }), []);
});

test('a fault with another value counts', () => {
  const old = schedule({ schedule: '0 3 * * 7' });
  assert.equal(complaints(schedule({ schedule: '0 4 * * 7' }), { old }), [`${first}.scheduler.schedule Invalid`]);
});

test('a fault that a change brings counts beside one that was there', () => {
  const old = schedule({ schedule: '0 3 * * 7' });
  const changed = structuredClone(old);
  changed.spec.sessions[0].backupTimeout = '0s';
  assert.equal(complaints(changed, { old }), [`${first}.backupTimeout Invalid`]);
});

test('an object that is being deleted passes, whatever is wrong with it', () => {
  const object = schedule({ schedule: 'never' });
  object.metadata.deletionTimestamp = '2026-11-23T12:00:00Z';
  assert.equal(complaints(object, { old: schedule({ schedule: '0 3 * * *' }) }), []);
});

for (const [what, old, change, expected] of [
  ['the path of a Repository', repository(), { path: 'elsewhere' }, 'spec Invalid'],
  ['the password of a Repository', repository(), { encryptionSecret: { name: 'other' } }, 'spec Invalid'],
  ['the storage of a Repository', repository(), { storageRef: { name: 'other' } }, 'spec Invalid'],
  ['the identity of a Snapshot', snapshot(), { snapshotID: 'b' }, 'spec Invalid'],
  ['a BackupSession', backupSession(), { session: 'hourly' }, 'spec Invalid'],
  [
    'a running RestoreSession',
    { ...restore(), status: { phase: 'Running' } },
    { restoreTimeout: '1h' },
    'spec Invalid',
  ],
] as [string, Loose, object, string][]) {
  test(`${what} cannot be changed`, () => {
    const object = { ...old, spec: { ...old.spec, ...change } };
    assert.equal(complaints(object, { old }), [expected]);
  });
}

test('a RestoreSession that waits may still be changed', () => {
  const old = { ...restore(), status: { phase: 'Pending' } };
  assert.equal(complaints({ ...old, spec: { ...old.spec, restoreTimeout: '1h' } }, { old }), []);
});

test('a storage that holds Repositories cannot move', () => {
  const moved = storage({ storage: { provider: 's3', s3: { bucket: 'elsewhere' } } });
  assert.equal(complaints(moved, { old: storage(), lookup: lookupOf(repository()) }), ['spec.storage Forbidden']);
  assert.equal(complaints(moved, { old: storage(), lookup: lookupOf() }), []);
});

test('everything that is wrong is said at once: the schema, the rules, and the parts that can still be judged', () => {
  const object = configuration({
    sesions: [],
    sessions: [session({ scheduler: { schedule: '0 3 * * 7' } }), session({ addon: undefined }), 'hourly', { name: 5 }],
  });
  const found = complaints(object);
  for (const expected of [
    'spec.sesions Invalid',
    'spec.sessions[0].scheduler.schedule Invalid',
    'spec.sessions[1] Duplicate',
    'spec.sessions[1].addon Required',
    'spec.sessions[2] TypeInvalid',
    'spec.sessions[3].name TypeInvalid',
  ]) {
    assert.ok(found.includes(expected), `${expected} is missing in ${found.join(', ')}`);
  }
});

test('a review leaves the object as it is', () => {
  const object = configuration();
  const before = structuredClone(object);
  judge(object, { old: object, lookup: everything });
  assert.equal(object, before);
});

// Whatever stands in place of a value, a review ends with a verdict.
const ODDITIES: unknown[] = [
  null,
  0,
  -1.5,
  '',
  'x',
  true,
  [],
  {},
  [[]],
  [null],
  { a: { b: [] } },
  '__proto__',
  'é'.repeat(5000),
];
for (const [kind, make] of Object.entries(SAMPLES)) {
  test(`no value anywhere in a ${kind} breaks the review`, () => {
    const visit = (value: Loose, put: (odd: unknown) => Loose): void => {
      for (const odd of ODDITIES) {
        const object = put(odd);
        const { causes, warnings } = review(kind as Kind, object, { old: make(), lookup: everything, now: NOW });
        assert.ok(Array.isArray(causes) && Array.isArray(warnings));
      }
      if (typeof value !== 'object' || value === null) return;
      for (const key of Object.keys(value)) {
        visit(value[key], (odd) => put(Array.isArray(value) ? value.with(Number(key), odd) : { ...value, [key]: odd }));
      }
    };
    visit(make(), (odd) => odd as Loose);
  });
}

test('nesting without end and names of prototypes are refused, not followed', () => {
  let deep: unknown = 1;
  for (let level = 0; level < 5000; level++) deep = { a: deep };
  const nested = use({ name: 'logical-backup', params: { deep } });
  assert.equal(complaints(nested, { old: nested }), [' Invalid']);
  const polluted = JSON.parse(
    JSON.stringify(configuration()).replace('"spec":{', '"spec":{"__proto__":{"paused":true},"constructor":1,'),
  );
  assert.equal(complaints(polluted), ['spec.__proto__ Invalid', 'spec.constructor Invalid']);
});

test.run();
