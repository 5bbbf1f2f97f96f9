import { z } from 'zod';
import { type Json, sha256 } from '../json.ts';
import { err, ok, type Result } from '../result.ts';

/** What a kit holds: a part of a configuration, and all that it refers to. Secrets are in it. */
const kitContents = z.strictObject({
  /** Where the configuration was: relative paths in it mean what they meant there. */
  path: z.string(),
  configuration: z.record(z.string(), z.custom<Json>()),
  /** Files by their absolute paths; contents in base64. */
  files: z.record(z.string(), z.strictObject({ content: z.string(), mode: z.int() })),
  env: z.record(z.string(), z.string()),
});

export type KitContents = z.output<typeof kitContents>;

/** The name of the issuer that whoever opens a kit is of. */
export const KIT_ISSUER = 'kit';

/** Where the key that signs the kit's log lies among its files. */
export const LOG_KEY_PATH = '/kit/log.key';

type Members = { readonly [key: string]: Json };

export function readContents(text: string): Result<KitContents, string> {
  try {
    return ok(kitContents.parse(JSON.parse(text)));
  } catch {
    return err('it was made by another version of Hallpass: seal it anew');
  }
}

/**
 * The part of a configuration that these grants need. Whoever brings the codes takes the place of those whom the grants
 * name, and his codes the place of their approvals; tasks, parameters, conditions, limits, lifetimes and scopes stay.
 */
export function restricted(raw: Members, grants: readonly string[], kitId: string): Result<Members, string> {
  const all = members(raw.grants);
  const targets = members(raw.targets);
  const missing = grants.find((name) => !Object.hasOwn(all, name));
  if (missing !== undefined) return err(`there is no grant ${JSON.stringify(missing)}`);
  const chosen = grants.map((name) => [name, forCodes(members(all[name]), kitId)] as const);
  const used = new Set(
    chosen.flatMap(([, grant]) =>
      Object.values(members(grant.credentials)).map((credential) => members(credential).target),
    ),
  );
  return ok({
    issuers: { [KIT_ISSUER]: { type: KIT_ISSUER } },
    ...(raw.providers === undefined ? {} : { providers: raw.providers }),
    targets: Object.fromEntries(Object.entries(targets).filter(([name]) => used.has(name))),
    grants: Object.fromEntries(chosen),
    audit: { log_key_file: LOG_KEY_PATH },
    log: { level: 'warn' },
  });
}

/** Approvers and reviewers are people of issuers that cannot be asked: the codes stand for the ones, the replay for the others. */
function forCodes({ approval: _, break_glass: __, ...grant }: Members, kitId: string): Members {
  const any = { glob: '*' };
  return { ...grant, who: [{ issuer: KIT_ISSUER, claims: { sub: kitId, codes: any, holders: any } }] };
}

/** The names of the variables that settings refer to. */
export function variablesIn(value: Json): string[] {
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, member]) =>
    key.endsWith('_env') && typeof member === 'string' ? [member] : variablesIn(member),
  );
}

/** What a code is called where its use is written down. */
export function codeUse(kitId: string, code: number): string {
  return `kit:${sha256(`${kitId}:${code}`)}`;
}

function members(value: Json | undefined): Members {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Members) : {};
}
