import { z } from 'zod';
import { err, ok, type Result } from '../../result.ts';
import type { AttestorKind, FallbackTerms } from '../attestor.ts';
import { type Jwk, readKeys } from '../jwt/jwks.ts';
import {
  CLOCK_TOLERANCE_SECONDS_MAX,
  DEFAULT_CLOCK_TOLERANCE_SECONDS,
  SETTING_LIST_MAX,
} from '../jwt/limits.ts';
import { httpUrlFault } from '../jwt/urls.ts';

const name = z.string().min(1).max(2_048);

/** Four looks of the broker, which looks four times a minute: less would make an outage of a blink. */
const FALLBACK_AFTER_SECONDS_MIN = 60;
/** Whoever waits for longer has no use for it. */
const FALLBACK_AFTER_SECONDS_MAX = 86_400;
/** Longer than most outages that end by themselves, and than an attacker stays unnoticed who cuts a broker off. */
const DEFAULT_FALLBACK_AFTER_SECONDS = 600;

/** A pinned key set as it stands in the configuration under `issuers.<name>`. */
export const keysSettings = z
  .strictObject({
    type: z.literal('keys'),
    audience: z.url().describe('What assertions must name in `aud`, alone: `broker.url`.'),
    subjects: z
      .array(name)
      .min(1)
      .max(SETTING_LIST_MAX)
      .describe('The workloads that sign with these keys: `iss` and `sub` of their assertions.'),
    jwks_file: name.optional().describe('A file with their public keys (a JWK Set).'),
    jwks: z
      .record(z.string(), z.unknown())
      .optional()
      .describe('The public keys themselves, as `hallpass key new` prints them.'),
    owner: z.string().min(1).max(200).describe('Who answers for these keys, for instance a team.'),
    expires: z.iso
      .date({ error: 'Expected a day, for instance 2030-01-31' })
      .describe('The day, in UTC, from which the keys are refused unless somebody has renewed them.'),
    fallback_for: name
      .optional()
      .describe('The issuer that these keys stand in for: they are refused while it can be reached.'),
    fallback_after_seconds: z
      .int()
      .min(FALLBACK_AFTER_SECONDS_MIN)
      .max(FALLBACK_AFTER_SECONDS_MAX)
      .optional()
      .describe('For how long it must have been out of reach; 600 by default.'),
    fallback_probe_url: z
      .url()
      .optional()
      .describe(
        'What must answer too, for that issuer to count as reached: the address at which people sign in.',
      ),
    clock_tolerance_seconds: z
      .int()
      .min(0)
      .max(CLOCK_TOLERANCE_SECONDS_MAX)
      .default(DEFAULT_CLOCK_TOLERANCE_SECONDS)
      .describe("How far the workload's clock and ours may differ."),
  })
  .refine(({ jwks, jwks_file }) => (jwks === undefined) !== (jwks_file === undefined), {
    path: ['jwks'],
    error: 'Write the keys once: as jwks, or as the path of a file in jwks_file',
  })
  .superRefine(({ fallback_for, fallback_after_seconds, fallback_probe_url }, context) => {
    const report = (key: string, message: string) =>
      context.addIssue({ code: 'custom', path: [key], message });
    const nobody = 'Cannot wait for nobody: write the issuer that the keys stand in for as fallback_for';
    if (fallback_for === undefined && fallback_after_seconds !== undefined)
      report('fallback_after_seconds', nobody);
    if (fallback_for === undefined && fallback_probe_url !== undefined) report('fallback_probe_url', nobody);
    const fault = fallback_probe_url === undefined ? null : httpUrlFault(fallback_probe_url, true);
    if (fault !== null) report('fallback_probe_url', fault);
  });

export type KeysConfiguration = z.output<typeof keysSettings>;

/** What the attestor works from. */
export interface KeysSettings {
  readonly audience: string;
  readonly subjects: readonly string[];
  readonly keys: readonly Jwk[];
  readonly owner: string;
  readonly expires: string;
  readonly clockToleranceSeconds: number;
  /** Present when they are for when another issuer is away. */
  readonly fallback?: FallbackTerms;
}

/** Joins parsed settings with the text of their file. Pure. */
export const resolveKeysSettings: AttestorKind<KeysConfiguration, KeysSettings>['resolve'] = (
  configuration,
  files,
) => {
  const setting = configuration.jwks === undefined ? 'jwks_file' : 'jwks';
  const keys = publicKeys(configuration.jwks ?? parsed(files.jwks_file ?? ''));
  if (!keys.ok) return err([{ setting, message: keys.error }]);
  const { audience, subjects, owner, expires, clock_tolerance_seconds } = configuration;
  const { fallback_for, fallback_after_seconds, fallback_probe_url } = configuration;
  return ok({
    audience,
    subjects,
    keys: keys.value,
    owner,
    expires,
    clockToleranceSeconds: clock_tolerance_seconds,
    ...(fallback_for !== undefined && {
      fallback: {
        standsFor: fallback_for,
        afterSeconds: fallback_after_seconds ?? DEFAULT_FALLBACK_AFTER_SECONDS,
        ...(fallback_probe_url !== undefined && { probeUrl: fallback_probe_url }),
      },
    }),
  });
};

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function publicKeys(document: unknown): Result<readonly Jwk[], string> {
  const read = readKeys(document);
  if (!read.ok) return err(`Cannot use the keys: ${read.error}; write {"keys": [...]}`);
  if (read.value.privateKeys > 0)
    return err(
      'Cannot use the keys: one of them is private; that one stays with the workload, and is lost now',
    );
  if (read.value.keys.length === 0)
    return err('Cannot use the keys: none is a public key for signatures (kty RSA, EC or OKP)');
  return ok(read.value.keys);
}
