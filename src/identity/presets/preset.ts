import { z } from 'zod';
import { err } from '../../result.ts';
import type { AttestorKind, ClaimRules } from '../attestor.ts';
import { createOidcAttestor } from '../oidc/attestor.ts';
import {
  OIDC_FILE_SETTINGS,
  type OidcSettings,
  oidcSettings,
  peopleSignIn,
  resolveOidcSettings,
} from '../oidc/settings.ts';

const { shape } = oidcSettings;

/** What every preset can be told, beside what is its own. Each means what it means for `type: oidc`. */
export const presetShape = {
  audience: shape.audience,
  jwks_file: shape.jwks_file,
  ca_file: shape.ca_file,
  allow_insecure_http: shape.allow_insecure_http,
  max_age_seconds: shape.max_age_seconds,
  clock_tolerance_seconds: shape.clock_tolerance_seconds,
  single_use: shape.single_use,
  required_claims: shape.required_claims,
};

type PresetWritten = z.output<z.ZodObject<typeof presetShape>>;

/** An OIDC issuer whose tokens are known. */
export interface Preset<Written extends PresetWritten> {
  readonly type: string;
  /** An entry of the configuration. */
  readonly settings: z.ZodType<Written>;
  readonly algorithms: readonly string[];
  readonly requiredClaims: readonly string[];
  readonly rules: ClaimRules;
  /** Whether people sign in there too. */
  readonly people?: true;
  issuer(written: Written): string;
  /** Where the keys are, for issuers that keep them on another host. */
  keysUri?(written: Written): string | undefined;
}

/** A kind of issuer that is OIDC underneath: it fills in what is known, and asks grants for what must be pinned. */
export function presetKind<Written extends PresetWritten>(
  preset: Preset<Written>,
): AttestorKind<Written, OidcSettings> {
  return {
    type: preset.type,
    settings: preset.settings,
    fileSettings: OIDC_FILE_SETTINGS,
    resolve: (written, files) => resolvePreset(preset, written, files),
    describe: (settings) => ({
      url: settings.issuer,
      names: [settings.issuer],
      rules: preset.rules,
      ...(settings.keys.kind !== 'pinned' && { isFetched: true }),
      ...(preset.people && { signIn: peopleSignIn(settings) }),
    }),
    create: createOidcAttestor,
  };
}

/** The settings of the issuer underneath. A fault in what the preset derived is one of the setting that it came from. */
export function resolvePreset<Written extends PresetWritten>(
  preset: Preset<Written>,
  written: Written,
  files: Readonly<Record<string, string>>,
): ReturnType<AttestorKind<Written, OidcSettings>['resolve']> {
  const { audience, jwks_file, ca_file, allow_insecure_http } = written;
  const { max_age_seconds, clock_tolerance_seconds, single_use, required_claims } = written;
  const keysUri = jwks_file === undefined ? preset.keysUri?.(written) : undefined;
  const configuration = oidcSettings.safeParse({
    type: 'oidc',
    issuer: preset.issuer(written),
    audience,
    algorithms: preset.algorithms,
    required_claims: [...new Set([...preset.requiredClaims, ...required_claims])],
    ...{ jwks_file, ca_file, allow_insecure_http, max_age_seconds, clock_tolerance_seconds, single_use },
    ...(keysUri !== undefined && { jwks_uri: keysUri }),
  });
  if (configuration.success) return resolveOidcSettings(configuration.data, files);
  return err(
    configuration.error.issues.map(({ path, message }) => ({
      setting: path[0] === 'issuer' && 'server_url' in written ? 'server_url' : String(path[0]),
      message,
    })),
  );
}

/** An address of a server of one's own, without a slash at its end. */
export const serverUrl = z
  .url()
  .max(2_048)
  .transform((url) => url.replace(/\/+$/, ''));

export const uuid = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, {
  error: 'Expected a UUID in lower case, as 8-4-4-4-12 hexadecimal digits',
});
