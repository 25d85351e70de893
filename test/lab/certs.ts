import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../scripts/tools/run.ts';

/** A certificate and its key, as PEM texts and as files. */
export interface Certificate {
  /** Subject as MongoDB writes it: RFC 2253, most specific part first. */
  subject: string;
  certificate: string;
  key: string;
  /** Path of one file with both, certificate first, as mongod and its clients read it. */
  file: string;
}

/** A certificate authority for one lab. */
export interface Authority {
  certificate: string;
  /** Path of the file with its certificate. */
  file: string;
  /** A certificate for a server at these addresses and at `localhost`; it serves as a member's client certificate too. */
  server(name: string, hosts: readonly string[]): Promise<Certificate>;
  /** A certificate for a client; its organizational unit differs from the servers', or mongod would take it for a member. */
  client(name: string): Promise<Certificate>;
}

const ORGANIZATION = 'Backstay lab';
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'];

/** Makes an authority with openssl; its files lie in `folder`. */
export async function makeAuthority(folder: string, name = 'lab'): Promise<Authority> {
  const path = (file: string): string => join(folder, `${name}-${file}`);
  const [config, caFile, caKey] = [path('openssl.cnf'), path('ca.pem'), path('ca.key')];
  // An empty configuration, so that nothing depends on the machine's own.
  await writeFile(config, '[req]\ndistinguished_name = subject\n[subject]\n');
  const request = (subject: string, extensions: readonly string[], more: readonly string[]): Promise<string> =>
    run('openssl', [
      ...['req', '-x509', '-config', config, ...NEW_KEY, '-subj', subject],
      ...extensions.flatMap((extension) => ['-addext', extension]),
      ...more,
    ]);
  await request(
    `/O=${ORGANIZATION}/CN=${name} authority`,
    ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign', 'subjectKeyIdentifier=hash'],
    ['-keyout', caKey, '-out', caFile],
  );

  async function issue(common: string, unit: string, extensions: readonly string[]): Promise<Certificate> {
    const [keyFile, certificateFile, file] = [path(`${common}.key`), path(`${common}.crt`), path(`${common}.pem`)];
    await request(
      `/O=${ORGANIZATION}/OU=${unit}/CN=${common}`,
      [
        'basicConstraints=critical,CA:FALSE',
        'keyUsage=critical,digitalSignature',
        'authorityKeyIdentifier=keyid',
        ...extensions,
      ],
      ['-CA', caFile, '-CAkey', caKey, '-keyout', keyFile, '-out', certificateFile],
    );
    const [certificate, key] = await Promise.all([readFile(certificateFile, 'utf8'), readFile(keyFile, 'utf8')]);
    await writeFile(file, certificate + key, { mode: 0o600 });
    return { subject: `CN=${common},OU=${unit},O=${ORGANIZATION}`, certificate, key, file };
  }

  return {
    certificate: await readFile(caFile, 'utf8'),
    file: caFile,
    server(common, hosts) {
      const names = [...new Set(['localhost', '127.0.0.1', ...hosts])];
      const alternatives = names.map((host) => `${/^[\d.]+$/.test(host) ? 'IP' : 'DNS'}:${host}`).join(',');
      return issue(common, 'servers', ['extendedKeyUsage=serverAuth,clientAuth', `subjectAltName=${alternatives}`]);
    },
    client: (common) => issue(common, 'clients', ['extendedKeyUsage=clientAuth']),
  };
}
