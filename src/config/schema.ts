import { z } from 'zod';
import { ROLES } from '../grants/access.ts';
import { duration } from '../grants/duration.ts';
import { configName, grantSchema, partyMatcher, principalMatcher } from '../grants/schema.ts';
import { auditSchema } from './audit.ts';
import { MAX_ENTRIES } from './limits.ts';
import { notificationsSchema, signalsSchema } from './notifications.ts';
import { signInSchema } from './sign-in.ts';

/** How `hallpass.yaml` is written. What the kinds of issuers and targets say of themselves is in their own schemas. */

const path = z.string().min(1).max(4096).meta({ typeName: 'path' });

const entries = <T extends z.ZodType>(entry: T) =>
  z.record(configName, entry).refine((all) => Object.keys(all).length <= MAX_ENTRIES, {
    error: `Too many: write at most ${MAX_ENTRIES}`,
  });

const limits = z.strictObject({
  body_bytes: z.int().min(1024).max(16_777_216).optional().meta({ description: 'Largest body of a request' }),
  requests_per_second: z
    .int()
    .min(1)
    .max(1_000_000)
    .optional()
    .meta({ description: 'Requests that one client may make' }),
  minting_per_target: z
    .int()
    .min(1)
    .max(1000)
    .optional()
    .meta({ description: 'Credentials that are made at one target at once' }),
  ending_per_target: z
    .int()
    .min(1)
    .max(1000)
    .optional()
    .meta({ description: 'Credentials that are ended at one target at once' }),
  mint_timeout: duration({ max: 600 }).optional().meta({ description: 'How long a target may take to mint' }),
  end_timeout: duration({ max: 600 }).optional().meta({
    description:
      'How long a target may take to end. Twice as long, and 10 s at least, after a broker died in the middle of it another goes on',
  }),
  observe_every: duration({ max: 3600 }).optional().meta({
    description: 'How often targets that show open sessions are asked who uses credentials; 10s by default',
  }),
});

const broker = z.strictObject({
  url: z
    .url({
      protocol: /^https?$/,
      error: 'Cannot read this as a URL: write it like https://hallpass.example.com',
    })
    .meta({
      description:
        'Address of the broker as its clients know it, and the audience that their tokens should name',
      typeName: 'URL',
    }),
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, {
      error: 'Write 1 to 63 of a-z, 0-9 and "-", beginning with a letter or digit',
    })
    .default('hallpass')
    .meta({ description: 'Name of this installation in logs and metrics' }),
  listen: z
    .string()
    .default('127.0.0.1:7420')
    .meta({ description: 'Address and port to listen on', typeName: 'host:port' }),
  tls: z
    .strictObject({
      cert_file: path.meta({ description: 'Certificate chain, PEM' }),
      key_file: path.meta({ description: 'Its private key, PEM' }),
      client_certificates: z.literal('request').optional().meta({
        description: 'Ask clients for certificates, for issuers that know workloads by these',
      }),
    })
    .optional()
    .meta({ description: 'Serve HTTPS' }),
  insecure_plain_http: z.literal(true).optional().meta({
    description: 'Serve plain HTTP beyond loopback: only where a proxy on a private network ends TLS',
  }),
  state_directory: path
    .default('.hallpass')
    .meta({ description: 'Where the embedded database lives when there is no other' }),
  limits: limits.optional().meta({ description: "Replaces the broker's own limits" }),
});

const database = z.strictObject({
  url: z.string().meta({
    description:
      'Connection string of the Postgres that the broker keeps its state in; several hosts, separated by commas, are a primary and its standbys',
    secret: true,
    typeName: 'postgres URL',
  }),
});

const kmsKeyArn = z
  .string()
  .regex(/^arn:aws[a-z-]*:kms:[a-z]{2}(?:-[a-z]+)+-\d:\d{12}:key\/[A-Za-z0-9-]{1,64}$/, {
    error: 'Write the ARN of a key, not an alias: arn:aws:kms:<region>:<account>:key/<id>',
  })
  .meta({ typeName: 'ARN' });

const awsKms = z.strictObject({
  key_arn: kmsKeyArn.meta({
    description: 'The symmetric key of AWS KMS that wraps what encrypts the signing keys',
    typeName: 'ARN',
  }),
  also_opens: z
    .array(kmsKeyArn)
    .max(8)
    .default([])
    .meta({ description: 'Further keys that may open: older ones, or the next one' }),
  only_opens: z.literal(true).optional().meta({
    description: 'Open by KMS and seal by the master key beside it: a step on the way to KMS, or back',
  }),
  insecure_endpoint: z
    .url({ protocol: /^https?$/ })
    .optional()
    .meta({ description: 'Another address than that of AWS: whoever is there gets every key. For tests' }),
});

const keys = z.strictObject({
  master_key: z
    .string()
    .regex(/^\s*[A-Za-z0-9+/_-]{43}=?(?:\s+[A-Za-z0-9+/_-]{43}=?){0,7}\s*$/, {
      error: 'Cannot use this: write 32 random bytes in base64, as `openssl rand -base64 32` prints them',
    })
    .optional()
    .meta({
      description:
        'What encrypts the signing keys in the store: 32 random bytes in base64. Several, separated by white space: the first encrypts, the others still decrypt',
      secret: true,
      typeName: 'keys in base64',
    }),
  master_key_command: z
    .array(z.string().min(1).max(4096))
    .min(1)
    .max(64)
    .optional()
    .meta({ description: 'A program and its arguments that prints `master_key`; no shell reads them' }),
  aws_kms: awsKms.optional().meta({
    description: 'Have AWS KMS guard what encrypts the signing keys; a master key beside it still opens',
  }),
  algorithm: z
    .enum(['ES256', 'RS256'])
    .default('ES256')
    .meta({ description: 'What signs the identity tokens of the broker; the keys of both are published' }),
  rotate_every: duration({ min: 172_800, max: 31_536_000 })
    .optional()
    .meta({ description: 'How long a signing key is used; 30 days by default' }),
});

const issuer = z.looseObject({
  type: z.string().meta({ description: 'Kind of issuer, for instance `oidc`; its settings stand beside it' }),
});
const packageName = z
  .string()
  .regex(/^(?:@[a-z0-9][a-z0-9._-]*\/)?[a-z0-9][a-z0-9._-]*$/, { error: 'Write the name of a package' })
  .meta({ typeName: 'package', description: 'Package that brings the kind of target of this name' });

const target = z.looseObject({
  provider: z
    .string()
    .meta({ description: 'Kind of target, for instance `postgres`; its settings stand beside it' }),
});

const access = z.strictObject({
  role: z.enum(ROLES).meta({ description: 'What they may do: end and explain, read, or cut task grants' }),
  ...principalMatcher.shape,
});

const log = z.strictObject({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .meta({ description: 'What is logged' }),
});

export const configSchema = z.strictObject({
  broker: broker.meta({ description: 'The broker itself' }),
  database: database.optional().meta({
    description: 'Postgres to keep state in; without it the embedded one in `broker.state_directory`',
  }),
  keys: keys.optional().meta({
    description:
      'The broker as an OpenID Connect issuer. Without it a broker with the embedded store makes a master key of its own; one with Postgres signs nothing',
  }),
  issuers: entries(issuer)
    .default({})
    .meta({ description: 'Whose statements about identity are trusted, by name' }),
  providers: entries(packageName).default({}).meta({
    description:
      'Kinds of target from packages, by the names that `targets` use. They run in the broker with all its rights',
  }),
  targets: entries(target).default({}).meta({ description: 'Where credentials are made, by name' }),
  grants: entries(grantSchema).default({}).meta({ description: 'Who may do what, by name' }),
  withdrawn: z
    .array(configName.meta({ description: 'Name of a grant' }))
    .max(MAX_ENTRIES)
    .default([])
    .meta({
      description:
        'Grants that are withdrawn: what is still open under these names ends. Leaving a grant out ends nothing before its time',
    }),
  access: z
    .array(access)
    .max(MAX_ENTRIES)
    .default([])
    .meta({ description: 'Who may operate, audit and orchestrate' }),
  people: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(200).meta({ description: 'Their name, for approvers and the log' }),
        identities: z
          .array(partyMatcher)
          .min(1)
          .max(MAX_ENTRIES)
          .meta({ description: 'What is theirs or acts for them: accounts, and the jobs that they trigger' }),
      }),
    )
    .max(MAX_ENTRIES)
    .default([])
    .meta({ description: 'Humans with several identities: nobody approves for himself, or twice' }),
  sign_in: signInSchema.optional().meta({ description: 'Where people sign in' }),
  audit: auditSchema.optional().meta({ description: 'The audit log' }),
  notifications: notificationsSchema
    .default([])
    .meta({ description: 'Who is told of what happens, see `src/notify/README.md`' }),
  signals: signalsSchema
    .optional()
    .meta({ description: 'Signals of the Shared Signals Framework (CAEP), see `src/signals/README.md`' }),
  log: log.prefault({}).meta({ description: 'The log on standard output' }),
});
export type RawConfig = z.output<typeof configSchema>;
