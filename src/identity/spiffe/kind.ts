import { z } from 'zod';
import { err, ok } from '../../result.ts';
import type { Runtime } from '../../runtime.ts';
import type { Attestor, AttestorKind } from '../attestor.ts';
import { createTokenAttestor } from '../jwt/attestor.ts';
import type { KeySet } from '../jwt/jwks.ts';
import {
  CLOCK_TOLERANCE_SECONDS_MAX,
  DEFAULT_CLOCK_TOLERANCE_SECONDS,
  MAX_AGE_SECONDS_MAX,
  SETTING_LIST_MAX,
} from '../jwt/limits.ts';
import type { Edition, Source } from '../jwt/refreshed.ts';
import { httpUrlFault } from '../jwt/urls.ts';
import { readPemCertificates } from '../x509/certificate.ts';
import type { Bundle } from './bundle.ts';
import { isTrustDomain, parseSpiffeId } from './id.ts';
import { type BundleLocation, createBundleSource } from './source.ts';
import { attestX509Svid } from './x509-svid.ts';

const name = z.string().min(1).max(2_048);

const settings = z
  .strictObject({
    type: z.literal('spiffe'),
    trust_domain: z
      .string()
      .refine(isTrustDomain, { error: 'Expected a trust domain, like prod.example.com, without spiffe://' })
      .describe('The trust domain whose workloads are known.'),
    audience: z
      .union([name, z.array(name).min(1).max(SETTING_LIST_MAX)])
      .describe('What JWT-SVIDs must name in `aud`: a name of this broker, or a list of them.'),
    allow_other_audiences: z
      .boolean()
      .default(false)
      .describe(
        'Accept JWT-SVIDs that are for others too. Each of these others can then act here as the workload.',
      ),
    bundle_path: z
      .string()
      .regex(/^\//, { error: 'Cannot find a file again by a relative path: write it from / on' })
      .optional()
      .describe('The bundle as a file (SPIFFE bundle format); read anew when it changes.'),
    bundle_url: name
      .optional()
      .describe('The bundle endpoint of the trust domain, of the https_web profile.'),
    ca_file: name
      .optional()
      .describe('PEM certificates to trust, instead of the usual ones, at the endpoint.'),
    clock_tolerance_seconds: z
      .int()
      .min(0)
      .max(CLOCK_TOLERANCE_SECONDS_MAX)
      .default(DEFAULT_CLOCK_TOLERANCE_SECONDS)
      .describe('How far the clock of the signer of JWT-SVIDs and ours may differ.'),
    single_use: z.boolean().default(false).describe('Accept each JWT-SVID once only.'),
    allow_insecure_http: z
      .boolean()
      .default(false)
      .describe('Accept an http endpoint, of a loopback host only. For tests and demonstrations.'),
  })
  .superRefine((written, context) => {
    const report = (key: string, message: string | null): void => {
      if (message) context.addIssue({ code: 'custom', path: [key], message });
    };
    const { bundle_path, bundle_url, ca_file, allow_insecure_http } = written;
    if ((bundle_path === undefined) === (bundle_url === undefined))
      report('bundle_url', 'Write where the bundle is, once: bundle_url or bundle_path');
    if (bundle_url !== undefined) report('bundle_url', httpUrlFault(bundle_url, allow_insecure_http));
    if (ca_file !== undefined && bundle_url === undefined)
      report('ca_file', 'Cannot be set beside bundle_path: nothing is fetched then');
  });

export interface SpiffeSettings {
  readonly trustDomain: string;
  readonly audiences: readonly string[];
  readonly allowOtherAudiences: boolean;
  readonly bundle: BundleLocation;
  readonly clockToleranceSeconds: number;
  readonly singleUse: boolean;
}

/** JWT-SVID, section 2.1. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'];

/** JWT-SVID, section 2.3. */
const TYPES = new Set(['jwt', 'jose']);

/** Workloads of one SPIFFE trust domain, by JWT-SVID or X.509-SVID. */
export const attestorKind: AttestorKind<z.output<typeof settings>, SpiffeSettings> = {
  type: 'spiffe',
  settings,
  fileSettings: ['ca_file'],
  resolve(written, { ca_file: ca }) {
    const certificates = ca === undefined ? ok([]) : readPemCertificates(ca);
    if (!certificates.ok)
      return err([{ setting: 'ca_file', message: `Cannot use the file: ${certificates.error}` }]);
    const { bundle_path: path, bundle_url: url = '' } = written;
    return ok({
      trustDomain: written.trust_domain,
      audiences: typeof written.audience === 'string' ? [written.audience] : written.audience,
      allowOtherAudiences: written.allow_other_audiences,
      bundle:
        path === undefined
          ? { kind: 'https-web', url, ...(ca !== undefined && { ca }) }
          : { kind: 'file', path },
      clockToleranceSeconds: written.clock_tolerance_seconds,
      singleUse: written.single_use,
    });
  },
  describe: ({ trustDomain }) => ({
    names: [`spiffe://${trustDomain}`],
    rules: {
      pins: [
        {
          anyOf: [['sub']],
          form: {
            claim: 'sub',
            pattern: new RegExp(`^spiffe://${trustDomain.replaceAll('.', '\\.')}/[^/]+/.`),
          },
          because: 'every workload of the trust domain has such an identity',
        },
      ],
      beside: [],
      never: [],
      forms: [
        {
          claim: 'sub',
          pattern: new RegExp(`^spiffe://${trustDomain.replaceAll('.', '\\.')}/`),
          because: `an ID of this trust domain begins with spiffe://${trustDomain}/`,
        },
      ],
      unreliable: {},
      strings: ['sub'],
    },
  }),
  create: createSpiffeAttestor,
};

/** Attests the SVIDs of one trust domain, both kinds by its bundle alone. */
export function createSpiffeAttestor(issuer: string, spiffe: SpiffeSettings, runtime: Runtime): Attestor {
  const { trustDomain } = spiffe;
  const source = createBundleSource(spiffe.bundle, runtime);
  const ours = `spiffe://${trustDomain}`;
  const byToken = createTokenAttestor(
    issuer,
    {
      ...spiffe,
      method: 'jwt-svid',
      isOurs: ({ sub }) => typeof sub === 'string' && (sub === ours || sub.startsWith(`${ours}/`)),
      algorithms: ALGORITHMS,
      types: TYPES,
      requiredClaims: [],
      maxAgeSeconds: MAX_AGE_SECONDS_MAX,
      faultOf(_, { sub }) {
        const id = parseSpiffeId(sub);
        return id.ok ? null : { reason: 'malformed', detail: `"sub" is no SPIFFE ID: ${id.error}` };
      },
    },
    jwtKeysOf(source),
  );
  return {
    issuer,
    attest: async (evidence, now, signal) =>
      evidence.kind === 'bearer'
        ? byToken.attest(evidence, now, signal)
        : attestX509Svid(issuer, trustDomain, source, evidence.chain, now, signal),
  };
}

/** The keys for JWT-SVIDs of each edition of a bundle. */
function jwtKeysOf(source: Source<Bundle>): Source<KeySet> {
  const keysOf = ({ value, generation }: Edition<Bundle>) => ({ value: value.jwtKeys, generation });
  return {
    async current(signal) {
      const bundle = await source.current(signal);
      return bundle.ok ? ok(keysOf(bundle.value)) : bundle;
    },
    async newerThan(known, signal) {
      const current = await source.current(signal);
      if (!current.ok) return null;
      if (current.value.generation !== known.generation) return keysOf(current.value);
      const newer = await source.newerThan(current.value, signal);
      return newer && keysOf(newer);
    },
  };
}
