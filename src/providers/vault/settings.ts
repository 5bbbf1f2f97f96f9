import { z } from 'zod';
import { MAX_DATA_ENTRIES, MAX_PATH_LENGTH, MAX_POLICIES, MAX_SECRETS } from './limits.ts';

const mount = z
  .string()
  .regex(/^[A-Za-z0-9_-]+(?:\/[A-Za-z0-9_-]+)*$/, 'must be a mount path without slashes at its ends');
const role = z.string().regex(/^[A-Za-z0-9_.-]{1,128}$/, 'must be the name of a role');
const pem = z.string().regex(/-----BEGIN [A-Z ]+-----/, 'must be PEM text');

const auth = z.union([
  z.strictObject({
    jwt: z.strictObject({
      mount: mount.default('jwt'),
      role: role.describe('The role of the JWT auth method whose bound subject is this target of the broker'),
      audience: z
        .string()
        .min(1)
        .max(500)
        .optional()
        .describe("The role's bound audience; default: `address`"),
    }),
  }),
  z.strictObject({
    kubernetes: z.strictObject({
      mount: mount.default('kubernetes'),
      role,
      token_path: z
        .string()
        .min(1)
        .default('/var/run/secrets/kubernetes.io/serviceaccount/token')
        .describe("Where the pod's projected token lies; it is read at each login, since it is replaced"),
    }),
  }),
  z.strictObject({
    approle: z.strictObject({
      mount: mount.default('approle'),
      role_id: z.string().min(1),
      secret_id: z
        .string()
        .min(1)
        .meta({ secret: true })
        .describe('A static secret: prefer jwt or kubernetes, which need none'),
    }),
  }),
]);

/** A Vault or OpenBao target in the configuration. */
export const settingsSchema = z
  .strictObject({
    address: z
      .url({ protocol: /^https?$/ })
      .refine(
        (url) => new URL(url).pathname === '/' && !/[?#@]/.test(url),
        'must be scheme, host and port alone',
      )
      .transform((url) => url.replace(/\/$/, ''))
      .describe('Of the cluster, not of one of its standbys'),
    namespace: mount.optional().describe('The namespace that everything happens in'),
    auth: auth.describe('How the broker logs in'),
    token_role: role
      .default('hallpass')
      .describe('The token role that every lease is made against: it bounds what the broker can give'),
    tls: z.strictObject({ ca: pem.optional().describe('Certificates that sign the server') }).prefault({}),
    insecure_plaintext: z
      .literal(true)
      .optional()
      .describe('No TLS: whoever is on the wire reads every secret. For loopback and tests'),
  })
  .superRefine(({ address, insecure_plaintext: plaintext }, context) => {
    const secure = address.startsWith('https:');
    if (secure === (plaintext === undefined)) return;
    context.addIssue({
      code: 'custom',
      path: secure ? ['insecure_plaintext'] : ['address'],
      message: secure
        ? 'contradicts an https address: remove it'
        : 'must begin with https://, or insecure_plaintext: true must stand beside it',
    });
  });

export type VaultSettings = z.infer<typeof settingsSchema>;

const path = z
  .string()
  .max(MAX_PATH_LENGTH)
  .refine((text) => pathFault(text) === null, { error: (issue) => pathFault(String(issue.input)) ?? '' });

/** Why a text cannot be a path below `/v1/`, or null. Dots could lead elsewhere, and the rest would be read as a query. */
export function pathFault(text: string): string | null {
  if (!/^[A-Za-z0-9_.@:=+,~-]+(?:\/[A-Za-z0-9_.@:=+,~-]+)*$/.test(text))
    return 'must be parts of A-Z a-z 0-9 _ . @ : = + , ~ - with "/" between them';
  if (text.split('/').some((part) => /^\.+$/.test(part))) return 'cannot have a part of dots alone';
  return null;
}

const value = z.union([z.string().max(20_000), z.number(), z.boolean()]);

const secret = z.strictObject({
  path: path.describe('What is read with the token of the lease, for instance `database/creds/reporting`'),
  data: z
    .record(z.string().regex(/^[a-z][a-z0-9_]{0,63}$/), value)
    .refine(
      (data) => Object.keys(data).length <= MAX_DATA_ENTRIES,
      `has more than ${MAX_DATA_ENTRIES} entries`,
    )
    .optional()
    .describe('Written to the path instead of reading it, as `pki/issue` and `ssh/sign` want'),
  ends: z
    .enum(['with-token', 'lapses', 'static'])
    .default('with-token')
    .describe(
      "`with-token`: Vault holds a lease for it. `lapses`: a certificate, which gets the lease's time to live and cannot be withdrawn. `static`: a secret that outlives the lease, an exception",
    ),
});

/** What a grant asks of Vault. */
export const scopeSchema = z
  .strictObject({
    policies: z
      .array(z.string().regex(/^[a-z0-9][a-z0-9_./-]{0,127}$/, 'must be the name of a policy, in lower case'))
      .min(1)
      .max(MAX_POLICIES)
      .describe('The policies of the token; `default` is not added'),
    secrets: z
      .record(z.string().regex(/^[a-z][a-z0-9_]{0,31}$/), secret)
      .refine((all) => Object.keys(all).length <= MAX_SECRETS, `has more than ${MAX_SECRETS} entries`)
      .default({})
      .describe('What is read with the token, by the names under which the holder gets it'),
    token: z
      .boolean()
      .optional()
      .describe('Whether the holder gets the token itself; default: when there are no `secrets`'),
    wrap_ttl_seconds: z
      .int()
      .min(10)
      .max(86_400)
      .optional()
      .describe('Hand out a wrapping token instead, which opens once and within this time'),
  })
  .superRefine(({ policies, secrets, token }, context) => {
    const fault = (at: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path: at, message });
    if (policies.includes('root')) fault(['policies'], 'cannot name root');
    if (token === false && Object.keys(secrets).length === 0)
      fault(['token'], 'leaves nothing to hand out: name secrets, or remove it');
    for (const [name, { ends, data }] of Object.entries(secrets)) {
      if (ends === 'lapses' && data === undefined)
        fault(
          ['secrets', name, 'ends'],
          'needs data: what lapses is issued by a write, which carries its ttl',
        );
      if (data?.ttl !== undefined) fault(['secrets', name, 'data', 'ttl'], 'is set by the lease: remove it');
    }
  });

export type VaultScope = z.infer<typeof scopeSchema>;
