import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { TEST_EPOCH } from './runtime.ts';

const HOUR = 3_600_000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface Issued {
  readonly der: Uint8Array;
  readonly pem: string;
  /** PKCS #8. */
  readonly keyPem: string;
  readonly certificate: x509.X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

export interface IssueOptions {
  subject?: string;
  uris?: string[];
  addresses?: string[];
  dns?: string[];
  emails?: string[];
  ca?: boolean;
  pathLength?: number;
  /** Bits of keyUsage; null: no such extension. Without it what a leaf or an authority usually has. */
  usage?: number | null;
  /** Null: no such extension. Without it: for clients, in a leaf. */
  extendedUsage?: string[] | null;
  notBefore?: number;
  notAfter?: number;
  extensions?: x509.Extension[];
  /** Signs with this key, which need not be the issuer's. */
  signedWith?: webcrypto.CryptoKey;
}

/** Makes a certificate of anything, good or not, an hour around the tests' epoch. Without `by` it is its own issuer. */
export async function issue(by: Issued | null, options: IssueOptions = {}): Promise<Issued> {
  const { ca = false, uris = [], addresses = [], dns = [], emails = [], extensions = [] } = options;
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const subject = options.subject ?? `CN=${ca ? 'Test Authority' : 'test leaf'}`;
  const names = [
    ...uris.map((value) => ({ type: 'url', value }) as const),
    ...addresses.map((value) => ({ type: 'ip', value }) as const),
    ...dns.map((value) => ({ type: 'dns', value }) as const),
    ...emails.map((value) => ({ type: 'email', value }) as const),
  ];
  const usual = ca
    ? x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign
    : x509.KeyUsageFlags.digitalSignature;
  const usage = options.usage === undefined ? usual : options.usage;
  const extendedUsage =
    options.extendedUsage === undefined
      ? ca
        ? null
        : [x509.ExtendedKeyUsage.clientAuth]
      : options.extendedUsage;
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    issuer: by?.certificate.subject ?? subject,
    notBefore: new Date(options.notBefore ?? TEST_EPOCH - HOUR),
    notAfter: new Date(options.notAfter ?? TEST_EPOCH + HOUR),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: options.signedWith ?? (by?.keys ?? keys).privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(ca, options.pathLength, true),
      ...(usage === null ? [] : [new x509.KeyUsagesExtension(usage, true)]),
      ...(extendedUsage === null ? [] : [new x509.ExtendedKeyUsageExtension(extendedUsage)]),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
      ...extensions,
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    der: new Uint8Array(certificate.rawData),
    pem: certificate.toString('pem'),
    keyPem: `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`,
    certificate,
    keys,
  };
}

/** A root authority. */
export function authority(options: IssueOptions = {}): Promise<Issued> {
  return issue(null, { ca: true, notAfter: TEST_EPOCH + 240 * HOUR, ...options });
}
