import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import type { AppBindingSpec } from '../../src/api/generated/types.ts';
import type { SecretData } from '../../src/restic/backends.ts';
import { mongoEndpoint } from '../../src/runner/endpoint.ts';

const test = suite('the endpoint of an AppBinding');
const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const LOGIN = { username: 'backup', password: 'p@ss:w/r%d#?&' };

function endpoint(spec: AppBindingSpec, secret?: SecretData, tlsSecret?: SecretData) {
  return mongoEndpoint({ metadata: { namespace: 'shop', name: 'orders' }, spec }, secret, tlsSecret);
}

function failure(run: () => unknown): BackstayError {
  try {
    run();
  } catch (error) {
    assert.instance(error, BackstayError);
    return error as BackstayError;
  }
  throw new Error('nothing was thrown');
}

test('a Service becomes a name of the cluster, in the namespace of the binding unless told', () => {
  const service = { name: 'orders' };
  assert.is(endpoint({ clientConfig: { service } }).uri, 'mongodb://orders.shop.svc:27017/');
  assert.is(
    endpoint({
      clientConfig: {
        service: { name: 'orders', namespace: 'db', port: 27018, path: '/shop', query: 'replicaSet=rs0' },
      },
    }).uri,
    'mongodb://orders.db.svc:27018/shop?replicaSet=rs0',
  );
});

test('an SRV Service has no port: its records name them', () => {
  const service = { name: 'orders', scheme: 'mongodb+srv' as const };
  assert.is(endpoint({ clientConfig: { service } }).uri, 'mongodb+srv://orders.shop.svc/');
});

test('members that are written down count more than the Service', () => {
  const spec: AppBindingSpec = {
    clientConfig: { service: { name: 'orders', query: 'replicaSet=old&w=1' } },
    parameters: { replicaSets: { 'host-0': 'rs0/a:27017,b:27017' } },
  };
  assert.is(endpoint(spec).uri, 'mongodb://a:27017,b:27017/?replicaSet=rs0&w=1');
});

test('the addresses of a cluster go with its own', () => {
  const parameters = { configServer: 'cfg/c:27019', replicaSets: { 'host-0': 'sh0/a:1', 'host-1': 'sh1/b:1' } };
  const { uri, cluster } = endpoint({ clientConfig: { service: { name: 'mongos' } }, parameters });
  assert.is(uri, 'mongodb://mongos.shop.svc:27017/');
  assert.equal(cluster, { configServer: 'cfg/c:27019', replicaSets: parameters.replicaSets });
  assert.is(endpoint({ clientConfig: { url: 'mongodb://m/' } }).cluster, undefined);
});

test('user name and password are never in the connection string', () => {
  const { uri, credential } = endpoint({ clientConfig: { url: 'mongodb://a:1/' }, secret: { name: 's' } }, LOGIN);
  assert.is(uri, 'mongodb://a:1/');
  assert.equal(credential, { kind: 'scram', ...LOGIN, source: 'admin' });
});

test('the database of the login comes from the Secret, else from the connection string, else it is admin', () => {
  const url = 'mongodb://a:1/shop?authSource=users';
  const secret = { name: 's' };
  assert.equal(endpoint({ clientConfig: { url }, secret }, LOGIN).credential, { kind: 'scram', ...LOGIN });
  const { credential } = endpoint({ clientConfig: { url }, secret }, { ...LOGIN, authSource: 'other' });
  assert.equal(credential, { kind: 'scram', ...LOGIN, source: 'other' });
});

test('a key with another name is found by its transform, and other transforms are left alone', () => {
  const transforms = [{ renameKey: { from: 'user', to: 'username' } }, { addKey: { key: 'x', value: 'y' } }];
  const spec = {
    clientConfig: { url: 'mongodb://a:1/' },
    secret: { name: 's' },
    secretTransforms: transforms,
  } as unknown as AppBindingSpec;
  const { credential } = endpoint(spec, { user: 'backup', password: 'secret\n' });
  assert.equal(credential, { kind: 'scram', username: 'backup', password: 'secret', source: 'admin' });
});

test('a mechanism is taken over, and one that is not supported is refused', () => {
  const spec: AppBindingSpec = { clientConfig: { url: 'mongodb://a:1/' }, secret: { name: 's' } };
  const { credential } = endpoint(spec, { ...LOGIN, authMechanism: 'SCRAM-SHA-1' });
  assert.equal(credential, { kind: 'scram', ...LOGIN, source: 'admin', mechanism: 'SCRAM-SHA-1' });
  assert.is(failure(() => endpoint(spec, { ...LOGIN, authMechanism: 'PLAIN' })).code, 'AppBindingInvalid');
});

test('a missing key is named, with the Secret and not with its values', () => {
  const spec: AppBindingSpec = { clientConfig: { url: 'mongodb://a:1/' }, secret: { name: 's' } };
  const error = failure(() => endpoint(spec, { username: 'backup' }));
  assert.is(error.code, 'SecretKeyMissing');
  assert.is(error.message, 'AppBinding shop/orders: Secret s has no key password');
});

test('an authority in the binding turns TLS on', () => {
  const caBundle = Buffer.from(PEM).toString('base64');
  const { tls } = endpoint({ clientConfig: { url: 'mongodb://a:1/', caBundle, serverName: 'db.example.com' } });
  assert.equal(tls, { ca: PEM, serverName: 'db.example.com' });
  assert.is(
    failure(() => endpoint({ clientConfig: { url: 'mongodb://a:1/', caBundle: 'bm90aGluZw==' } })).code,
    'AppBindingInvalid',
  );
});

test('without any word about TLS there is none, and unverified TLS is said so', () => {
  assert.is(endpoint({ clientConfig: { url: 'mongodb://a:1/' } }).tls, undefined);
  assert.equal(endpoint({ clientConfig: { url: 'mongodb://a:1/', tls: true } }).tls, {});
  const { tls } = endpoint({ clientConfig: { url: 'mongodb://a:1/', insecureSkipTLSVerify: true } });
  assert.equal(tls, { insecureSkipVerify: true });
});

test('a certificate of the client without a Secret logs in by x509', () => {
  const spec: AppBindingSpec = { clientConfig: { url: 'mongodb://a:1/' }, tlsSecret: { name: 't' } };
  const kubedb = endpoint(spec, undefined, { 'client.pem': 'CERT+KEY', 'ca.crt': PEM });
  assert.equal(kubedb.credential, { kind: 'x509' });
  assert.equal(kubedb.tls, { ca: PEM, certificate: 'CERT+KEY' });
  const certManager = endpoint(spec, undefined, { 'tls.crt': 'CERT\n', 'tls.key': 'KEY\n', 'ca.crt': PEM });
  assert.is(certManager.tls?.certificate, 'CERT\nKEY\n');
  assert.is(failure(() => endpoint(spec, undefined, { 'tls.crt': 'CERT' })).code, 'SecretKeyMissing');
});

test('a certificate beside a Secret is shown, and the login is by password', () => {
  const spec: AppBindingSpec = {
    clientConfig: { url: 'mongodb://a:1/' },
    secret: { name: 's' },
    tlsSecret: { name: 't' },
  };
  const both = endpoint(spec, LOGIN, { 'client.pem': 'CERT+KEY' });
  assert.is(both.credential?.kind, 'scram');
  assert.is(both.tls?.certificate, 'CERT+KEY');
});

test('without Secrets there is no login', () => {
  assert.is(endpoint({ clientConfig: { url: 'mongodb://a:1/' } }).credential, undefined);
});

test.run();
