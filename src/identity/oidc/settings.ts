import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { err, ok, type Result } from '../../result.ts';
import type { PeopleSignIn } from '../attestor.ts';
import type { ClaimExpectations, TimeBounds } from '../jwt/claims.ts';
import { type Jwk, readKeys } from '../jwt/jwks.ts';
import type { KeyLocation, KeySettings } from '../jwt/keys.ts';
import {
  CLOCK_TOLERANCE_SECONDS_MAX,
  DEFAULT_ALGORITHMS,
  DEFAULT_CLOCK_TOLERANCE_SECONDS,
  DEFAULT_MAX_AGE_SECONDS,
  MAX_AGE_SECONDS_MAX,
  SETTING_LIST_MAX,
} from '../jwt/limits.ts';
import { httpUrlFault, issuerFault } from '../jwt/urls.ts';

/** Signatures that a public key verifies (RFC 7518, section 3.1; RFC 8037; RFC 9864). */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

const algorithm = z.enum(ALGORITHMS, {
  error: ({ input }) =>
    input === 'none' || /^HS\d+$/.test(String(input))
      ? `Cannot accept "${input}": such a token can be made by anyone who may check it; name algorithms with a public key, for instance RS256 or ES256`
      : `Cannot use ${JSON.stringify(input)}: the algorithms are ${ALGORITHMS.join(', ')}`,
});

const name = z.string().min(1).max(2_048);

/** An OIDC issuer as it stands in the configuration under `issuers.<name>`. */
export const oidcSettings = z
  .strictObject({
    type: z.literal('oidc'),
    issuer: name.describe('The issuer, exactly as its tokens write it in `iss`: an https URL.'),
    audience: z
      .union([name, z.array(name).min(1).max(SETTING_LIST_MAX)])
      .describe('What tokens must name in `aud`: a name of this broker, or a list of them.'),
    allow_other_audiences: z
      .boolean()
      .default(false)
      .describe(
        'Accept tokens that are for others too. Each of these others can then act here as the workload.',
      ),
    algorithms: z
      .array(algorithm)
      .min(1)
      .default([...DEFAULT_ALGORITHMS])
      .describe('Signature algorithms to accept.'),
    jwks_file: name
      .optional()
      .describe("A file with the issuer's public keys (a JWK Set). Nothing is fetched then."),
    jwks_uri: name
      .optional()
      .describe('Where the public keys are, instead of discovery; may be on another host than the issuer.'),
    ca_file: name
      .optional()
      .describe('PEM certificates to trust, instead of the usual ones, when discovery and keys are fetched.'),
    allow_insecure_http: z
      .boolean()
      .default(false)
      .describe('Accept http URLs, of loopback hosts only. For tests and demonstrations.'),
    max_age_seconds: z
      .int()
      .min(1)
      .max(MAX_AGE_SECONDS_MAX)
      .default(DEFAULT_MAX_AGE_SECONDS)
      .describe('How long after `iat` a token is accepted, whatever its `exp`.'),
    clock_tolerance_seconds: z
      .int()
      .min(0)
      .max(CLOCK_TOLERANCE_SECONDS_MAX)
      .default(DEFAULT_CLOCK_TOLERANCE_SECONDS)
      .describe("How far the issuer's clock and ours may differ."),
    single_use: z.boolean().default(false).describe('Accept each token once only.'),
    required_claims: z
      .array(name)
      .max(SETTING_LIST_MAX)
      .default([])
      .describe('Claims that a token must have besides `iss`, `sub`, `aud`, `exp` and `iat`.'),
  })
  .superRefine((settings, context) => {
    const report = (key: string, message: string | null): void => {
      if (message) context.addIssue({ code: 'custom', path: [key], message });
    };
    report('issuer', issuerFault(settings.issuer, settings.allow_insecure_http));
    if (settings.jwks_uri !== undefined) {
      report('jwks_uri', httpUrlFault(settings.jwks_uri, settings.allow_insecure_http));
    }
    if (settings.jwks_file !== undefined) {
      const unused = 'Cannot be set beside jwks_file: nothing is fetched then; keep one of the two';
      report('jwks_uri', settings.jwks_uri === undefined ? null : unused);
      report('ca_file', settings.ca_file === undefined ? null : unused);
    }
  });

export type OidcConfiguration = z.output<typeof oidcSettings>;

/** The settings whose value is the path of a file. Whoever reads the configuration reads these too. */
export const OIDC_FILE_SETTINGS = ['jwks_file', 'ca_file'] as const;

/** The text of each file that the settings name. */
export type OidcFiles = { readonly [setting in (typeof OIDC_FILE_SETTINGS)[number]]?: string };

/** What the attestor works from: settings that are checked, and their files read. */
export interface OidcSettings extends KeySettings, ClaimExpectations, TimeBounds {
  readonly algorithms: readonly string[];
  readonly singleUse: boolean;
}

export interface SettingFault {
  readonly setting: string;
  readonly message: string;
}

/** Joins parsed settings with the texts of their files. Pure; answers all faults of the files together. */
export function resolveOidcSettings(
  configuration: OidcConfiguration,
  files: OidcFiles = {},
): Result<OidcSettings, SettingFault[]> {
  const faults: SettingFault[] = [];
  const keys = locateKeys(configuration, files, faults);
  if (configuration.ca_file !== undefined) {
    const message = certificatesFault(files.ca_file);
    if (message) faults.push({ setting: 'ca_file', message });
  }
  if (faults.length > 0) return err(faults);
  return ok({
    issuer: configuration.issuer,
    audiences: typeof configuration.audience === 'string' ? [configuration.audience] : configuration.audience,
    allowOtherAudiences: configuration.allow_other_audiences,
    algorithms: configuration.algorithms,
    keys,
    ...(files.ca_file !== undefined && { ca: files.ca_file }),
    allowInsecureHttp: configuration.allow_insecure_http,
    maxAgeSeconds: configuration.max_age_seconds,
    clockToleranceSeconds: configuration.clock_tolerance_seconds,
    singleUse: configuration.single_use,
    requiredClaims: configuration.required_claims,
  });
}

function locateKeys(configuration: OidcConfiguration, files: OidcFiles, faults: SettingFault[]): KeyLocation {
  if (configuration.jwks_uri !== undefined) return { kind: 'uri', uri: configuration.jwks_uri };
  if (configuration.jwks_file === undefined) return { kind: 'discovery' };
  const read = pinnedKeys(files.jwks_file);
  if (read.ok) return { kind: 'pinned', keys: read.value };
  faults.push({ setting: 'jwks_file', message: read.error });
  return { kind: 'pinned', keys: [] };
}

function pinnedKeys(text: string | undefined): Result<readonly Jwk[], string> {
  if (text === undefined) return err('Cannot use the file: it was not read');
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return err('Cannot use the file: it is not JSON; write a JWK Set, {"keys": [...]}');
  }
  const read = readKeys(document);
  if (!read.ok) return err(`Cannot use the file: ${read.error}`);
  if (read.value.privateKeys > 0) {
    return err('Cannot use the file: it holds a private or symmetric key; keep public keys only');
  }
  if (read.value.keys.length === 0) {
    return err('Cannot use the file: it holds no public key for signatures (kty RSA, EC or OKP)');
  }
  return ok(read.value.keys);
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function certificatesFault(text: string | undefined): string | null {
  if (text === undefined) return 'Cannot use the file: it was not read';
  const certificates = text.match(PEM) ?? [];
  if (certificates.length === 0) return 'Cannot use the file: it holds no PEM certificate';
  try {
    for (const certificate of certificates) new X509Certificate(certificate);
    return null;
  } catch {
    return 'Cannot use the file: one of its certificates cannot be read';
  }
}

/** How people sign in at such an issuer. */
export function peopleSignIn(settings: OidcSettings): PeopleSignIn {
  const { issuer: url, audiences, singleUse, ca, allowInsecureHttp } = settings;
  return { url, audiences, singleUse, allowInsecureHttp, ...(ca !== undefined && { ca }) };
}
