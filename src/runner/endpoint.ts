import { BackstayError } from '../api/errors.ts';
import type { AppBinding, AppBindingClientConfigService, AppBindingSpec } from '../api/generated/types.ts';
import type { MongoEndpoint } from '../mongo/connection.ts';
import type { SecretData } from '../restic/backends.ts';

/** An AppBinding of backstay.dev or of appcatalog.appscode.com, whose fields have the same names. */
export type Binding = Pick<AppBinding, 'metadata' | 'spec'>;

/**
 * How to reach the database of an AppBinding. User names and passwords are never part of the connection string, so that no character in
 * them needs care.
 *
 * @param secret data of `spec.secret`; undefined when the binding names none
 * @param tlsSecret data of `spec.tlsSecret`; undefined when the binding names none
 * @throws BackstayError AppBindingInvalid, SecretKeyMissing
 */
export function mongoEndpoint(
  binding: Binding,
  secret: SecretData | undefined,
  tlsSecret: SecretData | undefined,
): MongoEndpoint {
  const { spec } = binding;
  const where = `AppBinding ${binding.metadata.namespace}/${binding.metadata.name}`;
  const uri = uriOf(binding, where);
  const tls = tlsOf(spec, tlsSecret, where);
  const credential = credentialOf(spec, secret, tls?.certificate !== undefined, uri, where);
  const cluster = clusterOf(spec);
  return {
    uri,
    ...(tls === undefined ? {} : { tls }),
    ...(credential === undefined ? {} : { credential }),
    ...(cluster === undefined ? {} : { cluster }),
  };
}

/** One replica set alone is no cluster. */
function clusterOf({ parameters = {} }: AppBindingSpec): MongoEndpoint['cluster'] {
  const { configServer, replicaSets = {} } = parameters;
  if (configServer === undefined && Object.keys(replicaSets).length < 2) return undefined;
  return { ...(configServer === undefined ? {} : { configServer }), replicaSets };
}

function uriOf(binding: Binding, where: string): string {
  const { clientConfig, parameters } = binding.spec;
  const sets = Object.values(parameters?.replicaSets ?? {});
  const query = clientConfig.service?.query ?? clientConfig.url?.split('?')[1] ?? '';
  // Members that were written down count more than a Service, which leads to any of them.
  if (sets.length === 1 && parameters?.configServer === undefined && sets[0] !== undefined) {
    const [, name = '', hosts = ''] = /^(?:([^/]+)\/)?(.+)$/.exec(sets[0]) ?? [];
    const options = query.split('&').filter((option) => option !== '' && !/^replicaSet=/i.test(option));
    if (name !== '') options.unshift(`replicaSet=${name}`);
    return `mongodb://${hosts}/${options.length === 0 ? '' : `?${options.join('&')}`}`;
  }
  if (clientConfig.url !== undefined) return clientConfig.url;
  if (clientConfig.service !== undefined) return serviceUri(clientConfig.service, binding.metadata.namespace ?? '');
  throw new BackstayError('AppBindingInvalid', `${where}: spec.clientConfig has neither url nor service`, {
    remedy: 'add spec.clientConfig.url or spec.clientConfig.service',
  });
}

function serviceUri(service: AppBindingClientConfigService, home: string): string {
  const { scheme = 'mongodb', name, namespace = home, port = 27017, path = '', query = '' } = service;
  // An SRV record names the ports itself.
  const host = `${name}.${namespace}.svc${scheme === 'mongodb+srv' ? '' : `:${port}`}`;
  return `${scheme}://${host}/${path.replace(/^\/+/, '')}${query === '' ? '' : `?${query.replace(/^\?/, '')}`}`;
}

function tlsOf(spec: AppBindingSpec, secret: SecretData | undefined, where: string): MongoEndpoint['tls'] {
  const { caBundle, tls, insecureSkipTLSVerify, serverName } = spec.clientConfig;
  const given = caBundle !== undefined || tls === true || insecureSkipTLSVerify === true || secret !== undefined;
  if (!given) return undefined;
  const ca = caBundle === undefined ? secret?.['ca.crt'] : decodeAuthority(caBundle, where);
  const certificate = secret === undefined ? undefined : clientCertificate(secret, spec.tlsSecret?.name ?? '', where);
  return {
    ...(ca === undefined || ca === '' ? {} : { ca }),
    ...(certificate === undefined ? {} : { certificate }),
    ...(insecureSkipTLSVerify === true ? { insecureSkipVerify: true } : {}),
    ...(serverName === undefined ? {} : { serverName }),
  };
}

function decodeAuthority(caBundle: string, where: string): string {
  const text = Buffer.from(caBundle, 'base64').toString('utf8');
  if (text.includes('-----BEGIN')) return text;
  throw new BackstayError('AppBindingInvalid', `${where}: spec.clientConfig.caBundle is no PEM in base64`, {
    remedy: 'set it to the output of base64 -w0 ca.crt',
  });
}

/** Certificate and key in one PEM: KubeDB keeps them as client.pem, cert-manager as tls.crt and tls.key. */
function clientCertificate(secret: SecretData, name: string, where: string): string {
  const { 'client.pem': pem, 'tls.crt': crt, 'tls.key': key } = secret;
  if (pem !== undefined && pem !== '') return pem;
  if (crt !== undefined && key !== undefined) return `${crt.trimEnd()}\n${key}`;
  const missing = crt === undefined ? 'tls.crt' : 'tls.key';
  throw new BackstayError('SecretKeyMissing', `${where}: Secret ${name} has neither client.pem nor ${missing}`, {
    remedy: 'add client.pem, or tls.crt and tls.key, to the Secret',
  });
}

function credentialOf(
  spec: AppBindingSpec,
  secret: SecretData | undefined,
  hasCertificate: boolean,
  uri: string,
  where: string,
): MongoEndpoint['credential'] {
  if (secret === undefined) return hasCertificate ? { kind: 'x509' } : undefined;
  const keys = renamed(secret, spec);
  const mechanism = keys.authMechanism?.trim();
  if (mechanism === 'MONGODB-X509') return { kind: 'x509' };
  if (mechanism !== undefined && mechanism !== 'SCRAM-SHA-1' && mechanism !== 'SCRAM-SHA-256') {
    throw new BackstayError(
      'AppBindingInvalid',
      `${where}: the Secret asks for an authMechanism that is not supported`,
      {
        remedy: 'use SCRAM-SHA-256, SCRAM-SHA-1 or MONGODB-X509',
      },
    );
  }
  const required = (key: string): string => {
    const value = keys[key];
    if (value !== undefined && value !== '') return value;
    throw new BackstayError('SecretKeyMissing', `${where}: Secret ${spec.secret?.name ?? ''} has no key ${key}`, {
      remedy: `add the key ${key}, or name the key that holds it in spec.secretTransforms`,
    });
  };
  // A database in the path would otherwise be where the user is looked for.
  const source = keys.authSource?.trim() ?? (/[?&]authSource=/i.test(uri) ? undefined : 'admin');
  return {
    kind: 'scram',
    username: required('username').trim(),
    password: required('password').replace(/[\r\n]+$/, ''),
    ...(source === undefined || source === '' ? {} : { source }),
    ...(mechanism === undefined ? {} : { mechanism }),
  };
}

function renamed(secret: SecretData, { secretTransforms = [] }: AppBindingSpec): SecretData {
  const keys: Record<string, string> = { ...secret };
  // Other transforms of appcatalog have no renameKey.
  for (const { renameKey } of secretTransforms as { renameKey?: { from: string; to: string } }[]) {
    const value = renameKey === undefined ? undefined : secret[renameKey.from];
    if (renameKey !== undefined && value !== undefined) keys[renameKey.to] = value;
  }
  return keys;
}
