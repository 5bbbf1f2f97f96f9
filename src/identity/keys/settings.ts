import { z } from 'zod';
import { err, ok, type Result } from '../../result.ts';
import type { AttestorKind } from '../attestor.ts';
import { type Jwk, readKeys } from '../jwt/jwks.ts';
import {
  CLOCK_TOLERANCE_SECONDS_MAX,
  DEFAULT_CLOCK_TOLERANCE_SECONDS,
  SETTING_LIST_MAX,
} from '../jwt/limits.ts';

const name = z.string().min(1).max(2_048);

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
  return ok({
    audience,
    subjects,
    keys: keys.value,
    owner,
    expires,
    clockToleranceSeconds: clock_tolerance_seconds,
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
