import { z } from 'zod';
import { configName } from '../grants/schema.ts';
import type { AuditConfig, ExportConfig } from './config.ts';
import { relativeTo } from './secrets.ts';

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
  witnesses: z
    .array(witness)
    .max(10)
    .optional()
    .meta({ description: 'Who is asked to cosign the checkpoints of the log' }),
});

type RawAudit = z.output<typeof auditSchema>;

/** The section `audit` as the broker uses it. `path` is the configuration's. */
export function auditConfig(raw: RawAudit | undefined, path: string): AuditConfig {
  return {
    logKey: raw?.log_key ?? null,
    isPublic: raw?.public ?? false,
    sensitiveClaims: raw?.sensitive_claims ?? [],
    exports: (raw?.exports ?? []).map((one) => exportConfig(one, path)),
    witnesses: (raw?.witnesses ?? []).map(({ url, key }) => ({ url: url.replace(/\/+$/, ''), key })),
  };
}

function exportConfig(raw: NonNullable<RawAudit['exports']>[number], path: string): ExportConfig {
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
