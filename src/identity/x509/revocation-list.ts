import { type KeyObject, verify } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import { CertificateList } from '@peculiar/asn1-x509';
import { err, ok, type Result } from '../../result.ts';
import { type Certificate, nameText, serialText } from './certificate.ts';
import { REVOKED_MAX } from './limits.ts';

/** What an authority has withdrawn. Read, and its signature not verified yet: that takes the authority. */
export interface RevocationList {
  readonly issuerName: string;
  /** Milliseconds since the epoch. */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  readonly serials: ReadonlySet<string>;
  /** Whether this authority has signed it. */
  isSignedBy(authority: Certificate): boolean;
}

/** Digests by signature algorithm; null: the algorithm has its own. */
const DIGESTS: Readonly<Record<string, string | null>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.3.101.112': null,
};

const PEM = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/g;

/** All lists of a file: PEM, any number, or one as DER. */
export function readRevocationLists(file: Uint8Array): Result<readonly RevocationList[], string> {
  const text = Buffer.from(file).toString('latin1');
  const blocks = [...text.matchAll(PEM)].map(([, base64 = '']) => Buffer.from(base64, 'base64'));
  if (blocks.length !== text.split('BEGIN X509 CRL').length - 1)
    return err('one of its lists has no beginning or no end');
  const lists: RevocationList[] = [];
  for (const der of blocks.length > 0 ? blocks : [file]) {
    const list = readOne(der);
    if (!list.ok) return list;
    lists.push(list.value);
  }
  return ok(lists);
}

/** RFC 5280, section 5. Delta lists and those of one part or by proxy have critical extensions: they are not read. */
function readOne(der: Uint8Array): Result<RevocationList, string> {
  try {
    const list = AsnConvert.parse(der, CertificateList);
    const { tbsCertList: tbs, signatureAlgorithm, tbsCertListRaw, signature } = list;
    const algorithm = signatureAlgorithm.algorithm;
    const digest = Object.hasOwn(DIGESTS, algorithm) ? DIGESTS[algorithm] : undefined;
    if (digest === undefined || tbs.signature.algorithm !== algorithm)
      return err('a list is not signed over SHA-2 or by Ed25519');
    if (tbs.nextUpdate === undefined) return err('a list does not say when the next one comes');
    const entries = tbs.revokedCertificates ?? [];
    if (entries.length > REVOKED_MAX) return err(`a list has more than ${REVOKED_MAX} entries`);
    const critical = [
      ...(tbs.crlExtensions ?? []),
      ...entries.flatMap((entry) => entry.crlEntryExtensions ?? []),
    ].find((extension) => extension.critical);
    if (critical !== undefined) return err(`a list's critical extension ${critical.extnID} is not known`);
    const signed = Buffer.from(tbsCertListRaw ?? new ArrayBuffer(0));
    return ok({
      issuerName: nameText(tbs.issuer),
      thisUpdate: tbs.thisUpdate.getTime().getTime(),
      nextUpdate: tbs.nextUpdate.getTime().getTime(),
      serials: new Set(entries.map(({ userCertificate }) => serialText(userCertificate))),
      isSignedBy: (authority) =>
        (authority.keyUsage?.has('cRLSign') ?? true) &&
        isSigned(digest, signed, authority.native.publicKey, Buffer.from(signature)),
    });
  } catch {
    return err('a list is no revocation list');
  }
}

function isSigned(digest: string | null, signed: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  try {
    return verify(digest, signed, key, signature);
  } catch {
    return false;
  }
}
