import { z } from 'zod';
import {
  DEFAULT_CONNECTION_LIMIT,
  DEFAULT_SCRAM_ITERATIONS,
  MAX_ROLE_SETTINGS,
  MAX_ROLES,
  MAX_SCRAM_ITERATIONS,
  MAX_STATEMENT_LENGTH,
  MAX_STATEMENTS,
} from './limits.ts';
import { nameFault } from './sql.ts';
import { ROLE_TOKEN } from './statements.ts';

const name = z.string().check((context) => {
  const fault = nameFault(context.value);
  if (fault)
    context.issues.push({ code: 'custom', message: `cannot be a name: ${fault}`, input: context.value });
});
// Host names and addresses: a path would be a Unix socket, which no workload elsewhere can reach.
const host = z.string().regex(/^[A-Za-z0-9._:-]{1,253}$/, 'must be a host name or an address');
const port = z.int().min(1).max(65_535);
const pem = z.string().regex(/-----BEGIN [A-Z ]+-----/, 'must be PEM text');
const seconds = z.number().positive().max(3600);
const connectionLimit = z.int().min(1).max(10_000);

const tls = z.strictObject({
  ca: pem.optional().describe('Certificates that sign the server; without it those that Node.js trusts'),
  server_name: z
    .string()
    .min(1)
    .max(253)
    .optional()
    .describe("The name in the server's certificate; default: `host`"),
  cert: pem.optional().describe("The broker's own certificate, for `cert` authentication"),
  key: pem.optional().describe('The key of `cert`'),
});

const pool = z.strictObject({
  size: z
    .int()
    .min(1)
    .max(100)
    .default(10)
    .describe('Connections to the main database; other databases get a fifth each'),
  connect_timeout_seconds: seconds.default(5),
  statement_timeout_seconds: seconds
    .default(30)
    .describe('The server gives up one of our statements after this'),
  lock_timeout_seconds: seconds.default(10).describe('The server stops waiting for a lock after this'),
  idle_seconds: seconds.default(30).describe('An unused connection is closed after this'),
});

/** What becomes of the objects that a lease's role owns when the lease ends. */
export const ownedObjectsSchema = z.union([
  z.literal('drop'),
  z.literal('drop_cascade'),
  z.strictObject({ reassign_to: name }),
]);

export type OwnedObjects = z.infer<typeof ownedObjectsSchema>;

/** A PostgreSQL target in the configuration. */
export const settingsSchema = z
  .strictObject({
    host,
    port: port.default(5432),
    database: name.describe('The main database: where roles are made, and what the secret names by default'),
    username: name.describe('The role that the broker logs in as'),
    password: z.string().min(1).optional(),
    tls: tls.prefault({}),
    insecure_plaintext: z
      .literal(true)
      .optional()
      .describe(
        'No TLS to the target: whoever is on the wire reads and changes everything. For loopback and tests',
      ),
    owned_objects: ownedObjectsSchema
      .default('drop')
      .describe('`drop`, `drop_cascade` (with what others built on them), or `{ reassign_to: role }`'),
    connection_limit: connectionLimit.default(DEFAULT_CONNECTION_LIMIT),
    scram_iterations: z.int().min(1).max(MAX_SCRAM_ITERATIONS).default(DEFAULT_SCRAM_ITERATIONS),
    client_host: host.optional().describe('The host in the secret, where it differs from `host`'),
    client_port: port.optional().describe('The port in the secret, where it differs from `port`'),
    pool: pool.prefault({}),
  })
  .superRefine((settings, context) => {
    const { cert, key } = settings.tls;
    const fault = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (settings.insecure_plaintext && Object.keys(settings.tls).length > 0) {
      fault(['insecure_plaintext'], 'contradicts tls: remove one of them');
    }
    if ((cert === undefined) !== (key === undefined)) fault(['tls'], 'needs cert and key, or neither');
    if (settings.password === undefined && cert === undefined) {
      fault(['password'], 'is missing: give password, or tls.cert and tls.key');
    }
  });

export type PostgresSettings = z.infer<typeof settingsSchema>;

const settingName = z
  .string()
  .regex(
    /^[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?$/,
    'must be the name of a server setting, in lower case',
  );
const settingValue = z.union([
  z.string().max(1000),
  z.number(),
  z.boolean(),
  z.array(z.string().max(1000)).max(32),
]);

/** What a grant asks of a PostgreSQL target. */
export const scopeSchema = z
  .strictObject({
    roles: z.array(name).max(MAX_ROLES).default([]).describe('Roles that the login becomes a member of'),
    statements: z
      .array(z.string().min(1).max(MAX_STATEMENT_LENGTH))
      .max(MAX_STATEMENTS)
      .default([])
      .describe(`Run in the login's database when it is made; ${ROLE_TOKEN} stands for its name`),
    database: name.optional().describe("The database that the login is for; default: the target's"),
    connection_limit: connectionLimit.optional().describe("Default: the target's"),
    settings: z
      .record(settingName, settingValue)
      .default({})
      .describe('Server settings that its sessions begin with; a list such as search_path as a list'),
  })
  .superRefine((scope, context) => {
    if (scope.roles.length === 0 && scope.statements.length === 0) {
      context.addIssue({
        code: 'custom',
        path: ['roles'],
        message: 'name at least one role, or a statement',
      });
    }
    if (Object.keys(scope.settings).length > MAX_ROLE_SETTINGS) {
      context.addIssue({
        code: 'custom',
        path: ['settings'],
        message: `has more than ${MAX_ROLE_SETTINGS} entries`,
      });
    }
  });

export type PostgresScope = z.infer<typeof scopeSchema>;
