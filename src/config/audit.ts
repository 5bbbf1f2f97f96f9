import { z } from 'zod';
import { LOG_KEYS_ADVICE, parseLogKeys } from '../audit/log-keys.ts';
import type { SinkSettings } from '../export/create.ts';
import { quote, suggest } from '../grants/fault.ts';
import type { GrantWorld } from '../grants/parse.ts';
import { parsePrincipalMatcher } from '../grants/principal.ts';
import { configName, principalMatcher } from '../grants/schema.ts';
import type { AuditConfig, TrailConfig } from './config.ts';
import { type Loading, relativeTo } from './secrets.ts';

/** How `audit` is written in `hallpass.yaml`: who signs, who witnesses, and where the log is sent. */

const path = z.string().min(1).max(4096).meta({ typeName: 'path' });
const url = (protocol: RegExp) =>
  z
    .url({ protocol, error: 'Cannot read this as a URL: write it like https://siem.example.com/hallpass' })
    .meta({
      typeName: 'URL',
    });

const common = {
  name: configName.meta({ description: 'Names its cursor: a new name is sent everything from `from` on' }),
  from: z.int().min(0).default(0).meta({ description: 'The first entry that it gets when it is new' }),
};

const file = z.strictObject({
  type: z.literal('file').meta({ description: 'How it is sent' }),
  ...common,
  path: path.meta({ description: 'File of JSON lines' }),
  max_bytes: z
    .int()
    .min(1024)
    .max(1e12)
    .default(104_857_600)
    .meta({ description: 'A file that is as large is put aside' }),
  keep: z.int().min(0).max(1000).default(10).meta({ description: 'How many are kept aside' }),
});

const https = z.strictObject({
  type: z.literal('https').meta({ description: 'How it is sent' }),
  ...common,
  url: url(/^https$/).meta({ description: 'Where batches are posted' }),
  signing_secret: z
    .string()
    .min(16)
    .meta({ description: 'Signs each request by HMAC-SHA-256', secret: true }),
});

const syslog = z.strictObject({
  type: z.literal('syslog').meta({ description: 'How it is sent' }),
  ...common,
  host: z.string().min(1).max(255).meta({ description: 'Receiver of RFC 5424 messages over TLS' }),
  port: z.int().min(1).max(65_535).default(6514).meta({ description: 'Its port' }),
  ca: z.string().optional().meta({ description: 'Certificates to trust, PEM', typeName: 'PEM' }),
});

const otlp = z.strictObject({
  type: z.literal('otlp').meta({ description: 'How it is sent' }),
  ...common,
  url: url(/^https?$/).meta({ description: 'Where OTLP logs are posted, with the path' }),
  authorization: z.string().optional().meta({ description: 'Its `Authorization` header', secret: true }),
});

const witness = z.strictObject({
  url: url(/^https?$/).meta({ description: 'Submission prefix of a witness (C2SP tlog-witness)' }),
  key: z.string().max(500).meta({ description: 'Its verifier key, of type 4', typeName: 'vkey' }),
});

const trail = z
  .strictObject({
    name: configName.meta({ description: 'Its events are posted to `/audit/trails/<name>`' }),
    type: z.enum(['cloudtrail', 'google-audit']).meta({ description: 'Whose audit trail it is' }),
    targets: z
      .array(configName)
      .min(1)
      .max(1000)
      .meta({ description: 'Targets of whose leases it may tell' }),
    bearer_secret: z.string().min(32).max(512).optional().meta({
      description: 'What its deliveries bear in the header `Hallpass-Trail-Secret`',
      secret: true,
    }),
    from: principalMatcher.optional().meta({ description: 'Or whose token they bear' }),
  })
  .refine(({ bearer_secret: secret, from }) => (secret === undefined) !== (from === undefined), {
    error: 'Cannot tell its deliveries from those of others: write bearer_secret_file, or from, and not both',
  });

export const auditSchema = z.strictObject({
  log_key: z.string().optional().meta({
    description:
      'Ed25519 private keys that sign the audit log, PEM, the newest first; without it one is made in `broker.state_directory`. Replicas share it',
    secret: true,
    typeName: 'PEM',
  }),
  public: z
    .literal(true)
    .optional()
    .meta({ description: 'Everybody may read all entries of the log, who asked for what included' }),
  sensitive_claims: z
    .array(z.string().min(1).max(200))
    .max(100)
    .optional()
    .meta({ description: 'Claims whose values the log keeps as hashes' }),
  exports: z
    .array(z.discriminatedUnion('type', [file, https, syslog, otlp]))
    .max(20)
    .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, {
      error: 'Two of them have the same name: give each its own',
    })
    .optional()
    .meta({ description: 'Where the log is sent, as OCSF' }),
  trails: z
    .array(trail)
    .max(100)
    .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, {
      error: 'Two of them have the same name: give each its own',
    })
    .optional()
    .meta({ description: 'Audit trails of clouds that are delivered here, for evidence of use' }),
  witnesses: z
    .array(witness)
    .max(10)
    .optional()
    .meta({ description: 'Who is asked to cosign the checkpoints of the log' }),
});

type RawAudit = z.output<typeof auditSchema>;

/** The section `audit` as the broker uses it. */
export function auditConfig(raw: RawAudit | undefined, world: GrantWorld, loading: Loading): AuditConfig {
  const { path } = loading;
  // Empty where it could not be read, which is told already.
  if (raw?.log_key && parseLogKeys(raw.log_key) === null)
    loading.faults.push({ path: ['audit', 'log_key'], message: `Cannot use this: ${LOG_KEYS_ADVICE}` });
  return {
    logKey: raw?.log_key ?? null,
    isPublic: raw?.public ?? false,
    sensitiveClaims: raw?.sensitive_claims ?? [],
    exports: (raw?.exports ?? []).map((one) => exportConfig(one, path)),
    trails: (raw?.trails ?? []).map((one, i) => trailConfig(one, world, ['audit', 'trails', i], loading)),
    witnesses: (raw?.witnesses ?? []).map(({ url, key }) => ({ url: url.replace(/\/+$/, ''), key })),
  };
}

function exportConfig(raw: NonNullable<RawAudit['exports']>[number], path: string): SinkSettings {
  switch (raw.type) {
    case 'file': {
      const { max_bytes: maxBytes, ...rest } = raw;
      return { ...rest, maxBytes, path: relativeTo(path, raw.path) };
    }
    case 'https': {
      const { signing_secret: secret, ...rest } = raw;
      return { ...rest, secret };
    }
    case 'syslog':
      return { ...raw, ca: raw.ca ?? null };
    case 'otlp':
      return { ...raw, authorization: raw.authorization ?? null };
  }
}

function trailConfig(
  { from, bearer_secret: secret, ...rest }: NonNullable<RawAudit['trails']>[number],
  world: GrantWorld,
  path: (string | number)[],
  { faults }: Loading,
): TrailConfig {
  for (const [i, target] of rest.targets.entries())
    if (!world.targets.has(target))
      faults.push({
        path: [...path, 'targets', i],
        message: `Unknown target ${quote(target)}: ${suggest(target, world.targets.keys())}`,
      });
  if (from === undefined) return { ...rest, from: { secret: secret ?? '' } };
  return { ...rest, from: { who: parsePrincipalMatcher(from, world.issuers, [...path, 'from'], faults) } };
}
