import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import {
  hostsOf,
  type MongoEndpoint,
  memberUri,
  type OpenOptions,
  openClient,
  replicaSetUri,
} from '../../src/mongo/connection.ts';
import { load } from '../../src/mongo/load.ts';
import { readTopology } from '../../src/mongo/topology.ts';
import { makeAuthority } from '../lab/certs.ts';
import { takeGround } from '../lab/ground.ts';
import { startReplicaSet } from '../lab/replica-set.ts';
import { assertDatabase, dumped, expected, fixture, inChunks } from './archives.ts';

const test = suite('connection');

const ground = await takeGround();
const set = await startReplicaSet({
  on: ground,
  members: [{}, { hidden: true, priority: 0, tags: { use: 'backup' } }],
  auth: { username: 'root', password: 'p@ss/w:rd %é' },
  tls: { clientCertificateRequired: false },
});
const { authority } = set.tls as NonNullable<typeof set.tls>;
const address = set.member(0).address;
const uri = `mongodb://${address}/?replicaSet=rs0`;
const root = { kind: 'scram', username: 'root', password: 'p@ss/w:rd %é' } as const;
const endpoint: MongoEndpoint = { uri, tls: { ca: authority.certificate }, credential: root };

test.after(async () => {
  await set.stop();
  await ground[Symbol.asyncDispose]();
});

const failure = async (wrong: MongoEndpoint, options: OpenOptions = {}): Promise<BackstayError> => {
  const error = await openClient(wrong, { timeoutMS: 3000, ...options }).then(
    async (client) => client.close(),
    (reason: unknown) => reason,
  );
  assert.instance(error, BackstayError);
  return error as BackstayError;
};

test('user, password and authority open a connection', async () => {
  await using client = await openClient(endpoint);
  const { authInfo } = await client.db('admin').command({ connectionStatus: 1 });
  assert.is(authInfo.authenticatedUsers[0].user, 'root');
});

test('user and password in the connection string do as well', async () => {
  const login = `root:${encodeURIComponent(root.password)}`;
  await using client = await openClient({ uri: `mongodb://${login}@${address}/`, tls: { ca: authority.certificate } });
  assert.is((await client.db('admin').command({ ping: 1 })).ok, 1);
});

for (const mechanism of ['SCRAM-SHA-1', 'SCRAM-SHA-256'] as const) {
  test(`${mechanism} can be chosen`, async () => {
    await using client = await openClient({ ...endpoint, credential: { ...root, mechanism, source: 'admin' } });
    assert.is((await client.db('admin').command({ ping: 1 })).ok, 1);
  });
}

test('a client certificate opens a connection', async () => {
  const alice = await authority.client('alice');
  await set.createCertificateUser(alice, [{ role: 'backup', db: 'admin' }]);
  const certificate = `${alice.certificate}${alice.key}`;
  await using client = await openClient({
    uri,
    tls: { ca: authority.certificate, certificate },
    credential: { kind: 'x509' },
  });
  const { authInfo } = await client.db('admin').command({ connectionStatus: 1 });
  assert.equal(authInfo.authenticatedUsers, [{ user: alice.subject, db: '$external' }]);
});

test('a hidden member is reached directly, with the login of the whole set', async () => {
  await using client = await openClient(endpoint, { member: set.member(1).address });
  const hello = await client.db('admin').command({ hello: 1 });
  assert.is(hello.hidden, true);
  assert.is(hello.me, set.member(1).address);
});

test('the topology has the hidden member', async () => {
  await using client = await openClient(endpoint);
  const topology = await readTopology(client);
  assert.is(topology.kind, 'replicaSet');
  if (topology.kind !== 'replicaSet') return;
  assert.is(topology.name, 'rs0');
  assert.is(topology.primary, address);
  const [first, second] = topology.members;
  assert.is(first?.state, 'PRIMARY');
  assert.equal(
    [second?.hidden, second?.state, second?.healthy, second?.tags],
    [true, 'SECONDARY', true, { use: 'backup' }],
  );
});

test('a user who may not look at the members is told what is missing', async () => {
  await using admin = await openClient(endpoint);
  await admin.db('admin').command({ createUser: 'reader', pwd: 'reader', roles: ['backup'] });
  await using client = await openClient({
    ...endpoint,
    credential: { kind: 'scram', username: 'reader', password: 'reader' },
  });
  const error = await readTopology(client).catch((reason: unknown) => reason);
  assert.instance(error, BackstayError);
  assert.is((error as BackstayError).code, 'MissingPrivilege');
  assert.match(String((error as BackstayError).remedy), /clusterMonitor/);
});

test('a wrong password is AuthenticationFailed, and is not shown', async () => {
  const error = await failure({ ...endpoint, credential: { ...root, password: 'swordfish' } });
  assert.is(error.code, 'AuthenticationFailed');
  assert.match(error.message, new RegExp(address.replaceAll('.', '\\.')));
  assert.not.match(JSON.stringify([error.message, error.remedy]), /swordfish/);
});

test('a certificate of another authority is TLSFailed, and soon', async () => {
  const other = await makeAuthority(ground.folder, 'other');
  const error = await failure({ ...endpoint, tls: { ca: other.certificate } }, { timeoutMS: 60_000 });
  assert.is(error.code, 'TLSFailed');
});

test('a name that is not in the certificate is TLSFailed, unless it is expected', async () => {
  const tls = { ca: authority.certificate };
  assert.is((await failure({ ...endpoint, tls: { ...tls, serverName: 'db.example.com' } })).code, 'TLSFailed');
  await using named = await openClient({ ...endpoint, tls: { ...tls, serverName: 'localhost' } });
  await using unchecked = await openClient({ ...endpoint, tls: { insecureSkipVerify: true } });
  assert.ok(named && unchecked);
});

test('a server that demands TLS is unreachable without', async () => {
  const error = await failure({ uri, credential: root });
  assert.is(error.code, 'DatabaseUnreachable');
  assert.match(String(error.remedy), /TLS/);
});

test('nobody at the address is DatabaseUnreachable', async () => {
  const error = await failure(
    { uri: `mongodb://u:swordfish@${ground.address()}:${await ground.port()}/` },
    { timeoutMS: 500 },
  );
  assert.is(error.code, 'DatabaseUnreachable');
  assert.match(error.message, /ECONNREFUSED/);
  assert.not.match(error.message, /swordfish/);
});

for (const wrong of [
  'db.example.com',
  'http://u:swordfish@h/',
  'mongodb://',
  'mongodb://u:sword fish%@h/',
  'mongodb://u:swordfish@h/?noSuchOption=1',
  'mongodb://u:swordfish@h:99999/',
]) {
  test(`"${wrong}" is InvalidURI, without the password`, async () => {
    const error = await failure({ uri: wrong });
    assert.is(error.code, 'InvalidURI');
    assert.not.match(`${error.message}${String(error.stack)}${String(error.cause)}`, /sword/);
  });
}

test('an abort ends the search for a server', async () => {
  const stop = new AbortController();
  setImmediate(() => stop.abort());
  const error = await failure(
    { uri: `mongodb://${ground.address()}:${await ground.port()}/` },
    { signal: stop.signal, timeoutMS: 60_000 },
  );
  assert.is(error.code, 'Aborted');
});

for (const [whole, one] of [
  ['mongodb://a:1,b:2/?replicaSet=rs', 'mongodb://m:9/?directConnection=true'],
  [
    'mongodb://u:p%40@a:1/db?authSource=x&replicaSet=rs&readPreference=secondary',
    'mongodb://u:p%40@m:9/db?authSource=x&directConnection=true',
  ],
  [
    'mongodb+srv://u:p@c.example.com/?retryWrites=true',
    'mongodb://u:p@m:9/?retryWrites=true&tls=true&directConnection=true',
  ],
  ['mongodb+srv://c.example.com/?tls=false', 'mongodb://m:9/?tls=false&directConnection=true'],
  ['mongodb://a', 'mongodb://m:9/?directConnection=true'],
] as const) {
  test(`the member's form of ${whole}`, () => {
    assert.is(memberUri(whole, 'm:9'), one);
  });
}

test('a part of a cluster is reached with the login and options of the whole', () => {
  const whole = 'mongodb://u:p%40@mongos:1/shop?tls=true&readPreference=secondary&authSource=users';
  const part = 'mongodb://u:p%40@a:1,b:2/shop?tls=true&authSource=users&replicaSet=sh0';
  assert.is(replicaSetUri(whole, 'sh0', 'a:1,b:2'), part);
  assert.is(replicaSetUri('mongodb+srv://c.example.com', 'rs 0', 'a:1'), 'mongodb://a:1/?tls=true&replicaSet=rs%200');
});

test('hosts are all that is shown of a connection string', () => {
  assert.is(hostsOf('mongodb://u:p@a:1,b:2/db?x=y'), 'a:1,b:2');
  assert.is(hostsOf('mongodb+srv://u:p@c.example.com'), 'c.example.com');
});

test('users are loaded with their passwords, and the own user is left alone', async () => {
  await using admin = await openClient(endpoint);
  await load(admin, fixture('full.archive'), { existing: 'refuse', usersAndRoles: true });
  await admin.db('catalogue').command({ createUser: 'bob', pwd: 'first', roles: [{ role: 'reporter', db: 'admin' }] });
  const { bytes } = await dumped(admin);
  await admin.db('catalogue').command({ updateUser: 'bob', pwd: 'second' });
  await admin.db('admin').command({ updateUser: 'root', customData: { kept: true } });
  await admin.db('catalogue').command({ createUser: 'newer', pwd: 'x', roles: [] });
  await admin.db('admin').command({ updateRole: 'reporter', privileges: [] });

  const result = await load(admin, inChunks(bytes), { existing: 'drop', usersAndRoles: true });
  assert.equal(result.kept, ['admin.root']);
  const untouched = await load(admin, inChunks(bytes), { existing: 'drop', usersAndRoles: false });
  assert.is(untouched.users, 0);
  const bob = { kind: 'scram', username: 'bob', password: 'first', source: 'catalogue' } as const;
  await using again = await openClient({ ...endpoint, credential: bob });
  assert.ok(again);
  const { roles } = await admin.db('admin').command({ rolesInfo: 'reporter', showPrivileges: true });
  assert.equal(roles[0].privileges, [{ resource: { db: 'catalogue', collection: 'orders' }, actions: ['find'] }]);
  const { users } = await admin.db('admin').command({ usersInfo: { forAllDBs: true } });
  const names: string[] = users.map(({ _id }: { _id: string }) => _id);
  assert.ok(names.includes('catalogue.newer') && names.includes('admin.root') && names.includes('admin.ops'));
  assert.equal(users.find(({ _id }: { _id: string }) => _id === 'admin.root').customData, { kept: true });
});

test('without drop, users that are there stay as they are', async () => {
  await using admin = await openClient(endpoint);
  await admin.db('catalogue').command({ dropUser: 'app' });
  await admin.db('admin').command({ updateUser: 'ops', customData: { mine: 1 } });
  const result = await load(admin, fixture('full.archive'), { existing: 'merge', usersAndRoles: true });
  assert.is(result.users, 1);
  assert.equal(result.kept, ['admin.ops', 'admin.reporter']);
  const { users } = await admin.db('admin').command({ usersInfo: { forAllDBs: true } });
  const of = (id: string): Record<string, unknown> => users.find(({ _id }: { _id: string }) => _id === id);
  assert.equal(of('admin.ops').customData, { mine: 1 });
  assert.equal(of('catalogue.app').customData, { team: 'a' });
});

test('the roles backup and restore are enough', async () => {
  const wanted = await expected();
  await using admin = await openClient(endpoint);
  for (const role of ['backup', 'restore'])
    await admin.db('admin').command({ createUser: `only-${role}`, pwd: 'x', roles: [role] });
  const as = (username: string): MongoEndpoint => ({
    ...endpoint,
    credential: { kind: 'scram', username, password: 'x' },
  });
  await using reader = await openClient(as('only-backup'));
  await using writer = await openClient(as('only-restore'));
  const { bytes } = await dumped(reader);
  for (const name of ['catalogue', 'big', 'mïxed-db']) await admin.db(name).dropDatabase();
  await load(writer, inChunks(bytes), { existing: 'refuse', usersAndRoles: true });
  await assertDatabase(admin, 'catalogue', wanted.catalogue);
});

test.run();
