import { X509Certificate } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import {
  Certificate as AsnCertificate,
  BasicConstraints,
  ExtendedKeyUsage,
  type Extension,
  KeyUsage,
  type Name,
  SubjectAlternativeName,
} from '@peculiar/asn1-x509';
import { err, ok, type Result } from '../../result.ts';
import {
  CERTIFICATE_MAX_BYTES,
  NAME_MAX_CHARS,
  NAMES_MAX,
  RSA_BITS_MAX,
  RSA_BITS_MIN,
  RSA_EXPONENT_MAX,
  RSA_EXPONENT_MIN,
} from './limits.ts';

/** A certificate that was read, and that nobody has vouched for yet. */
export interface Certificate {
  readonly der: Uint8Array;
  /** The same certificate, for its signature and its key. */
  readonly native: X509Certificate;
  /** Milliseconds since the epoch; both instants are within the validity (RFC 5280, section 4.1.2.5). */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Lower-case hexadecimal, without leading zeros. */
  readonly serial: string;
  /** Distinguished names as their encoding, for comparing. */
  readonly subjectName: string;
  readonly issuerName: string;
  readonly isAuthority: boolean;
  /** How many authorities may follow this one; undefined: any number. */
  readonly pathLength: number | undefined;
  /** Absent where the certificate has no such extension. */
  readonly keyUsage: ReadonlySet<string> | undefined;
  readonly extendedKeyUsage: ReadonlySet<string> | undefined;
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly emails: readonly string[];
  /** Values of the subject's attributes, by object identifier. */
  readonly subject: ReadonlyMap<string, readonly string[]>;
}

const ID = {
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  certificatePolicies: '2.5.29.32',
  extendedKeyUsage: '2.5.29.37',
};

/** Extensions whose meaning is heeded here. A critical one that is not among them is a ground to refuse (RFC 5280, section 4.2). */
const HEEDED = new Set([
  ID.keyUsage,
  ID.subjectAltName,
  ID.basicConstraints,
  ID.certificatePolicies,
  ID.extendedKeyUsage,
]);

const RSA_PSS = '1.2.840.113549.1.1.10';

/** Signatures over SHA-2 or Ed25519, whatever their parameters. Older digests can be forged. */
const SIGNATURES = new Set([
  '1.2.840.113549.1.1.11',
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.2.840.10045.4.3.2',
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  '1.3.101.112',
]);

/** What RSASSA-PSS parameters begin with that name SHA-256, 384 or 512 as their digest; it is SHA-1 where they name none (RFC 4055, section 3.1). */
const PSS_OVER_SHA2 = /^30[0-7]\wa0\w{2}30\w{2}060960864801650304020[123]/;

const CURVES = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

/** Bits of `keyUsage` by their place (RFC 5280, section 4.2.1.3). */
const USAGES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
] as const;

/** Reads a certificate from exactly these bytes. The error is a clause for the operator. */
export function readCertificate(der: Uint8Array): Result<Certificate, string> {
  if (der.byteLength > CERTIFICATE_MAX_BYTES) return err(`it has more than ${CERTIFICATE_MAX_BYTES} bytes`);
  try {
    return read(der);
  } catch {
    return err('it is no X.509 certificate');
  }
}

function read(der: Uint8Array): Result<Certificate, string> {
  const native = new X509Certificate(der);
  // What follows the certificate, or is not DER, would be passed over in silence.
  if (Buffer.compare(native.raw, der) !== 0) return err('it is not DER, or something follows it');
  const { tbsCertificate: tbs, signatureAlgorithm } = AsnConvert.parse(der, AsnCertificate);
  if (tbs.version !== 2) return err('it is not of version 3');
  if (!isOverGoodDigest(signatureAlgorithm)) return err('its signature is over a digest that can be forged');
  const weak = keyFault(native);
  if (weak !== null) return err(weak);
  const extensions = tbs.extensions ?? [];
  const fault = extensionFault(extensions);
  if (fault !== null) return err(fault);
  const constraints = parseExtension(extensions, ID.basicConstraints, BasicConstraints);
  const usage = parseExtension(extensions, ID.keyUsage, KeyUsage)?.toNumber();
  const purposes = parseExtension(extensions, ID.extendedKeyUsage, ExtendedKeyUsage);
  const names = parseExtension(extensions, ID.subjectAltName, SubjectAlternativeName) ?? [];
  const uris = names.flatMap(({ uniformResourceIdentifier: uri }) => (uri === undefined ? [] : [uri]));
  const dnsNames = names.flatMap(({ dNSName: name }) => (name === undefined ? [] : [name]));
  const emails = names.flatMap(({ rfc822Name: name }) => (name === undefined ? [] : [name]));
  const subject = attributesOf(tbs.subject);
  const texts = [...uris, ...dnsNames, ...emails, ...[...subject.values()].flat()];
  if (names.length > NAMES_MAX || texts.length > NAMES_MAX) return err(`it has more than ${NAMES_MAX} names`);
  if (texts.some((text) => !isPlain(text))) return err('one of its names holds what is no printable text');
  return ok({
    der,
    native,
    notBefore: tbs.validity.notBefore.getTime().getTime(),
    notAfter: tbs.validity.notAfter.getTime().getTime(),
    serial: serialText(tbs.serialNumber),
    subjectName: nameText(tbs.subject),
    issuerName: nameText(tbs.issuer),
    isAuthority: constraints?.cA ?? false,
    pathLength: constraints?.pathLenConstraint,
    keyUsage:
      usage === undefined ? undefined : new Set(USAGES.filter((_, bit) => (usage & (1 << bit)) !== 0)),
    extendedKeyUsage: purposes && new Set(purposes),
    uris,
    dnsNames,
    emails,
    subject,
  });
}

function isOverGoodDigest({ algorithm, parameters }: AsnCertificate['signatureAlgorithm']): boolean {
  if (algorithm !== RSA_PSS) return SIGNATURES.has(algorithm);
  return PSS_OVER_SHA2.test(Buffer.from(parameters ?? new ArrayBuffer(0)).toString('hex'));
}

function keyFault({ publicKey }: X509Certificate): string | null {
  const {
    modulusLength: bits = 0,
    publicExponent = 0n,
    namedCurve = '',
  } = publicKey.asymmetricKeyDetails ?? {};
  switch (publicKey.asymmetricKeyType) {
    case 'rsa':
    case 'rsa-pss':
      if (publicExponent < RSA_EXPONENT_MIN || publicExponent > RSA_EXPONENT_MAX)
        return 'the exponent of its RSA key is 1, or has more than 32 bits';
      return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX ? null : `its RSA key has ${bits} bits`;
    case 'ec':
      return CURVES.has(namedCurve) ? null : 'its curve is none of P-256, P-384 and P-521';
    case 'ed25519':
      return null;
    default:
      return 'its key is neither RSA, EC nor Ed25519';
  }
}

function extensionFault(extensions: readonly Extension[]): string | null {
  const ids = extensions.map(({ extnID }) => extnID);
  if (new Set(ids).size !== ids.length) return 'it has an extension twice';
  // Not heeded, so never passed over, critical or not: it would be trusted for more than its authority may vouch for.
  if (ids.includes(ID.nameConstraints)) return 'it has name constraints, which are not supported';
  const unknown = extensions.find(({ extnID, critical }) => critical && !HEEDED.has(extnID));
  return unknown === undefined ? null : `its critical extension ${unknown.extnID} is not known`;
}

function parseExtension<T>(extensions: readonly Extension[], id: string, type: new () => T): T | undefined {
  const found = extensions.find(({ extnID }) => extnID === id);
  return found && AsnConvert.parse(found.extnValue, type);
}

function attributesOf(name: Name): ReadonlyMap<string, readonly string[]> {
  const attributes = new Map<string, string[]>();
  for (const { type, value } of name.flatMap((part) => [...part])) {
    attributes.set(type, [...(attributes.get(type) ?? []), value.toString()]);
  }
  return attributes;
}

/** A serial number as its hexadecimal value. */
export function serialText(serial: ArrayBuffer): string {
  return Buffer.from(serial)
    .toString('hex')
    .replace(/^0+(?=.)/, '');
}

/** A distinguished name for comparing: names that are encoded alike are alike. */
export function nameText(name: Name): string {
  return Buffer.from(AsnConvert.serialize(name)).toString('base64');
}

function isPlain(text: string): boolean {
  return (
    text !== '' && text.length <= NAME_MAX_CHARS && !/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029\ufffd]/u.test(text)
  );
}

const PEM = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g;

/** All certificates of a PEM text. The error says which of them cannot be used, and why. */
export function readPemCertificates(text: string): Result<readonly Certificate[], string> {
  const certificates: Certificate[] = [];
  for (const [, base64 = ''] of text.matchAll(PEM)) {
    const certificate = readCertificate(Buffer.from(base64, 'base64'));
    if (!certificate.ok)
      return err(`certificate ${certificates.length + 1} cannot be used: ${certificate.error}`);
    certificates.push(certificate.value);
  }
  if (certificates.length !== text.split('BEGIN CERTIFICATE').length - 1)
    return err('one of its certificates has no beginning or no end');
  return certificates.length > 0 ? ok(certificates) : err('it holds no PEM certificate');
}
