import type { AppBinding } from '../generated/types.ts';
import { Findings } from './findings.ts';
import type { Rule } from './rule.ts';

// Options of a connection string that hold a secret, in the lower case that the driver compares them in.
const SECRET_OPTIONS = ['tlscertificatekeyfilepassword', 'authmechanismproperties', 'proxypassword', 'password'];
const HOST = String.raw`(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?`;
const HOSTS = new RegExp(`^${HOST}(,${HOST})*$`);
const REPLICA_SET = new RegExp(`^[^/,\\s]+/${HOST}(,${HOST})*$`);

/** Judges an AppBinding. Credentials belong into its Secret and are not repeated in a message. */
export const judgeAppBinding: Rule<AppBinding> = ({ object }) => {
  const findings = new Findings();
  const { clientConfig, parameters, secretTransforms } = object.spec ?? {};
  const path = 'spec.clientConfig';
  if (clientConfig?.url !== undefined) checkUrl(findings, clientConfig.url, `${path}.url`);
  checkOptions(findings, clientConfig?.service?.query, `${path}.service.query`);
  const { caBundle, insecureSkipTLSVerify, tls } = clientConfig ?? {};
  if (caBundle !== undefined && !Buffer.from(caBundle, 'base64').includes('-----BEGIN CERTIFICATE-----')) {
    findings.refuse(`${path}.caBundle`, 'FieldValueInvalid', 'it must be PEM certificates in base64');
  }
  if (caBundle !== undefined && tls === false) {
    findings.refuse(`${path}.tls`, 'FieldValueInvalid', 'it must not be false beside a caBundle');
  }
  if (insecureSkipTLSVerify === true) {
    findings.warn(`${path}.insecureSkipTLSVerify: anybody on the way can read the data`);
  }
  for (const [name, members] of Object.entries(parameters?.replicaSets ?? {})) {
    checkReplicaSet(findings, members, `spec.parameters.replicaSets.${name}`);
  }
  checkReplicaSet(findings, parameters?.configServer, 'spec.parameters.configServer');
  const targets = (secretTransforms ?? []).map((transform) => transform.renameKey?.to);
  for (const [index, to] of targets.entries()) {
    if (to === undefined || targets.indexOf(to) === index) continue;
    findings.refuse(`spec.secretTransforms[${index}].renameKey.to`, 'FieldValueDuplicate', `${to} is renamed to twice`);
  }
  return findings;
};

function checkUrl(findings: Findings, url: string, field: string): void {
  const match = /^(mongodb(?:\+srv)?):\/\/([^/?]*)(?:\/[^?]*)?(?:\?(.*))?$/s.exec(url);
  // Anything else the pattern of the schema refuses.
  if (match === null || url.includes('@')) return;
  const [, scheme, hosts = '', options] = match;
  if (!HOSTS.test(hosts)) {
    findings.refuse(field, 'FieldValueInvalid', 'it must name hosts, such as mongodb://a.example.com:27017');
  } else if (scheme === 'mongodb+srv' && /[,:]/.test(hosts)) {
    findings.refuse(field, 'FieldValueInvalid', 'with mongodb+srv it must name one host without a port');
  }
  checkOptions(findings, options, field);
}

function checkOptions(findings: Findings, options: string | undefined, field: string): void {
  for (const option of (options ?? '').split('&')) {
    const [name = ''] = option.split('=');
    if (!SECRET_OPTIONS.includes(name.toLowerCase())) continue;
    findings.refuse(field, 'FieldValueForbidden', `the option ${name} may hold a secret; put it into the Secret`);
  }
}

function checkReplicaSet(findings: Findings, members: string | undefined, field: string): void {
  if (members === undefined || REPLICA_SET.test(members)) return;
  findings.refuse(
    field,
    'FieldValueInvalid',
    'it must be the name of a replica set and its members: rs0/a:27017,b:27017',
  );
}
