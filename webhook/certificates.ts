import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { KeyPair } from './server.ts';

x509.cryptoProvider.set(webcrypto);

/** A certificate with its key and how long it holds. */
export interface Issued extends KeyPair {
  notBefore: Date;
  notAfter: Date;
}

const DAY_MS = 86_400_000;
const CA_DAYS = 365;
const LEAF_DAYS = 7;
// Clocks of nodes differ; a certificate is valid a little before it was made.
const BACKDATE_MS = 300_000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** Makes a certificate authority for one year. */
export async function makeAuthority(now: Date): Promise<Issued> {
  const keys = await newKeys();
  const { notBefore, notAfter } = lifetime(now, CA_DAYS);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    // A name of its own for each authority: while two overlap a verifier finds the right one by it.
    name: `CN=backstay-webhook-ca-${notAfter.toISOString().slice(0, 10)}`,
    notBefore,
    notAfter,
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: certificate.toString('pem'), key: await exportKey(keys.privateKey), notBefore, notAfter };
}

/** Makes a certificate of a server for a week (or for as long as its authority lives), signed by the authority. */
export async function makeLeaf(authority: KeyPair, dnsNames: readonly string[], now: Date): Promise<Issued> {
  const issuer = new x509.X509Certificate(authority.cert);
  const keys = await newKeys();
  const wanted = lifetime(now, LEAF_DAYS);
  const notAfter = new Date(Math.min(issuer.notAfter.getTime(), wanted.notAfter.getTime()));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${dnsNames[0]?.slice(0, 64) ?? ''}`,
    issuer: issuer.subject,
    notBefore: wanted.notBefore,
    notAfter,
    signingAlgorithm: ALGORITHM,
    signingKey: await importKey(authority.key),
    publicKey: keys.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: 'dns', value }))),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return {
    cert: certificate.toString('pem'),
    key: await exportKey(keys.privateKey),
    notBefore: wanted.notBefore,
    notAfter,
  };
}

/** The moment to make the next certificate: when two thirds of this one's life are over. */
export function renewalTime({ notBefore, notAfter }: Pick<Issued, 'notBefore' | 'notAfter'>): Date {
  return new Date(notBefore.getTime() + ((notAfter.getTime() - notBefore.getTime()) * 2) / 3);
}

/** The certificates in a PEM bundle that have not expired, without those that are there twice. */
export function validCertificates(bundle: string, now: Date): string[] {
  const blocks = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return [...new Set(blocks)].filter((pem) => new x509.X509Certificate(pem).notAfter > now);
}

/** A pair that was stored, with its lifetime. @throws Error when the certificate or the key cannot be read */
export async function readPair({ cert, key }: KeyPair): Promise<Issued> {
  const { notBefore, notAfter } = new x509.X509Certificate(cert);
  await importKey(key);
  return { cert, key, notBefore, notAfter };
}

function lifetime(now: Date, days: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now.getTime() - BACKDATE_MS), notAfter: new Date(now.getTime() + days * DAY_MS) };
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der] = x509.PemConverter.decode(pem);
  if (der === undefined) throw new Error('the key is not PEM');
  return await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, true, ['sign']);
}

/** Positive and of 16 bytes, as RFC 5280 wants it. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x01;
  return bytes.toString('hex');
}
