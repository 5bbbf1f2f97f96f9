import { type Issued, issue } from './authority.ts';

/** A certificate and its key, as PEM and as objects. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
  readonly certificate: Issued['certificate'];
  readonly issued: Issued;
}

export interface CertificateOptions {
  /** The common name. */
  name: string;
  /** The IP address that it is for. */
  address?: string;
  /** The DNS names that it is for. */
  dns?: string[];
  /** Its authority; without it the certificate is a root of its own. */
  signedBy?: TestCertificate;
}

/** Makes a certificate for any use, good for an hour of real time: for servers of the tests, whose clients have that clock. */
export async function createCertificate(options: CertificateOptions): Promise<TestCertificate> {
  const { name, address, dns = [], signedBy } = options;
  const issued = await issue(signedBy?.issued ?? null, {
    subject: `CN=${name}`,
    ca: signedBy === undefined,
    addresses: address === undefined ? [] : [address],
    dns,
    usage: null,
    extendedUsage: null,
    notBefore: Date.now() - 60_000,
    notAfter: Date.now() + 3_600_000,
  });
  return { cert: issued.pem, key: issued.keyPem, certificate: issued.certificate, issued };
}
