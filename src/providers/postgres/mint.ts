import { ProviderError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import type { Minted, Terms } from '../provider.ts';
import type { Connections } from './connections.ts';
import {
  CLOCK_LAGS,
  CONCURRENT_UPDATE,
  DUPLICATE_OBJECT,
  MINT_WINDOW_PASSED,
  providerError,
} from './errors.ts';
import { makeHandle } from './handle.ts';
import {
  CLOCK_LAG_TOLERANCE_MS,
  MAX_COLLISIONS,
  MAX_COMMENT_TEXT,
  PASSWORD_BYTES,
  SCRAM_SALT_BYTES,
} from './limits.ts';
import { dangers } from './refusals.ts';
import { scramVerifier } from './scram.ts';
import type { PostgresScope, PostgresSettings } from './settings.ts';
import { identifier, instant, literal } from './sql.ts';
import { fillRole } from './statements.ts';
import { pause } from './waiting.ts';

/** What making a login needs. */
export interface MintContext {
  readonly runtime: Runtime;
  readonly settings: PostgresSettings;
  readonly connections: Connections;
}

const DOING = 'mint a login';

/**
 * Makes the login in one transaction and one round trip. When the answer is lost nothing is tried again: the broker
 * ends the lease by its name.
 */
export async function mint(
  context: MintContext,
  scope: PostgresScope,
  terms: Terms,
  signal: AbortSignal,
): Promise<Minted> {
  const { runtime, settings } = context;
  const [danger] = dangers(scope, settings);
  if (danger) throw new ProviderError('target-refused', `Cannot ${DOING}: ${danger}`);
  const database = scope.database ?? settings.database;
  const password = Buffer.from(runtime.randomBytes(PASSWORD_BYTES)).toString('base64url');
  const salt = runtime.randomBytes(SCRAM_SALT_BYTES);
  const verifier = await scramVerifier(password, salt, settings.scram_iterations);
  const sql = written(() => mintStatements(scope, terms, settings, verifier));
  const oid = await make(context, database, sql, signal);
  return {
    secret: { type: 'postgres', values: secretValues(settings, database, terms.name, password) },
    handle: makeHandle(oid, settings),
    expiresAt: terms.expiresAt,
  };
}

/**
 * Runs the statements, all or none: one simple query is one transaction. Grants on one object that meet fail but for
 * one; their transactions are rolled back, and they are run again.
 */
async function make(
  { runtime, connections }: MintContext,
  database: string,
  sql: string,
  signal: AbortSignal,
): Promise<string> {
  for (let collisions = 0; ; collisions++) {
    try {
      return await connections.run(database, DOING, signal, async (client) =>
        roleOid(await client.query(sql)),
      );
    } catch (error) {
      const ours = providerError(DOING, error);
      if (ours.vendorCode === DUPLICATE_OBJECT) {
        // Either a statement makes what is there already, or the name is taken: then a mint of this lease took
        // effect before, and the broker must end it.
        throw new ProviderError('target-failed', ours.message, { vendorCode: DUPLICATE_OBJECT });
      }
      if (ours.vendorCode !== CONCURRENT_UPDATE || collisions === MAX_COLLISIONS) throw ours;
      await pause(runtime, collisions, DOING, signal);
    }
  }
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
    `SELECT pg_catalog.to_regrole(${literal(role)})::oid::text AS hallpass_oid`,
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
      throw new ProviderError('target-refused', `Cannot ${DOING}: ${error.message}`);
    }
    throw error;
  }
}

/** pg gives one result for each statement when there are several. */
function roleOid(results: unknown): string {
  const rows = Array.isArray(results)
    ? results.flatMap((result: { rows?: unknown[] }) => result.rows ?? [])
    : [];
  for (const row of rows) {
    if (typeof row === 'object' && row !== null && 'hallpass_oid' in row) return String(row.hallpass_oid);
  }
  throw new ProviderError('target-failed', `Cannot ${DOING}: the target did not say what it made`);
}
