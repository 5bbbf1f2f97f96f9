import { z } from 'zod';
import { type Json, sha256 } from '../../json.ts';
import { err, ok } from '../../result.ts';
import type { Runtime } from '../../runtime.ts';
import type { AttestationReason, Attestor, AttestorKind, Principal } from '../attestor.ts';
import { type Certificate, readPemCertificates } from '../x509/certificate.ts';
import { findPath, namesAnchor, pathEndsAt, readChain } from '../x509/path.ts';
import { createListSource, revocationFault } from './revocation.ts';

/** Lists that one issuer may have: one for each authority of a path. */
const LISTS_MAX = 8;

const SUBJECTS = ['uri', 'dns', 'email', 'common_name'] as const;

const settings = z.strictObject({
  type: z.literal('client-certificate'),
  ca_file: z
    .string()
    .min(1)
    .max(4_096)
    .describe('PEM certificates of the authorities that issue to the workloads, and of nobody else.'),
  subject_from: z
    .enum(SUBJECTS)
    .describe(
      'What names the workload: the one URI, DNS name or email of the certificate, or its common name.',
    ),
  crl_paths: z
    .array(
      z.string().regex(/^\//, { error: 'Cannot find a file again by a relative path: write it from / on' }),
    )
    .min(1)
    .max(LISTS_MAX)
    .optional()
    .describe('Revocation lists, PEM or DER, one for each authority; read anew as they change.'),
});

interface CertificateSettings {
  readonly authorities: readonly Certificate[];
  readonly subjectFrom: (typeof SUBJECTS)[number];
  readonly listPaths: readonly string[];
}

/** Workloads with a certificate of a private authority, proven in the TLS connection itself. */
export const attestorKind: AttestorKind<z.output<typeof settings>, CertificateSettings> = {
  type: 'client-certificate',
  settings,
  fileSettings: ['ca_file'],
  resolve({ subject_from, crl_paths = [] }, { ca_file = '' }) {
    const read = readPemCertificates(ca_file);
    const refuse = (why: string) => err([{ setting: 'ca_file', message: `Cannot use the file: ${why}` }]);
    if (!read.ok) return refuse(read.error);
    if (read.value.some(({ isAuthority }) => !isAuthority))
      return refuse('one of its certificates is no authority');
    return ok({ authorities: read.value, subjectFrom: subject_from, listPaths: crl_paths });
  },
  describe: ({ authorities, listPaths }) => ({
    names: [...new Set(authorities.map(({ native }) => native.subject.replaceAll('\n', ', ')))],
    rules: {
      pins: [
        {
          anyOf: [['sub'], ['fingerprint']],
          form: { claim: 'sub', pattern: /^(?:spiffe|https?):\/\/[^/]+\/[^/]+\/./ },
          because: 'the authority issues to all its workloads',
        },
      ],
      beside: [],
      never: [],
      forms: [],
      unreliable: {},
      strings: ['sub', 'fingerprint', 'serial'],
    },
    needsClientCertificates: true,
    exceptions:
      listPaths.length > 0
        ? []
        : [
            'No revocation lists: a stolen certificate serves until it expires; write crl_paths, or keep certificates short',
          ],
  }),
  create: createCertificateAttestor,
};

/** RFC 5280, section 4.2.1.12: id-kp-clientAuth. */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/** RFC 4519: the attributes of a subject that are told. */
const ATTRIBUTES = { common_name: '2.5.4.3', organizations: '2.5.4.10', organizational_units: '2.5.4.11' };

/** Attests certificates whose chain says that it comes of one of the authorities; others are `null`. */
export function createCertificateAttestor(
  name: string,
  { authorities, subjectFrom, listPaths }: CertificateSettings,
  runtime: Runtime,
): Attestor {
  const lists = createListSource(listPaths, runtime);
  const refuse = (reason: AttestationReason, detail: string) => err({ reason, detail, issuer: name });
  return {
    issuer: name,
    async attest(evidence, now, signal) {
      if (evidence.kind !== 'client-certificate') return null;
      const chain = readChain(evidence.chain);
      if (!chain.ok)
        return chain.error.reason === 'too-large' ? refuse('too-large', chain.error.detail) : null;
      if (!namesAnchor(chain.value, authorities)) return null;
      const [leaf] = chain.value;
      const path = findPath(chain.value, authorities, now);
      if (!path.ok) return refuse(path.error.reason, path.error.detail);
      const unfit = leafFault(leaf);
      if (unfit !== null) return refuse('certificate', unfit);
      if (listPaths.length > 0) {
        const current = await lists.current(signal);
        if (!current.ok) return refuse('keys-unavailable', current.error);
        const fault = revocationFault(path.value, current.value.value, now);
        if (fault !== null) return refuse(fault.reason, fault.detail);
      }
      const [subject, ...others] = namesOf(leaf, subjectFrom);
      if (subject === undefined || others.length > 0)
        return refuse('missing-claim', `The certificate does not have exactly one ${subjectFrom}`);
      return ok(toPrincipal(name, subject, leaf, pathEndsAt(path.value)));
    },
  };
}

function leafFault({ isAuthority, keyUsage, extendedKeyUsage }: Certificate): string | null {
  if (isAuthority || keyUsage?.has('keyCertSign'))
    return 'The certificate is an authority: it speaks for no workload';
  if (!extendedKeyUsage?.has(CLIENT_AUTH))
    return 'The certificate is not for clients (extended key usage clientAuth)';
  if (keyUsage !== undefined && !keyUsage.has('digitalSignature'))
    return 'The certificate is not for signatures';
  return null;
}

function namesOf(leaf: Certificate, from: CertificateSettings['subjectFrom']): readonly string[] {
  switch (from) {
    case 'uri':
      return leaf.uris;
    case 'dns':
      return leaf.dnsNames;
    case 'email':
      return leaf.emails;
    case 'common_name':
      return leaf.subject.get(ATTRIBUTES.common_name) ?? [];
    default:
      return from satisfies never;
  }
}

/** Lists are lists even of one: a claim's type never depends on how many there are. */
function toPrincipal(issuer: string, subject: string, leaf: Certificate, expiresAt: number): Principal {
  const evidenceHash = sha256(leaf.der);
  const listOf = (values: readonly string[] | undefined): Json => Object.freeze([...(values ?? [])]);
  const [commonName, ...others] = leaf.subject.get(ATTRIBUTES.common_name) ?? [];
  return Object.freeze({
    issuer,
    subject,
    claims: Object.freeze({
      sub: subject,
      uris: listOf(leaf.uris),
      dns_names: listOf(leaf.dnsNames),
      emails: listOf(leaf.emails),
      ...(commonName !== undefined && others.length === 0 && { common_name: commonName }),
      organizations: listOf(leaf.subject.get(ATTRIBUTES.organizations)),
      organizational_units: listOf(leaf.subject.get(ATTRIBUTES.organizational_units)),
      serial: leaf.serial,
      fingerprint: evidenceHash,
    }),
    proof: Object.freeze({
      method: 'client-certificate',
      evidenceHash,
      expiresAt,
      boundTo: Object.freeze({ 'x5t#S256': evidenceHash }),
    }),
  });
}
