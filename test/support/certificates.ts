import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** A certificate and its key, as PEM and as objects. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
  readonly certificate: x509.X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

export interface CertificateOptions {
  /** The common name. */
  name: string;
  /** The IP address that it is for. */
  address?: string;
  /** Its authority; without it the certificate is a root of its own. */
  signedBy?: TestCertificate;
  /** More extensions, for instance a URI as alternative name. */
  extensions?: x509.Extension[];
}

/** Makes a P-256 certificate, good for an hour of real time. */
export async function createCertificate(options: CertificateOptions): Promise<TestCertificate> {
  const { name, address, signedBy, extensions = [] } = options;
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: signedBy?.certificate.subject ?? `CN=${name}`,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: (signedBy?.keys ?? keys).privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(!signedBy, undefined, true),
      ...(address ? [new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: address }])] : []),
      ...extensions,
    ],
  });
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const key = `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`;
  return { cert: certificate.toString('pem'), key, certificate, keys };
}
