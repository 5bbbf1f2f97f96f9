import { ProviderError, type ProviderErrorCode } from '../../errors.ts';
import { ofNodeCode } from '../../node-errors.ts';
import { MAX_COLLISIONS } from './limits.ts';

/** Our own SQLSTATEs, raised by the guard of a mint. Class HP is left to users by the standard. */
export const MINT_WINDOW_PASSED = 'HP001';
export const CLOCK_LAGS = 'HP002';

/** SQLSTATEs that decide what a step does next. */
export const DUPLICATE_OBJECT = '42710';
export const UNDEFINED_OBJECT = '42704';
export const INSUFFICIENT_PRIVILEGE = '42501';
export const DEPENDENT_OBJECTS = '2BP01';
/** internal_error: "tuple concurrently updated" has no code of its own. */
export const CONCURRENT_UPDATE = 'XX000';
/**
 * What the second of two processes that end one login may hear, because the first was there before it; and how often
 * it is worth beginning again.
 */
export const COLLISIONS: Readonly<Record<string, number>> = {
  [CONCURRENT_UPDATE]: MAX_COLLISIONS,
  '40P01': MAX_COLLISIONS, // deadlock_detected
  '40001': MAX_COLLISIONS, // serialization_failure
  '23505': MAX_COLLISIONS, // unique_violation, in a catalogue
  [UNDEFINED_OBJECT]: MAX_COLLISIONS, // the role, or a prepared transaction
  '3D000': MAX_COLLISIONS, // invalid_catalog_name: the database was dropped
  // Our rights to a role go with it. The next look tells that from rights that we never had.
  [INSUFFICIENT_PRIVILEGE]: 1,
};

/** SQLSTATE to ours (PostgreSQL manual, appendix A). A failed statement has no effect: its transaction is rolled back. */
const BY_SQLSTATE: Readonly<Record<string, ProviderErrorCode>> = {
  [MINT_WINDOW_PASSED]: 'target-refused',
  [CLOCK_LAGS]: 'target-refused',
  '28000': 'target-forbidden', // invalid_authorization_specification: pg_hba.conf, or no such role
  '28P01': 'target-forbidden', // invalid_password
  [INSUFFICIENT_PRIVILEGE]: 'target-forbidden',
  '53300': 'target-throttled', // too_many_connections
  '53400': 'target-throttled', // configuration_limit_exceeded
  '55P03': 'target-timeout', // lock_not_available
  '57014': 'target-timeout', // query_canceled: statement_timeout
  '57P01': 'target-unreachable', // admin_shutdown
  '57P02': 'target-unreachable', // crash_shutdown
  '57P03': 'target-unreachable', // cannot_connect_now
  '57P05': 'target-unreachable', // idle_session_timeout
  '40001': 'target-failed', // serialization_failure
  '40P01': 'target-failed', // deadlock_detected
  '40003': 'target-failed', // statement_completion_unknown
};

/** SQLSTATE class to ours, where the table above says nothing. */
const BY_CLASS: Readonly<Record<string, ProviderErrorCode>> = {
  '08': 'target-unreachable', // connection exception
  '0A': 'target-refused', // feature not supported
  '0L': 'target-forbidden', // invalid grantor
  '0P': 'target-refused', // invalid role specification
  '22': 'target-refused', // data exception
  '23': 'target-refused', // integrity constraint violation
  '25': 'target-refused', // invalid transaction state: a read-only standby
  '2B': 'target-refused', // dependent privilege descriptors still exist
  '3D': 'target-refused', // invalid catalog name: no such database
  '3F': 'target-refused', // invalid schema name
  '42': 'target-refused', // syntax error or access rule violation
  '44': 'target-refused', // with check option violation
  '53': 'target-failed', // insufficient resources
  '54': 'target-refused', // program limit exceeded
  '55': 'target-refused', // object not in prerequisite state
  '57': 'target-unreachable', // operator intervention
  P0: 'target-refused', // raised by a function of the target's
};

/** The code of an error, ours, PostgreSQL's or Node's; undefined for what has none. */
export function vendorCode(error: unknown): string | undefined {
  if (error instanceof ProviderError) return error.vendorCode;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/**
 * An error of pg or Node as ours. PostgreSQL's message is kept, for the operator needs it; its detail, context and
 * query are not, since they can quote what was sent. Whatever looks like a password's verifier is taken out.
 */
export function providerError(doing: string, error: unknown): ProviderError {
  if (error instanceof ProviderError) return error;
  const vendor = vendorCode(error);
  const code = ourCode(vendor);
  const said = error instanceof Error && error.message ? withoutVerifiers(error.message) : 'no reason given';
  // Node tries all addresses of a name, and packs what went wrong with each into an error without a message.
  const causes = error instanceof AggregateError ? ` (${error.errors.map(String).join('; ')})` : '';
  return new ProviderError(code, `Cannot ${doing}: ${withoutVerifiers(said + causes)}`, {
    ...(vendor === undefined ? {} : { vendorCode: vendor }),
  });
}

function ourCode(vendor: string | undefined): ProviderErrorCode {
  // The connection broke: pg says so with a message and no code.
  if (vendor === undefined) return 'target-unreachable';
  const known = BY_SQLSTATE[vendor] ?? ofNodeCode(vendor);
  if (known) return known;
  const inClass = /^[0-9A-Z]{5}$/.test(vendor) ? BY_CLASS[vendor.slice(0, 2)] : undefined;
  return inClass ?? 'target-failed';
}

function withoutVerifiers(text: string): string {
  return text.replace(/SCRAM-SHA-256\$[^\s'"]*/g, '[verifier]');
}
