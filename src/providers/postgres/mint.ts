import { ProviderError } from '../../errors.ts';
import type { Json } from '../../json.ts';
import type { Runtime } from '../../runtime.ts';
import type { Minted, Terms } from '../provider.ts';
import type { Connections } from './connections.ts';
import { CLOCK_LAGS, DUPLICATE_OBJECT, MINT_WINDOW_PASSED, providerError } from './errors.ts';
import { makeHandle } from './handle.ts';
import { CLOCK_LAG_TOLERANCE_MS, MAX_COMMENT_TEXT, PASSWORD_BYTES, SCRAM_SALT_BYTES } from './limits.ts';
import { dangers } from './refusals.ts';
import { scramVerifier } from './scram.ts';
import type { PostgresScope, PostgresSettings } from './settings.ts';
import { identifier, instant, literal } from './sql.ts';
import { fillRole } from './statements.ts';

/** What making a login needs. */
export interface MintContext {
  readonly runtime: Runtime;
  readonly settings: PostgresSettings;
  readonly connections: Connections;
}

/**
 * Makes the login in one transaction and one round trip. Nothing is retried: when the answer is lost, the broker
 * ends the lease by its name.
 */
export async function mint(
  { runtime, settings, connections }: MintContext,
  scope: PostgresScope,
  terms: Terms,
  signal: AbortSignal,
): Promise<Minted> {
  const [danger] = dangers(scope, settings);
  if (danger) throw new ProviderError('target-refused', `Cannot mint a login: ${danger}`);
  const database = scope.database ?? settings.database;
  const password = Buffer.from(runtime.randomBytes(PASSWORD_BYTES)).toString('base64url');
  const verifier = await scramVerifier(
    password,
    runtime.randomBytes(SCRAM_SALT_BYTES),
    settings.scram_iterations,
  );
  const sql = written(() => mintStatements(scope, terms, settings, verifier));
  const oid = await connections.run(database, 'mint a login', signal, async (client) => {
    // One simple query is one transaction: all of it comes into being, or nothing.
    const results = await client.query(sql).catch((error: unknown) => {
      throw mintError(error);
    });
    return roleOid(results);
  });
  return {
    secret: { type: 'postgres', values: secretValues(settings, database, terms.name, password) },
    handle: makeHandle(oid, settings) satisfies Json,
    expiresAt: terms.expiresAt,
  };
}

/**
 * The memberships come late, because on 16 and later they lock the granted role until the transaction ends. The
 * guard comes last, so that what it lets pass is committed at once (see `inFlight` in end.ts, which relies on that).
 */
function mintStatements(
  scope: PostgresScope,
  terms: Terms,
  settings: PostgresSettings,
  verifier: string,
): string {
  const role = identifier(terms.name);
  const limit = scope.connection_limit ?? settings.connection_limit;
  return [
    `CREATE ROLE ${role} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
       CONNECTION LIMIT ${limit} PASSWORD ${literal(verifier)} VALID UNTIL ${instant(terms.expiresAt)}`,
    ...Object.entries(scope.settings).map(([name, value]) => roleSetting(role, name, value)),
    `COMMENT ON ROLE ${role} IS ${literal(comment(terms))}`,
    ...scope.statements.map((sql) => fillRole(sql, role)),
    ...(scope.roles.length === 0 ? [] : [`GRANT ${scope.roles.map(identifier).join(', ')} TO ${role}`]),
    `SELECT oid::text AS hallpass_oid FROM pg_catalog.pg_roles WHERE rolname = ${literal(terms.name)}`,
    guard(terms),
  ].join(';\n');
}

/**
 * Rolls everything back when the target's clock says that the window has passed, or shows that it cannot be asked:
 * a clock that lags behind ours by more than is tolerated would also keep the login beyond its expiry.
 */
function guard(terms: Terms): string {
  return `DO $guard$ BEGIN
    IF pg_catalog.clock_timestamp() < ${instant(terms.now - CLOCK_LAG_TOLERANCE_MS)}::timestamptz THEN
      RAISE EXCEPTION USING ERRCODE = '${CLOCK_LAGS}', MESSAGE = pg_catalog.format(
        'the clock of the target lags behind: it says %s, and the broker said %s before',
        pg_catalog.clock_timestamp(), ${instant(terms.now)}::timestamptz);
    END IF;
    IF pg_catalog.clock_timestamp() > ${instant(terms.mintBefore - CLOCK_LAG_TOLERANCE_MS)}::timestamptz THEN
      RAISE EXCEPTION USING ERRCODE = '${MINT_WINDOW_PASSED}', MESSAGE = 'the time to mint it has passed';
    END IF;
  END $guard$`;
}

function roleSetting(role: string, name: string, value: PostgresScope['settings'][string]): string {
  const values = Array.isArray(value) ? value : [value];
  const quoted = values.map((one) => literal(String(one)));
  const [first = '', ...rest] = name.split('.').map(identifier);
  // An empty list is the setting's empty value: SET needs one.
  return `ALTER ROLE ${role} SET ${[first, ...rest].join('.')} TO ${quoted.length === 0 ? "''" : quoted.join(', ')}`;
}

/**
 * For the people who look after the target; every login of the server can read it. JSON in ASCII, since the server
 * may keep its texts in an encoding that lacks characters of ours. The purpose is not among it: it is often private.
 */
function comment(terms: Terms): string {
  const { issuer, subject, grant, task, taskId } = terms.context;
  const texts = { lease: terms.leaseId, grant, task, taskId, issuer, subject };
  const bounded = Object.entries(texts).map(([name, text]) => [name, text.slice(0, MAX_COMMENT_TEXT)]);
  const json = JSON.stringify({ hallpass: Object.fromEntries(bounded) });
  return json.replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function secretValues(
  settings: PostgresSettings,
  database: string,
  username: string,
  password: string,
): Record<string, string> {
  return {
    host: settings.client_host ?? settings.host,
    port: String(settings.client_port ?? settings.port),
    database,
    username,
    password,
    // As libpq names them.
    sslmode: settings.insecure_plaintext ? 'disable' : 'verify-full',
    ...(settings.tls.ca === undefined ? {} : { ca: settings.tls.ca }),
  };
}

/** The statements, or a refusal where a name or a value of the scope cannot be written as SQL. */
function written(write: () => string): string {
  try {
    return write();
  } catch (error) {
    if (error instanceof RangeError) {
      throw new ProviderError('target-refused', `Cannot mint a login: ${error.message}`);
    }
    throw error;
  }
}

/** That the name is taken says that a mint of this lease took effect before: then the broker must end it. */
function mintError(error: unknown): ProviderError {
  const ours = providerError('mint a login', error);
  if (ours.vendorCode !== DUPLICATE_OBJECT) return ours;
  return new ProviderError('target-failed', ours.message, { vendorCode: DUPLICATE_OBJECT });
}

/** pg gives one result for each statement when there are several. */
function roleOid(results: unknown): string {
  const rows = Array.isArray(results)
    ? results.flatMap((result: { rows?: unknown[] }) => result.rows ?? [])
    : [];
  for (const row of rows) {
    if (typeof row === 'object' && row !== null && 'hallpass_oid' in row) return String(row.hallpass_oid);
  }
  throw new ProviderError('target-failed', 'Cannot mint a login: the target did not say what it made');
}
